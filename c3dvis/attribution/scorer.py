"""`Scorer`: one network and one objective, as methods of attribution see them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import TypeVar

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from c3dvis import autodiff, graph
from c3dvis.attribution._shared import score_with_shift, shared_by_scorers
from c3dvis.models import layers, tokens
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives import LOGITS, Logit, Objective
from c3dvis.objectives.terms import names_of_classes

__all__ = ["Scorer"]

_MAX_BYTES = 2**31  # of a batch's activations and gradients
# A matrix product of one row rounds differently from one of many rows.
_MIN_BATCH = 2
# Of outputs that have frames: (N, frames, classes) and (N, frames, rows, columns, classes).
_RANKS_WITH_TIME = (3, 5)

Value = TypeVar("Value")


class Scorer:
    """Scores, probabilities and gradients of clips for one network and one objective.

    Batches have a fixed size (one or two clips make a batch of two); the last one is padded. So a
    clip's result is bit-for-bit the same in any batch, memory is bounded, and nothing is compiled
    twice. Compiled functions are cached with the network, for each thread, and serve every unit of
    the same kind of objective, such as all classes.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: An objective of one unit.
        preprocess: Function from clips in [0, 1] to the network's input.
        batch_size: Maximum number of clips per batch. There are fewer where their activations would
            need more than 2 GiB.

    Attributes:
        shared: Compiled functions and the state they read, for all units of the kind of objective.
        unit_indices: Indices of the unit's features, int32 `(1, terms)`.

    Raises:
        ValueError: An objective that doesn't fit the network, or one of several units.

    Example:
        >>> import numpy as np
        >>> from c3dvis import models, objectives
        >>> from c3dvis.attribution import Scorer
        >>> scorer = Scorer(models.build("c3d-motion"), objectives.logit("moving left"))
        >>> scorer.scores(np.zeros((3, 16, 64, 64, 3), np.float32)).shape
        (3,)
    """

    def __init__(
        self,
        network: keras.Model,
        objective: Objective,
        *,
        preprocess: Callable | None = None,
        batch_size: int = 8,
    ):
        if not isinstance(objective, Objective):
            raise ValueError(
                "Expected an objective, such as objectives.logit(3). "
                f"Received: {type(objective).__name__}."
            )
        if len(objective) != 1:
            raise ValueError(f"Expected an objective of one unit. Received: {len(objective)}.")
        if objective.batchwise:
            raise ValueError(
                "Expected an objective that scores a clip by itself. "
                "Received: one that compares clips with each other."
            )
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(f"Expected a batch size of 1 or more. Received: {batch_size!r}.")
        if not (preprocess is None or callable(preprocess)):
            raise ValueError(f"Expected preprocess= a function of clips. Received: {preprocess!r}.")
        self.network = network = one_input(network, scaled=preprocess is None)
        self.objective = objective
        self.preprocess = preprocess
        self.batch_size = batch_size
        self._is_calibrated = False
        self.shared = shared_by_scorers(network, objective, preprocess)
        shapes = self.shared.shapes
        self.unit_indices = objective.unit_indices(shapes, names_of_classes(network))

    def scores(self, clips: ArrayLike) -> NDArray[np.float32]:
        """Scores of clips.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].

        Returns:
            float32 `(N,)`.
        """
        return self.compute(self.shared.score, clips)[0]

    def gradients(self, clips: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores of clips, and the gradient of each with respect to its clip.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].

        Returns:
            float32 `(N,)` and float32 `(N, T, H, W, C)`.
        """
        run = self.cached("gradients", lambda: self.value_and_gradient(self.shared.score))
        scores, gradients = self.in_batches(run, clips)
        return scores, gradients

    def class_scores(self, clips: ArrayLike) -> NDArray[np.float32]:
        """Scores of all classes before the softmax, float32 `(N, classes)`.

        If the output has frames or places, they are means over those that the objective reads.

        Raises:
            ValueError: If the objective is not one logit.
        """
        if not self.shared.is_logit:
            raise ValueError(
                "Expected an objective of one logit, such as objectives.logit(3). "
                f"Received: {self.objective}."
            )
        return self.compute(self.shared.class_scores, clips)[0]

    def frame_scores(self, clip: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Scores of the objective's class in each frame of the network's output.

        Args:
            clip: float32 `(T, H, W, C)` in [0, 1].

        Returns:
            float32 `(frames of the output,)`: probabilities if the network ends in a softmax or
            sigmoid, else scores; means over the places of the output. None if the output has no
            frames, `(N, classes)`, or if the objective is not a logit.
        """
        (_, term), *others = self.objective.terms
        if others or not isinstance(term, Logit):
            return None
        if len(self.shared.shapes[term.layer]) + 1 not in _RANKS_WITH_TIME:
            return None
        shared, layer = self.shared, term.layer  # compiled functions don't hold the network
        ending = layers.output_activation(self.network, layer.removeprefix(LOGITS))

        def of_all_classes(clips, unit_indices):
            logits = ops.cast(shared.activations(clips)[layer], "float32")
            if ending == "softmax":
                return ops.softmax(logits, axis=-1)
            return ops.sigmoid(logits) if ending == "sigmoid" else logits

        scores = self.compute(of_all_classes, clip[None])[0][0]
        return scores[..., self.unit_indices[0, 0]].reshape(len(scores), -1).mean(axis=-1)

    def probabilities(self, clips: ArrayLike) -> NDArray[np.float32]:
        """Probability of the objective's class: by softmax, or by sigmoid if the network ends in
        one.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].

        Returns:
            float32 `(N,)` in [0, 1].

        Raises:
            ValueError: An objective that has no probability, before `calibrate`.
        """
        self._check_probability()
        return np.exp(self.compute(self.shared.log_probabilities, clips)[0])

    def calibrate(self, hidden: ArrayLike, clip: ArrayLike) -> None:
        """Defines a probability for an objective that has none, by the scores of two clips.

        For a regression, a channel or a difference of classes, the probability becomes a sigmoid of
        the score: 0.02 at the score of `hidden`, 0.98 at that of `clip`. A class keeps its own.

        Args:
            hidden: Clip `(T, H, W, C)` without the evidence, such as a blurred one.
            clip: Clip `(T, H, W, C)`.

        Raises:
            ValueError: If both have the same score.
        """
        if self.shared.has_probability:
            return
        scores = self.scores(np.stack([hidden, clip]))
        if not abs(scores[1] - scores[0]) > 1e-6 * abs(scores).max():
            raise ValueError(
                "Expected a clip whose score changes when it is hidden, blurred or frozen. "
                f"Received: {scores[1]:.6g} with and without."
            )
        self.shared.reference_scores.assign(scores)
        self._is_calibrated = True

    def log_probabilities(self, clips):
        """Log probability of the objective's class, and of any other class, of a tensor of clips.

        Both are finite, however confident the network is.

        Returns:
            Two tensors `(N,)`: `log p` and `log(1 - p)`.

        Raises:
            ValueError: An objective that has no probability, before `calibrate`.
        """
        self._check_probability()
        rows = (ops.shape(clips)[0], self.unit_indices.shape[1])
        return self.shared.log_probabilities(clips, ops.broadcast_to(self.unit_indices, rows))

    def layer_gradient(
        self, clips: ArrayLike, layer: str, *, grid: tokens.Grid | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Scores, a layer's activations, and the gradient of each score with respect to them.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].
            layer: Name of a layer with spatial positions (see `c3dvis.models.layers`), or with
                tokens for positions (see `c3dvis.models.tokens`).
            grid: Frames, rows and columns of the tokens; None finds the patch embedding.

        Returns:
            float32 `(N,)`, and two arrays, float32 `(N, t, h, w, channels)`; `t` is 1 for a layer
            without time.

        Raises:
            ValueError: A layer that is unknown, has no places, or is not on the way to the
                objective.
        """
        shape = np.shape(clips)[1:]
        key = ("layer gradient", layer, shape, grid)
        run = self.cached(key, lambda: self._layer_gradient(layer, shape, grid))
        scores, activations, gradients = self.in_batches(run, clips)
        return scores, activations, gradients

    def cached(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of `make()`, cached under a key for all scorers of this kind of objective."""
        if key not in self.shared.cache:
            self.shared.cache[key] = make()
        return self.shared.cache[key]

    def compute(self, function: Callable, clips: ArrayLike) -> list[NDArray[np.float32]]:
        """Runs a function of `shared` on batches of clips.

        Args:
            function: Function of `(clips, unit_indices)`; compiled once, and cached by its name.
            clips: `(N, T, H, W, C)` in [0, 1].

        Returns:
            Each of its results for all clips, float32 `(N, ...)`.
        """
        run = self.cached(
            function.__name__,
            lambda: autodiff.compiled(function, variables=self.shared.variables),
        )
        return self.in_batches(run, clips)

    def value_and_gradient(self, function: Callable) -> Callable:
        """Compiles `function(clips, unit_indices)` with its gradient with respect to the clips."""
        run = autodiff.value_and_gradient(function, variables=self.shared.variables)

        def both(clips, unit_indices):
            result, gradient = run(clips, unit_indices)
            return *(result if isinstance(result, tuple) else (result,)), gradient

        return both

    def in_batches(self, run: Callable, clips: ArrayLike) -> list[NDArray[np.float32]]:
        """Runs a compiled function of `(clips, unit_indices)` on batches of clips of a fixed size.

        Args:
            run: Returns a tensor, or a tuple of tensors, with a row for each clip.
            clips: `(N, T, H, W, C)` in [0, 1].

        Returns:
            Each of its results for all clips, float32 `(N, ...)`.
        """
        clips = np.asarray(clips, np.float32)
        if clips.ndim != 5 or not len(clips):
            raise ValueError(f"Expected clips (N, T, H, W, C). Received: shape {clips.shape}.")
        batches = []
        most = self.clips_per_batch(clips.shape[1:])
        for first in range(0, len(clips), most):
            batch = clips[first : first + most]
            size = _MIN_BATCH if len(batch) <= _MIN_BATCH < most else most
            # Padded with the last clip, as the network is known to take its values.
            padded = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
            results = run(padded, np.repeat(self.unit_indices, size, axis=0))
            results = results if isinstance(results, tuple) else (results,)
            floats = [ops.convert_to_numpy(ops.cast(result, "float32")) for result in results]
            batches.append([values[: len(batch)] for values in floats])
        return [np.concatenate(parts) for parts in zip(*batches, strict=True)]

    def batches(self, count: int, clip_shape: tuple[int, ...]) -> list[slice]:
        """Slices of `count` clips `(T, H, W, C)`, one for each batch."""
        size = self.clips_per_batch(clip_shape)
        return [slice(first, min(first + size, count)) for first in range(0, count, size)]

    def clips_per_batch(self, clip_shape: tuple[int, ...]) -> int:
        """The number of clips `(T, H, W, C)` in a batch."""
        return max(1, min(self.batch_size, _MAX_BYTES // self.shared.bytes_of_a_clip(clip_shape)))

    def _layer_gradient(
        self, name: str, clip_shape: tuple[int, ...], grid: tokens.Grid | None
    ) -> Callable:
        """A function of `(clips, unit_indices)`: scores, a layer's activations, their gradients."""
        tap = layers.tap(self.network, [name])
        place = layers.find(self.network, name).place
        if len(tap.outputs[0].shape) not in (3, 4, 5):
            raise ValueError(
                "Expected a layer with places in space, (N, t, h, w, channels) or "
                f"(N, h, w, channels), or with tokens. Received: layer {name!r} of shape "
                f"{tuple(tap.outputs[0].shape)}."
            )
        has_tokens = tokens.are_tokens(tap.outputs[0])
        layout = tokens.layout(self.network, name, clip_shape, grid=grid) if has_tokens else None
        score = score_with_shift(self.shared, place, name)
        # The gradient with respect to a shift of zeros is that with respect to the activation.
        run = autodiff.value_and_gradient(score, variables=self.shared.variables)

        @functools.cache
        def shape_for(count: int) -> tuple[int | None, ...]:
            return graph.output_shapes(tap, (count, *clip_shape))[0]

        def layer_gradient(clips, unit_indices):
            shape = shape_for(len(clips))
            # A module of torch says None where it takes any number of clips.
            shape = tuple(len(clips) if length is None else length for length in shape)
            if layout is not None:
                rows, *sides = layout.ids.shape
                shape = (len(clips) * rows, *sides, shape[-1])
            (scores, activation), gradient = run(np.zeros(shape, np.float32), clips, unit_indices)
            if layout is not None:
                return scores, layout.fold(activation), layout.fold(gradient)
            # A layer that sees frames one by one may have them all on its first axis.
            folded = (len(clips), -1, *shape[-3:])
            return scores, ops.reshape(activation, folded), ops.reshape(gradient, folded)

        return layer_gradient

    def _check_probability(self) -> None:
        if not self.shared.has_probability and not self._is_calibrated:
            raise ValueError(
                "Expected an objective with a probability, one logit of several such as "
                "objectives.logit(3) or the logit of a sigmoid, or a call of `calibrate` first. "
                f"Received: {self.objective}."
            )
