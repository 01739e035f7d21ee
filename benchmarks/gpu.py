"""What clips cost on a GPU: batches of filters, precision, memory and the share of the peak.

python benchmarks/gpu.py [--networks c3d i3d] [--layers c3d=conv3b,classes i3d=Mixed_4c,classes]
    [--batches 1 8 32 128] [--precisions float32 tf32 bfloat16] [--size H W] [--repeats N]
    [--bare] [--out docs/benchmarks-gpu.md]

Each network, layer and precision is a process of its own, which goes from the smallest batch to the
largest, so that the most memory held is that of the batch, and one that does not fit ends alone. A
step is the median of runs of 16 to 128 steps by `fit`, after a run of 16 in which the step is
compiled, whose seconds are "first run". The peak is that of products of large matrices in the same
precision. With --bare, the compiled score and gradient of the subnetwork alone stand beside it.
Under JAX (KERAS_BACKEND=jax) it does the same. Without a GPU it runs on the processor, where all of
a process's memory is counted, and says so.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

STEPS = 128  # of a clip; what a filter takes is extrapolated to them
_SECONDS = 2  # of a run that is timed, about
PRECISIONS = ("float32", "tf32", "bfloat16")
LAYERS = {"c3d": ("conv1", "conv3b", "conv5b"), "i3d": ("Conv3d_1a_7x7", "Mixed_4c", "Mixed_5c")}
# NVIDIA's libraries read the first when they start; XLA has products of its own.
_NO_TF32 = {"NVIDIA_TF32_OVERRIDE": "0", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
# Memory is taken as it is needed, so that it can be told.
_GROWING = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    if args.child is not None:
        case = json.loads(args.child)
        measure(**case) if "name" in case else print(json.dumps(fastest_products(**case)))
        return
    from machine import state

    size = list(args.size) if args.size else None
    peaks = {each: next(child({"precision": each}))["peak"] for each in args.precisions}
    text = ["# What clips cost on a GPU", "", __doc__.split("\n\n")[-1].strip(), ""]
    text += [f"`KERAS_BACKEND={os.environ.get('KERAS_BACKEND', 'tensorflow')}`.", "", *state()]
    for name in args.networks:
        for layer in args.layers.get(name, LAYERS.get(name, ())):
            text += ["", f"## {name}, {layer}", "", *_HEADER]
            for precision in args.precisions:
                case = {"name": name, "layer": layer, "precision": precision, "size": size}
                case |= {"batches": sorted(args.batches), "repeats": args.repeats}
                for result in child(case | {"bare": args.bare}):
                    text.append(row(precision, result, peaks[precision]))
                    print(f"{name} {layer} {text[-1]}", flush=True)
                    if args.out is not None:
                        args.out.write_text("\n".join([*text, ""]), encoding="utf-8")
    if args.out is None:
        print("\n".join([*text, ""]))


_HEADER = (
    "| precision | filters at once | device | first run, s | step, ms | bare, ms "
    "| a filter of 128 steps, s | memory, GiB | TFLOP/s | of the peak of |",
    "|---" * 10 + "|",
)


def row(precision: str, result: dict[str, Any], peak: float) -> str:
    """A line of the table."""
    batch = str(result["wanted"])
    if "failed" in result:
        return f"| {precision} | {batch} {'| – ' * 7}| {result['failed']} |"
    if result["batch"] != result["wanted"]:
        batch = f"{result['batch']} (of {batch})"
    filter_s = result["milliseconds"] * STEPS / 1e3 / result["batch"]
    bare = f"{result['bare']:.2f}" if result["bare"] else "–"
    rate = result["rate"]
    return (
        f"| {precision} | {batch} | {result['device']} | {result['first']:.0f} "
        f"| {result['milliseconds']:.2f} | {bare} | {filter_s:.3g} | {result['gib']:.2f} "
        f"| {rate / 1e12:.3g} | {rate / peak:.0%} of {peak / 1e12:.3g} |"
    )


def child(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a process of its own measures, batch by batch; why it did not, where it failed."""
    environment = {**os.environ, **_GROWING}
    if case["precision"] == "float32":
        environment |= _NO_TF32
    command = [sys.executable, __file__, "--child", json.dumps(case)]
    waiting = list(case.get("batches", ()))
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        for line in process.stdout or ():
            if line.startswith("{"):
                yield json.loads(line)
                waiting = waiting[1:]
        process.wait()
        errors.seek(0)
        last = (errors.read().strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    if process.returncode:
        yield from ({"wanted": w, "failed": last.replace("|", "/")[:120]} for w in waiting)


def fastest_products(precision: str) -> dict[str, float]:
    """Multiplications and additions a second; in a process of its own, as it takes memory."""
    from machine import peak

    from c3dvis import autodiff

    dtype = "bfloat16" if precision == "bfloat16" else "float32"
    return {"peak": peak(dtype, size=8192 if autodiff.gpu_count() else 2048)}


def measure(
    name: str,
    layer: str,
    precision: str,
    batches: list[int],
    size: list[int] | None,
    repeats: int,
    bare: bool,
) -> None:
    """Prints a line of JSON for each batch: milliseconds of a step of all clips, memory, speed."""
    from machine import peak_memory
    from maximize import bare_step, turns, unit_operations
    from networks import build

    from c3dvis import objectives
    from c3dvis.gallery.plan import CLASSES
    from c3dvis.maximize import Maximizer

    network = build(name, size)
    dtype = "bfloat16" if precision == "bfloat16" else None
    for batch in batches:
        if layer == CLASSES.rstrip("/"):
            units = objectives.logit([i % network.output_shape[-1] for i in range(batch)])
        else:
            channels = network.get_layer(layer).output.shape[-1]
            units = objectives.channel(layer, [i % channels for i in range(batch)])
        maximizer = Maximizer(network, units, batch_size=batch, dtype=dtype)
        count = maximizer.batch_size
        first = seconds_of(maximizer, units[:count], 16)
        short = seconds_of(maximizer, units[:count], 16) / 16
        steps = 16 * min(8, max(1, int(_SECONDS / short / 16)))
        taken = [seconds_of(maximizer, units[:count], steps) / steps for _ in range(repeats)]
        seconds = statistics.median(taken)
        result = {
            "wanted": batch,
            "batch": count,
            "device": _device(),
            "first": first,
            "milliseconds": 1e3 * seconds,
            "gib": peak_memory() / 2**30,
            "rate": unit_operations(network, units) * count / seconds,
            "bare": None,
        }
        if bare:
            alone = {"bare": bare_step(network, units[:count], count, dtype)}
            result["bare"] = turns(alone, 5)["bare"] * count
        print(json.dumps(result), flush=True)


def seconds_of(maximizer, units, steps: int) -> float:
    """Of `fit` for some steps, clips started anew."""
    from c3dvis import autodiff

    rows = maximizer.steps_of(maximizer.restart(units), steps)
    start = time.perf_counter()
    autodiff.fit(maximizer, rows, batch_size=maximizer.batch_size, verbose=0)
    return time.perf_counter() - start


def _device() -> str:
    import keras

    from c3dvis import autodiff

    if not autodiff.gpu_count():
        return "cpu"
    match keras.backend.backend():
        case "jax":
            import jax

            return jax.devices()[0].device_kind
        case "torch":
            import torch

            return torch.cuda.get_device_name()
    import tensorflow as tf

    gpu = tf.config.list_physical_devices("GPU")[0]
    return tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)


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
    add("--repeats", type=int, default=3, metavar="N", help="runs that are timed")
    add("--bare", action="store_true", help="also the bare compiled step")
    add("--out", type=Path, help="file to write; default: standard output")
    add("--child", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    args.layers = dict(args.layers)
    return args


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
