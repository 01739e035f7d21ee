"""AttnLRP: the score, propagated back layer by layer to the patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import autodiff, graph, rewire
from c3dvis.attribution import attention, cam, relevance
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.models import tokens

_TOLERANCE = 1e-3  # nonlinearity of a layer without a rule, relative to its largest output


def attribute(
    scorer: Scorer, clip: NDArray[np.float32], *, grid: tokens.Grid | None = None
) -> Attribution:
    """Layer-wise relevance propagation with rules for attention, read at the patches.

    Matrix products split relevance evenly between their two sides, a softmax passes on activation
    times gradient, activation functions all of it; normalizations count as linear with a constant
    scale. Sums and linear layers pass it on by what each input contributes, without epsilon.

    The settings say where relevance is lost: `softmax` is the part of the score that the softmaxes
    absorb, and `elsewhere` that of biases, positions, and tokens that are not patches.

    Args:
        scorer: The network, with `keras.layers.MultiHeadAttention`, and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        grid: Frames, rows and columns of the patches; None finds the patch embedding.

    Returns:
        A signed heatmap on the patches' grid. The settings hold the grid, and in units of the score
        the sum over `patches`, `softmax` and `elsewhere`.

    Raises:
        ValueError: A network without attention, whose tokens can't be followed, or with a layer
            that has no rule and is not linear.

    Achtibat et al. 2024, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for
    Transformers", https://arxiv.org/abs/2402.05602
    """
    calls, ids, patches = attention.attention_calls(scorer, clip.shape, grid)
    flat = graph.flattened(scorer.shared.tap)
    steps = flat.steps
    first, layout = _patch_step(steps, ids, patches)
    channels = int(steps[first].call.outputs[0].shape[-1])
    run = scorer.cached(
        ("relevance", clip.shape, grid), lambda: _propagation(scorer, flat, first, layout)
    )
    # Scales of the scores and weights of each attention, less 1; then the shift of the patches.
    inputs = np.zeros(2 * len(calls) + layout.ids.size * channels, np.float32)
    (scores, activation, nonlinearities), gradient = run(inputs, clip[None], scorer.unit_indices)
    score = float(ops.convert_to_numpy(scores)[0])
    _check(scorer, clip, score, ops.convert_to_numpy(nonlinearities), steps)
    gradient = ops.convert_to_numpy(gradient).astype(np.float32)
    before, behind = gradient[: 2 * len(calls)].reshape(-1, 2).T
    activation = ops.convert_to_numpy(activation)
    product = activation * gradient[2 * len(calls) :].reshape(activation.shape)
    volume = ops.convert_to_numpy(layout.fold(ops.convert_to_tensor(product)))[0].sum(axis=-1)
    kept = float((behind - before).sum())
    shares = {"patches": float(volume.sum()), "softmax": kept}
    settings = {
        "grid": list(patches),
        "layer": steps[first].name,
        **shares,
        "elsewhere": score - sum(shares.values()),
    }
    heatmap = cam.upsample(volume[None], clip.shape[:3])[0]
    return Attribution(clip, heatmap, score, scorer.objective, "attention_lrp", settings)


def _patch_step(steps, ids, patches) -> tuple[int, tokens.Layout]:
    """The first step whose output has all places, and their layout."""
    for index, step in enumerate(steps):
        own = ids.get(step.outputs[0])
        if own is not None and tokens.Layout(patches, own).is_whole:
            return index, tokens.Layout(patches, own)
    raise ValueError(
        f"Expected a layer whose output is the {' x '.join(map(str, patches))} patches. "
        "Received: none."
    )


def _propagation(scorer: Scorer, flat: graph.Graph, first: int, layout: tokens.Layout) -> Callable:
    """A function of `(inputs, clips, unit_indices)`: scores, patches, each step's nonlinearity."""
    shared, steps = scorer.shared, flat.steps
    scales = 2 * sum(attention.is_attention(step.layer) for step in steps)
    # Positions are computed from weights alone: what they add is no patch's.
    of_clip = graph.reached(flat)

    def score(inputs, clips, unit_indices):
        patches: list = []
        nonlinearities: list = []
        attentions: list = []

        def call(layer, *arguments, **options):
            step = steps[len(nonlinearities)]
            nonlinearity: Any = 0.0
            if len(nonlinearities) <= first or not of_clip.intersection(step.outputs):
                output = rewire.quick_call(layer, *arguments, **options)
            elif attention.is_attention(layer):
                place = 2 * len(attentions)
                scale = 1 + inputs[place], 1 + inputs[place + 1]
                output, weights = relevance.attention_with_rule(layer, arguments, options, scale)
                attentions.append(weights)
                wants = options.get("return_attention_scores")
                output = [output, weights] if wants else output
            else:
                tensors = _tensors(step, arguments, options)
                output, nonlinearity = relevance.layer_with_rule(layer, arguments, options, tensors)
            if len(nonlinearities) == first:
                shape = (*layout.ids.shape, output.shape[-1])
                output = output + ops.cast(ops.reshape(inputs[scales:], shape), output.dtype)
                patches.append(ops.cast(output, "float32"))
            nonlinearities.append(ops.cast(nonlinearity, "float32"))
            return output

        scores = shared.score(clips, unit_indices, call)
        return scores, patches[0], ops.stack(nonlinearities)

    return autodiff.value_and_gradient(score, variables=shared.tap.variables)


def _tensors(step: graph.Step, arguments: tuple, options: dict) -> list:
    """Those of a call's arguments that the network computes."""
    flat = keras.tree.flatten((arguments, options))
    constants = step.call.constants
    # Keras may pass on more named arguments than were given; tensors come first.
    pairs = zip(flat, constants, strict=False)
    return [value for value, constant in pairs if constant is None and ops.is_tensor(value)]


def _check(scorer: Scorer, clip, score: float, nonlinearities: NDArray, steps) -> None:
    worst = int(nonlinearities.argmax())
    if nonlinearities[worst] > _TOLERANCE:
        kind = type(steps[worst].layer).__name__
        raise ValueError(
            "Expected layers that are linear or have a rule, to pass relevance on; "
            "attention_gradient and integrated_gradients need none. "
            f"Received: layer {steps[worst].name!r}, a {kind}."
        )
    own = float(scorer.scores(clip[None])[0])
    if abs(score - own) > _TOLERANCE * (1 + abs(own)):
        raise ValueError(
            "Expected attention computed as Keras does, without gates; attention_gradient and "
            "integrated_gradients need no rules. "
            f"Received: a network whose score is {own:g}, and {score:g} by the rules."
        )
