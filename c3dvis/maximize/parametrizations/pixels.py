"""One weight per pixel: the simplest parametrization, and the one with the most fine noise."""

import keras

from c3dvis.checks import positive
from c3dvis.maximize.parametrizations._parametrization import Parametrization

# How far a weight of 1 moves the signal: steps are spread over all pixels, where those of `Fourier`
# go to a few waves, and 1 would be too slow.
_REACH = 3.0


@keras.saving.register_keras_serializable(package="c3dvis")
class Pixels(Parametrization):
    """One weight per pixel and channel.

    Args:
        deviation: Initial standard deviation of the weights. With much less than the default, many
            units of trained networks are inactive for the whole clip.
        **kwargs: Arguments of `Parametrization`: colours, name.

    Example:
        >>> layer = Pixels(deviation=0.05)
        >>> layer.build((2, 8, 16, 16, 3))  # as `maximize(..., parametrization=layer)` does
        >>> tuple(layer.decode().shape)
        (2, 8, 16, 16, 3)
    """

    def __init__(self, *, deviation: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        self.deviation = positive(deviation, "deviation")

    def get_config(self):
        return {**super().get_config(), "deviation": self.deviation}

    def start(self, rng):
        return [self.deviation * rng.standard_normal(self.signal_shape)]

    def signal(self, latents):
        return _REACH * latents[0]

    def latents_of(self, signal):
        return [signal / _REACH]
