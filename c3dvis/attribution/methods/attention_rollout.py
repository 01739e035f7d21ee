"""Attention rollout: attention weights, multiplied from the score back to the patches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3dvis.attribution import attention
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.models.tokens import Grid

# The residual connection's share of a token, as published.
_OWN = 0.5


def attribute(
    scorer: Scorer, clip: NDArray[np.float32], *, grid: Grid | None = None
) -> Attribution:
    """Attention, averaged over heads and multiplied from layer to layer, half of it residual.

    `A' = A / 2 + I / 2` for each layer; tokens that a layer leaves out, such as the class token in
    divided attention, are unchanged. It starts from the tokens that the score reads after the last
    attention. It shows where the network looks, not evidence for a class: the objective only
    selects the tokens read at the end.

    Args:
        scorer: The network, with `keras.layers.MultiHeadAttention`, and the objective.
        clip: float32 `(T, H, W, C)` in [0, 1].
        grid: Frames, rows and columns of the patches; None finds the patch embedding.

    Returns:
        A non-negative heatmap of shares on the patches' grid; all patches and class tokens sum to
        1. The settings hold the grid and the layers.

    Raises:
        ValueError: A network without attention, or whose tokens can't be followed.

    Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers",
    https://arxiv.org/abs/2005.00928
    """
    network_attention = attention.read_attention(scorer, clip, grid)
    relevance = rolled_out(network_attention)
    return attention.to_attribution(scorer, clip, network_attention, relevance, "attention_rollout")


def rolled_out(network_attention: attention.NetworkAttention) -> NDArray[np.float64]:
    """The relevance of each token, float64 `(tokens,)` by id; its sum is 1."""
    relevance = network_attention.initial_relevance
    for layer in reversed(network_attention.attentions):
        times = np.bincount(layer.queries.ravel(), minlength=len(relevance))
        # A class token may attend in several rows, one per frame: its share is split among them.
        passed_on = (1 - _OWN) * relevance / np.maximum(times, 1)
        relevance = np.where(times > 0, _OWN * relevance, relevance)
        rows = np.einsum("bq,bqk->bk", passed_on[layer.queries], layer.weights.mean(axis=1))
        np.add.at(relevance, layer.keys, rows)
    return relevance
