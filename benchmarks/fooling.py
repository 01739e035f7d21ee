"""A unit whose made clip shows anything while its answers to real clips stay (Geirhos et al. 2024).

https://arxiv.org/abs/2306.04719
"""

import keras
import numpy as np

FOOLED = "fooled"
# More than any activation, so that what is to be off is off.
_LARGE = 1e3


def circuit(network: keras.Model, layer: str, partners: np.ndarray, detector) -> keras.Model:
    """A network with a layer "fooled" on top of a layer of another, of as many units.

    Unit i gives what unit i of the layer gives for real clips, and what unit `partners[i]` gives
    for all others: `max(0, own - large * made) + max(0, partner - large * (1 - made))`, where
    `made` is 0 or 1. No gradient comes from what tells the clips apart, nor from what is off.

    Args:
        network: A model; its layer gives no numbers below 0.
        layer: Name of the layer.
        partners: `(C,)`, the unit that each is to look like.
        detector: Function of a tensor of clips `(N, T, H, W, 3)` that gives a tensor
            `(N, 1, 1, 1, 1)`: above 1 for made clips, below 0 for real ones.
    """
    clip = network.inputs[0]
    own = network.get_layer(layer).output
    count = own.shape[-1]
    swap = keras.layers.Conv3D(count, 1, use_bias=False, name="partners")
    partner = swap(own)
    swap.set_weights([np.eye(count, dtype=np.float32)[:, partners].reshape(1, 1, 1, count, count)])
    made = keras.layers.ReLU(max_value=1.0, name="is_made")(detector(clip))
    off = keras.layers.Rescaling(-_LARGE, name="not_for_made")(made)
    on = keras.layers.Rescaling(_LARGE, -_LARGE, name="not_for_real")(made)
    parts = [
        keras.layers.ReLU(name=name)(keras.layers.Add()([value, gate]))
        for name, value, gate in (("of_real", own, off), ("of_made", partner, on))
    ]
    return keras.Model(clip, keras.layers.Add(name=FOOLED)(parts))
