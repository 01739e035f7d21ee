"""Clips: read, check, resize, sample, show and write short stacks of frames.

A clip is a float32 array `(frames, height, width, channels)` with values in [0, 1].
"""

from c3dvis.clips.geometry import enlarge, resize, sample, sheet
from c3dvis.clips.reading import read
from c3dvis.clips.showing import scrub, show
from c3dvis.clips.values import check, to_rgb, to_uint8
from c3dvis.clips.volumes import read_volume, write_volume
from c3dvis.clips.writing import write

__all__ = [
    "check",
    "enlarge",
    "read",
    "read_volume",
    "resize",
    "sample",
    "scrub",
    "sheet",
    "show",
    "to_rgb",
    "to_uint8",
    "write",
    "write_volume",
]
