"""What a maximizer computes of a network: what its objective reads, and no more.

The network ends at the deepest layer read. If the objective reads a channel, the other channels of
the last convolution are left out; if it reads a neuron or a frame, so is the part of the clip that
this can't see.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import ops

from c3dvis.maximize.subnetwork.crop import CroppedNetwork
from c3dvis.maximize.subnetwork.own_channel import all_channels, channel_function
from c3dvis.models import layers
from c3dvis.objectives import (
    CLIP,
    Channel,
    DirectionNeuron,
    Frame,
    Function,
    Interpolated,
    Neuron,
    Objective,
    Term,
)
from c3dvis.objectives.terms import position_in
from c3dvis.receptive_field import Box, LayerGraph, union

_DTYPES = (None, "bfloat16")
# Terms that read one channel per clip, and terms that read one place of a layer.
_SINGLE_CHANNEL_TERMS = (Channel, Frame, Interpolated, Neuron)
_SINGLE_POSITION_TERMS = (DirectionNeuron, Frame, Neuron)


class Subnetwork:
    """The part of a network that an objective needs, and reading it.

    Args:
        network: As given to `layers.tap`.
        objective: What is read.
        shape: `(T, H, W)` of the clips.
        dtype: None computes as the network does, "bfloat16" in that from its first layer with
            weights on.

    Attributes:
        tap: The network up to the layers that the objective names.
        network: What is computed: the tap, or a part of its outputs.
        whole: Keys of the tensors that are computed with all of their channels.
        objective: The given objective, adapted to what is computed.
        box: What is computed of the clip: `(first, end)` of frames, rows and columns.
        dtype: As given.

    Raises:
        ValueError: An unknown layer or dtype, or a layer that can't be copied.
    """

    def __init__(
        self,
        network: keras.Model,
        objective: Objective,
        shape: Sequence[int],
        *,
        dtype: str | None = None,
    ):
        if dtype not in _DTYPES:
            raise ValueError(f"Expected a dtype of None or 'bfloat16'. Received: {dtype!r}.")
        self.tap, self.dtype = layers.tap(network, objective.layers), dtype
        terms = [term for _, term in objective.terms]
        layer_graph = LayerGraph(self.tap, tuple(shape))
        keys = dict(zip(objective.layers, layer_graph.outputs, strict=True))
        places = [_place(term, layer_graph, keys[term.layer]) for term in terms]
        self.network = CroppedNetwork(
            self.tap, layer_graph, _wanted(terms, places, keys), dtype=dtype
        )
        self.box = self.network.box
        self.whole: set[int] = set()
        self._views = []
        for i, (term, place) in enumerate(zip(terms, places, strict=True)):
            key = keys[term.layer]
            alone = _is_alone(term, terms, layer_graph, keys)
            read = channel_function(self.network, key, self.whole) if alone else None
            own = read is not None
            at = None if place is None else _within(place, self.network.boxes[key])
            read_channels = read or _read_all(term, i, keys, self.whole)
            channels = self.network.shape(key)[-1] or 0
            self._views.append(_TermView(_placed(term, i, at), read_channels, channels, own, at))
        weights = [weight for weight, _ in objective.terms]
        terms = [view.term for view in self._views]
        self.objective = Objective(tuple(zip(weights, terms, strict=True)))

    def __call__(self, inputs, unit_indices, relu: Callable | None = None) -> tuple[dict, Any]:
        """What `self.objective` reads of the network, and the units' indices in that.

        Args:
            inputs: `(N, T, H, W, C)` as the network takes them.
            unit_indices: `(N, terms)`, in the whole layers.
            relu: Replaces the network's plain ReLUs, see `rewire.quick_call`.

        Returns:
            Activations by layer name, without `CLIP`; and indices `(N, terms)`.
        """
        values: dict = {}
        if self.whole:
            part = inputs[(slice(None), *(slice(*interval) for interval in self.box))]
            values = self.network(part, keys=sorted(self.whole), relu=relu, training=False)
        activations, indices = {}, []
        for i, view in enumerate(self._views):
            activation, index = view(values, unit_indices[:, i], relu)
            indices.append(index)
            each = activation if isinstance(activation, dict) else {view.term.layer: activation}
            for name, one in each.items():
                if one is not None:
                    activations[name] = ops.cast(one, "float32") if self.dtype else one
        return activations, ops.stack(indices, axis=-1)


@dataclass(frozen=True)
class _TermView:
    """How one term reads what is computed.

    Attributes:
        term: As it reads that.
        read: Function of the computed tensors by key, of channels `(N,)` and of what to compute in
            the place of ReLUs; None reads the clip itself.
        channels: Channels of the whole layer.
        own: Whether `read` returns one channel per clip, its own.
        at: Where its place is in what `read` returns; None where it reads all places.
    """

    term: Term
    read: Callable | None
    channels: int
    own: bool
    at: tuple[slice, ...] | None

    def __call__(self, values: Mapping, unit_indices, relu) -> tuple:
        """What is read, and the indices `(N,)` in that of the units of the whole layer."""
        channels, rest = self._split(unit_indices)
        activation = self.read(values, channels, relu) if self.read else None
        if activation is not None and self.at is not None:
            activation = activation[(slice(None), *self.at)]
        if self.own:
            return activation, rest
        is_neuron = isinstance(self.term, Neuron)
        return activation, rest * self.channels + channels if is_neuron else unit_indices

    def _split(self, unit_indices) -> tuple:
        """Channels of units, and what else their indices say: a place, or a weight."""
        if isinstance(self.term, Neuron):
            places = unit_indices // self.channels if self.at is None else 0 * unit_indices
            return unit_indices % self.channels, places
        if isinstance(self.term, Interpolated):
            count = len(self.term.weights)
            return unit_indices // count, unit_indices % count
        return unit_indices, 0 * unit_indices


def _place(term: Term, layer_graph: LayerGraph, key: int) -> Box | None:
    """The box of a layer that a term reads; None where that is all of it."""
    local = isinstance(term, _SINGLE_POSITION_TERMS) and term.layer != CLIP
    if not local or key not in layer_graph.lengths:
        return None
    extent = layer_graph.lengths[key]
    if isinstance(term, Frame):
        frame = extent[0] // 2 if term.frame is None else term.frame
        return ((frame, frame + 1), *layer_graph.all_of(key)[1:])
    assert isinstance(term, (DirectionNeuron, Neuron))
    return tuple((p, p + 1) for p in position_in(term.position, extent))


def _placed(term: Term, number: int, at) -> Term:
    """A term as it reads the `number`th activation, in which its place may be the only one."""
    if term.layer == CLIP:
        return term
    if isinstance(term, Function):
        return term.reading({name: _numbered(name, number) for name in term.layers})
    changes: dict[str, Any] = {"layer": str(number)}
    if at is not None:
        changes |= {"frame": 0} if isinstance(term, Frame) else {"position": (0, 0, 0)}
    return replace(term, **changes)


def _numbered(layer: str, number: int) -> str:
    """What the `number`th term calls one of several layers that it reads."""
    return layer if layer == CLIP else f"{number}/{layer}"


def _read_all(term: Term, number: int, keys: Mapping, whole: set[int]) -> Callable | None:
    """A function that reads all channels of a term's layers; None where that is the clip alone."""
    if term.layer == CLIP:
        return None
    if not isinstance(term, Function):
        return all_channels(keys[term.layer], whole)
    each = {
        _numbered(name, number): all_channels(keys[name], whole)
        for name in term.layers
        if name != CLIP
    }
    return lambda *arguments: {name: read(*arguments) for name, read in each.items()}


def _wanted(terms: Sequence[Term], places: Sequence[Box | None], keys: Mapping) -> dict:
    """Boxes by key that hold the places of all terms; None where one reads all of a layer."""
    wanted: dict[int, Box | None] = {}
    for term, place in zip(terms, places, strict=True):
        for key in (keys[name] for name in term.layers if name != CLIP):
            known = wanted.get(key, place)
            wanted[key] = None if known is None or place is None else union(known, place)
    return wanted


def _within(place: Box, box: Box) -> tuple[slice, ...]:
    return tuple(slice(p[0] - b[0], p[1] - b[0]) for p, b in zip(place, box, strict=True))


def _is_alone(term: Term, terms: Sequence[Term], layer_graph: LayerGraph, keys: Mapping) -> bool:
    """Whether nothing needs the other channels of the layer that a term reads."""
    read = [name for t in terms for name in t.layers]
    beside = [keys[name] for name in read if name not in (term.layer, CLIP)]
    same = [t for t in terms if term.layer in t.layers]
    of_a_channel = all(type(t) in _SINGLE_CHANNEL_TERMS for t in same) and term.layer != CLIP
    return of_a_channel and keys[term.layer] not in layer_graph.needed(beside)
