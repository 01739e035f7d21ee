"""The whole suite runs in a worker for each core, chosen files in one process."""

import gc
import os

import pytest

_MOST_WORKERS = 4  # each takes up to 1.5 GB
_CORES = os.cpu_count() or 1

_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _workers > 1:
    # TensorFlow reads it once, where it is imported: workers don't fight for the cores.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, _CORES // _workers)))

# Keras and TensorFlow make 600,000 objects while they are imported, which all stay. The garbage
# collector would go through them again and again: a fourth of the time of these imports.
gc.disable()

# Files are written through to the disk in case the power fails, which no test can see: in tests
# that took 2 ms for each of thousands. Commands that tests start as processes do it.
os.fsync = lambda fd: None


def pytest_collection_finish() -> None:
    """What is there once all tests are imported is left out of collections; what is new is not."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


def pytest_xdist_auto_num_workers(config) -> int:
    """How many workers `-n auto` of pyproject.toml is; none where files or tests were named."""
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        return 0
    return min(_CORES, _MOST_WORKERS)
