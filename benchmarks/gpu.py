"""What clips cost on a GPU: batches of filters, precision, memory and the share of the peak.

python benchmarks/gpu.py [--networks c3d i3d] [--layers c3d=conv3b,classes i3d=Mixed_4c,classes]
    [--batches 1 8 32 128] [--precisions float32 tf32 bfloat16] [--size H W] [--repeats N]
    [--out docs/benchmarks-gpu.md]

Each network, layer, precision and batch is a process of its own, so that its memory is its own and
one that does not fit ends alone. Under JAX (KERAS_BACKEND=jax) it does the same. Without a GPU it
runs on the processor, where all of a process's memory is counted, and says so.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STEPS = 128  # of a clip; what a filter takes is extrapolated to them
PRECISIONS = ("float32", "tf32", "bfloat16")
LAYERS = {"c3d": ("conv1", "conv3b", "conv5b"), "i3d": ("Conv3d_1a_7x7", "Mixed_4c", "Mixed_5c")}
# NVIDIA's libraries read it when they start.
_NO_TF32 = {"NVIDIA_TF32_OVERRIDE": "0"}
# Memory is taken as it is needed, so that it can be told.
_GROWING = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    if args.child is not None:
        print(json.dumps(measured(**json.loads(args.child))))
        return
    from machine import state

    size = list(args.size) if args.size else None
    text = ["# What clips cost on a GPU", "", __doc__.split("\n\n")[-1].strip(), ""]
    text += [f"`KERAS_BACKEND={os.environ.get('KERAS_BACKEND', 'tensorflow')}`.", "", *state()]
    for name in args.networks:
        for layer in args.layers.get(name, LAYERS.get(name, ())):
            text += ["", f"## {name}, {layer}", "", *_HEADER]
            for precision in args.precisions:
                for batch in args.batches:
                    case = {"name": name, "layer": layer, "precision": precision}
                    case |= {"batch": batch, "size": size, "repeats": args.repeats}
                    text.append(row(case, child(case)))
                    print(text[-1], flush=True)
    page = "\n".join([*text, ""])
    if args.out is None:
        print(page)
    else:
        args.out.write_text(page, encoding="utf-8")


_HEADER = (
    "| precision | filters at once | device | step, ms | a filter of 128 steps, s "
    "| memory, GiB | share of peak |",
    "|---|---|---|---|---|---|---|",
)


def row(case: dict[str, Any], result: dict[str, Any]) -> str:
    """A line of the table."""
    start = f"| {case['precision']} | {case['batch']} "
    if "failed" in result:
        return f"{start}| – | – | – | – | {result['failed']} |"
    if result["batch"] != case["batch"]:
        start = f"| {case['precision']} | {result['batch']} (of {case['batch']}) "
    filter_s = result["milliseconds"] * STEPS / 1e3 / result["batch"]
    return (
        f"{start}| {result['device']} | {result['milliseconds']:.1f} | {filter_s:.2f} "
        f"| {result['gib']:.2f} | {result['share']:.0%} |"
    )


def child(case: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own measures; why it did not, where it failed."""
    environment = {**os.environ, **_GROWING}
    if case["precision"] == "float32":
        environment |= _NO_TF32
    command = [sys.executable, __file__, "--child", json.dumps(case)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    last = (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
    return {"failed": last.replace("|", "/")[:120]}


def measured(
    name: str, layer: str, precision: str, batch: int, size: list[int] | None, repeats: int
) -> dict[str, Any]:
    """Milliseconds of a step of all clips, memory, and the share of the peak of matrix products."""
    import keras
    from machine import peak
    from maximize import OUR_STEPS, unit_operations, whole_step
    from networks import build

    from c3dvis import autodiff, objectives
    from c3dvis.gallery.plan import CLASSES

    network = build(name, size)
    count = range(batch)
    if layer == CLASSES.rstrip("/"):
        objective = objectives.logit([i % network.output_shape[-1] for i in count])
    else:
        channels = network.get_layer(layer).output.shape[-1]
        objective = objectives.channel(layer, [i % channels for i in count])
    dtype = "bfloat16" if precision == "bfloat16" else "float32"
    most = peak(dtype)
    step = whole_step(
        network, objective, batch_size=batch, dtype=None if dtype == "float32" else dtype
    )
    step.run()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        step.run()
        taken.append((time.perf_counter() - start) / OUR_STEPS)
    seconds, clips_at_once = statistics.median(taken), step.amount // OUR_STEPS
    work = unit_operations(network, objective) * clips_at_once
    return {
        "device": keras.distribution.list_devices()[0] if autodiff.gpu_count() else "cpu",
        "batch": clips_at_once,
        "milliseconds": 1e3 * seconds,
        "gib": _memory() / 2**30,
        "share": work / seconds / most,
    }


def _memory() -> float:
    """Most bytes held so far: of the first GPU, or without one of the process."""
    import keras

    from c3dvis import autodiff

    if not autodiff.gpu_count():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
        case "jax":
            import jax

            return jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    import torch

    return torch.cuda.max_memory_allocated()


def _layers_of(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, layers = text.partition("=")
    if not layers:
        raise argparse.ArgumentTypeError(f"expected NETWORK=LAYER,LAYER, received {text!r}")
    return name, tuple(layers.split(","))


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--networks", nargs="+", default=["c3d", "i3d"], metavar="NAME")
    add("--layers", nargs="+", type=_layers_of, default=[], metavar="NAME=LAYER,LAYER")
    add("--batches", nargs="+", type=int, default=[1, 8, 32, 128], metavar="N")
    add("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    add("--size", nargs=2, type=int, metavar=("H", "W"))
    add("--repeats", type=int, default=3, metavar="N", help="runs of 16 steps")
    add("--out", type=Path, help="file to write; default: standard output")
    add("--child", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    args.layers = dict(args.layers)
    return args


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
