"""One network asked about one objective: scores, probabilities and gradients of clips."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from c3dvis import autodiff
from c3dvis.attribution._shared import score_with_shift, shared_by_scorers
from c3dvis.models import layers, tokens
from c3dvis.models.holding import one_input
from c3dvis.objectives import Logit, Objective

__all__ = ["Scorer"]

# Of activations and their gradients, computed at once.
_MOST_BYTES = 2**31
# A matrix product of one row rounds differently from one of many rows.
_FEWEST_ROWS = 2

Function = TypeVar("Function")


class Scorer:
    """One network asked about one objective: scores, probabilities and gradients of clips.

    Clips are computed in batches of a fixed size (one or two clips as two), the last one filled
    up: so a clip's answer has the same bits whatever stands beside it, memory is bounded, and
    nothing is compiled twice. What is compiled is kept with the network for further scorers of
    the same kind in the same thread, for other classes too.

    Args:
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        objective: What to ask, of one unit.
        preprocess: Function of clips in [0, 1] that returns what the network takes.
        batch_size: Most clips computed at once. Fewer are, where their activations would need
            more than 2 GiB.

    Attributes:
        shared: What is compiled, and what compiled functions may read: of the kind of objective,
            not of its unit.
        unit_indices: What the unit reads, int32 `(1, terms)`.

    Raises:
        ValueError: An objective that the network can't answer, or one of several units.

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
        if batch_size < 1:
            raise ValueError(f"Expected a batch size of 1 or more. Received: {batch_size}.")
        self.network = network = one_input(network, scaled=preprocess is None)
        self.objective = objective
        self.preprocess = preprocess
        self.batch_size = batch_size
        self._is_judged = False
        self.shared = shared_by_scorers(network, objective, preprocess)
        shapes = self.shared.shapes
        self.unit_indices = objective.unit_indices(shapes, getattr(network, "class_names", None))

    @property
    def clip_shape(self) -> tuple[int | None, ...]:
        """`(T, H, W, C)` of the clips that the network takes; None where it takes any."""
        return tuple(self.network.inputs[0].shape[1:])

    def scores(self, clips: ArrayLike) -> NDArray[np.float32]:
        """Scores of clips.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].

        Returns:
            float32 `(N,)`.
        """
        return self.computed(self.shared.score, clips)[0]

    def gradients(self, clips: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores of clips, and the gradient of each with respect to its clip.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].

        Returns:
            float32 `(N,)` and float32 `(N, T, H, W, C)`.
        """
        run = self.compiled("gradients", lambda: self.differentiated(self.shared.score))
        scores, gradients = self.in_batches(run, clips)
        return scores, gradients

    def class_scores(self, clips: ArrayLike) -> NDArray[np.float32]:
        """Scores of all classes before the softmax, float32 `(N, classes)`.

        Their means over the frames or places that the objective reads, if the output has some.

        Raises:
            ValueError: Unless the objective is one logit.
        """
        self._check_logit()
        return self.computed(self.shared.class_scores, clips)[0]

    def probabilities(self, clips: ArrayLike) -> NDArray[np.float32]:
        """Probability of the objective's class: by softmax, or by sigmoid if that ends the network.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].

        Returns:
            float32 `(N,)` in [0, 1].

        Raises:
            ValueError: An objective that has no probability, before `judge_between`.
        """
        self._check_probability()
        return np.exp(self.computed(self.shared.log_probabilities, clips)[0])

    def judge_between(self, hidden: ArrayLike, clip: ArrayLike) -> None:
        """Gives a score that has no probability one, between those of a hidden clip and a clip.

        A regression, a channel or a difference of classes is then asked as a class is: how near the
        score of a clip is to that of `clip`, from 0.02 at `hidden` to 0.98. A class keeps its own
        probability.

        Args:
            hidden: Clip `(T, H, W, C)` without what decides, such as a blurred one.
            clip: Clip `(T, H, W, C)`.

        Raises:
            ValueError: If both have the same score.
        """
        if self.shared.has_probability:
            return
        ends = self.scores(np.stack([hidden, clip]))
        if not abs(ends[1] - ends[0]) > 1e-6 * abs(ends).max():
            raise ValueError(
                "Expected a clip whose score changes when it is hidden, blurred or frozen. "
                f"Received: {ends[1]:.6g} with and without."
            )
        self.shared.ends.assign(ends)
        self._is_judged = True

    def score(self, clips):
        """Scores `(N,)` of a tensor of clips, as a tensor: for use inside another model."""
        return self.shared.score(clips, self._rows(clips))

    def log_probabilities(self, clips):
        """Log probability of the objective's class, and of any other class, of a tensor of clips.

        Both are finite however sure the network is.

        Returns:
            Two tensors `(N,)`: `log p` and `log(1 - p)`.

        Raises:
            ValueError: An objective that has no probability, before `judge_between`.
        """
        self._check_probability()
        return self.shared.log_probabilities(clips, self._rows(clips))

    def layer_gradient(
        self, clips: ArrayLike, layer: str, *, grid: tokens.Grid | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Scores, a layer's activations, and the gradient of each score with respect to them.

        Args:
            clips: `(N, T, H, W, C)` in [0, 1].
            layer: Name of a layer with places in space, as `c3dvis.models.layers` has it, or with
                tokens that are places, see `c3dvis.models.tokens`.
            grid: Frames, rows and unit_indices of the tokens; None finds the patch embedding.

        Returns:
            float32 `(N,)`, and twice float32 `(N, t, h, w, channels)`; `t` is 1 for a layer
            without time.

        Raises:
            ValueError: A layer that is unknown, has no places, or is not on the way to the
                objective.
        """
        shape = np.shape(clips)[1:]
        key = ("layer gradient", layer, shape, grid)
        run = self.compiled(key, lambda: self._layer_gradient(layer, shape, grid))
        scores, activations, gradients = self.in_batches(run, clips)
        return scores, activations, gradients

    def compiled(self, name: Hashable, make: Callable[[], Function]) -> Function:
        """What `make()` returns, once for all scorers of this kind of objective and this name."""
        if name not in self.shared.functions:
            self.shared.functions[name] = make()
        return self.shared.functions[name]

    def computed(self, function: Callable, clips: ArrayLike) -> list[NDArray[np.float32]]:
        """What one of `shared`'s functions of `(clips, unit_indices)` gives for clips.

        Args:
            function: Of a name of its own; it is compiled once.
            clips: `(N, T, H, W, C)` in [0, 1].

        Returns:
            Each of its results for all clips, float32 `(N, ...)`.
        """
        run = self.compiled(
            function.__name__,
            lambda: autodiff.compiled(function, variables=self.shared.variables),
        )
        return self.in_batches(run, clips)

    def differentiated(self, function: Callable) -> Callable:
        """`function(clips, unit_indices)`, compiled, with its gradient for the clips."""
        run = autodiff.value_and_gradient(function, variables=self.shared.variables)

        def both(clips, unit_indices):
            result, gradient = run(clips, unit_indices)
            return *(result if isinstance(result, tuple) else (result,)), gradient

        return both

    def in_batches(self, run: Callable, clips: ArrayLike) -> list[NDArray[np.float32]]:
        """Runs a compiled function of `(clips, unit_indices)` on batches of clips of a fixed size.

        Args:
            run: Gives a tensor, or a tuple of tensors, with a row a clip.
            clips: `(N, T, H, W, C)` in [0, 1].

        Returns:
            Each of its results for all clips, float32 `(N, ...)`.
        """
        clips = np.asarray(clips, np.float32)
        if clips.ndim != 5 or not len(clips):
            raise ValueError(f"Expected clips (N, T, H, W, C). Received: shape {clips.shape}.")
        most = self.rows(clips.shape[1:])
        parts = []
        for first in range(0, len(clips), most):
            part = clips[first : first + most]
            size = _FEWEST_ROWS if len(part) <= _FEWEST_ROWS < most else most
            # The last clip once more, as its values are known to be fit for the network.
            filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            results = run(filled, np.repeat(self.unit_indices, size, axis=0))
            results = results if isinstance(results, tuple) else (results,)
            floats = [ops.convert_to_numpy(ops.cast(result, "float32")) for result in results]
            parts.append([values[: len(part)] for values in floats])
        return [np.concatenate(several) for several in zip(*parts, strict=True)]

    def rows(self, clip_shape: tuple[int, ...]) -> int:
        """How many clips `(T, H, W, C)` are computed at once."""
        return max(1, min(self.batch_size, _MOST_BYTES // self.shared.bytes_of_a_clip(clip_shape)))

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
        # The gradient with respect to nothing added to the activation is that with respect to it.
        run = autodiff.value_and_gradient(score, variables=self.shared.variables)

        def layer_gradient(clips, unit_indices):
            shape = tap.compute_output_shape((len(clips), *clip_shape))[0]
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

    def _rows(self, clips):
        return ops.broadcast_to(
            self.unit_indices, (ops.shape(clips)[0], self.unit_indices.shape[1])
        )

    def _check_probability(self) -> None:
        if not self.shared.has_probability and not self._is_judged:
            raise ValueError(
                "Expected an objective of one logit of several, such as objectives.logit(3), or a "
                "sigmoid, as a probability is asked for, or `judge_between` first. "
                f"Received: {self.objective}."
            )

    def _check_logit(self) -> None:
        (weight, term), *others = self.objective.terms
        if others or weight != 1 or not isinstance(term, Logit):
            raise ValueError(
                "Expected an objective of one logit, such as objectives.logit(3), as a probability "
                f"is asked for. Received: {self.objective}."
            )
