"""Whether a video file holds all the bytes that its outermost header promises.

This is the one sure sign that a file was cut off: FFmpeg reads such a file to its end and reports
nothing. It knows AVI (RIFF), Matroska and WebM (EBML, RFC 9559) and MP4 and MOV (ISO 14496-12).
"""

import struct
from pathlib import Path
from typing import BinaryIO

_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")


def cut_off(path: Path) -> bool:
    """Tell whether the file ends before its container does; False for unknown containers."""
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if head[:4] == b"RIFF":
            size = int.from_bytes(head[4:], "little")
            # Recorders that cannot go back leave 0 or the largest number.
            return size < 0xFFFFFF00 and size + 8 > length
        if head[:4] == _EBML:
            return _segment_end(file) > length
        if head[4:] in _BOXES:
            return _boxes_end(file, length) > length
    return False


def _segment_end(file: BinaryIO) -> int:
    file.seek(len(_EBML))
    header = _vint(file)
    if header is None:
        return 0
    file.seek(header, 1)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return 0
    size = _vint(file)
    return 0 if size is None else file.tell() + size


def _vint(file: BinaryIO) -> int | None:
    """Reads a variable-length integer; None for "unknown", which has every bit set."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    marker = 1 << 7 * (more + 1)
    value = int.from_bytes(first + file.read(more), "big") & (marker - 1)
    return None if value == marker - 1 else value


def _boxes_end(file: BinaryIO, length: int) -> int:
    position = 0
    while position + 8 <= length:
        file.seek(position)
        size = struct.unpack(">I", file.read(8)[:4])[0]
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        if size < 8:  # 0 stands for "up to the end of the file"; the rest is not a box
            return length
        position += size
    return position
