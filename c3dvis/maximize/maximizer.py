"""Clips that excite a unit, found by `fit`: a Keras model whose only weights are the clips'."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from c3dvis.maximize import parametrizations, transforms
from c3dvis.models import layers
from c3dvis.objectives import Objective

_STREAM_START, _STREAM_TRANSFORMS = 1, 2
# Times the learning rate: the share of a weight that is lost in a step. What the network does not
# hold on to fades to grey.
_WEIGHT_DECAY = 0.1
# Of the squared gradients' moving mean: short, as gradients grow manifold in the first steps.
_BETA_2 = 0.99
# Share of the gradient that passes a ReLU that is off, while a unit has no gradient.
_LEAK = 0.1


@dataclass(frozen=True)
class Made:
    """One clip made for one unit.

    Attributes:
        clip: float32 `(T, H, W, C)` in [0, 1].
        score: What the objective gives this clip, without transforms.
        status: "ok"; "no gradient" where nothing changed the score; "failed" where the score
            became NaN or infinite, and the clip is the last one before.
        failed_step: Step from 0 at which it failed, else None.
    """

    clip: np.ndarray
    score: float
    status: str
    failed_step: int | None = None


class Maximizer(keras.Model):
    """Makes clips that raise an objective; one compiled step serves all its units.

    The network is cut at the deepest layer that the objective reads, and frozen. `make` is the
    short way in; `restart`, `fit` on `steps_of` and `decode` are its parts, for those who want
    their own callbacks and loops.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: What to raise. Other units of the same kind can be given to `make`.
        parametrization: "fourier", "pixels", or a `Parametrization`.
        transforms: Layers of `c3dvis.maximize.transforms`; None is `transforms.default`.
        regularizers: Functions of clips `(N, T, H, W, C)` that give penalties `(N,)`.
        frames: Frames of the clip; None is what the network takes.
        size: `(height, width)` in pixels; None is what the network takes.
        preprocess: Function of clips in [0, 1] that gives what the network takes.
        batch_size: Most clips made at once; the objective's units are shared out evenly.
        optimizer: A Keras optimizer, of which a copy is used, or its name; None is AdamW.
        learning_rate: Of the default optimizer.

    Raises:
        ValueError: An objective that the network can't answer, or a size it can't take.
    """

    def __init__(
        self,
        network: keras.Model,
        objective: Objective,
        *,
        parametrization: str | parametrizations.Parametrization = "fourier",
        transforms: Sequence[keras.layers.Layer] | None = None,
        regularizers: Sequence[Callable] = (),
        frames: int | None = None,
        size: tuple[int, int] | None = None,
        preprocess: Callable | None = None,
        batch_size: int = 4,
        optimizer: keras.optimizers.Optimizer | str | None = None,
        learning_rate: float = 0.1,
    ):
        super().__init__(name="maximizer", dtype="float32")
        if batch_size < 1:
            raise ValueError(f"Expected a batch size of 1 or more. Received: {batch_size}.")
        self.objective = objective
        self.class_names = getattr(network, "class_names", None)
        shape = clip_shape(network, frames=frames, size=size)
        self.tap = layers.tap(network, objective.layers)
        # A matrix product of one row rounds differently from one of many rows.
        flat = any(len(output.shape) == 2 for output in self.tap.outputs)
        self.batch_size = max(_even_share(len(objective), batch_size), 2 if flat else 1)
        self.preprocess = preprocess
        self.regularizers = tuple(regularizers)
        self.transforms = _transforms(transforms, shape)
        self.parametrization = parametrizations.build(parametrization)
        self.parametrization.build((self.batch_size, *shape))
        self.last_finite = [
            self.add_weight(shape=part.shape, initializer="zeros", trainable=False)
            for part in self.parametrization.parts
        ]
        self.steps_finite, self.lowest, self.highest = (
            self.add_weight(shape=(self.batch_size,), trainable=False, name=name)
            for name in ("steps_finite", "lowest", "highest")
        )
        self.traces = 0
        self.compile(
            optimizer=_optimizer(optimizer, learning_rate),
            jit_compile=bool(keras.distribution.list_devices("gpu")),
        )
        # Built now, as a graph that makes variables is traced twice.
        self.optimizer.build(self.trainable_variables)
        self._fresh_optimizer = [ops.convert_to_numpy(v) for v in self.optimizer.variables]
        self.built = True

    # The network's own `trainable` flags stay as their owner set them.
    @property
    def trainable_variables(self):
        return self.parametrization.trainable_variables

    @property
    def non_trainable_variables(self):
        own = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in own]

    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables

    def call(self, inputs, training=None):
        """Scores of the clips as they are now, `(N,)`, under one draw of the transforms."""
        columns, draws = inputs
        clips = self.parametrization.decode()
        seen = transforms.apply(self.transforms, clips, draws)
        penalties = sum((penalty(clips) for penalty in self.regularizers), 0.0)
        if not training:
            return self._score(seen, columns) - penalties
        self.traces += 1
        # A unit that is off wherever one looks has no gradient: two equal scores give it away.
        still = ops.logical_and(self.steps_finite > 1, self.highest <= self.lowest)
        leak = ops.where(still, _LEAK, 0.0)
        with layers.redirected(self.tap, leak):
            scores = self._score(seen, columns)
        self._keep_account(scores)
        return scores - penalties

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # A sum, not a mean: no clip's gradient depends on how many are made beside it.
        return -ops.sum(y_pred)

    def restart(self, objective: Objective, *, seed: int = 0) -> np.ndarray:
        """Starts clips for up to `batch_size` units; returns their columns.

        Args:
            objective: Of the kind given to the constructor.
            seed: The start and the transforms of a unit depend on it and on the unit alone.
        """
        if objective.template != self.objective.template:
            raise ValueError("Expected an objective of the kind this Maximizer was made for.")
        columns = self._columns(objective)
        if len(columns) > self.batch_size:
            raise ValueError(f"Expected at most {self.batch_size} units. Received: {len(columns)}.")
        columns = columns[np.arange(self.batch_size) % len(columns)]
        self.parametrization.restart(
            [np.random.default_rng(key) for key in self._keys(columns, seed, _STREAM_START)]
        )
        for kept, part in zip(self.last_finite, self.parametrization.parts, strict=True):
            kept.assign(part)
        self.steps_finite.assign(np.zeros(self.batch_size))
        self.lowest.assign(np.full(self.batch_size, np.inf))
        self.highest.assign(np.full(self.batch_size, -np.inf))
        for variable, start in zip(self.optimizer.variables, self._fresh_optimizer, strict=True):
            variable.assign(start)
        return columns

    def steps_of(self, columns: np.ndarray, steps: int, *, seed: int = 0):
        """What `fit` feeds: `(columns, draws)` with one row a clip and step."""
        count = sum(t.draws for t in self.transforms)
        keys = self._keys(columns, seed, _STREAM_TRANSFORMS)
        draws = [np.random.default_rng(key).random((steps, count), np.float32) for key in keys]
        rows = np.stack(draws, axis=1).reshape(steps * len(columns), count)
        return np.tile(columns, (steps, 1)), rows

    def make(
        self,
        objective: Objective | None = None,
        *,
        steps: int = 128,
        seed: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int = 0,
    ) -> Iterator[Made]:
        """Makes a clip for every unit, `batch_size` at a time.

        Args:
            objective: Units to make clips for; None is all those of the constructor.
            steps: Steps of the optimizer.
            seed: The same seed makes the same clip, whatever else is made beside it.
            callbacks: Keras callbacks of `fit`.
            verbose: As in `fit`.

        Yields:
            One `Made` a unit, in order.
        """
        objective = self.objective if objective is None else objective
        if steps < 1:
            raise ValueError(f"Expected 1 step or more. Received: {steps}.")
        if seed < 0:
            raise ValueError(f"Expected a seed of 0 or more. Received: {seed}.")
        self._columns(objective)
        for first in range(0, len(objective), self.batch_size):
            part = objective[first : first + self.batch_size]
            columns = self.restart(part, seed=seed)
            rows = self.steps_of(columns, steps, seed=seed)
            self.fit(
                rows,
                batch_size=self.batch_size,
                shuffle=False,
                callbacks=list(callbacks),
                verbose=verbose,
            )
            yield from self._results(len(part), columns, steps)

    def _results(self, count: int, columns: np.ndarray, steps: int) -> Iterator[Made]:
        finite = ops.convert_to_numpy(self.steps_finite).astype(int)
        lowest = ops.convert_to_numpy(self.lowest)
        clips = ops.convert_to_numpy(self.parametrization.decode())
        # The last step can break a clip that no later score has seen.
        failed = (finite < steps) | ~np.isfinite(clips).all(axis=(1, 2, 3, 4))
        if failed.any():
            self._put_back(failed)
            clips = ops.convert_to_numpy(self.parametrization.decode())
        scores = ops.convert_to_numpy(self._score(ops.convert_to_tensor(clips), columns))
        moved = (ops.convert_to_numpy(self.highest) > lowest) | (scores != lowest)
        for i in range(count):
            status = "failed" if failed[i] else "ok" if moved[i] else "no gradient"
            yield Made(clips[i], float(scores[i]), status, int(finite[i]) if failed[i] else None)

    def _put_back(self, failed: np.ndarray) -> None:
        """Gives clips that failed the last weights that had a finite score."""
        for kept, part in zip(self.last_finite, self.parametrization.parts, strict=True):
            mask = failed.reshape(-1, *[1] * (len(part.shape) - 1))
            part.assign(ops.where(mask, kept, part))

    def _score(self, clips, columns):
        inputs = clips if self.preprocess is None else self.preprocess(clips)
        activations = self.tap(inputs, training=False)
        activations = activations if isinstance(activations, list) else [activations]
        read = dict(zip(self.objective.layers, activations, strict=True))
        return self.objective.score(read, columns)

    def _keep_account(self, scores) -> None:
        """Notes per clip how long it stayed finite, its last finite weights, and its range."""
        step_finite = ops.isfinite(scores)
        for kept, part in zip(self.last_finite, self.parametrization.parts, strict=True):
            mask = ops.reshape(step_finite, (-1, *[1] * (len(part.shape) - 1)))
            kept.assign(ops.where(mask, part, kept))
        self.steps_finite.assign_add(ops.cast(step_finite, "float32"))
        self.lowest.assign(ops.minimum(self.lowest, scores))
        self.highest.assign(ops.maximum(self.highest, scores))

    def _columns(self, objective: Objective) -> np.ndarray:
        shapes = {
            name: tuple(output.shape[1:])
            for name, output in zip(objective.layers, self.tap.outputs, strict=True)
        }
        return objective.columns(shapes, self.class_names)

    def _keys(self, columns: np.ndarray, seed: int, stream: int) -> list[list[int]]:
        """A seed a clip, from the run's seed, the layers and what the clip reads of them."""
        names = zlib.crc32("\0".join(self.objective.layers).encode())
        return [[seed, stream, names, *(int(c) for c in row)] for row in columns]


def maximize(
    network: keras.Model,
    objective: Objective,
    *,
    steps: int = 128,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
    **options,
) -> np.ndarray:
    """Clips that excite units of a network.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: What to raise; one clip is made for each of its units.
        steps: Steps of the optimizer.
        seed: The same seed makes the same clips.
        callbacks: Keras callbacks of `fit`.
        verbose: As in `fit`.
        **options: Those of `Maximizer`: parametrization, transforms, regularizers, size, ...

    Returns:
        float32 `(len(objective), T, H, W, C)` in [0, 1].

    Raises:
        ValueError: An unknown layer, channel, class or option.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.maximize import maximize
        >>> network = models.build("c3d-motion")
        >>> maximize(network, objectives.channel("conv1", range(2)), steps=4).shape
        (2, 16, 64, 64, 3)
    """
    maximizer = Maximizer(network, objective, **options)
    made = maximizer.make(steps=steps, seed=seed, callbacks=callbacks, verbose=verbose)
    return np.stack([one.clip for one in made])


def clip_shape(
    network: keras.Model, *, frames: int | None = None, size: tuple[int, int] | None = None
) -> tuple[int, int, int, int]:
    """Shape `(T, H, W, C)` of the clips a network takes, filled in where it takes any.

    Raises:
        ValueError: A network whose input isn't one clip, or a size it doesn't take.
    """
    layers.check(network)
    if len(network.inputs) != 1 or len(network.inputs[0].shape) != 5:
        shapes = [tuple(i.shape) for i in network.inputs]
        raise ValueError(
            f"Expected a network with one input of shape (N, T, H, W, C). Received: {shapes}."
        )
    own = network.inputs[0].shape[1:]
    asked = (frames, *(size or (None, None)), None)
    shape = []
    for axis, has, wants in zip(("frames", "height", "width", "channels"), own, asked, strict=True):
        if has is None and wants is None:
            raise ValueError(f"Expected {axis} to be given, as this network takes any.")
        if has is not None and wants is not None and has != wants:
            raise ValueError(f"Expected {axis} {has}, as the network takes. Received: {wants}.")
        shape.append(has if wants is None else wants)
    return tuple(shape)


def _even_share(count: int, most: int) -> int:
    """Size of the fewest groups that hold `count`, none larger than `most`."""
    groups = -(-count // most)
    return -(-count // groups)


def _optimizer(chosen, learning_rate: float) -> keras.optimizers.Optimizer:
    if chosen is None:
        return keras.optimizers.AdamW(learning_rate, weight_decay=_WEIGHT_DECAY, beta_2=_BETA_2)
    chosen = keras.optimizers.get(chosen)
    # An optimizer keeps the variables of its first model: each Maximizer needs its own.
    return type(chosen).from_config(chosen.get_config())


def _transforms(chosen, shape) -> list[keras.layers.Layer]:
    frames, height, width, _ = shape
    chosen = transforms.default(frames, height, width) if chosen is None else list(chosen)
    probe = ops.zeros((1, *shape))
    count = sum(t.draws for t in chosen)
    result = transforms.apply(chosen, probe, ops.zeros((1, count))).shape[1:]
    if tuple(result) != tuple(shape):
        raise ValueError(
            f"Expected transforms that keep the clip's shape {tuple(shape)}. Received: transforms "
            f"that make {tuple(result)}; Pad(p) goes with Jitter(2 * p)."
        )
    return chosen
