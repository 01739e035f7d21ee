"""Attention weighted by its gradient: where the attention that raises the score leads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution import attention
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.models.tokens import Grid


def attribute(
    scorer: Scorer, clip: NDArray[np.float32], *, grid: Grid | None = None
) -> Attribution:
    """Positive part of attention times its gradient, averaged over heads, layer by layer.

    `A' = I + mean over heads of max(0, A * dscore/dA)`, and the layers' matrices multiplied. It
    starts from the tokens that the score reads after the last attention. The paper's rules for
    encoders that read each other (co-attention) are not used: each attention passes relevance from
    queries to keys.

    Args:
        scorer: The network, with `keras.layers.MultiHeadAttention`, and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        grid: Frames, rows and columns of the patches; None finds the patch embedding.

    Returns:
        A heatmap that is not negative, on the patches' grid. The settings hold the grid and the
        layers.

    Raises:
        ValueError: A network without attention, or whose tokens can't be followed.

    Chefer et al. 2021, "Generic Attention-model Explainability for Interpreting Bi-Modal and
    Encoder-Decoder Transformers", https://arxiv.org/abs/2103.15679
    """
    network_attention = attention.read_attention(scorer, clip, grid)
    relevance = propagated(network_attention)
    return attention.to_attribution(
        scorer, clip, network_attention, relevance, "attention_gradient"
    )


def propagated(network_attention: attention.NetworkAttention) -> NDArray[np.float64]:
    """The relevance of each token, float64 `(tokens,)` by id."""
    relevance = network_attention.initial_relevance
    for layer in reversed(network_attention.attentions):
        helpful = np.maximum(layer.weights * layer.gradient, 0).mean(axis=1)
        rows = np.einsum("bq,bqk->bk", relevance[layer.queries], helpful)
        relevance = relevance.copy()
        np.add.at(relevance, layer.keys, rows)
    return relevance
