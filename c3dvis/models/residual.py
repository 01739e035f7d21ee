"""What the residual video networks share: their input, convolutions, normalization and blocks.

They compute what their PyTorch originals compute: padding is the same on both sides, where
"same" with a stride is not, and batch normalization has PyTorch's constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import keras
from keras import layers

from c3dvis.models.builder_parts import Preprocessing

# PyTorch's defaults; its momentum of 0.1 is that of the new value, Keras's that of the old one.
_EPSILON = 1e-5
_MOMENTUM = 0.9

Size = tuple[int, int, int]


@keras.saving.register_keras_serializable(package="c3dvis")
class Standardize(Preprocessing):
    """RGB in [0, 1] to what the network was trained on: minus the means, by the deviations.

    Args:
        means: Means of red, green and blue, in [0, 1].
        deviations: Standard deviations of red, green and blue.
    """

    def __init__(self, means: Sequence[float], deviations: Sequence[float], **kwargs):
        super().__init__(**kwargs)
        self.means = tuple(float(mean) for mean in means)
        self.deviations = tuple(float(deviation) for deviation in deviations)

    def call(self, clips):
        means = keras.ops.convert_to_tensor(self.means, dtype=clips.dtype)
        return (clips - means) / keras.ops.convert_to_tensor(self.deviations, dtype=clips.dtype)

    def get_config(self):
        own = {"means": list(self.means), "deviations": list(self.deviations)}
        return {**super().get_config(), **own}


def convolution(x, name: str, channels: int, kernel: Size, strides: Size = (1, 1, 1)):
    """A convolution without bias, padded with half its kernel on both sides."""
    padding = "same"  # at stride 1, and for odd kernels, that is half the kernel on both sides
    if strides != (1, 1, 1):
        x, padding = padded(x, name, kernel), "valid"
    return layers.Conv3D(
        channels,
        kernel,
        strides,
        padding,
        data_format="channels_last",
        use_bias=False,
        # He et al. 2015, by the outgoing connections, as the originals are initialised.
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=name,
    )(x)


def padded(x, name: str, kernel: Size):
    """Zeros on both sides, half a kernel wide, as the layer `NAME.pad`; nothing for 1x1x1."""
    half = tuple(length // 2 for length in kernel)
    return layers.ZeroPadding3D(half, "channels_last", name=f"{name}.pad")(x) if any(half) else x


def normalized(x, name: str):
    """Batch normalization over the channels."""
    return layers.BatchNormalization(momentum=_MOMENTUM, epsilon=_EPSILON, name=name)(x)


def stages(x, of_stages: Iterable[tuple], block: Callable):
    """The stages `layer1`, `layer2`, ... of blocks `layer1.0`, `layer1.1`, ...

    Args:
        x: What the first stage reads.
        of_stages: For each stage, its number of blocks and what else `block` is given.
        block: Function of x, a block's name, of that, and of its stride: 2 at the beginning of
            each stage but the first.
    """
    for stage, (blocks, *of_stage) in enumerate(of_stages, 1):
        for number in range(blocks):
            stride = 2 if stage > 1 and number == 0 else 1
            x = block(x, f"layer{stage}.{number}", *of_stage, stride)
        # The last block's output under the stage's own name.
        x = layers.Identity(name=f"layer{stage}")(x)
    return x


def added(x, shortcut, name: str, strides: Size):
    """The end of a block: the sum with its input, and a ReLU, which has the block's name.

    Where the block changes the size or the channels, its input goes through a convolution first.
    """
    if strides != (1, 1, 1) or shortcut.shape[-1] != x.shape[-1]:
        shortcut = convolution(shortcut, f"{name}.downsample.0", x.shape[-1], (1, 1, 1), strides)
        shortcut = normalized(shortcut, f"{name}.downsample.1")
    return layers.ReLU(name=name)(layers.Add(name=f"{name}.add")([x, shortcut]))
