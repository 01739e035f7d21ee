"""What a machine is and how busy it is, the most that it can multiply, and where pages go."""

import argparse
import os
import platform
import resource
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
from keras import ops

from c3dvis import autodiff
from c3dvis.gallery import provenance

# Rows and columns of the matrices, products in a run, and runs of which the fastest counts.
_SIZE, _PRODUCTS, _RUNS = 2048, 8, 5


def peak(dtype: str, *, size: int = _SIZE) -> float:
    """Multiplications and additions a second of products of matrices `(size, size)`."""
    run, operations = matrix_products(dtype, size=size)
    fastest = float("inf")
    for _ in range(_RUNS + 1):
        start = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - start)
    return operations / fastest


def matrix_products(
    dtype: str, products: int = _PRODUCTS, size: int = _SIZE
) -> tuple[Callable[[], object], float]:
    """Some products of large matrices, compiled, and their multiplications and additions."""
    matrix = np.random.default_rng(0).standard_normal((size, size), np.float32) / np.sqrt(size)
    matrix = ops.convert_to_tensor(matrix, "float32")  # on the device, where there is one

    def multiplied(x):
        x = ops.cast(x, dtype)
        for _ in range(products):
            x = ops.matmul(x, x)
        return ops.cast(ops.sum(x), "float32")

    run = autodiff.compiled(multiplied)
    return lambda: ops.convert_to_numpy(run(matrix)), 2 * products * size**3


def peak_memory() -> float:
    """Most bytes held so far: of the first GPU, or without one of the process."""
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


def state() -> list[str]:
    """Lines of Markdown: processor, load, versions and the settings that matter."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    packages = ("c3dvis", "keras", "tensorflow", "tf-keras-vis", "numpy")
    versions = [f"{name} {_version(name)}" for name in packages]
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_ENABLE_ONEDNN_OPTS")
    set_here = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return [
        f"- Processor: {provenance.machine()['processor']}, {len(os.sched_getaffinity(0))} cores",
        f"- Load over 1, 5 and 15 minutes at the start: {load}",
        f"- Python {platform.python_version()}, {', '.join(versions)}",
        f"- Settings: {', '.join(set_here) or 'none'}",
        f"- Date: {time.strftime('%Y-%m-%d')}",
    ]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def add_out(parser: argparse.ArgumentParser) -> None:
    """Adds --out, as `write_page` takes it."""
    parser.add_argument("--out", type=Path, help="file to write; default: standard output")


def write_page(text: str, out: Path | None) -> None:
    """Writes a page to a file, or prints it."""
    if out is None:
        print(text.rstrip("\n"))
    else:
        out.write_text(text, encoding="utf-8")
