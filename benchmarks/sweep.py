"""What a sweep costs over the bare forward passes, and how much memory it takes.

Ratio: the same clips through the same layers, batch by batch in turns in one process, by the
process's CPU time. The sweep's includes its compilation, files and result; a bare pass is the
compiled network up to the same layers, with and without its compilation. Memory: the greatest
resident size of a process that sweeps so many clips, less its size just before.

    python benchmarks/sweep.py --networks small c3d-motion --clips 1000 --memory 1000 4000
        --out docs/benchmarks-sweep.md
"""

import argparse
import resource
import subprocess
import sys
import time

import keras
import machine

from c3dvis import autodiff, models, motion, responses, rewire
from c3dvis.models import layers

_BATCH = 4
_PAGE = """# What a sweep costs

Written by `benchmarks/sweep.py`, which says how it is measured.

{machine}

{rows}
"""


def build(name):
    """A network and the layers that are swept."""
    if name != "small":
        network = models.build(name)
    else:
        keras.utils.set_random_seed(0)
        x = clip = keras.Input((8, 16, 16, 3))
        for number, channels in enumerate((16, 32, 64), 1):
            x = keras.layers.Conv3D(channels, 3, padding="same", activation="relu")(x)
            x = keras.layers.MaxPooling3D((1, 2, 2) if number == 1 else 2)(x)
        network = keras.Model(clip, keras.layers.Dense(10)(keras.layers.Flatten()(x)))
    return network, [info.name for info in layers.visualizable(network)]


def clips_for(network, count):
    """So many clips of `c3dvis.motion`, of the network's shape."""
    _, frames, height, width, _ = network.input_shape
    world = motion.MovingEvidence(seed=1, frames=frames, size=(height, width))
    return world.batch(0, count).clips


class Repeated(keras.utils.PyDataset):
    """Batches of a few clips that are repeated up to a number.

    Args:
        clips: The clips.
        count: Number of clips in all batches.
        before: Called with each batch before it is returned; its CPU time is added to `spent`.
    """

    def __init__(self, clips, count, before=None):
        super().__init__()
        self._clips, self._count, self._before = clips, count, before
        self.spent = 0.0

    @property
    def num_batches(self):
        return self._count // _BATCH

    def __getitem__(self, index):
        first = index * _BATCH % len(self._clips)
        batch = self._clips[first : first + _BATCH]
        if self._before is not None:
            start = time.process_time()
            self._before(batch)
            self.spent += time.process_time() - start
        return batch


def ratios(name, count):
    """CPU seconds of the sweep over those of the bare passes, without and with their compilation.

    The sweep's hold its own compilation in both.
    """
    network, names = build(name)
    tap = layers.tap(network, names)
    quick = rewire.Shadow(tap)
    bare = autodiff.compiled(lambda batch: quick(batch, training=False), variables=tap.variables)

    def bare_pass(batch):
        for output in bare(batch):
            keras.ops.convert_to_numpy(output[:1, ..., :1])  # waits until it is done

    clips = clips_for(network, 16)
    start = time.process_time()
    bare_pass(clips[:_BATCH])  # compiles
    compilation = time.process_time() - start
    dataset = Repeated(clips, count, before=bare_pass)
    start = time.process_time()
    responses.sweep(network, dataset, layers=names, batch_size=_BATCH, verbose=0)
    swept = time.process_time() - start - dataset.spent
    return swept / dataset.spent, swept / (dataset.spent + compilation)


def memory(name, count):
    """MiB that a sweep of so many clips adds to a process."""
    network, names = build(name)
    clips = clips_for(network, 16)
    responses.sweep(network, clips[:4], layers=names, batch_size=_BATCH, verbose=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    responses.sweep(network, Repeated(clips, count), layers=names, batch_size=_BATCH, verbose=0)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["small", "c3d-motion"])
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 4000])
    parser.add_argument("--only-memory", help=argparse.SUPPRESS)
    machine.add_out(parser)
    args = parser.parse_args()
    if args.only_memory:
        print(memory(args.only_memory, args.memory[0]))
        return
    state = machine.state()
    rows = [
        "| network | clips | CPU time over that of bare passes | and without their compilation |"
        + "".join(f" MiB for {count} clips |" for count in args.memory),
        "|---|---|---|---|" + "---|" * len(args.memory),
    ]
    for name in args.networks:
        whole, compiled = ratios(name, args.clips)
        row = f"| {name} | {args.clips} | {compiled:.2f} | {whole:.2f} |"
        for count in args.memory:  # a process each, as the greatest size never falls
            command = [sys.executable, __file__, "--only-memory", name, "--memory", str(count)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            row += f" {float(printed.split()[-1]):.0f} |"
        rows.append(row)
        print(row, flush=True)
    machine.write_page(_PAGE.format(machine="\n".join(state), rows="\n".join(rows)), args.out)


if __name__ == "__main__":
    main()
