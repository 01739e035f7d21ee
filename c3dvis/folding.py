"""Frames folded into the batch, `(N * k, ...)` for `(N, k, ...)`, and which tensors have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

if TYPE_CHECKING:
    from c3dvis.graph import Graph

# Assumed T, H, W and channels of a clip, if the network takes any.
_USUAL = (16, 112, 112, 3)


class Fold(keras.layers.Layer):
    """`(N, T, ...)` to `(N * T, ...)`.

    Example:
        >>> Fold()(keras.ops.zeros((2, 3, 8, 8, 1))).shape
        TensorShape([6, 8, 8, 1])
    """

    def call(self, clips):
        return ops.reshape(clips, (-1, *ops.shape(clips)[2:]))

    def compute_output_shape(self, shape):
        known = None not in shape[:2]
        return (shape[0] * shape[1] if known else None, *shape[2:])


class Unfold(keras.layers.Layer):
    """`(N * k, ...)` to `(N, k, ...)`, N being that of another tensor.

    Args:
        count: k, where it is known.

    Example:
        >>> Unfold()([keras.ops.zeros((6, 5)), keras.ops.zeros((2, 3, 8))]).shape
        TensorShape([2, 3, 5])
    """

    def __init__(self, count: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def call(self, inputs):
        frames, clips = inputs
        count = -1 if self.count is None else self.count
        return ops.reshape(frames, (ops.shape(clips)[0], count, *ops.shape(frames)[1:]))

    def compute_output_shape(self, shapes):
        frames, clips = shapes
        count = self.count
        if count is None and None not in (frames[0], clips[0]):
            count = frames[0] // clips[0]
        return (clips[0], count, *frames[1:])

    def compute_output_spec(self, inputs):
        shape = self.compute_output_shape([each.shape for each in inputs])
        return keras.KerasTensor(shape, inputs[0].dtype)

    def get_config(self):
        return {**super().get_config(), "count": self.count}


def rows(graph: Graph, inputs: list[keras.KerasTensor]) -> dict[int, int]:
    """Number of batch rows per clip of each tensor: 1, or more if frames are folded into the batch.

    Args:
        graph: Graph of a network.
        inputs: Inputs of that network.

    Returns:
        Rows by key.
    """
    shapes: dict[int, tuple[int | None, ...]]
    shapes = {key: _clip(t.shape) for key, t in zip(graph.inputs, inputs, strict=True)}
    is_fixed = all(None not in t.shape[1:] for t in inputs)
    for step in graph.steps:
        is_kept = is_fixed and _keeps_the_batch(step.layer)
        computed = None if is_kept else _computed(step, shapes)
        if computed is None:
            kept = shapes[step.inputs[0]][0] if step.inputs else 1
            computed = [(kept, *shape[1:]) for shape in step.shapes]
        shapes.update(zip(step.outputs, computed, strict=True))
    return {key: shape[0] or 1 for key, shape in shapes.items()}


def _clip(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """The shape of one clip, with default lengths for open axes."""
    usual = (*_USUAL, *[1] * len(shape))
    return 1, *(n or length for n, length in zip(shape[1:], usual, strict=False))


def _keeps_the_batch(layer) -> bool:
    """Whether it is one of Keras's own layers, none of which changes the batch, but no Lambda."""
    own_code = isinstance(layer, keras.layers.Lambda)
    is_layer = isinstance(layer, keras.layers.Layer)
    return is_layer and type(layer).__module__.startswith("keras.") and not own_code


def _computed(step, shapes) -> list[tuple[int | None, ...]] | None:
    """Shapes of a step's outputs for inputs of some shapes; None where that can't be computed."""
    like = zip(step.inputs, step.call.inputs, strict=True)
    values = {key: keras.KerasTensor(shapes[key], tensor.dtype) for key, tensor in like}
    arguments, options = step.arguments(values)
    try:
        outputs = keras.tree.flatten(step.layer.compute_output_spec(*arguments, **options))
        if any(tensor.shape[0] is None for tensor in outputs):
            # A layer's own `compute_output_shape` leaves the batch open; its code does not.
            traced = keras.Operation.compute_output_spec(step.layer, *arguments, **options)
            outputs = keras.tree.flatten(traced)
    except Exception:  # of a user's layer, which may say anything; its batch is then as it came
        return None
    return [tuple(tensor.shape) for tensor in outputs]
