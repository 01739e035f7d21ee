"""A network on the same layers and weights, in which slow operations are computed another way.

The network itself is not touched: `quicker` builds another graph that calls its layers.
"""

from __future__ import annotations

import keras

from c3dvis.pooling import max_pool

# Of a pool's window along an axis; with more slices than this, one operation is quicker.
_LONGEST_WINDOW = 4


def quicker(network: keras.Model) -> keras.Model:
    """A functional model that computes the same, and its gradient, in less time.

    Args:
        network: Functional model that has been built, perhaps with models inside.

    Returns:
        A model of the same inputs and outputs that calls the same layers, but for 3-D max pools,
        in whose places, under their names, are layers that compute what `c3dvis.pooling` says.

    Example:
        >>> import keras
        >>> clip = keras.Input((4, 8, 8, 3))
        >>> network = keras.Model(clip, keras.layers.MaxPooling3D(2, name="pool")(clip))
        >>> quicker(network)(keras.ops.ones((1, 4, 8, 8, 3))).shape
        TensorShape([1, 2, 4, 4, 3])
    """
    return keras.models.clone_model(network, clone_function=_itself, call_function=_called)


def is_quick_pool(layer) -> bool:
    """Whether a layer is a 3-D max pool that is quicker axis by axis."""
    if type(layer) is not keras.layers.MaxPooling3D or layer.data_format != "channels_last":
        return False
    return max(layer.pool_size) <= _LONGEST_WINDOW


class Pooled(keras.layers.Layer):
    """A 3-D max pool of a network, computed axis by axis."""

    def __init__(self, layer: keras.layers.MaxPooling3D, **kwargs):
        super().__init__(dtype=layer.dtype_policy, **kwargs)
        self.layer = layer

    def call(self, x):
        if "call" in vars(self.layer):  # somebody reads or changes what the layer gives
            return self.layer(x)
        return max_pool(x, self.layer.pool_size, self.layer.strides, self.layer.padding)


def _itself(layer):
    return layer


def _called(layer, *arguments, **options):
    if isinstance(layer, keras.Sequential):
        layer = keras.Model(layer.inputs, layer.outputs, name=layer.name)
    if isinstance(layer, keras.Model) and hasattr(layer, "operations"):
        return quicker(layer)(*arguments, **options)
    if is_quick_pool(layer) and None not in arguments[0].shape[1:4]:
        return Pooled(layer, name=layer.name)(arguments[0])
    return layer(*arguments, **options)
