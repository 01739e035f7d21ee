"""Imports Keras for a command: fast, without the backend's messages, the same on every machine."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator

from c3dvis import interrupts


def load_keras() -> None:
    """Imports Keras and starts its backend, without the backend's startup messages.

    Sets float32 and channels last, whatever `keras.json` says, so that commands give the same
    results on every machine.

    Raises:
        ValueError: A backend that isn't installed, or a `keras.json` that Keras can't read.
    """
    with interrupts.ending_at_once(), _uncollected_imports():
        try:
            with _suppressed_startup_messages():
                import keras

                from c3dvis import autodiff

                autodiff.gpu_count()  # starts the backend
        except (ImportError, ValueError, AttributeError, TypeError) as error:
            backend = os.environ.get("KERAS_BACKEND")
            chosen = "" if backend is None else f"KERAS_BACKEND={backend}, and "
            raise ValueError(
                "Expected Keras with a backend that is installed: tensorflow, unless KERAS_BACKEND "
                f"or keras.json names another. Received: {chosen}{error}"
            ) from error
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")


@contextlib.contextmanager
def _uncollected_imports() -> Iterator[None]:
    """Leaves what Keras makes when it is first imported out of garbage collections.

    These are 600,000 objects, none of which is garbage. To go through them again and again would
    take as long as the import.
    """
    if "keras" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def _suppressed_startup_messages() -> Iterator[None]:
    """Holds back what TensorFlow writes to stderr while it starts; shows it only on failure.

    TensorFlow writes messages about the machine before it reads TF_CPP_MIN_LOG_LEVEL; they would
    hide a one-line error.
    """
    # 3, as its graph optimizer logs skipped rewrites as errors; real errors are raised.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
