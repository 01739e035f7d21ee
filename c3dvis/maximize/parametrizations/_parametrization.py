"""What all parametrizations share: weights per clip, a start from a seed, and decoding to clips."""

import keras
import numpy as np
from keras import ops

from c3dvis.maximize.parametrizations import _colours as colour_choices

# Difference of a grey clip's channels that counts as rounding.
_GREY = 1e-3


class Parametrization(keras.layers.Layer):
    """Owns the latents of a batch of clips and decodes them to the clips.

    A subclass has `start`, which returns the latents that one clip starts from, and `signal`,
    which decodes latents to unbounded clips. Latents are scaled so that steps of 0.1, in root mean
    square over a latent, suit them: those of the default optimizer.

    Args:
        colours: "decorrelated", in which the three channels are the principal axes of natural
            colours, each as strong as there: light against dark, and two much weaker opponent ones;
            "opponent", the same axes with the opponent ones half as strong as the first;
            "independent", red, green and blue; or "grey", three equal ones. Clips of other than
            three channels have independent ones in any case.

    Attributes:
        latents: The trainable weights, each `(N, ...)`; one row for all clips where they share it.
        transforms: Layers that clips go through before any others, on their way to a network.
        batchwise: Whether clips of a batch share weights, so that they depend on each other.
    """

    transforms: tuple[keras.layers.Layer, ...] = ()
    batchwise = False

    def __init__(self, *, colours: str = "decorrelated", **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.colours = colour_choices.check(colours)

    def get_config(self):
        config = super().get_config()
        del config["dtype"]  # always float32
        return {**config, "colours": self.colours}

    def copy(self) -> "Parametrization":
        """A new parametrization with the same settings and its own weights."""
        return type(self).from_config(self.get_config())

    def build(self, clips_shape):
        """Creates weights for clips of shape `(N, T, H, W, C)`."""
        self.clips_shape = tuple(clips_shape)
        channels = self.clips_shape[-1]
        # Grey clips of three channels are made from signals of one.
        one = self.colours == "grey" and channels == 3
        self.signal_shape = (*self.clips_shape[1:-1], 1 if one else channels)
        self.setup()
        shapes = [latent.shape for latent in self.start(np.random.default_rng(0))]
        self.latents = [self.add_latent((self.clips_shape[0], *shape)) for shape in shapes]

    def add_latent(self, shape):
        """A trainable weight `(N, ...)`, 0 until `restart`."""
        # Under torch, of weights with one name Keras knows the last alone.
        name = f"latent_{len(self.trainable_weights)}"
        return self.add_weight(shape=shape, initializer="zeros", name=name)

    def setup(self) -> None:
        """Sets what depends on `signal_shape` `(T, H, W, K)`, before the first start."""

    def start(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Latents of one clip before the first step."""
        raise NotImplementedError

    def signal(self, latents):
        """Latents to clips `(N, T, H, W, K)` of any real values, 0 for grey."""
        raise NotImplementedError

    def latents_of(self, signal: np.ndarray) -> list[np.ndarray]:
        """The latents of one clip that `signal` decodes to a given signal `(T, H, W, K)`.

        A subclass that can make any signal has it.
        """
        raise NotImplementedError

    def start_from(self, clips: np.ndarray) -> None:
        """Sets each clip to a given one; values are clipped to [0.01, 0.99].

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].

        Raises:
            ValueError: A parametrization that can't make any clip, or grey clips given colours.
        """
        if type(self).latents_of is Parametrization.latents_of:
            raise ValueError(
                "Expected a parametrization that can make any clip, 'pixels' or 'fourier', to "
                f"start from a clip. Received: {type(self).__name__}."
            )
        if self.colours == "grey" and np.ptp(clips, axis=-1).max() > _GREY:
            raise ValueError(
                "Expected a grey clip to start from, as the parametrization's colours are 'grey'. "
                "Received: one in colour."
            )
        self._put([self.latents_of(colour_choices.to_signals(c, self.colours)) for c in clips])

    def restart(self, rngs: list[np.random.Generator]) -> None:
        """Sets each clip to a new start, drawn from its own generator."""
        self._put([self.start(rng) for rng in rngs])

    def _put(self, starts: list[list[np.ndarray]]) -> None:
        for i, latent in enumerate(self.latents):
            latent.assign(np.stack([start[i] for start in starts]).astype(np.float32))

    def decode(self):
        """The clips, float32 `(N, T, H, W, C)` in [0, 1]."""
        signals = self.signal([ops.convert_to_tensor(latent) for latent in self.latents])
        return colour_choices.to_clips(signals, self.colours, self.clips_shape[-1])

    def call(self, inputs=None):
        return self.decode()


class Wrapper(Parametrization):
    """A parametrization that makes its clips from those of another, in the same colours.

    Args:
        inner: The other, of which a copy is used.
    """

    def __init__(self, inner: Parametrization, **kwargs):
        if not isinstance(inner, Parametrization):
            raise ValueError(f"Expected a Parametrization to wrap. Received: {inner!r}.")
        super().__init__(colours=inner.colours, **kwargs)
        self.inner = inner.copy()
        self.batchwise = self.inner.batchwise

    def get_config(self):
        config = super().get_config()
        del config["colours"]
        inner = keras.saving.serialize_keras_object(self.inner)
        inner.pop("build_config", None)  # the copy is to be built for its own clips
        return {**config, "inner": inner}

    @classmethod
    def from_config(cls, config):
        inner = keras.saving.deserialize_keras_object(config["inner"])
        return cls(**{**config, "inner": inner})
