"""The published search of STEP, restated step by step: what the package's own is measured against.

Every part is written as the paper's authors run it (2000 iterations, a sort of all mask values, a
patch of cells read for every pixel, stochastic gradient descent whose first step is not dampened),
as plainly as possible and sharing no code with `c3dvis.attribution`, so that the tests can hold one
against the other. Only the perturbed clips are made alike: their blur repeats the edges.

Li et al. 2021, "Towards Visually Explaining Video Understanding Networks with Perturbation",
https://arxiv.org/abs/2005.00375
"""

import math

import numpy as np
from keras import ops

ITERATIONS = 2000
LEARNING_RATE, MOMENTUM = 0.05, 0.9
AREA_WEIGHT, AREA_GROWTH = 300.0, 1.0008668
CORE_WEIGHT, CORE_FROM = 300.0, 100
CORE = (7, 11, 11)


def pad_plan(length: int, step: int, sigma: int) -> dict[str, int]:
    """Sizes along one axis of a frame: of the grid, of the padded mask, and what lies between."""
    padding = 1 + math.ceil(2 * sigma / step)
    radius = 1 + math.ceil(sigma / step)
    cells = math.ceil(length / step)
    middle = cells + 2 * padding - 2 * radius
    return {
        "padding": padding,
        "taps": 2 * radius + 1,
        "cells": cells,
        "middle": middle,
        "out": step * middle - step + 1,
    }


def kernel(size: tuple[int, int], step: int, sigma: int) -> np.ndarray:
    """What each of the cells around it counts for a pixel, `(taps ** 2, *padded)`."""
    plans = [pad_plan(length, step, sigma) for length in size]
    rows, columns = np.indices([plan["out"] for plan in plans])
    weights = []
    for down in range(plans[0]["taps"]):
        for across in range(plans[1]["taps"]):
            row = rows // step + down - plans[0]["padding"]
            column = columns // step + across - plans[1]["padding"]
            distance = np.hypot(rows - (sigma + step * row), columns - (sigma + step * column))
            weights.append(np.exp(-2 * np.maximum(distance / sigma - 0.5, 0) ** 2))
    return np.stack(weights).astype(np.float32)


def masks(grids, size: tuple[int, int], step: int, sigma: int, weights: np.ndarray):
    """Grids `(N, rows, columns)` to masks with margins `(N, *padded)`."""
    plans = [pad_plan(length, step, sigma) for length in size]
    around = [(plan["padding"], plan["padding"]) for plan in plans]
    padded = ops.pad(grids, [(0, 0), *around])
    high, wide = (plan["middle"] for plan in plans)
    values = []
    for down in range(plans[0]["taps"]):
        for across in range(plans[1]["taps"]):
            patch = padded[:, down : down + high, across : across + wide]
            patch = ops.repeat(ops.repeat(patch, step, axis=1), step, axis=2)
            values.append(patch[:, : plans[0]["out"], : plans[1]["out"]])
    values = ops.stack(values, axis=1) * weights
    return ops.clip(ops.sum(values * ops.softmax(20 * values, axis=1), axis=1), 0, 1)


def area_term(padded, areas):
    """Squared distance of the sorted values to the template of each area; `(A, values)` in."""
    count = padded.shape[1]
    template = np.ones((len(areas), count), np.float32)
    for row, area in zip(template, areas, strict=True):
        row[: int(count * (1 - area))] = 0
    return ops.mean((ops.sort(padded, axis=1) - template) ** 2, axis=1)


def core_term(padded, areas):
    """The core loss of masks `(A, T, H, W)`, by a strided convolution with an ellipsoid."""
    line = [np.linspace(-1, 1, n) for n in CORE]
    distance = np.sqrt(sum(axis**2 for axis in np.meshgrid(*line, indexing="ij")))
    ball = (distance <= 1).astype(np.float32)
    means = ops.conv(padded[..., None], ball[..., None, None] / ball.sum(), strides=(1, *CORE[1:]))
    flat = ops.flip(ops.sort(ops.reshape(means, (len(areas), -1)), axis=1), axis=1)
    inside = int(math.prod(CORE) * 0.5236)
    losses = []
    for row, area in enumerate(areas):
        top = math.ceil(area * math.prod(padded.shape[1:]) / inside)
        first, rest = flat[row, :top], flat[row, top:]
        losses.append(ops.mean((first - 1) ** 2) + ops.mean(rest**2))
    return ops.stack(losses)


def perturbed(levels, mask):
    """Clips `(A, T, H, W, C)`: at every pixel, two neighbours of the pyramid's levels mixed."""
    last = levels.shape[0] - 1
    height = mask * last
    low = ops.floor(height)
    share = (height - low)[..., None]
    low = ops.cast(low, "int32")
    high = ops.minimum(low + 1, last)
    whole = ops.broadcast_to(levels[None], (mask.shape[0], *levels.shape))

    def level(index):
        index = ops.broadcast_to(index[:, None, ..., None], (*whole[:, :1].shape,))
        return ops.take_along_axis(whole, index, axis=1)[:, 0]

    return (1 - share) * level(low) + share * level(high)


def energies(log_probabilities, levels, grid, areas, iteration, *, variant, step, sigma, weights):
    """Energies `(A,)` at an iteration of grids `(A, T, rows, columns)`.

    Args:
        log_probabilities: Function of clips that gives log p and log(1 - p) of the class.
        levels: The clip's pyramid, `(L, T, H, W, C)`.
        grid: What is searched, in [0, 1].
        areas: Shares of ones, `(A,)`.
        iteration: From 0.
        variant: "preserve" or "delete".
        step: Pixels from cell to cell.
        sigma: Radius of a disc in pixels.
        weights: From `kernel`.
    """
    frames, size = levels.shape[1], tuple(levels.shape[2:4])
    flat = ops.reshape(grid, (-1, *grid.shape[2:]))
    padded = masks(flat, size, step, sigma, weights)
    padded = ops.reshape(padded, (len(areas), frames, *padded.shape[1:]))
    mask = padded[:, :, sigma : sigma + size[0], sigma : sigma + size[1]]
    if variant == "preserve":
        reward = -log_probabilities(perturbed(levels, mask))[0]
    else:
        reward = -log_probabilities(perturbed(levels, 1 - mask))[1]
    weight = AREA_WEIGHT * AREA_GROWTH**iteration
    area = area_term(ops.reshape(padded, (len(areas), -1)), areas)
    core = CORE_WEIGHT * ops.cast(iteration > CORE_FROM, "float32") * core_term(padded, areas)
    return reward + weight * area + core


def search(step_of, grid: np.ndarray, iterations: int = ITERATIONS) -> np.ndarray:
    """Descends from a grid of ones, as PyTorch's SGD does with momentum and dampening.

    Args:
        step_of: Function of `(grid, iteration)` that gives the energies and their sum's gradient.
        grid: Where to begin.
        iterations: How many steps.

    Returns:
        The grid after them.
    """
    speed = None
    for iteration in range(iterations):
        gradient = np.asarray(step_of(grid, np.float32(iteration))[1])
        speed = gradient if speed is None else MOMENTUM * speed + (1 - MOMENTUM) * gradient
        grid = np.clip(grid - LEARNING_RATE * speed, 0, 1).astype(np.float32)
    return grid
