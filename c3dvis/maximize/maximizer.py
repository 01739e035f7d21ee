"""Clips that excite a unit, by `fit`: a Keras model whose only trainable weights are the clips'."""

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from c3dvis import autodiff, objectives, rewire
from c3dvis import clips as clip_values
from c3dvis.input_optimizer import InputOptimizer
from c3dvis.maximize import conditioning, defaults, parametrizations, run, transforms
from c3dvis.maximize.batch_size import choose_batch_size
from c3dvis.maximize.callbacks import Progress
from c3dvis.maximize.cut import Cut
from c3dvis.maximize.defaults import Defaults
from c3dvis.maximize.optimizers import ClipwiseAdam
from c3dvis.maximize.tracking import Tracking
from c3dvis.models import layers
from c3dvis.models.extent import clip_shape
from c3dvis.objectives import CLIP, Objective

_STREAM_START, _STREAM_TRANSFORMS = 1, 2


@dataclass(frozen=True)
class MaximizedClip:
    """One clip that was maximized for one unit.

    Attributes:
        clip: float32 `(T, H, W, C)` in [0, 1]; with one channel more where it is transparent.
        score: The objective's score of this clip, without transforms; over grey if transparent.
        status: "ok"; "no gradient" where nothing changed the score; "failed" where the score
            became NaN or infinite, and the clip is the last one before.
        failed_step: Step from 0 at which it failed, else None.
    """

    clip: np.ndarray
    score: float
    status: str
    failed_step: int | None = None

    def __repr__(self) -> str:
        return f"MaximizedClip({self.status}, score {self.score:.3g}, clip {self.clip.shape})"

    def _repr_html_(self) -> str:
        return clip_values.show(
            [self.clip], captions=[f"{self.status}, score {self.score:.3g}"]
        ).html


class Maximizer(InputOptimizer):
    """Makes clips that raise an objective; one compiled step serves all its units.

    The network is cut at the deepest layer that the objective reads, and frozen. `make` is the
    short way in; `restart`, `fit` on `steps_of` and `decode` are its parts, for those who want
    their own callbacks and loops.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: What to raise, an objective or what `objectives.of` takes for one: "conv3b:7",
            the name of a class, ... Other units of the same kind can be given to `make`.
        parametrization: "fourier", another of `parametrizations.names()`, or a `Parametrization`.
        transforms: Layers of `c3dvis.maximize.transforms`; None is `transforms.default`, with what
            `c3dvis.maximize.defaults` says of filters and of classes.
        regularizers: Functions of clips `(N, T, H, W, C)` that return penalties `(N,)`.
        frames: Frames of the clip; None is what the network takes.
        size: `(height, width)` in pixels; None is what the network takes.
        preprocess: Function of clips in [0, 1] that returns what the network takes.
        batch_size: Most clips made at once; the objective's units are shared out evenly, unless
            they depend on each other. None chooses it; where memory does not hold that many, half
            as many are tried.
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
        >>> [clip.status for clip in maximizer.make(steps=8)]
        ['ok', 'ok']
    """

    def __init__(
        self,
        network: keras.Model,
        objective: Objective | str | int | Sequence,
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
        objective = objectives.of(objective, network)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"Expected a batch size of 1 or more. Received: {batch_size}.")
        if steps_per_execution < 1:
            raise ValueError(
                f"Expected 1 step or more in an execution. Received: {steps_per_execution}."
            )
        if objective.batchwise and len(objective) < 2:
            raise ValueError(
                "Expected two units or more, as the objective compares clips; a unit can be given "
                f"several times: channel(layer, [7] * 4). Received: {len(objective)}."
            )
        self.objective = layers.with_targets(objective, network, preprocess=preprocess)
        self.class_names = getattr(network, "class_names", None)
        self.clip_shape = shape = clip_shape(network, frames=frames, size=size)
        self.preprocess = preprocess
        read = shape if preprocess is None else preprocess(ops.zeros((1, *shape))).shape[1:]
        self.cut = Cut(network, self.objective, tuple(read[:3]), dtype=dtype)
        # Named, so that Keras knows of all variables that a step reads.
        self.tap, self.computed = self.cut.tap, self.cut.network
        self.shapes = _shapes(self.tap, shape, preprocess)
        self.regularizers = tuple(regularizers)
        _check_regularizers(self.regularizers, shape)
        usual = defaults.of(self.objective)
        chosen = _transforms(transforms, shape, usual)
        self.conditioning, self._given_transforms = conditioning.split(chosen)
        if parametrization == "fourier":
            parametrization = parametrizations.Fourier(spatial_exponent=usual.spatial_exponent)
        settings = parametrizations.build(parametrization)
        # Functions, as Keras would take a layer for a part of the model.
        self._new_parametrization = settings.copy
        self._new_optimizer = functools.partial(_optimizer, optimizer, learning_rate, usual)
        self._steps_in_execution = steps_per_execution
        # Clips that depend on each other are made at once, and nothing beside them.
        self.batchwise = objective.batchwise or settings.batchwise
        # A matrix product of one row rounds differently from one of many rows.
        flat = any(len(output.shape) == 2 for output in self.tap.outputs)
        self.min_batch_size = len(objective) if self.batchwise else 2 if flat else 1
        self.traces = self.count = 0
        self._allocated: list[keras.layers.Layer] = []
        self.transforms: list[keras.layers.Layer] = []
        most = choose_batch_size(self.cut, shape) if batch_size is None else batch_size
        run.halving(self, lambda: None, batch_size=most)

    def allocate(self, batch_size: int) -> None:
        """Sets up weights, optimizer and step anew, for batches of another size.

        Args:
            batch_size: Most clips at once; see the class.
        """
        self.batch_size = max(_even_share(len(self.objective), batch_size), self.min_batch_size)
        # Cleared, so that Keras forgets the weights of the size before.
        self._allocated.clear()
        self.transforms.clear()
        self.parametrization = self._new_parametrization()
        self.parametrization.build((self.batch_size, *self.clip_shape))
        self.transforms = [*self.parametrization.transforms, *self._given_transforms]
        terms = len(self.objective.terms)
        self.tracking = Tracking(self.latents, clips=self.batch_size, terms=terms)
        self._allocated = [self.parametrization, self.tracking]
        self.compile(optimizer=self._new_optimizer(), steps_per_execution=self._steps_in_execution)

    @property
    def latents(self) -> list[keras.Variable]:
        """The weights of the clips."""
        return self.parametrization.latents

    def call(self, inputs, training=None):
        """Scores of the clips as they are now, `(N,)`, under one draw of the transforms."""
        unit_indices, uniforms = inputs
        clips = transforms.apply(self.conditioning, self.parametrization.decode(), uniforms)
        seen = transforms.apply(self.transforms, clips, uniforms)
        penalties = sum((penalty(clips) for penalty in self.regularizers), 0.0)
        if not training:
            return sum(self._term_scores(seen, clips, unit_indices)) - penalties
        self.traces += 1
        leak = self.tracking.leak(self.objective.needs_activation(unit_indices))
        relu = rewire.leaking_relu(leak)
        term_scores = self._term_scores(seen, clips, unit_indices, relu)
        self.tracking.update(self.latents, term_scores)
        return sum(term_scores) - penalties

    def train_step(self, *arguments):
        """One step, the same whether it stands alone or in a loop of several."""
        step = super().train_step
        return step(*arguments) if self.run_eagerly else autodiff.sealed(step)(*arguments)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """What is minimized: penalties less scores, summed."""
        return super().compute_loss(y_pred=-y_pred)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The logs of a step, for progress bars and callbacks.

        Returns:
            "score", the mean of the clips' scores under this step's transforms, and "loss", what is
            minimized: penalties less scores, summed. Clips that have failed are left out of both,
            so that one does not stop the others; where all have failed, both are NaN.
        """
        finite = ops.isfinite(y_pred)
        lost = ops.where(ops.any(finite), 0.0, float("nan"))
        regularized, scores = (
            ops.sum(ops.where(finite, each, 0.0)) for each in (y_pred, self.tracking.latest)
        )
        count = ops.sum(ops.cast(finite, "float32"))
        return {"score": scores / count, "loss": lost - regularized}

    def restart(
        self, objective: Objective, *, seed: int = 0, start: np.ndarray | None = None
    ) -> np.ndarray:
        """Starts clips for up to `batch_size` units; returns their indices `(batch_size, terms)`.

        Args:
            objective: Of the kind given to the constructor.
            seed: The start and the transforms of a unit depend on it and on the unit alone.
            start: Clips `(units, T, H, W, C)` in [0, 1] to start from; None draws the start.
        """
        if objective.signature != self.objective.signature:
            raise ValueError("Expected an objective of the kind given to the constructor.")
        unit_indices = self._unit_indices(objective)
        if self.batchwise and len(unit_indices) != self.batch_size:
            raise ValueError(
                f"Expected {self.batch_size} units, as clips that depend on each other are made "
                f"at once. Received: {len(unit_indices)}."
            )
        if len(unit_indices) > self.batch_size:
            raise ValueError(
                f"Expected at most {self.batch_size} units. Received: {len(unit_indices)}."
            )
        self.cut.refresh()
        # The rest of the batch repeats these, and its clips are dropped.
        self.count = len(unit_indices)
        unit_indices = unit_indices[np.arange(self.batch_size) % self.count]
        keys = self._keys(unit_indices, seed, _STREAM_START)
        if start is None:
            self.parametrization.restart([np.random.default_rng(key) for key in keys])
        else:
            self.parametrization.start_from(start[np.arange(self.batch_size) % self.count])
        self.tracking.restart(self.latents)
        self.restart_optimizer()
        return unit_indices

    def steps_of(self, unit_indices: np.ndarray, steps: int, *, seed: int = 0):
        """What `fit` feeds: `(unit_indices, uniforms)` with one row a clip and step."""
        count = sum(transform.uniforms for transform in self.transforms)
        keys = self._keys(unit_indices, seed, _STREAM_TRANSFORMS)
        each = [np.random.default_rng(key).random((steps, count), np.float32) for key in keys]
        uniforms = np.stack(each, axis=1).reshape(steps * len(unit_indices), count)
        return np.tile(unit_indices, (steps, 1)), uniforms

    def make(
        self,
        objective: Objective | str | int | Sequence | None = None,
        *,
        steps: int = 128,
        seed: int = 0,
        start: ArrayLike | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int = 0,
    ) -> Iterator[MaximizedClip]:
        """Makes a clip for every unit, `batch_size` at a time.

        Args:
            objective: Units to make clips for; None is all those of the constructor.
            steps: Steps of the optimizer.
            seed: The same seed makes the same clip, whatever else is made beside it.
            start: Clip `(T, H, W, C)` in [0, 1] to start from (deep dream), or one for each unit
                `(units, T, H, W, C)`, with the parametrizations "pixels" and "fourier"; None
                starts from noise.
            callbacks: Keras callbacks of `fit`.
            verbose: As in `fit`.

        Yields:
            One `MaximizedClip` a unit, in order.

        Raises:
            ValueError: A unit or setting out of range.
            MemoryError: Memory does not hold the fewest clips that can be made at once.
        """
        objective = self.objective if objective is None else objectives.of(objective, self)
        run.check(steps, seed)
        self._unit_indices(objective)  # refuses units that the network does not have
        starts = None if start is None else self._starts(start, len(objective))
        made = 0

        def one_batch(batch: Objective) -> list[MaximizedClip]:
            own = None if starts is None else starts[made : made + len(batch)]
            unit_indices = self.restart(batch, seed=seed, start=own)
            return self.optimize(
                unit_indices, steps, seed=seed, callbacks=callbacks, verbose=verbose
            )

        for clip in run.in_batches(self, objective, one_batch):
            made += 1  # a batch begins when all clips of those before have been taken
            yield clip

    def _starts(self, start: ArrayLike, count: int) -> np.ndarray:
        """Clips to start from, one a unit, `(count, T, H, W, C)`."""
        if np.ndim(start) != 5:
            return np.repeat(clip_values.check(start, self.clip_shape)[None], count, axis=0)
        given = np.asarray(start)
        if len(given) != count:
            raise ValueError(
                f"Expected one clip to start from, or {count}, one for each unit. "
                f"Received: {len(given)}."
            )
        return np.stack([clip_values.check(clip, self.clip_shape) for clip in given])

    def optimize(
        self,
        unit_indices: np.ndarray,
        steps: int,
        *,
        seed: int = 0,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int = 0,
    ) -> list[MaximizedClip]:
        """Runs the steps on the clips that `restart` began, from its indices on; see `make`."""
        autodiff.fit(
            self,
            self.steps_of(unit_indices, steps, seed=seed),
            batch_size=self.batch_size,
            callbacks=[*callbacks, Progress()] if verbose else list(callbacks),
            verbose=verbose,
        )
        return self.results(unit_indices)

    def results(self, unit_indices: np.ndarray) -> list[MaximizedClip]:
        """What has become of the clips that `restart` began, and `fit` on `steps_of` raised.

        A clip that failed gets back the last latents that had a finite score.

        Args:
            unit_indices: As `restart` returned them.
        """
        clips = ops.convert_to_numpy(self.parametrization.decode())
        failed = self.tracking.failed(clips)
        if failed.any():
            self.tracking.restore(self.latents, failed)
            clips = ops.convert_to_numpy(self.parametrization.decode())
        each = self._term_scores(self.plain(clips), ops.convert_to_tensor(clips), unit_indices)
        scores = ops.convert_to_numpy(sum(each))
        changed = self.tracking.changed(ops.convert_to_numpy(ops.stack(each, axis=-1)))
        finite_steps = ops.convert_to_numpy(self.tracking.finite_steps).astype(int)
        results = []
        for i in range(self.count):
            status = "failed" if failed[i] else "ok" if changed[i] else "no gradient"
            step = int(finite_steps[i]) if failed[i] else None
            results.append(MaximizedClip(clips[i], float(scores[i]), status, step))
        return results

    def plain(self, clips):
        """Clips as a network takes them, without transforms: over plain grey, where transparent.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1], or with one channel more where they are transparent.

        Returns:
            Tensor `(N, T, H, W, C)` in [0, 1], of which `MaximizedClip.score` is the score.
        """
        own = self.parametrization.transforms
        uniforms = np.full((len(clips), sum(t.uniforms for t in own)), 0.5, np.float32)
        return transforms.apply(own, ops.convert_to_tensor(clips), uniforms)

    def _term_scores(self, seen, clips, unit_indices, relu=None) -> list:
        """Each term's scores `(N,)` of the clips; the network reads the transformed ones."""
        inputs = seen if self.preprocess is None else self.preprocess(seen)
        read, indices = self.cut(inputs, unit_indices, relu)
        return self.cut.objective.term_scores({**read, CLIP: clips}, indices)

    def _unit_indices(self, objective: Objective) -> np.ndarray:
        shapes = dict(zip(objective.layers, self.shapes, strict=True))
        return objective.unit_indices(shapes, self.class_names)

    def _keys(self, unit_indices: np.ndarray, seed: int, stream: int) -> list[list[int]]:
        """A seed a clip, from the run's seed, the layers and the clip's unit."""
        names = zlib.crc32("\0".join(self.objective.layers).encode())
        own = [[int(index) for index in row] for row in unit_indices]
        if self.objective.batchwise:
            # Clips that are compared start apart, even of one unit, and are transformed alike.
            alike = stream == _STREAM_TRANSFORMS
            own = [[] if alike else [*row, i] for i, row in enumerate(own)]
        return [[seed, stream, names, *row] for row in own]


def maximize(
    network: keras.Model,
    objective: Objective | str | int | Sequence,
    *,
    steps: int = 128,
    seed: int = 0,
    start: ArrayLike | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
    **options,
) -> np.ndarray:
    """Clips that excite units of a network.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: What to raise, an objective or what `objectives.of` takes for one: "conv3b:0-7",
            the name of a class, its index, a list of these. One clip is made for each unit.
        steps: Steps of the optimizer.
        seed: The same seed makes the same clips.
        start: Clip `(T, H, W, C)` in [0, 1] to start from (deep dream), or one for each unit, with
            the parametrizations "pixels" and "fourier"; None starts from noise.
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
        >>> maximize(network, "conv1:0-1", steps=4).shape
        (2, 16, 64, 64, 3)
    """
    maximizer = Maximizer(network, objective, **options)
    results = maximizer.make(
        steps=steps, seed=seed, start=start, callbacks=callbacks, verbose=verbose
    )
    return np.stack([result.clip for result in results])


def _shapes(tap: keras.Model, shape: tuple, preprocess: Callable | None) -> list[tuple]:
    """Shapes of the outputs of a network's layers, without the batch axis."""
    outputs = tap.outputs
    if any(None in output.shape[1:] for output in outputs):
        probe = ops.zeros((1, *shape))
        probe = probe if preprocess is None else preprocess(probe)
        outputs = tap.compute_output_spec([keras.KerasTensor(probe.shape, probe.dtype)])
        outputs = outputs if isinstance(outputs, list) else [outputs]
    return [tuple(output.shape[1:]) for output in outputs]


def _check_regularizers(regularizers: Sequence[Callable], shape: tuple) -> None:
    """Refuses functions of arrays, before Keras would say so in its own words."""
    for regularizer in regularizers:
        try:
            regularizer(ops.zeros((1, *shape)))
        except AttributeError as error:
            raise ValueError(
                "Expected regularizers in the operations of keras.ops, such as "
                f"ops.mean(clips, axis=(1, 2, 3, 4)). Received: one that raises {error}."
            ) from error
        except Exception:  # such as one for clips with a channel more: the step itself will tell
            continue


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
    count = sum(transform.uniforms for transform in chosen)
    transformed = transforms.apply(chosen, probe, ops.zeros((1, count))).shape[1:]
    if tuple(transformed) != tuple(shape):
        raise ValueError(
            f"Expected transforms that keep the clip's shape {tuple(shape)}. Received: transforms "
            f"that return {tuple(transformed)}; Pad(p) goes with Jitter(2 * p)."
        )
    return chosen
