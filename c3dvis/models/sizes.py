"""How long and how large the clips are that a network of the table is built for in the commands.

Nothing here imports Keras.
"""

from __future__ import annotations

from c3dvis import models
from c3dvis.models import table


def built(
    entry: models.Entry, *, frames: int | None = None, size: tuple[int, int] | None = None
) -> tuple[int, int, int, int]:
    """Shape `(T, H, W, C)` that a network is built for.

    Args:
        entry: Of the network.
        frames: Asked for; None is what a laptop can do, `entry.command_shape`, or the published.
        size: `(height, width)` asked for; None likewise.

    Raises:
        ValueError: If its weights fit the published size only and another is asked for.

    Example:
        >>> from c3dvis import models
        >>> built(models.entry("i3d"))
        (16, 112, 112, 3)
        >>> built(models.entry("i3d"), frames=64, size=(224, 224))
        (64, 224, 224, 3)
    """
    published = entry.shape[:3]
    usual = published if entry.command_shape is None else entry.command_shape
    shape = (
        usual[0] if frames is None else frames,
        *(usual[1:] if size is None else size),
    )
    if entry.fixed_by and shape != published:
        raise ValueError(
            f"Expected {_in_words(published)}, as the {entry.fixed_by} of {entry.name!r} fix it "
            f"there; {_others(entry)} take other sizes. Received: {_in_words(shape)}."
        )
    return (*shape, entry.shape[3])


def note(entry: models.Entry, shape: tuple[int, ...]) -> str | None:
    """A line on the size where it isn't the published one, and how to ask for that.

    Example:
        >>> from c3dvis import models
        >>> note(models.entry("i3d"), (16, 112, 112, 3))
        'i3d at 16 x 112 x 112; published at 64 x 224 x 224: --frames 64 --size 224'
    """
    frames, height, width = published = entry.shape[:3]
    if tuple(shape[:3]) == published:
        return None
    verb = "published" if entry.weights is None else "trained"
    size = f"{height}" if height == width else f"{height}x{width}"
    return (
        f"{entry.name} at {_by(shape[:3])}; {verb} at {_by(published)}: "
        f"--frames {frames} --size {size}"
    )


def _others(entry: models.Entry) -> str:
    """Networks like it, with weights as it has them, that take any size."""
    names = [
        other.name
        for other in table.NETWORKS
        if not other.fixed_by
        and (bool(other.weights), bool(other.source)) == (bool(entry.weights), bool(entry.source))
    ]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _in_words(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} frames of {shape[1]} x {shape[2]}"


def _by(lengths: tuple[int, ...]) -> str:
    return " x ".join(map(str, lengths))
