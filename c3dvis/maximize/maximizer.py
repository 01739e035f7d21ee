"""Clips that excite a unit, found by `fit`: a Keras model whose only weights are the clips'."""

import functools
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral

import keras
import numpy as np
from keras import ops

from c3dvis import __version__, autodiff, rewire
from c3dvis.maximize import batching, conditioning, defaults, parametrizations, transforms
from c3dvis.maximize.cache import Cache, key_of, network_digest
from c3dvis.maximize.cut import Cut
from c3dvis.maximize.defaults import Defaults
from c3dvis.maximize.optimizers import ClipwiseAdam
from c3dvis.models import layers
from c3dvis.models.extent import clip_shape
from c3dvis.objectives import CLIP, Objective

_STREAM_START, _STREAM_TRANSFORMS = 1, 2
# Share of the gradient that passes a ReLU that is off, while a unit has no gradient.
_LEAK = 0.1


@dataclass(frozen=True)
class Made:
    """One clip made for one unit.

    Attributes:
        clip: float32 `(T, H, W, C)` in [0, 1]; with one channel more where it is transparent.
        score: What the objective gives this clip, without transforms; over grey if transparent.
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
        parametrization: "fourier", another of `parametrizations.names()`, or a `Parametrization`.
        transforms: Layers of `c3dvis.maximize.transforms`; None is `transforms.default`, with what
            `c3dvis.maximize.defaults` says of filters and of classes.
        regularizers: Functions of clips `(N, T, H, W, C)` that give penalties `(N,)`.
        frames: Frames of the clip; None is what the network takes.
        size: `(height, width)` in pixels; None is what the network takes.
        preprocess: Function of clips in [0, 1] that gives what the network takes.
        batch_size: Most clips made at once; the objective's units are shared out evenly, unless
            they depend on each other. None finds it by itself; where memory does not hold that
            many, half as many are tried.
        optimizer: A Keras optimizer, of which a copy is used, or its name; None is `ClipwiseAdam`.
        learning_rate: Of the default optimizer.
        dtype: "bfloat16" computes the network in it, behind what comes before its first layer with
            weights, and everything else in float32. On processors that have it, a step takes about
            half as long. The gradient then points elsewhere by a little, the more the deeper the
            layer: its cosine to float32's falls to 0.96 at C3D's conv5b. None computes as the
            network does.
        steps_per_execution: Steps in one run of the compiled graph. Callbacks see the last of
            them.

    Raises:
        ValueError: An objective that the network can't answer, or a size it can't take.

    Example:
        >>> from c3dvis import models, objectives
        >>> from c3dvis.maximize import Maximizer
        >>> maximizer = Maximizer(models.build("c3d-motion"), objectives.channel("conv1", range(2)))
        >>> [made.status for made in maximizer.make(steps=8)]
        ['ok', 'ok']
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
        batch_size: int | None = None,
        optimizer: keras.optimizers.Optimizer | str | None = None,
        learning_rate: float = 0.1,
        dtype: str | None = None,
        steps_per_execution: int = 8,
    ):
        super().__init__(name="maximizer", dtype="float32")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"Expected a batch size of 1 or more. Received: {batch_size}.")
        if steps_per_execution < 1:
            raise ValueError(
                f"Expected 1 step or more in an execution. Received: {steps_per_execution}."
            )
        self._another = functools.partial(
            Maximizer,
            network,
            objective,
            parametrization=parametrization,
            transforms=transforms,
            regularizers=regularizers,
            frames=frames,
            size=size,
            preprocess=preprocess,
            optimizer=optimizer,
            learning_rate=learning_rate,
            dtype=dtype,
            steps_per_execution=steps_per_execution,
        )
        if objective.joint and len(objective) < 2:
            raise ValueError(
                "Expected two units or more, as the objective compares clips; a unit can be given "
                f"several times: channel(layer, [7] * 4). Received: {len(objective)}."
            )
        self.objective = objective = layers.with_targets(objective, network, preprocess=preprocess)
        self.class_names = getattr(network, "class_names", None)
        usual = defaults.of(objective)
        shape = clip_shape(network, frames=frames, size=size)
        self.clip_shape = shape
        read = shape if preprocess is None else preprocess(ops.zeros((1, *shape))).shape[1:]
        self.read_shape = tuple(read[:3])
        self.cut = Cut(network, objective, self.read_shape, dtype=dtype)
        # Named, so that Keras knows of all variables that a step reads.
        self.tap, self.computed = self.cut.tap, self.cut.network
        if parametrization == "fourier":
            parametrization = parametrizations.Fourier(spatial_exponent=usual.spatial_exponent)
        self.parametrization = parametrizations.build(parametrization)
        # Clips that depend on each other are made at once, and nothing beside them.
        self.joint = objective.joint or self.parametrization.joint
        # A matrix product of one row rounds differently from one of many rows.
        flat = any(len(output.shape) == 2 for output in self.tap.outputs)
        self.least = least = 2 if flat and not self.joint else 1
        most = batching.found(self.cut, shape) if batch_size is None else batch_size
        most = len(objective) if self.joint else most
        self.batch_size = max(_even_share(len(objective), most), least)
        self.preprocess = preprocess
        self.shapes = _shapes(self.tap, shape, preprocess)
        self.regularizers = tuple(regularizers)
        chosen = _transforms(transforms, shape, usual)
        self.conditioning, self.transforms = conditioning.split(chosen)
        self.parametrization.build((self.batch_size, *shape))
        self.transforms = [*self.parametrization.transforms, *self.transforms]
        self.last_finite = [
            self.add_weight(shape=part.shape, initializer="zeros", trainable=False)
            for part in self.parametrization.parts
        ]
        self.steps_run, self.steps_finite, self.latest, self.best = (
            self.add_weight(shape=(self.batch_size,), trainable=False, name=name)
            for name in ("steps_run", "steps_finite", "latest", "best")
        )
        # Of each term by itself: one that never moves would be hidden by others that do.
        self.lowest, self.highest = (
            self.add_weight(
                shape=(self.batch_size, len(objective.terms)), trainable=False, name=name
            )
            for name in ("lowest", "highest")
        )
        self.traces = self.count = 0
        self._stand_in: Callable[[], Maximizer] | None = None
        self.compile(
            optimizer=_optimizer(optimizer, learning_rate, usual),
            steps_per_execution=steps_per_execution,
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
    def account(self) -> list[keras.Variable]:
        """What is noted of each clip while it is made; rows are clips, but of shared weights."""
        ranges = [self.latest, self.best, self.lowest, self.highest]
        return [*self.last_finite, self.steps_run, self.steps_finite, *ranges]

    @property
    def non_trainable_variables(self):
        own = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in own]

    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables

    def call(self, inputs, training=None):
        """Scores of the clips as they are now, `(N,)`, under one draw of the transforms."""
        columns, draws = inputs
        clips = transforms.apply(self.conditioning, self.parametrization.decode(), draws)
        seen = transforms.apply(self.transforms, clips, draws)
        penalties = sum((penalty(clips) for penalty in self.regularizers), 0.0)
        if not training:
            return sum(self._parts(seen, clips, columns)) - penalties
        self.traces += 1
        # A unit that is off wherever one looks has no gradient: two equal scores give it away.
        off = ops.logical_and(self.highest <= self.lowest, self.objective.awaited(columns))
        still = ops.logical_and(self.steps_finite > 1, ops.any(off, axis=-1))
        leak = ops.where(still, _LEAK, 0.0)
        parts = self._parts(seen, clips, columns, rewire.leaking_relu(leak))
        self._keep_account(parts)
        return sum(parts) - penalties

    def train_step(self, *arguments):
        """One step, the same whether it stands alone or in a loop of several."""
        step = super().train_step
        return step(*arguments) if self.run_eagerly else autodiff.sealed(step)(*arguments)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        # A sum, not a mean: no clip's gradient depends on how many are made beside it.
        return -ops.sum(y_pred)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """What progress bars and callbacks are told of a step.

        Returns:
            "score", the mean of the clips' scores under this step's transforms, and "loss", what is
            made small: penalties less scores, summed. Of clips that have failed neither tells, so
            that one does not stop the others; where all have, both are NaN.
        """
        finite = ops.isfinite(y_pred)
        lost = ops.where(ops.any(finite), 0.0, float("nan"))
        raised, scored = (ops.sum(ops.where(finite, each, 0.0)) for each in (y_pred, self.latest))
        return {"score": scored / ops.sum(ops.cast(finite, "float32")), "loss": lost - raised}

    def restart(self, objective: Objective, *, seed: int = 0) -> np.ndarray:
        """Starts clips for up to `batch_size` units; returns their columns.

        Args:
            objective: Of the kind given to the constructor.
            seed: The start and the transforms of a unit depend on it and on the unit alone.
        """
        if objective.template != self.objective.template:
            raise ValueError("Expected an objective of the kind this Maximizer was made for.")
        columns = self._columns(objective)
        if self.joint and len(columns) != self.batch_size:
            raise ValueError(
                f"Expected {self.batch_size} units, as clips that depend on each other are made "
                f"at once. Received: {len(columns)}."
            )
        if len(columns) > self.batch_size:
            raise ValueError(f"Expected at most {self.batch_size} units. Received: {len(columns)}.")
        self.cut.refresh()
        # What is beyond repeats these, and its clips are dropped.
        self.count = len(columns)
        columns = columns[np.arange(self.batch_size) % len(columns)]
        self.parametrization.restart(
            [np.random.default_rng(key) for key in self._keys(columns, seed, _STREAM_START)]
        )
        for kept, part in zip(self.last_finite, self.parametrization.parts, strict=True):
            kept.assign(part)
        self.steps_run.assign(np.zeros(self.batch_size))
        self.steps_finite.assign(np.zeros(self.batch_size))
        self.best.assign(np.full(self.batch_size, -np.inf))
        self.lowest.assign(np.full(self.lowest.shape, np.inf))
        self.highest.assign(np.full(self.highest.shape, -np.inf))
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
        cache: str | os.PathLike | None = None,
    ) -> Iterator[Made]:
        """Makes a clip for every unit, `batch_size` at a time.

        Args:
            objective: Units to make clips for; None is all those of the constructor.
            steps: Steps of the optimizer.
            seed: The same seed makes the same clip, whatever else is made beside it.
            callbacks: Keras callbacks of `fit`.
            verbose: As in `fit`.
            cache: Folder in which made clips are kept. One whose weights, unit and settings are
                all the same is taken from there.

        Yields:
            One `Made` a unit, in order.

        Raises:
            ValueError: A unit or setting out of range; in a cache, a setting that can't be told
                from others.
            MemoryError: Memory does not hold the fewest clips that can be made at once.
        """
        objective = self.objective if objective is None else objective
        check_run(steps, seed)
        self._columns(objective)
        settings = {"steps": steps, "seed": seed}
        if cache is None:
            yield from self._groups(objective, **settings, callbacks=callbacks, verbose=verbose)
            return
        if callbacks:
            raise ValueError(
                "Expected no callbacks where clips are kept in a cache, as those that are found "
                "there run none."
            )
        yield from self._kept(Cache(cache), objective, **settings, verbose=verbose)

    def _kept(self, cache: Cache, objective: Objective, *, verbose: int, **settings):
        """Makes the clips that the cache does not hold, and gives the others from there."""
        decisive = self._decisive(settings)
        units = [objective if self.joint else objective[i] for i in range(len(objective))]
        places = [i if self.joint else 0 for i in range(len(objective))]
        keys = [key_of(decisive, *unit) for unit in zip(units, places, strict=True)]
        found = [self._unpacked(cache.get(key)) for key in keys]
        missing = [i for i, one in enumerate(found) if one is None]
        if missing and self.joint:
            missing = list(range(len(objective)))
        fresh = self._groups(objective[missing], **settings, verbose=verbose) if missing else None
        for i, (key, one) in enumerate(zip(keys, found, strict=True)):
            if fresh is not None and i in missing:
                one = next(fresh)
                cache.put(key, _packed(one))
            yield one

    def _decisive(self, settings: dict) -> list:
        """All but its unit that decides a clip's bits; versions too, which may round otherwise."""
        return [
            [__version__, keras.__version__, keras.backend.backend(), keras.backend.floatx()],
            network_digest(self.tap, self.read_shape),
            [self.clip_shape, self.preprocess, self.cut.dtype, settings],
            [self.parametrization, self.regularizers, self.conditioning, self.transforms],
            self.optimizer,
        ]

    def _unpacked(self, arrays: dict | None) -> Made | None:
        """A clip from a cache; None where what is there is none."""
        if arrays is None or set(arrays) != {"clip", "score", "status", "failed_step"}:
            return None
        step = int(arrays["failed_step"])
        failed = None if step < 0 else step
        return Made(arrays["clip"], float(arrays["score"]), str(arrays["status"]), failed)

    def _groups(
        self,
        objective: Objective,
        *,
        steps: int,
        seed: int,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int = 0,
    ) -> Iterator[Made]:
        """Makes a group of clips after the other, smaller ones where memory does not hold them."""
        first = 0
        while first < len(objective):
            maximizer = self if self._stand_in is None else self._stand_in()
            group = len(objective) if self.joint else maximizer.batch_size
            part = objective[first : first + group]
            columns = maximizer.restart(part, seed=seed)
            try:
                autodiff.fit(
                    maximizer,
                    maximizer.steps_of(columns, steps, seed=seed),
                    batch_size=maximizer.batch_size,
                    callbacks=list(callbacks),
                    verbose=verbose,
                )
                made = maximizer.results(columns)
            except Exception as error:
                if not batching.is_out_of_memory(error):
                    raise
                # A function, as Keras would count a model for a part of this one.
                self._stand_in = functools.partial(_same, maximizer._half(error))
                continue
            first += len(part)
            yield from made

    def _half(self, error: Exception) -> "Maximizer":
        """Another for half as many clips at once."""
        if self.joint or self.batch_size <= self.least:
            raise MemoryError(
                f"Expected memory for {self.batch_size} clips of shape {self.clip_shape} at once, "
                "the fewest that can be made. Give a smaller size= or fewer frames= where the "
                "network takes them, dtype='bfloat16', or a layer less deep."
            ) from error
        return self._another(batch_size=self.batch_size // 2)

    def results(self, columns: np.ndarray) -> list[Made]:
        """What has become of the clips that `restart` began, and `fit` on `steps_of` raised.

        A clip that failed gets back the last weights that had a finite score.

        Args:
            columns: As `restart` returned them.
        """
        run = ops.convert_to_numpy(self.steps_run)
        finite = ops.convert_to_numpy(self.steps_finite).astype(int)
        lowest = ops.convert_to_numpy(self.lowest)
        clips = ops.convert_to_numpy(self.parametrization.decode())
        # The last step can break a clip that no later score has seen.
        failed = (finite < run) | ~np.isfinite(clips).all(axis=(1, 2, 3, 4))
        if failed.any():
            self._put_back(failed)
            clips = ops.convert_to_numpy(self.parametrization.decode())
        parts = self._parts(self.plain(clips), ops.convert_to_tensor(clips), columns)
        scores, last = (ops.convert_to_numpy(x) for x in (sum(parts), ops.stack(parts, axis=-1)))
        moved = ((ops.convert_to_numpy(self.highest) > lowest) | (last != lowest)).any(axis=-1)
        made = []
        for i in range(self.count):
            status = "failed" if failed[i] else "ok" if moved[i] else "no gradient"
            step = int(finite[i]) if failed[i] else None
            made.append(Made(clips[i], float(scores[i]), status, step))
        return made

    def _put_back(self, failed: np.ndarray) -> None:
        """Gives clips that failed the last weights that had a finite score."""
        for kept, part in zip(self.last_finite, self.parametrization.parts, strict=True):
            part.assign(ops.where(_rows(failed, part), kept, part))

    def plain(self, clips):
        """Made clips as a network takes them, without chance: over plain grey, where transparent.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1], or with one channel more where they are transparent.

        Returns:
            Tensor `(N, T, H, W, C)` in [0, 1], what `Made.score` is the score of.
        """
        own = self.parametrization.transforms
        draws = np.full((len(clips), sum(t.draws for t in own)), 0.5, np.float32)
        return transforms.apply(own, ops.convert_to_tensor(clips), draws)

    def _parts(self, seen, clips, columns, relu=None) -> list:
        """What each term gives each clip; the network reads the transformed clips."""
        inputs = seen if self.preprocess is None else self.preprocess(seen)
        read, found = self.cut(inputs, columns, relu)
        return self.cut.objective.parts({**read, CLIP: clips}, found)

    def _keep_account(self, parts) -> None:
        """Notes per clip how long it stayed finite, its last finite weights, and terms' ranges."""
        scores, parts = sum(parts), ops.stack(parts, axis=-1)
        step_finite = ops.isfinite(scores)
        for kept, part in zip(self.last_finite, self.parametrization.parts, strict=True):
            lost = _rows(ops.logical_not(step_finite), part)
            # To choose row by row takes a multiple of the time of a copy.
            kept.assign(
                ops.cond(
                    ops.any(lost),
                    lambda kept=kept, part=part, lost=lost: ops.where(lost, kept, part),
                    lambda part=part: ops.convert_to_tensor(part),
                )
            )
        self.latest.assign(scores)
        self.best.assign(ops.where(step_finite, ops.maximum(self.best, scores), self.best))
        self.steps_run.assign_add(ops.ones_like(scores))
        self.steps_finite.assign_add(ops.cast(step_finite, "float32"))
        self.lowest.assign(ops.minimum(self.lowest, parts))
        self.highest.assign(ops.maximum(self.highest, parts))

    def _columns(self, objective: Objective) -> np.ndarray:
        shapes = dict(zip(objective.layers, self.shapes, strict=True))
        return objective.columns(shapes, self.class_names)

    def _keys(self, columns: np.ndarray, seed: int, stream: int) -> list[list[int]]:
        """A seed a clip, from the run's seed, the layers and what the clip reads of them."""
        names = zlib.crc32("\0".join(self.objective.layers).encode())
        own = [[int(column) for column in row] for row in columns]
        if self.objective.joint:
            # Clips that are compared start apart, even of one unit, and are moved alike.
            alike = stream == _STREAM_TRANSFORMS
            own = [[] if alike else [*row, i] for i, row in enumerate(own)]
        return [[seed, stream, names, *row] for row in own]


def maximize(
    network: keras.Model,
    objective: Objective,
    *,
    steps: int = 128,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
    cache: str | os.PathLike | None = None,
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
        cache: Folder in which made clips are kept: none is made twice.
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
    made = maximizer.make(steps=steps, seed=seed, callbacks=callbacks, verbose=verbose, cache=cache)
    return np.stack([one.clip for one in made])


def check_run(steps: int, seed: int) -> None:
    """Refuses steps and a seed that no run can have."""
    if not isinstance(steps, Integral) or steps < 1:
        raise ValueError(f"Expected a whole number of steps, 1 step or more. Received: {steps!r}.")
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"Expected a whole number, a seed of 0 or more. Received: {seed!r}.")


def _same(value):
    return value


def _packed(made: Made) -> dict[str, np.ndarray]:
    """A clip as a cache keeps it."""
    step = -1 if made.failed_step is None else made.failed_step
    return {
        "clip": made.clip,
        "score": np.array(made.score),
        "status": np.array(made.status),
        "failed_step": np.array(step),
    }


def _rows(chosen, part):
    """Flags `(N,)` of clips, shaped for the rows of a part; a row that all share takes any."""
    if part.shape[0] != chosen.shape[0]:
        chosen = ops.any(chosen, keepdims=True)
    return ops.reshape(chosen, (-1, *[1] * (len(part.shape) - 1)))


def _shapes(tap: keras.Model, shape: tuple, preprocess: Callable | None) -> list[tuple]:
    """Shapes of what a network's layers give for clips of one shape, without the batch axis."""
    outputs = tap.outputs
    if any(None in output.shape[1:] for output in outputs):
        probe = ops.zeros((1, *shape))
        probe = probe if preprocess is None else preprocess(probe)
        outputs = tap.compute_output_spec([keras.KerasTensor(probe.shape, probe.dtype)])
        outputs = outputs if isinstance(outputs, list) else [outputs]
    return [tuple(output.shape[1:]) for output in outputs]


def _even_share(count: int, most: int) -> int:
    """Size of the fewest groups that hold `count`, none larger than `most`."""
    groups = -(-count // most)
    return -(-count // groups)


def _optimizer(chosen, learning_rate: float, usual: Defaults) -> keras.optimizers.Optimizer:
    if chosen is None:
        return ClipwiseAdam(learning_rate, weight_decay=usual.weight_decay)
    chosen = keras.optimizers.get(chosen)
    # An optimizer keeps the variables of its first model: each Maximizer needs its own.
    return type(chosen).from_config(chosen.get_config())


def _transforms(chosen, shape, usual: Defaults) -> list[keras.layers.Layer]:
    frames, height, width, _ = shape
    if chosen is None:
        chosen = transforms.default(frames, height, width, sizes=usual.sizes)
    chosen = list(chosen)
    probe = ops.zeros((1, *shape))
    count = sum(t.draws for t in chosen)
    result = transforms.apply(chosen, probe, ops.zeros((1, count))).shape[1:]
    if tuple(result) != tuple(shape):
        raise ValueError(
            f"Expected transforms that keep the clip's shape {tuple(shape)}. Received: transforms "
            f"that make {tuple(result)}; Pad(p) goes with Jitter(2 * p)."
        )
    return chosen
