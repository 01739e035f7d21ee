"""Animated images for TensorBoard, which shows a GIF that is written as an encoded image.

Keras has no way to write one, and each backend its own; so the file is written here. It is a series
of records: length, checksum, a protocol buffer `Event`, checksum
(https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/event.proto).
"""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path

from PIL import Image

# Kinds of fields of a protocol buffer (https://protobuf.dev/programming-guides/encoding).
_VARINT, _DOUBLE, _BYTES = 0, 1, 2
# CRC-32C, bits reversed (RFC 3720, B.4), and what TFRecord files add to it.
_POLYNOMIAL, _MASK = 0x82F63B78, 0xA282EAD8
_FILE_VERSION = b"brain.Event:2"
_START = 1
_RGB = 3


class EventFile:
    """An event file of its own in a folder, begun with the first event.

    Args:
        folder: TensorBoard's folder for one run; made if it isn't there.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._path: Path | None = None

    def restart(self, step: int) -> None:
        """Tells TensorBoard to forget what this folder holds from this step on."""
        self._add(step, _field(7, _field(1, _START)))

    def add_gif(self, tag: str, step: int, gif: Path) -> None:
        """Shows a GIF under a tag at a step.

        Raises:
            OSError: If the file cannot be written.
        """
        with Image.open(gif) as image:
            width, height = image.size
        picture = _field(1, height) + _field(2, width) + _field(3, _RGB)
        picture += _field(4, gif.read_bytes())
        value = _field(1, tag.encode()) + _field(4, picture)
        self._add(step, _field(5, _field(1, value)))

    def _add(self, step: int, content: bytes) -> None:
        written = b""
        if self._path is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            stamp = f"{time.time_ns() // 10**9}.{socket.gethostname()}.{os.getpid()}.{id(self)}"
            self._path = self.folder / f"events.out.tfevents.{stamp}"
            written = _record(_event(0, _field(3, _FILE_VERSION)))
        with open(self._path, "ab") as file:
            file.write(written + _record(_event(step, content)))


def _event(step: int, content: bytes) -> bytes:
    return _field(1, time.time()) + _field(2, step) + content


def _field(number: int, value: int | float | bytes) -> bytes:
    if isinstance(value, bytes):
        return _varint(number << 3 | _BYTES) + _varint(len(value)) + value
    if isinstance(value, float):
        return _varint(number << 3 | _DOUBLE) + struct.pack("<d", value)
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _record(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + _checksum(length) + event + _checksum(event)


def _checksum(content: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    turned = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (turned + _MASK) & 0xFFFFFFFF)


def _table() -> list[int]:
    made = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        made.append(byte)
    return made


_TABLE = _table()
