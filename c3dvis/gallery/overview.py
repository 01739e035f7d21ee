"""The network overview at the top of the page: its layers in order, with a few of their clips."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from c3dvis import stored
from c3dvis.gallery.plan import CLASSES
from c3dvis.gallery.tile import Tile
from c3dvis.text import counted

if TYPE_CHECKING:  # pages are written without Keras
    import keras

# Number of clips shown per layer.
_THUMBNAILS = 4
# Maximum number of consecutive layers without clips that are listed; more are folded.
_LISTED = 3


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a network.

    Attributes:
        name: Its name.
        kind: Its class, such as "Conv3D".
        shape: Shape of its output without the batch axis; None if it has several outputs.
        parameters: Number of its parameters, without those of layers inside it.
        field: Receptive field in frames, rows and columns; None if unknown.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...] | None
    parameters: int
    field: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Step:
    """One entry of the overview.

    Attributes:
        layers: One layer with clips, or consecutive layers without; none for the classes.
        part: The part of the page that shows its clips; None if there are none.
    """

    layers: tuple[LayerSummary, ...]
    part: Mapping[str, Any] | None = None

    @property
    def is_folded(self) -> bool:
        """Whether there are too many layers to list one by one."""
        return len(self.layers) > _LISTED

    @property
    def thumbnails(self) -> list[Tile]:
        """A few of its clips, those of one colour last."""
        tiles = [] if self.part is None else self.part["tiles"]
        shown = [tile for tile in tiles if tile.strip]
        return sorted(shown, key=lambda tile: bool(tile.plain))[:_THUMBNAILS]


@dataclass(frozen=True)
class Overview:
    """The overview of a network.

    Attributes:
        parameters: Number of the network's parameters.
        layers: Its layers, in network order.
    """

    parameters: int
    layers: tuple[LayerSummary, ...]

    @classmethod
    def from_json(cls, values: Any) -> Overview:
        """The overview from JSON, as `gallery.json` holds it.

        Raises:
            ValueError: If a value is of the wrong type.
            KeyError: If a value is missing.
        """
        values = stored.mapping(values)
        layers = [stored.dataclass_of(LayerSummary, one) for one in stored.items(values["layers"])]
        return cls(stored.count(values["parameters"]), tuple(layers))

    def steps(self, parts: Iterable[Mapping[str, Any]]) -> list[Step]:
        """The entries of the overview, from the clip to the classes.

        Args:
            parts: Parts of the page, with `layer` and `tiles`.
        """
        shown = {part["layer"]: part for part in parts}
        listed: list[Step] = []
        for has_clips, group in itertools.groupby(self.layers, lambda one: one.name in shown):
            layers = tuple(group)
            if has_clips:
                listed += [Step((one,), shown[one.name]) for one in layers]
            else:
                listed.append(Step(layers))
        return [*listed, Step((), shown[CLASSES])] if CLASSES in shown else listed

    @property
    def summary(self) -> str:
        layers = counted(len(self.layers), "layer")
        return f"{layers}, {self.parameters:,} parameters"


def of(network: keras.Model, *, shape: Sequence[int] | None = None) -> Overview:
    """The overview of a network.

    Args:
        network: Functional or Sequential model.
        shape: `(T, H, W)` of its clips, if it takes any.
    """
    from c3dvis import receptive_field
    from c3dvis.models import layers

    try:
        fields = receptive_field.of_layers(network, shape=shape)
    except ValueError:  # a network with several inputs
        fields = {}
    summaries = []
    for info in layers.describe(network):
        weights = () if info.layer is None or info.is_open else info.layer.weights
        parameters = sum(math.prod(weight.shape) for weight in weights)
        field = fields.get(info.name)
        seen = None if field is None or field.reason is not None else field.shape
        summaries.append(LayerSummary(info.name, info.kind, info.shape, parameters, seen))
    return Overview(network.count_params(), tuple(summaries))


def shape_text(shape: Sequence[int | None]) -> str:
    """A shape in words.

    >>> shape_text((16, None, 8))
    '16 × any × 8'
    """
    return " × ".join("any" if n is None else str(n) for n in shape)
