"""Makes a network with several inputs one that takes clips only: the others are held fixed."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from c3dvis import graph
from c3dvis.held import Held
from c3dvis.models import layers
from c3dvis.models.input_range import takes_bytes
from c3dvis.text import unknown

_GREY, _GREY_BYTE, _WHITE_BYTE = 0.5, 128, 255
_PICTURE_CHANNELS = (1, 3, 4)  # others, such as the two of optical flow, are neutral at 0
_MAX_COPIES = 4  # cached for each network, so that compiled functions of them are too
_copies: weakref.WeakKeyDictionary[keras.Model, dict[Any, keras.Model]]
_copies = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def one_input(
    network: keras.Model,
    input: str | None = None,
    inputs: Mapping[str, ArrayLike] | None = None,
    *,
    scaled: bool = True,
) -> keras.Model:
    """A model on the same weights that takes clips only; other inputs are held fixed.

    `maximize`, `attribute` and `responses.feature_maps` take `input=` and `inputs=` and call this.
    Elsewhere, pass the model that it returns.

    Inputs without a value in `inputs` are neutral: grey (0.5) for pictures of 1, 3 or 4 channels, 1
    or True for booleans and inputs with "mask" in their name, else 0, as for optical flow.

    Args:
        network: Functional or Sequential model; it is not changed.
        input: Name of the input that takes the clips; None means the only one that does.
        inputs: Values of other inputs by name, as the network takes them: a number, or an array
            without the batch axis.
        scaled: Whether clips in [0, 1] are multiplied by 255 for an input of integers, and for one
            whose first layers scale from 0 to 255, such as `Rescaling(1 / 255)`.

    Returns:
        The network itself if there is nothing to hold or scale; else a model that takes clips
        `(N, T, H, W, C)`, with the outputs and layers of the network.

    Raises:
        ValueError: An unknown name, several inputs that take clips and no name, or a value that
            doesn't fit.

    Example:
        >>> import keras
        >>> from c3dvis import models
        >>> clip = keras.Input((4, 8, 8, 3), name="rgb")
        >>> flow = keras.Input((4, 8, 8, 2), name="flow")
        >>> both = keras.layers.Concatenate()([clip, flow])
        >>> network = keras.Model([clip, flow], keras.layers.Conv3D(2, 3, name="conv")(both))
        >>> models.one_input(network, "rgb", {"flow": 0.1}).input_shape
        (None, 4, 8, 8, 3)
    """
    layers.check(network)
    if inputs is not None and not isinstance(inputs, Mapping):
        raise ValueError(f"Expected inputs={{name: value}}. Received: {type(inputs).__name__}.")
    if input is None and inputs is None and len(network.inputs) == 1:
        if not _changes(network, graph.clip_input(network), scaled):
            return network
    takes_clips = clip_inputs(network)
    if not takes_clips:
        graph.clip_input(network)  # refuses it
    held = {} if inputs is None else {str(name): np.asarray(v) for name, v in inputs.items()}
    named = dict(zip(graph.input_names(network), network.inputs, strict=True))
    clip_name = _clip_input(named, takes_clips, input)
    for name in held:
        if name == clip_name or name not in named:
            others = [other for other in named if other != clip_name]
            raise unknown("the name of an input that is held", name, others)
    if len(named) == 1 and not _changes(network, named[clip_name], scaled):
        return network
    key = (clip_name, scaled, *((name, v.shape, v.tobytes()) for name, v in held.items()))
    return _cached(network, key, lambda: _copy(network, named, clip_name, held, scaled))


def neutral_values(network: keras.Model, input: str) -> dict[str, float]:
    """The neutral values of all inputs but one, by name."""
    named = dict(zip(graph.input_names(network), network.inputs, strict=True))
    others = {name: tensor for name, tensor in named.items() if name != input}
    return {name: _neutral_value(network, name, tensor) for name, tensor in others.items()}


def with_clip_shape(network: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """A model on the same weights with a fixed clip shape, so that all layers have fixed shapes.

    Args:
        network: Keras model whose only input is clips `(N, T, H, W, C)`.
        shape: `(T, H, W, C)`.

    Returns:
        The network itself if its clip shape is fixed.
    """
    own = graph.clip_input(network)
    if None not in own.shape[1:]:
        return network

    def copy() -> keras.Model:
        clip = keras.Input(shape, dtype=own.dtype, name=own.name)
        return _recomputed(network, clip, [clip])

    return _cached(network, shape, copy)


def _cached(network: keras.Model, key: Any, make: Callable[[], keras.Model]) -> keras.Model:
    with _lock:
        copies = _copies.setdefault(network, {})
        copy = copies.pop(key) if key in copies else make()
        copies[key] = copy  # the latest is at the end
        while len(copies) > _MAX_COPIES:
            del copies[next(iter(copies))]
    copy.class_names = getattr(network, "class_names", None)
    return copy


def _recomputed(network: keras.Model, clip, tensors: list) -> keras.Model:
    copy = keras.Model(clip, graph.recomputed(network, tensors), name=network.name)
    copy.output_names = graph.output_names(network)
    return copy


def clip_inputs(network: keras.Model) -> list[str]:
    """Names of the inputs of a network that take clips `(N, T, H, W, C)`."""
    layers.check(network)
    pairs = zip(graph.input_names(network), network.inputs, strict=True)
    return [name for name, tensor in pairs if len(tensor.shape) == 5]


def _clip_input(
    named: Mapping[str, keras.KerasTensor], takes_clips: list[str], input: str | None
) -> str:
    if input is not None:
        if input not in named:
            raise unknown("the name of an input", input, list(named))
        if input not in takes_clips:
            raise ValueError(
                "Expected the name of an input of shape (N, T, H, W, C). "
                f"Received: {input!r}, which takes {named[input].shape}."
            )
        return input
    if len(takes_clips) > 1:
        raise ValueError(
            f"Expected input= one of {', '.join(map(repr, takes_clips))}, or "
            "models.one_input(network, name), as this network takes several clips. Received: none."
        )
    return takes_clips[0]


def _copy(network, named, clip_name: str, held: Mapping[str, NDArray], scaled: bool) -> keras.Model:
    own = named[clip_name]
    dtype = own.dtype if keras.backend.is_float_dtype(own.dtype) else "float32"
    clip = keras.Input(batch_shape=own.shape, dtype=dtype, name=own.name)
    values = clip
    if scaled and takes_bytes(network, own):
        values = keras.layers.Rescaling(_WHITE_BYTE, name=f"{own.name}_whole_numbers")(clip)
    tensors = [
        values if name == clip_name else _held(network, name, tensor, held.get(name))(clip)
        for name, tensor in named.items()
    ]
    return _recomputed(network, clip, tensors)


def _changes(network: keras.Model, clip: keras.KerasTensor, scaled: bool) -> bool:
    """Whether a network takes clips of another type or range."""
    return not keras.backend.is_float_dtype(clip.dtype) or scaled and takes_bytes(network, clip)


def _held(
    network: keras.Model, name: str, tensor: keras.KerasTensor, value: NDArray | None
) -> Held:
    shape = tuple(tensor.shape[1:])
    is_clip = len(shape) == 4 and shape[3] is not None
    if value is not None:
        _check_value(name, shape, value)
    if value is not None and value.ndim:
        return Held(value, value.shape, name=tensor.name, dtype=tensor.dtype)
    if None in shape and not is_clip:
        raise ValueError(
            f"Expected inputs={{{name!r}: array}}, as the size of that input is not fixed. "
            f"Received: {shape}, and {'no value' if value is None else 'a number'}."
        )
    one = _neutral_value(network, name, tensor) if value is None else value
    return Held(one, shape, name=tensor.name, dtype=tensor.dtype)


def _check_value(name: str, shape: tuple[int | None, ...], value: NDArray) -> None:
    fits = len(shape) == value.ndim and all(
        n in (None, m) for n, m in zip(shape, value.shape, strict=True)
    )
    if value.dtype.kind not in "biuf" or not (fits or value.ndim == 0):
        raise ValueError(
            f"Expected a number, or an array of shape {shape} without the batch axis, for the "
            f"input {name!r}. Received: {value.dtype} of shape {value.shape}."
        )
    if not np.isfinite(value).all():
        raise ValueError(f"Expected finite values for the input {name!r}. Received: NaN or Inf.")


def _neutral_value(network: keras.Model, name: str, tensor: keras.KerasTensor) -> float:
    """1 for masks, the grey between black and white for pictures, else 0."""
    if tensor.dtype == "bool" or "mask" in name.lower():
        return 1
    if len(tensor.shape) == 5 and tensor.shape[-1] in _PICTURE_CHANNELS:
        return _GREY_BYTE if takes_bytes(network, tensor) else _GREY
    return 0
