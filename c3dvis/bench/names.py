"""What heatmap functions are named by: a Python file, or a method; nothing here loads Keras."""

from __future__ import annotations

from pathlib import Path

from c3dvis import files
from c3dvis.attribution.method_names import method_name

FUNCTION = "heatmap"
SMOOTHED = "_smoothed"
RANDOM = "random map"
OF_FRAMES = ("freeze", "reverse", "window")  # their heat is the same all over a frame
EXPECTED_FILE = f"Expected a Python file with a function {FUNCTION}(network, clip, target)."


def method_of(name: str) -> str | None:
    """The method of c3dvis that a name stands for; None for a Python file, or "random map".

    Raises:
        ValueError: A file that isn't there, an unknown method, or one that finds frames and draws
            no heatmap.
    """
    if name == RANDOM:
        return None
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise ValueError(f"{EXPECTED_FILE} Received: {name!r}, which {files.absent(name)}.")
        return None
    method = method_name(name.removesuffix(SMOOTHED))
    if method in OF_FRAMES:
        raise ValueError(
            f"Expected a method that draws heatmaps. Received: {name!r}, which finds frames."
        )
    return method
