"""Clips that excite a unit, by `fit`: a Keras model whose only trainable weights are the clips'."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from c3dvis import autodiff, graph, objectives, rewire
from c3dvis.input_optimizer import InputOptimizer
from c3dvis.maximize import arguments, conditioning, defaults, parametrizations, run, transforms
from c3dvis.maximize.callbacks import Progress
from c3dvis.maximize.result import MaximizedClip
from c3dvis.maximize.subnetwork import Subnetwork, choose_batch_size
from c3dvis.maximize.tracking import Tracking
from c3dvis.models import layers
from c3dvis.models.clip_shapes import clip_shape
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives import CLIP, Objective
from c3dvis.objectives.terms import names_of_classes

STEPS_AT_ONCE = 8  # where none are given


class Maximizer(InputOptimizer):
    """Makes clips that maximize an objective; one compiled step serves all its units.

    The network is cut at the deepest layer that the objective reads, and frozen. Call `make` for
    the clips, or its parts `restart`, `fit` on `steps_of` and `decode` for your own callbacks and
    loops.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: What to maximize: an objective, or anything that `objectives.of` accepts, such as
            "conv3b:7" or the name of a class. Other units of the same kind can be given to `make`.
        parametrization: "fourier", another of `parametrizations.names()`, or a `Parametrization`.
        colours: Colours of a parametrization given by name: "decorrelated" stays close to natural
            colours, "opponent" and even more "independent" follow the unit's preference, and "grey"
            has none. None means "decorrelated" for classes, "opponent" for filters and neurons.
        transforms: Layers of `c3dvis.maximize.transforms`; None means `transforms.default`, with
            the settings in `c3dvis.maximize.defaults` for filters, neurons and classes.
        regularizers: Functions of clips `(N, T, H, W, C)` that return penalties `(N,)`; None means
            none.
        frames: Frames of the clip; None means what the network takes.
        size: `(height, width)` in pixels; None means what the network takes.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Maximum number of clips per batch; units are split evenly into batches, unless
            they depend on each other. None chooses it. If memory runs out, it is halved.
        optimizer: A Keras optimizer, of which a copy is used, or its name; None means
            `ClipwiseAdam`.
        learning_rate: Learning rate, or a schedule of `keras.optimizers.schedules`, which restarts
            with each batch; None means 0.1, or a given optimizer's own.
        dtype: "bfloat16" computes the network in bfloat16 from its first layer with weights on, and
            everything else in float32. On processors that support it, a step takes about half the
            time. The gradient differs slightly, more for deeper layers: its cosine with the float32
            gradient falls to 0.96 at C3D's conv5b. None computes as the network does.
        steps_per_execution: Number of steps per run of the compiled graph. Callbacks see only the
            last of them.
        input: Name of the input for the clips, if several could take them; None finds the only one.
        inputs: Values of the other inputs by name; None uses neutral values. See
            `models.one_input`.

    Raises:
        ValueError: An objective or a size that does not fit the network.

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
        colours: str | None = None,
        transforms: Sequence[keras.layers.Layer] | None = None,
        regularizers: Sequence[Callable] | None = None,
        frames: int | None = None,
        size: tuple[int, int] | None = None,
        preprocess: Callable | None = None,
        batch_size: int | None = None,
        optimizer: keras.optimizers.Optimizer | str | None = None,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
        dtype: str | None = None,
        steps_per_execution: int = STEPS_AT_ONCE,
        input: str | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
    ):
        super().__init__(name="maximizer", dtype="float32")
        arguments.check_preprocess(preprocess)
        network = one_input(network, input, inputs, scaled=preprocess is None)
        objective = objectives.of(objective, network)
        arguments.check_counts(objective, batch_size, steps_per_execution)
        self.objective = layers.with_targets(objective, network, preprocess=preprocess)
        self.class_names, self.preprocess = names_of_classes(network), preprocess
        self.clip_shape = shape = clip_shape(network, frames=frames, size=size)
        black = ops.zeros((1, *shape), "float32")
        probe = black if preprocess is None else preprocess(black)
        self.subnetwork = Subnetwork(network, self.objective, tuple(probe.shape[1:4]), dtype=dtype)
        # Named, so that Keras knows of all variables that a step reads.
        self.tap, self.computed = self.subnetwork.tap, self.subnetwork.network
        self.shapes = _output_shapes(self.tap, probe)
        self.regularizers = arguments.several_regularizers(regularizers)
        arguments.check_regularizers(self.regularizers, shape)
        usual = defaults.of(self.objective)
        chosen = arguments.check_transforms(transforms, shape, usual, self.shapes)
        self.conditioning, self._given_transforms = conditioning.split(chosen)
        waves = usual.fourier if parametrization == "fourier" else {}
        if colours is None and isinstance(parametrization, str):
            colours = usual.colours
        own = {} if colours is None else {"colours": colours}
        settings = parametrizations.build(parametrization, **waves, **own)
        # Functions, as Keras would take a layer for a part of the model.
        self._new_parametrization = settings.copy
        new_optimizer = arguments.new_optimizer
        self._new_optimizer = functools.partial(new_optimizer, optimizer, learning_rate, usual)
        self._steps_in_execution = int(steps_per_execution)
        # Clips that depend on each other make up a whole batch.
        self.batchwise = objective.batchwise or settings.batchwise
        # A matrix product of one row rounds differently from one of many rows.
        flat = any(len(output.shape) == 2 for output in self.tap.outputs)
        self.min_batch_size = len(objective) if self.batchwise else 2 if flat else 1
        self.traces = self.count = 0
        self._allocated: list[keras.layers.Layer] = []
        self.transforms: list[keras.layers.Layer] = []
        most = choose_batch_size(self.subnetwork, shape) if batch_size is None else int(batch_size)
        run.halving(self, lambda: None, batch_size=most)

    def allocate(self, batch_size: int) -> None:
        """Rebuilds weights, optimizer and step for batches of another size.

        Args:
            batch_size: Maximum number of clips per batch; see the class.
        """
        batches = -(-len(self.objective) // batch_size)
        even_share = -(-len(self.objective) // batches)
        self.batch_size = max(even_share, self.min_batch_size)
        # Cleared, so that Keras forgets the weights of the size before.
        self._allocated.clear()
        self.transforms.clear()
        self.parametrization = self._new_parametrization()
        self.parametrization.build((self.batch_size, *self.clip_shape))
        self.transforms = [*self.parametrization.transforms, *self._given_transforms]
        terms = len(self.objective.terms)
        self.tracking = Tracking(self.latents, clips=self.batch_size, terms=terms)
        self._allocated = [self.parametrization, self.tracking]
        self.compile(
            optimizer=self._new_optimizer(),
            steps_per_execution=autodiff.steps_per_execution(self._steps_in_execution),
        )

    @property
    def latents(self) -> list[keras.Variable]:
        """The weights of the clips."""
        return self.parametrization.latents

    def call(self, inputs, training=None):
        """Scores of the current clips, `(N,)`, under one draw of the transforms.

        Returns:
            Scores minus penalties; in training, the scores alone as well.
        """
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
        scores = sum(term_scores)
        return scores - penalties, scores

    def train_step(self, *arguments):
        """One step, the same whether it stands alone or in a loop of several."""
        step = super().train_step
        return step(*arguments) if self.run_eagerly else autodiff.no_inline(step)(*arguments)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss: the sum of penalties minus scores."""
        return super().compute_loss(y_pred=-y_pred[0])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The logs of a step, for progress bars and callbacks.

        Returns:
            "score", the mean of the clips' scores under this step's transforms, and "loss", what is
            minimized: penalties less scores, summed. Clips that have failed are left out of both,
            so that one does not stop the others; where all have failed, both are NaN.
        """
        finite = ops.isfinite(y_pred[0])
        regularized, scores = (ops.sum(ops.where(finite, each, 0.0)) for each in y_pred)
        count = ops.sum(ops.cast(finite, "float32"))
        lost = count / count - 1  # 0, or NaN for none
        return {"score": scores / count, "loss": lost - regularized}

    def restart(
        self, objective: Objective, *, seed: int = 0, start: np.ndarray | None = None
    ) -> np.ndarray:
        """Starts clips for up to `batch_size` units; returns their indices `(batch_size, terms)`.

        Args:
            objective: An objective of the kind given to the constructor.
            seed: The start and the transforms of a unit depend on it and on the unit alone.
            start: Clips `(units, T, H, W, C)` in [0, 1] to start from; None draws the start.
        """
        if objective.signature != self.objective.signature:
            raise ValueError("Expected an objective of the kind given to the constructor.")
        unit_indices = self._unit_indices(objective)
        if self.batchwise and len(unit_indices) != self.batch_size:
            raise ValueError(
                f"Expected {self.batch_size} units, as clips that depend on each other are made "
                f"together. Received: {len(unit_indices)}."
            )
        if len(unit_indices) > self.batch_size:
            raise ValueError(
                f"Expected at most {self.batch_size} units. Received: {len(unit_indices)}."
            )
        self.computed.refresh()
        # The rest of the batch repeats these, and its clips are dropped.
        self.count = len(unit_indices)
        unit_indices = unit_indices[np.arange(self.batch_size) % self.count]
        if start is None:
            own = run.clip_seeds(self.objective, unit_indices, seed, stream=run.START)
            self.parametrization.restart([np.random.default_rng(one) for one in own])
        else:
            self.parametrization.start_from(start[np.arange(self.batch_size) % self.count])
        self.tracking.restart(self.latents)
        self.restart_optimizer()
        return unit_indices

    def steps_of(self, unit_indices: np.ndarray, steps: int, *, seed: int = 0):
        """The data for `fit`: `(unit_indices, uniforms)` with one row per clip and step."""
        count = sum(transform.uniforms for transform in self.transforms)
        own = run.clip_seeds(self.objective, unit_indices, seed, stream=run.TRANSFORMS)
        each = [np.random.default_rng(one).random((steps, count), np.float32) for one in own]
        uniforms = np.stack(each, axis=1).reshape(steps * len(unit_indices), count)
        return np.tile(unit_indices, (steps, 1)), uniforms

    def make(
        self,
        objective: Objective | str | int | Sequence | None = None,
        *,
        steps: int = defaults.STEPS,
        seed: int = 0,
        start: ArrayLike | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        verbose: int = 0,
    ) -> Iterator[MaximizedClip]:
        """Makes a clip for every unit, `batch_size` at a time.

        Args:
            objective: Units to make clips for; None means all those of the constructor.
            steps: Steps of the optimizer.
            seed: The same seed makes the same clip, whatever else is in its batch.
            start: Clip `(T, H, W, C)` in [0, 1] to start from (deep dream), or one for each unit
                `(units, T, H, W, C)`, with the parametrizations "pixels" and "fourier"; None
                starts from noise.
            callbacks: Keras callbacks of `fit`.
            verbose: As in `fit`.

        Yields:
            One `MaximizedClip` a unit, in order.

        Raises:
            ValueError: A unit or setting out of range.
            MemoryError: Memory does not hold the smallest batch.
        """
        objective = self.objective if objective is None else objectives.of(objective, self)
        run.check(steps, seed)
        self._unit_indices(objective)  # refuses units that the network does not have
        shape, count = self.clip_shape, len(objective)
        starts = None if start is None else arguments.start_clips(start, shape, count)

        def one_batch(units: slice) -> list[MaximizedClip]:
            own = None if starts is None else starts[units]
            unit_indices = self.restart(objective[units], seed=seed, start=own)
            return self.optimize(
                unit_indices, steps, seed=seed, callbacks=callbacks, verbose=verbose
            )

        yield from run.in_batches(self, count, one_batch)

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
        callbacks = arguments.several(callbacks)
        autodiff.fit(
            self,
            self.steps_of(unit_indices, steps, seed=seed),
            batch_size=self.batch_size,
            callbacks=[*callbacks, Progress()] if verbose else list(callbacks),
            verbose=verbose,
        )
        return self.results(unit_indices)

    def results(self, unit_indices: np.ndarray) -> list[MaximizedClip]:
        """Results of the clips that `restart` began and `fit` on `steps_of` optimized.

        A clip that failed gets back the last latents that had a finite score.

        Args:
            unit_indices: As `restart` returned them.
        """
        clips = ops.convert_to_numpy(self.parametrization.decode())
        failed = self.tracking.failed(clips)
        if failed.any():
            self.tracking.restore(self.latents, failed)
            clips = ops.convert_to_numpy(self.parametrization.decode())
        term_scores = self._term_scores(self.plain(clips), clips, unit_indices)
        scores = ops.convert_to_numpy(sum(term_scores))
        changed = self.tracking.changed(ops.convert_to_numpy(ops.stack(term_scores, axis=-1)))
        finite_steps = ops.convert_to_numpy(self.tracking.finite_steps).astype(int)
        results = []
        for i in range(self.count):
            status = "failed" if failed[i] else "ok" if changed[i] else "no gradient"
            step = int(finite_steps[i]) if failed[i] else None
            results.append(MaximizedClip(clips[i], float(scores[i]), status, step))
        return results

    def scores(self, clips, objective: Objective) -> np.ndarray:
        """Scores `(N,)` of clips `(N, T, H, W, C)`, each for the unit of the same index."""
        unit_indices = self._unit_indices(objective)
        return ops.convert_to_numpy(sum(self._term_scores(self.plain(clips), clips, unit_indices)))

    def plain(self, clips):
        """Clips as the network's input, without transforms; transparent ones over plain grey.

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
        activations, indices = self.subnetwork(inputs, unit_indices, relu)
        activations[CLIP] = ops.convert_to_tensor(clips)
        return self.subnetwork.objective.term_scores(activations, indices)

    def _unit_indices(self, objective: Objective) -> np.ndarray:
        shapes = dict(zip(objective.layers, self.shapes, strict=True))
        return objective.unit_indices(shapes, self.class_names)


def _output_shapes(tap: keras.Model, probe) -> list[tuple]:
    """Shapes of a network's outputs for inputs such as `probe`, without the batch axis."""
    shapes = [tuple(output.shape) for output in tap.outputs]
    if any(None in shape[1:] for shape in shapes):
        shapes = graph.output_shapes(tap, probe.shape)
    return [shape[1:] for shape in shapes]
