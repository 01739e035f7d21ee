"""Reads the index of a TensorFlow checkpoint: a table of sorted names and their records.

TensorFlow ends the whole process where a record of an index cannot be read. So the table is gone
through here first. Its layout is that of LevelDB's tables: blocks of entries, each with the
positions of some of them at its end; a block that lists the others; and a footer that says where
that is.
https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

from collections.abc import Iterator

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5  # after each block: how it is compressed, and its checksum


def records(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The entries of a table, in its order, as name and record.

    Args:
        table: All bytes of the index.

    Raises:
        ValueError: If it is damaged.
    """
    if len(table) < _FOOTER_BYTES or not table.endswith(_MAGIC):
        raise ValueError("no footer of an index")
    footer = table[-_FOOTER_BYTES:]
    _, _, position = _handle(footer, 0)  # of a block that TensorFlow leaves empty
    start, length, _ = _handle(footer, position)
    end = 0
    for _, value in _entries(_block(table, start, length)):
        start, length, _ = _handle(value, 0)
        if start < end:  # else a small index could list one block many times
            raise ValueError("blocks that overlap")
        end = start + length
        yield from _entries(_block(table, start, length))


def _block(table: bytes, start: int, length: int) -> bytes:
    end = start + length
    if end + _TRAILER_BYTES > len(table) - _FOOTER_BYTES:
        raise ValueError("a block outside the index")
    if table[end]:
        raise ValueError("a compressed block")
    return table[start:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each entry; a key begins with a part of the key before."""
    count = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (count + 1)
    if len(block) < 8 or not count or end < 0:
        raise ValueError("a block without entries")
    restarts = {
        int.from_bytes(block[at : at + 4], "little") for at in range(end, len(block) - 4, 4)
    }
    position, key, starts = 0, b"", {0}
    while position < end:
        start = position
        shared, position = _number(block, position)
        own, position = _number(block, position)
        length, position = _number(block, position)
        if shared > len(key) or position + own + length > end:
            raise ValueError("an entry outside its block")
        if not shared:
            starts.add(start)
        before, key = key, key[:shared] + block[position : position + own]
        if start and key <= before:
            raise ValueError("names that are not in order")
        position += own + length
        yield key, block[position - length : position]
    # Whoever looks a key up starts reading at one of these places.
    if not restarts <= starts:
        raise ValueError("a block with wrong positions")


def _handle(raw: bytes, position: int) -> tuple[int, int, int]:
    """Start and length of a block, and the position after them."""
    start, position = _number(raw, position)
    length, position = _number(raw, position)
    return start, length, position


def _number(raw: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits per byte, lowest first, and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        if position >= len(raw):
            break
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number without an end")
