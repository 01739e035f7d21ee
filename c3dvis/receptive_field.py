"""Receptive fields: the exact part of a clip that a unit can see.

Each layer before the unit is either a window that slides over time, height and width (a
convolution, pool, padding, cropping), or computes every position from that position alone. Windows
compose: an interval of a layer's output gives an interval of its input (Araujo
et al. 2019, "Computing Receptive Fields of Convolutional Neural Networks",
https://doi.org/10.23915/distill.00021).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import keras

from c3dvis import graph
from c3dvis.graph import Step
from c3dvis.objectives.terms import as_position, position_in
from c3dvis.text import unknown

__all__ = ["Field", "LayerGraph", "Window", "of", "of_layers", "windows"]

Interval = tuple[int, int]  # first and end, without the end
Box = tuple[Interval, ...]  # of frames, rows and columns
Lengths = tuple[int, ...]

_POOLS = (keras.layers.MaxPooling3D, keras.layers.AveragePooling3D)
# In inference they compute each position from that position alone.
_POSITIONWISE = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Identity,
    keras.layers.Rescaling,
    keras.layers.Dropout,
    keras.layers.SpatialDropout3D,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
    keras.layers.ActivityRegularization,
    keras.layers.Dense,
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Multiply,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
)
_OVER_CHANNELS = (keras.layers.BatchNormalization, keras.layers.Concatenate)


@dataclass(frozen=True)
class Window:
    """The window of a layer along one axis.

    Attributes:
        kernel: Positions read, each `dilation` from the next.
        stride: Distance between the windows of neighbouring outputs.
        dilation: Distance between the positions read.
        before: Padding in front of the first position; negative where positions are cut off.
        after: Padding behind the last position.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0

    @property
    def reach(self) -> int:
        """Length from the first to the last position read."""
        return (self.kernel - 1) * self.dilation + 1

    def length(self, length: int) -> int:
        """Length of the output for one of the input."""
        return (length + self.before + self.after - self.reach) // self.stride + 1

    def read(self, interval: Interval) -> Interval:
        """The interval of the input that an interval of the output reads, including padding."""
        first, last = interval[0], interval[1] - 1
        return first * self.stride - self.before, last * self.stride - self.before + self.reach


@dataclass(frozen=True)
class Field:
    """The part of a clip that a unit can see.

    Attributes:
        time: Frames `(first, end)`, without the end.
        height: Rows `(first, end)`.
        width: Columns `(first, end)`.
        reason: Why it is the whole clip, if a layer before the unit can't be followed; else None.
    """

    time: Interval
    height: Interval
    width: Interval
    reason: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of frames, rows and columns."""
        axes = (self.time, self.height, self.width)
        frames, rows, columns = (end - first for first, end in axes)
        return frames, rows, columns

    @property
    def slices(self) -> tuple[slice, ...]:
        """Slices that crop a clip `(T, H, W, C)` to the field."""
        return slice(*self.time), slice(*self.height), slice(*self.width)


def of(
    network: keras.Model,
    layer: str,
    position: Sequence[int] | None = None,
    *,
    shape: Sequence[int] | None = None,
) -> Field:
    """The part of a clip that one unit of a layer can see.

    Where a layer on the way mixes positions otherwise (a Dense layer behind Flatten, a ConvLSTM,
    attention, global pooling), the unit sees the whole clip, and the field says why.

    Args:
        network: Functional or Sequential model that takes clips `(N, T, H, W, C)`.
        layer: Name of a layer, which may be inside a nested model.
        position: `(t, y, x)` in the layer's own grid; None means the centre.
        shape: `(T, H, W)` of the clip, if the network accepts any size.

    Returns:
        The field, cut off at the clip's ends. A unit that sees only padding has the nearest
        position of the clip as its field.

    Raises:
        ValueError: An unknown layer, a position outside it, or a clip of unknown size.

    Example:
        >>> from c3dvis import models, receptive_field
        >>> network = models.C3D(width=0.125)
        >>> receptive_field.of(network, "conv3b").shape
        (14, 26, 26)
    """
    layer_graph = LayerGraph(network, _clip_lengths(network, shape))
    called = [step for step in layer_graph.steps if f"/{step.name}".endswith(f"/{layer}")]
    if len(called) != 1 or len(called[0].outputs) != 1:
        names = list(dict.fromkeys(step.name for step in layer_graph.steps))
        raise unknown("the name of a layer that is called once", layer, names)
    return _field(layer_graph, called[0].outputs[0], position)


def of_layers(network: keras.Model, *, shape: Sequence[int] | None = None) -> dict[str, Field]:
    """What the centre unit of each layer can see, by the layer's name; see `of`.

    Layers that are called more than once, or have several outputs, are left out.

    Args:
        network: Functional or Sequential model that takes clips `(N, T, H, W, C)`.
        shape: `(T, H, W)` of the clip, if the network accepts any size.

    Returns:
        A `Field` a layer, in the order of the network.

    Raises:
        ValueError: A clip of unknown size.

    Example:
        >>> from c3dvis import models, receptive_field
        >>> receptive_field.of_layers(models.C3D(width=0.125))["conv3b"].shape
        (14, 26, 26)
    """
    layer_graph = LayerGraph(network, _clip_lengths(network, shape))
    calls = Counter(step.name for step in layer_graph.steps)
    return {
        step.name: _field(layer_graph, step.outputs[0], None)
        for step in layer_graph.steps
        if calls[step.name] == 1 and len(step.outputs) == 1
    }


def _field(layer_graph: LayerGraph, key: int, position: Sequence[int] | None) -> Field:
    extent = layer_graph.lengths.get(key)
    box = layer_graph.all_of(layer_graph.clip)
    if extent is not None:
        place = position_in(as_position(position), extent)
        boxes = layer_graph.seen({key: tuple((p, p + 1) for p in place)})
        box = boxes.get(layer_graph.clip, box)
    time, height, width = box
    return Field(time, height, width, layer_graph.reason([key]))


class LayerGraph:
    """A network without models inside models: its steps, and how long each tensor is.

    Args:
        network: Functional or Sequential model with one input.
        clip_lengths: `(T, H, W)` of its clip.

    Attributes:
        steps: The steps, in an order in which they can be computed.
        clip: Key of the input.
        outputs: Keys of the outputs.
        makers: The step that makes a tensor by its key; the clip has none.
        lengths: `(T, H, W)` by key, of the tensors whose way from the clip can be followed.

    Example:
        >>> clip = keras.Input((8, 16, 16, 3))
        >>> network = keras.Sequential([clip, keras.layers.Conv3D(2, 3, name="conv")])
        >>> layer_graph = LayerGraph(network, (8, 16, 16))
        >>> layer_graph.lengths[layer_graph.outputs[0]]
        (6, 14, 14)
    """

    def __init__(self, network: keras.Model, clip_lengths: Lengths):
        flattened = graph.flattened(network)
        (self.clip,) = flattened.inputs
        self.steps, self.outputs = flattened.steps, flattened.outputs
        self.makers = {key: step for step in self.steps for key in step.outputs}
        self.lengths: dict[int, Lengths] = {self.clip: tuple(clip_lengths)}
        for step in self.steps:
            if len(step.outputs) != 1 or not self.lengths.keys() >= set(step.inputs):
                continue
            read = [self.lengths[key] for key in step.inputs]
            axes = windows(step.layer, read)
            if axes is not None:
                lengths = tuple(w.length(n) for w, n in zip(axes, read[0], strict=True))
                self.lengths[step.outputs[0]] = lengths

    def needed(self, wanted: Iterable[int]) -> set[int]:
        """Keys of all tensors that some depend on, and of these themselves."""
        needed = set(wanted)
        for step in reversed(self.steps):
            if needed.intersection(step.outputs):
                needed.update(step.inputs)
        return needed

    def seen(self, wanted: Mapping[int, Box | None]) -> dict[int, Box]:
        """What must be known of each tensor so that boxes of some can be computed.

        Args:
            wanted: Boxes by key; None means the whole tensor.

        Returns:
            Boxes by key, of those needed tensors whose way from the clip can be followed.
        """
        needed = self.needed(wanted)
        boxes = {key: box or self.all_of(key) for key, box in wanted.items() if key in self.lengths}
        for step in reversed(self.steps):
            if not needed.intersection(step.outputs):
                continue
            # A step that can't be followed reads all of its inputs.
            reads = self.reads(step, boxes[step.outputs[0]]) if self.follows(step) else None
            for key in self.lengths.keys() & step.inputs:
                box = inside(reads, self.lengths[key]) if reads else self.all_of(key)
                boxes[key] = union(boxes.get(key, box), box)
        return boxes

    def follows(self, step: Step) -> bool:
        """Whether the receptive field of the step's output is known."""
        return step.outputs[0] in self.lengths

    def reads(self, step: Step, box: Box) -> Box:
        """The box of the inputs that a box of a step's output reads; it may reach into padding."""
        axes = windows(step.layer, [self.lengths[key] for key in step.inputs])
        assert axes is not None, f"{step.name} is followed and has no windows"
        return tuple(w.read(interval) for w, interval in zip(axes, box, strict=True))

    def reason(self, wanted: Iterable[int]) -> str | None:
        """Why the receptive field of some tensors is unknown; None if it is known."""
        needed = self.needed(wanted)
        for step in self.steps:
            if needed.intersection(step.outputs) and not self.follows(step):
                kind = type(step.layer).__name__
                return f"layer {step.name!r}, a {kind}, may see any part of its input"
        return None

    def all_of(self, key: int) -> Box:
        """The box of a whole tensor."""
        return tuple((0, length) for length in self.lengths[key])


def windows(layer, lengths: Sequence[Lengths]) -> tuple[Window, ...] | None:
    """The windows of a layer along its three axes; None if unknown.

    A custom layer declares that it computes each position from that position alone by an attribute
    `positionwise = True`.

    Args:
        layer: A layer or operation of Keras.
        lengths: `(T, H, W)` of each input; more than one must be of the same lengths.

    Returns:
        A `Window` for time, height and width; None where the layer mixes positions otherwise.

    Example:
        >>> windows(keras.layers.Conv3D(1, 3, strides=2), [(8, 16, 16)])[0]
        Window(kernel=3, stride=2, dilation=1, before=0, after=0)
    """
    layer = getattr(layer, "windowed", layer)
    if len(set(lengths)) != 1 or getattr(layer, "data_format", None) == "channels_first":
        return None
    if type(layer) in _POSITIONWISE or getattr(layer, "positionwise", False):
        return (Window(),) * 3
    if type(layer) in _OVER_CHANNELS:
        return (Window(),) * 3 if layer.axis in (-1, 4) else None
    if type(layer) is keras.layers.ZeroPadding3D:
        return tuple(Window(before=before, after=after) for before, after in layer.padding)
    if type(layer) is keras.layers.Cropping3D:
        return tuple(Window(before=-before, after=-after) for before, after in layer.cropping)
    if type(layer) is keras.layers.Conv3D:
        sizes, dilations = layer.kernel_size, layer.dilation_rate
    elif type(layer) in _POOLS:
        sizes, dilations = layer.pool_size, (1, 1, 1)
    else:
        return None
    axes = tuple(map(Window, sizes, layer.strides, dilations))
    return tuple(map(_padded, axes, lengths[0])) if layer.padding == "same" else axes


def _padded(window: Window, length: int) -> Window:
    """A window with the padding "same": what is missing to ceil(length / stride) windows."""
    stride = window.stride
    missing = max((-(-length // stride) - 1) * stride + window.reach - length, 0)
    return replace(window, before=missing // 2, after=missing - missing // 2)


def _clip_lengths(network: keras.Model, shape: Sequence[int] | None) -> Lengths:
    own = graph.clip_input(network).shape[1:4]
    lengths = own if shape is None else as_position(shape)
    fits = isinstance(lengths, tuple) and len(lengths) == 3
    fits = fits and all(a in (None, b) for a, b in zip(own, lengths, strict=True))
    if not fits or None in lengths:
        raise ValueError(f"Expected shape=(T, H, W) that fits {own}. Received: {shape}.")
    return lengths


def inside(box: Box, lengths: Lengths) -> Box:
    """The part of a box within a tensor, at least one position of it."""
    firsts = [min(max(first, 0), n - 1) for (first, _), n in zip(box, lengths, strict=True)]
    ends = [max(min(end, n), f + 1) for (_, end), n, f in zip(box, lengths, firsts, strict=True)]
    return tuple(zip(firsts, ends, strict=True))


def union(one: Box, other: Box) -> Box:
    pairs = zip(one, other, strict=True)
    return tuple((min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs)
