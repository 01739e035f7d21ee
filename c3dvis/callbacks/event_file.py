"""Animated images for TensorBoard, which shows a GIF that is written as an encoded image.

Keras has no way to write one, and each backend its own; TensorBoard itself writes for all.
"""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

from PIL import Image

_RGB = 3


class EventFile:
    """An event file of its own in a folder, begun with the first event.

    Args:
        folder: TensorBoard's folder for one run; created if missing.

    Raises:
        ImportError: Where TensorBoard isn't installed.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            self._writing: Any = importlib.import_module(
                "tensorboard.summary.writer.event_file_writer"
            )
        except ImportError:
            raise ImportError(
                "Expected TensorBoard to be installed, as log_dir is given: "
                "pip install tensorboard. Received: a Python without it."
            ) from None
        self._event: Any = importlib.import_module("tensorboard.compat.proto.event_pb2")
        self._summary: Any = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary
        self._file: Any = None

    def restart(self, step: int) -> None:
        """Tells TensorBoard to forget what this folder holds from this step on."""
        log = self._event.SessionLog(status=self._event.SessionLog.START)
        self._add(self._event.Event(step=step, session_log=log))

    def add_gif(self, tag: str, step: int, gif: Path) -> None:
        """Shows a GIF under a tag at a step.

        Raises:
            OSError: If the file cannot be written.
        """
        with Image.open(gif, formats=("GIF",)) as image:
            width, height = image.size
        picture = self._summary.Image(
            width=width, height=height, colorspace=_RGB, encoded_image_string=gif.read_bytes()
        )
        value = self._summary.Value(tag=tag, image=picture)
        self._add(self._event.Event(step=step, summary=self._summary(value=[value])))

    def close(self) -> None:
        """Ends the file; another event would begin a new one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _add(self, event) -> None:
        if self._file is None:
            self._file = self._writing.EventFileWriter(str(self.folder))
        event.wall_time = time.time()
        self._file.add_event(event)
        self._file.flush()
