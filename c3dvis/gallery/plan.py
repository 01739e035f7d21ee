"""What a gallery holds: which units of which layers."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from c3dvis.command_line import numbers
from c3dvis.files import safe_names
from c3dvis.text import UnknownLayer, in_short, nearest, unknown

# Number of filters per layer shown by default.
DEFAULT_FILTERS = 4
# Number of classes shown by default, and the number up to which all are shown.
DEFAULT_CLASSES = 10
MOST_CLASSES = 20
# The name of the section of classes; no Keras layer can have a "/" in its name.
CLASSES = "classes/"
# The gallery's own files and folders, in lower case.
OWN_NAMES = {
    *("gallery.json", "held-out.json", "index.html", "readme.md", "classes"),
    *("real", "real.json", "cards", "trust", "sheets", "forming"),
}


class LayerLike(Protocol):
    """What a plan needs to know about a layer; see `c3dvis.models.layers`."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def shape(self) -> tuple[int | None, ...] | None: ...
    @property
    def channels(self) -> int: ...
    @property
    def is_convolution(self) -> bool: ...


@dataclass(frozen=True)
class Unit:
    """One filter or class: one clip of the gallery.

    Attributes:
        layer: True name of its layer, or `CLASSES`.
        channel: Index of the filter or class.
        label: Name of the class where there is one.
        folder: Folder of its files inside the gallery.
    """

    layer: str
    channel: int
    label: str | None
    folder: str

    def path(self, ending: str) -> str:
        """Path of one of its files inside the gallery, with forward slashes."""
        return f"{self.folder}/{self.channel}.{ending}"

    @property
    def title(self) -> str:
        """Its layer and index, such as `conv3b 7` or `class 3`."""
        return f"{'class' if self.layer == CLASSES else self.layer} {self.channel}"

    @property
    def kernel(self) -> str:
        """Path of the picture of its kernel, where it has one."""
        return f"{self.folder}/{self.channel}-kernel.png"


@dataclass(frozen=True)
class Section:
    """One layer's part of a gallery, or that of the classes.

    Attributes:
        layer: True name of the layer, or `CLASSES`.
        kind: Kind of the layer, such as "Conv3D"; "classes" for the classes.
        shape: Shape of the layer's output without the batch axis.
        channels: Number of channels, or classes.
        units: The selected units, in order.
        field: Receptive field in frames, rows and columns; None if it is not
            known.
        kernel: Frames, rows and columns of its kernels, where they read the clip itself and there
            are pictures of them.
    """

    layer: str
    kind: str
    shape: tuple[int | None, ...]
    channels: int
    units: tuple[Unit, ...]
    field: tuple[int, ...] | None = None
    kernel: tuple[int, int, int] | None = None

    @property
    def title(self) -> str:
        return "Classes" if self.layer == CLASSES else self.layer


def sections(
    layers: Sequence[LayerLike],
    *,
    class_count: int = 0,
    class_names: Sequence[str] | None = None,
    chosen_layers: Iterable[str] | None = None,
    default_layers: Iterable[str] | None = None,
    filters: Sequence[int] | str | None = None,
    classes: Sequence[str] | None = None,
) -> tuple[Section, ...]:
    """The sections of a gallery: the classes first, then the layers from the deepest to the first.

    The default is the default layers and every class, or the first ten if there are more than
    twenty. Selecting layers alone leaves out the classes, and the other way round.

    Args:
        layers: Layers that can be shown, in network order, with or without weights.
        class_count: Number of the network's classes; 0 if it does not end in classes.
        class_names: Their names, as many.
        chosen_layers: Names, or patterns such as `Mixed_4?`; None means the default layers.
        default_layers: Names of those shown where none are chosen; None means every convolution.
        filters: Channels of every chosen layer, or "all"; None means the first four. A layer that
            has fewer shows those that it has, with a warning.
        classes: Names, numbers, ranges such as `0-3`, or `all`; None means every class, or the
            first ten.

    Raises:
        ValueError: If a layer or class is not there, or no layer has any of the filters.
    """
    folders = safe_names([layer.name for layer in layers], taken=OWN_NAMES, empty="layer")
    all_sections: list[Section] = []
    if chosen_layers is not None or classes is None:
        shown = default_layers if chosen_layers is None else chosen_layers
        filters_of = _choose_filters(_choose_layers(layers, shown), filters)
        for layer, channels in filters_of:
            units = tuple(
                Unit(layer.name, channel, None, folders[layer.name]) for channel in channels
            )
            shape = layer.shape or ()
            all_sections.append(Section(layer.name, layer.kind, shape, layer.channels, units))
    if classes is not None or (chosen_layers is None and class_count):
        all_sections.append(_class_section(class_count, class_names, classes))
    if not any(section.units for section in all_sections):
        raise ValueError(
            "Expected a network with convolutions or classes, or layers chosen by name. "
            f"Received: a network with the layers {nearest('', [layer.name for layer in layers])}."
        )
    return tuple(section for section in reversed(all_sections) if section.units)


def units_of(sections: Iterable[Section]) -> list[Unit]:
    """The units of all sections, in order."""
    return [unit for section in sections for unit in section.units]


def report_left_out(sections: Sequence[Section], report: Callable[[str], None]) -> None:
    """Reports how many classes the default leaves out, if any."""
    for section in sections:
        if section.layer == CLASSES and len(section.units) < section.channels:
            shown = f"{len(section.units)} of {section.channels}"
            report(f"showing {shown} classes; use --classes all to show all")


def _choose_layers(layers: Sequence[LayerLike], chosen: Iterable[str] | None) -> list[LayerLike]:
    if chosen is None:
        return [layer for layer in layers if layer.is_convolution]
    names = [layer.name for layer in layers]
    wanted: set[str] = set()
    for choice in chosen:
        matches = [choice] if choice in names else fnmatch.filter(names, choice)
        if not matches:
            raise UnknownLayer(unknown("the name of a layer", choice, names))
        wanted.update(matches)
    return [layer for layer in layers if layer.name in wanted]


def _choose_filters(
    layers: Sequence[LayerLike], filters: Sequence[int] | str | None
) -> list[tuple[LayerLike, Sequence[int]]]:
    """Each layer with the selected filters that it has."""
    if filters is None:
        return [(layer, range(min(DEFAULT_FILTERS, layer.channels))) for layer in layers]
    if filters == "all":
        return [(layer, range(layer.channels)) for layer in layers]
    wanted = [int(channel) for channel in filters]
    largest = max(layers, key=lambda layer: layer.channels, default=None)
    if largest is not None and (min(wanted) < 0 or min(wanted) >= largest.channels):
        raise ValueError(
            f"Layer {largest.name!r} has {largest.channels} filters. Expected filters from 0 to "
            f"{largest.channels - 1}. Received: {min(wanted)}."
        )
    smaller = [layer for layer in layers if max(wanted) >= layer.channels]
    if smaller:
        sizes = in_short([f"{layer.name} {layer.channels}" for layer in smaller])
        warnings.warn(
            f"layers with fewer filters than requested show those that they have: {sizes}",
            stacklevel=3,
        )
    return [
        (layer, [channel for channel in wanted if channel < layer.channels]) for layer in layers
    ]


def _class_section(
    count: int, names: Sequence[str] | None, chosen: Sequence[str] | None
) -> Section:
    if not count:
        raise ValueError("Expected a network that ends in classes. Received: one that does not.")
    indices: list[int] = []
    few = f"0-{DEFAULT_CLASSES - 1}" if count > MOST_CLASSES else "all"
    for choice in [few] if chosen is None else chosen:
        indices.extend(_class_indices(choice, count, names or []))
    labels: Sequence[str | None] = names or [None] * count
    units = tuple(Unit(CLASSES, i, labels[i], "classes") for i in dict.fromkeys(indices))
    return Section(CLASSES, "classes", (count,), count, units)


def _class_indices(choice: str, count: int, names: Sequence[str]) -> Sequence[int]:
    if choice in names:
        return [list(names).index(choice)]
    try:
        chosen = numbers(choice)
    except ValueError:
        expected = f"such as {nearest(choice, names)}, " if names else ""
        raise ValueError(
            f"Expected the name of a class, {expected}or its number from 0 to {count - 1}. "
            f"Received: {choice!r}."
        ) from None
    if chosen is None:
        return range(count)
    if max(chosen) >= count:
        raise ValueError(
            f"The network has {count} classes. Expected classes from 0 to {count - 1}. "
            f"Received: {max(chosen)}."
        )
    return chosen
