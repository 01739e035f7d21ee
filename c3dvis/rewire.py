"""Computes a network on its own weights, with some layers computed another way.

The network's layers are never changed, nor called on symbolic tensors, which Keras would record on
them: so several threads can use one network at the same time. A layer that must differ, in its
activation, padding or algorithm, is replaced by a `variant`: another object of its class with the
same weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from c3dvis import convolution, folding, graph, sums
from c3dvis.pooling import max_pool
from c3dvis.variants import variant

# TensorFlow accepts only these names in a compiled function.
_NAME_OF_A_SCOPE = re.compile(r"[A-Za-z0-9_.\\/>-]*")
_NOT_IN_A_SCOPE = re.compile(r"[^A-Za-z0-9_.\\/>-]")
# Maximum window of a pool computed by slices; for longer ones a single operation is faster.
_LONGEST_WINDOW = 4


class Shadow(keras.Model):
    """A network computed layer by layer, each by a given function.

    By default that is `quick_call`: the same outputs and gradients in less time.

    Args:
        network: Functional or Sequential model that has been built, perhaps with models inside.

    Example:
        >>> clip = keras.Input((4, 8, 8, 3))
        >>> network = keras.Model(clip, keras.layers.MaxPooling3D(2, name="pool")(clip))
        >>> shadow = Shadow(network)
        >>> shadow(keras.ops.ones((1, 4, 8, 8, 3)), training=False).shape
        TensorShape([1, 2, 4, 4, 3])
    """

    def __init__(self, network: keras.Model):
        super().__init__(name="shadow", dtype="float32", autocast=False)
        self.network = network
        self._graph = graph.flattened(network)
        self.reached = graph.reached(self._graph)
        without = [s for s in self._graph.steps if isinstance(s.layer, WithoutActivation)]
        self._without_activation = {key for step in without for key in step.outputs}
        self.built = True

    def output_shapes(self) -> list[tuple[int | None, ...]]:
        """Shapes of all tensors that the layers make of one clip, without the batch axis.

        Frames that are folded into the batch are the first axis.
        """
        rows = folding.rows(self._graph, self.network.inputs)
        shapes = []
        for step in self._graph.steps:
            for key, shape in zip(step.outputs, step.shapes, strict=True):
                own = tuple(shape[1:])  # empty too for a number that is computed from weights
                shapes.append(own if rows[key] == 1 else (rows[key], *own))
        return shapes

    @property
    def output_keys(self) -> list[int]:
        """Keys of the tensors that `call` returns."""
        return list(self._graph.outputs)

    def keys(self, place: graph.Place) -> list[int]:
        """Keys of a call's outputs that depend on the network's input.

        Args:
            place: Place of the call, in the network or in a network that contains it.
        """
        return [key for key in self._output_keys_of(place) if key not in self._without_activation]

    def keys_without_activation(self, place: graph.Place) -> list[int]:
        """Keys of a call's outputs computed without the layer's activation."""
        return [key for key in self._output_keys_of(place) if key in self._without_activation]

    def _output_keys_of(self, place: graph.Place) -> list[int]:
        outputs = [key for keys in self._graph.outputs_by_place.get(place, []) for key in keys]
        return [key for key in outputs if key in self.reached]

    def call(
        self,
        inputs,
        call: Callable | None = None,
        changes: Mapping[int, Callable] | None = None,
        training=None,
    ):
        """The network's outputs: a tensor, or a list of them where it has several outputs.

        Args:
            inputs: Inputs of the network.
            call: `call(layer, *arguments, **options)` computes a layer; `quick_call` if
                None.
            changes: By key, a function that replaces an output of a layer.
            training: As in Keras.
        """
        call = quick_call if call is None else call
        changes = {} if changes is None else changes
        given = zip(keras.tree.flatten(inputs), self.network.inputs, strict=True)
        values = {
            key: ops.convert_to_tensor(value, dtype=own.dtype)
            for key, (value, own) in zip(self._graph.inputs, given, strict=True)
        }
        for step in self._graph.steps:
            arguments, options = step.arguments(values)
            if training is not None and "training" in options:
                options["training"] = training  # as Keras does; the other layers inherit it
            results = keras.tree.flatten(call(step.layer, *arguments, **options))
            for key, value in zip(step.outputs, results, strict=True):
                values[key] = changes[key](value) if key in changes else value
        outputs = [values[key] for key in self._graph.outputs]
        return outputs if len(outputs) > 1 else outputs[0]


def quick_call(layer, *arguments, relu: Callable | None = None, padding=None, **options):
    """Calls a layer of a network, computed another way where that is quicker or Keras is wrong.

    Quicker are 3-D max pools, see `c3dvis.pooling`, and 3-D convolutions, whose gradient is for
    what they read alone, see `c3dvis.convolution`; of sums see `c3dvis.sums`. The state that a
    stateful recurrent layer keeps from earlier clips is neither read nor changed: each clip starts
    from the initial state.

    Args:
        layer: A layer, or an operation of `keras.ops`.
        *arguments: Arguments of the call.
        relu: Function of a tensor, computed in the place of each plain ReLU: a layer, a layer's
            own activation, or a function such as `keras.ops.relu`. Those that a layer calls in
            its own code can't be replaced.
        padding: Replaces the layer's own, if not None.
        **options: Named arguments of the call.
    """
    return _rewired(layer, relu, padding)(*arguments, **options)


def leaking_relu(leak) -> Callable:
    """A ReLU that lets gradients pass where it is inactive, for some clips.

    Values stay the same: `relu(x)`. Only the gradient where `x < 0` is `leak` in place of 0, so
    that a unit that no part of a clip activates can still be found (as in the first steps of
    lucid).

    Args:
        leak: `(N,)`, one number per clip.
    """

    def relu(x):
        if x.shape[0] is None or x.shape[0] % leak.shape[0]:
            return ops.relu(x)  # the rows are not the clips, or their frames one after the other
        repeats = x.shape[0] // leak.shape[0]
        own = ops.reshape(ops.repeat(leak, repeats), (-1, *[1] * (len(x.shape) - 1)))

        def leaky():
            off = ops.minimum(x, 0)
            return ops.relu(x) + ops.cast(own, x.dtype) * (off - ops.stop_gradient(off))

        return ops.cond(ops.any(own > 0), leaky, lambda: ops.relu(x))

    return relu


def relu_count(network: keras.Model) -> int:
    """How many layers and functions of a network have a plain ReLU that can be replaced."""
    called = {id(step.layer): step.layer for step in graph.flattened(network).steps}
    return sum(_has_relu(layer) for layer in called.values())


class WithoutActivation(keras.layers.Layer):
    """A layer of a network without its activation, on the same weights."""

    def __init__(self, layer: keras.layers.Layer, **kwargs):
        policy = layer.dtype_policy
        # The layer inside computes with quantized weights; this one has none of its own.
        policy = policy if layer.quantization_mode is None else policy.compute_dtype
        super().__init__(dtype=policy, trainable=layer.trainable, **kwargs)
        self.layer = layer

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)

    @property
    def windowed(self) -> keras.layers.Layer:
        """The layer that determines the receptive field: see receptive_field."""
        return self.layer

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def call(self, inputs):
        linear = variant(self.layer, activation=keras.activations.linear)
        quantized = linear.quantization_mode is not None
        return linear.quantized_call(inputs) if quantized else linear.call(inputs)


def _rewired(layer, relu: Callable | None, padding: str | None):
    """The layer, or a variant of it that computes another way."""
    changes = _wider(layer)
    if isinstance(layer, keras.layers.Layer) and not _NAME_OF_A_SCOPE.fullmatch(layer.name):
        changes["name"] = _NOT_IN_A_SCOPE.sub("_", layer.name)
    if isinstance(layer, (keras.layers.Wrapper, WithoutActivation)):
        inner = _rewired(layer.layer, relu, padding)
        changes |= {} if inner is layer.layer else {"layer": inner}
        return variant(layer, **changes) if changes else layer
    changes |= {} if padding is None else {"padding": padding}
    if isinstance(layer, keras.layers.RNN) and layer.stateful:
        changes["stateful"] = False
    if relu is not None and _has_relu(layer):
        changes["call" if _is_relu(layer) else "activation"] = relu
    if _is_quick_pool(layer):
        changes["call"] = _pooled(layer, padding or layer.padding)
    elif _is_quick_convolution(layer):
        changes["convolution_op"] = _convolved(layer, padding or layer.padding)
    elif sums.is_sum(layer):
        changes["call"] = sums.summed(layer)
    return variant(layer, **changes) if changes else layer


def _wider(layer) -> dict[str, Any]:
    """Attributes of a layer that computes in float32 where it would in float16.

    Training scales its loss up, as gradients of single positions underflow in float16. Here there
    is no such scale. (Layers in lists of a custom layer stay as they are.)
    """
    is_layer = isinstance(layer, keras.layers.Layer)
    if not is_layer or (layer.compute_dtype, layer.variable_dtype) != ("float16", "float32"):
        return {}

    changes: dict[str, Any] = {"_dtype_policy": keras.DTypePolicy("float32")}
    for name, value in vars(layer).items():
        inside = _wider(value)
        if inside:
            changes[name] = variant(value, **inside)
    return changes


def _has_relu(layer) -> bool:
    if isinstance(layer, WithoutActivation):
        return False
    if isinstance(layer, keras.layers.Wrapper):
        return _has_relu(layer.layer)
    if _is_relu(layer):
        return True
    is_layer = isinstance(layer, keras.layers.Layer)
    return is_layer and vars(layer).get("activation") is keras.activations.relu


def _is_relu(layer) -> bool:
    """Whether it is a plain ReLU and nothing else, as a layer or as a function."""
    # As a function it is called Relu in keras.ops and ReLU in keras.activations.
    is_function = not isinstance(layer, keras.layers.Layer) and (
        type(layer).__name__ in ("Relu", "ReLU")
    )
    if not is_function and not isinstance(layer, keras.layers.ReLU):
        return False
    has = vars(layer)  # keras.ops.relu has none of these
    bent = has.get("negative_slope") or has.get("threshold")
    return has.get("max_value") is None and not bent


def _is_quick_pool(layer) -> bool:
    """Whether a layer is a 3-D max pool that is quicker axis by axis."""
    if type(layer) is not keras.layers.MaxPooling3D or layer.data_format != "channels_last":
        return False
    return max(layer.pool_size) <= _LONGEST_WINDOW


def _pooled(layer: keras.layers.MaxPooling3D, padding: str) -> Callable:
    def pooled(x):
        if None in x.shape[1:4]:
            return ops.max_pool(x, layer.pool_size, layer.strides, padding, layer.data_format)
        return max_pool(x, layer.pool_size, layer.strides, padding)

    return pooled


def _is_quick_convolution(layer) -> bool:
    """Whether a layer is a 3-D convolution that `c3dvis.convolution` can compute."""
    if type(layer) is not keras.layers.Conv3D or layer.groups != 1 or not layer.built:
        return False
    return layer.quantization_mode is None


def _convolved(layer: keras.layers.Conv3D, padding: str) -> Callable:
    def convolved(x, kernel):
        kernel = ops.stop_gradient(kernel)  # a tensor: a function's own gradient reads no variables
        return convolution.conv(x, kernel, layer.strides, padding, layer.dilation_rate)

    return convolved
