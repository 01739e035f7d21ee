"""Masks: generators against a plain loop, losses by hand, perturbations, the search's energy."""

import math

import numpy as np
import pytest
from keras import ops

from c3dvis.attribution.masks import energies, perturbations
from c3dvis.attribution.masks.extremal import _ranks, _top_cells
from c3dvis.attribution.masks.generators import (
    COLDNESS,
    MaskGenerator,
    RadialMasks,
    SeparableMasks,
    default_sigma,
)
from c3dvis.autodiff import value_and_gradient

GENERATORS = {"radial": RadialMasks, "separable": SeparableMasks}


def disc(distance):
    return math.exp(-2 * max(distance - 0.5, 0) ** 2)


def slow_max(values):
    weights = np.exp(COLDNESS * np.array(values))
    return float((np.array(values) * weights).sum() / weights.sum())


def read(grid, row, column):
    inside = 0 <= row < grid.shape[0] and 0 <= column < grid.shape[1]
    return float(grid[row, column]) if inside else 0.0


def around(position, step, sigma):
    """The cells that a pixel of the padded mask reads along one axis."""
    reach = 1 + math.ceil(sigma / step)
    first = position // step - (1 + math.ceil(2 * sigma / step))
    return range(first, first + 2 * reach + 1)


def slow_radial(grid, padded, step, sigma):
    mask = np.zeros(padded)
    for y, x in np.ndindex(*padded):
        mask[y, x] = slow_max(
            [
                read(grid, i, j)
                * disc(math.hypot(y - sigma - step * i, x - sigma - step * j) / sigma)
                for i in around(y, step, sigma)
                for j in around(x, step, sigma)
            ]
        )
    return mask


def slow_separable(grid, padded, step, sigma):
    mask = np.zeros(padded)
    for y, x in np.ndindex(*padded):
        column = []
        for i in around(y, step, sigma):
            row = [
                read(grid, i, j) * disc(abs(x - sigma - step * j) / sigma)
                for j in around(x, step, sigma)
            ]
            inside = 0 <= i < grid.shape[0]
            column.append(
                (slow_max(row) if inside else 0) * disc(abs(y - sigma - step * i) / sigma)
            )
        mask[y, x] = slow_max(column)
    return mask


@pytest.mark.parametrize("kind, slow", [("radial", slow_radial), ("separable", slow_separable)])
@pytest.mark.parametrize("step, sigma", [(4, 3), (3, 5)])
def test_masks_are_those_of_a_plain_loop(kind, slow, step, sigma):
    masks = GENERATORS[kind]((9, 14), step=step, sigma=sigma)
    grids = np.random.default_rng(0).random((2, *masks.grid), np.float32)
    drawn = ops.convert_to_numpy(masks(grids))
    for grid, mask in zip(grids, drawn, strict=True):
        np.testing.assert_allclose(mask, slow(grid, masks.padded, step, sigma), atol=1e-5)


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_cell_makes_a_disc_where_it_stands(kind):
    masks = GENERATORS[kind]((20, 24), step=4, sigma=4)
    grid = np.zeros(masks.grid, np.float32)
    grid[2, 3] = 1
    mask = ops.convert_to_numpy(masks.crop(masks(grid[None])))[0]
    assert mask.shape == (20, 24)
    # Its flat top, and its height at a distance of one sigma.
    np.testing.assert_allclose(mask[8, 10:15], 1, atol=1e-3)
    np.testing.assert_allclose(mask[8, [8, 16]], math.exp(-0.5), atol=2e-2)
    assert mask[8, 21] < 0.05


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_disc_at_the_edge_has_the_area_of_one_in_the_middle(kind):
    masks = GENERATORS[kind]((24, 24), step=4, sigma=4)
    grids = np.zeros((3, *masks.grid), np.float32)
    grids[0, 0, 0] = grids[1, 0, 3] = grids[2, 3, 3] = 1
    corner, edge, middle = ops.convert_to_numpy(masks(grids)).sum(axis=(1, 2))
    # But for what of its slope lies beyond the margin; without one, half of it would be left.
    np.testing.assert_allclose([corner, edge], middle, rtol=0.1)


@pytest.mark.parametrize("side, sigma", [(112, 11), (224, 23), (64, 6), (24, 2), (4, 1), (448, 46)])
def test_the_radius_is_the_published_share_of_a_frame(side, sigma):
    assert default_sigma(side, 2 * side) == sigma


def test_the_published_sizes():
    assert MaskGenerator((112, 112)).grid == (16, 16)
    assert MaskGenerator((112, 112)).padded == (134, 134)
    assert MaskGenerator((224, 224), sigma=23).grid == (32, 32)


@pytest.mark.parametrize("exact", [True, False])
def test_the_area_loss_by_hand(exact):
    masks = np.array([[0.25, 1, 0, 0.5], [1, 1, 1, 1], [0, 0, 0, 0]], np.float32)
    losses = energies.area_loss(masks, [0.25, 0.5, 0.75], exact=exact)
    by_hand = [(0.0625 + 0.25) / 4, 2 / 4, 3 / 4]
    np.testing.assert_allclose(losses, by_hand, atol=1e-6)


@pytest.mark.parametrize("kind", ["noise", "smooth", "few values"])
def test_the_histogram_gives_the_loss_of_the_sort(kind):
    values = np.random.default_rng(1).random((3, 5000), np.float32)
    if kind == "smooth":
        values = values**8
    if kind == "few values":
        values = np.round(4 * values) / 4
    areas = (0.01, 0.1, 0.6)
    exact = energies.area_loss(values, areas, exact=True)
    np.testing.assert_allclose(energies.area_loss(values, areas), exact, atol=1e-5)


def test_the_histogram_gives_the_gradient_of_the_sort():
    values = np.random.default_rng(2).random((2, 4000), np.float32)
    exact, fast = (
        ops.convert_to_numpy(
            value_and_gradient(lambda v, e=e: energies.area_loss(v, [0.1, 0.5], exact=e))(values)[1]
        )
        for e in (True, False)
    )
    borders = np.sort(values)[[0, 1], [-400, -2000]][:, None]
    away = np.abs(values - borders) > 1 / 2048
    assert away.mean() > 0.998
    np.testing.assert_allclose(fast[away], exact[away], atol=1e-9)
    # By hand: half of the values of the second row are to be one.
    template = values >= borders
    np.testing.assert_allclose(exact, 2 * (values - template) / 4000, atol=1e-9)


def test_the_core_loss_by_hand():
    masks = np.zeros((1, 2, 3, 6), np.float32)
    masks[0, 0, 1, 1] = 1.0  # the centre of the first of four tiles
    core = (1, 3, 3)
    assert energies.ellipsoid(core).tolist() == [[[0, 1, 0], [1, 1, 1], [0, 1, 0]]]
    # Means are 1/5, 0, 0, 0. The ellipsoid counts as int(9 * 0.5236) = 4 pixels: an area of 0.2 of
    # 36 pixels is 8 of them.
    loss = float(energies.core_loss(masks, [0.2], core=core)[0])
    assert loss == pytest.approx(((1 / 5 - 1) ** 2 + 1) / 2, abs=1e-6)
    # And 0.1 is one: the others are as they should be.
    assert float(energies.core_loss(masks, [0.1], core=core)[0]) == pytest.approx(0.64)


def test_one_solid_core_costs_less_than_scattered_pixels():
    solid = np.zeros((1, 9, 33, 33), np.float32)
    solid[0, 1:8, 11:22, 11:22] = energies.ellipsoid(energies.CORE)
    scattered = solid.reshape(-1)[np.random.default_rng(0).permutation(solid.size)]
    area = [solid.mean()]
    losses = [
        float(energies.core_loss(mask.reshape(solid.shape), area)[0]) for mask in (solid, scattered)
    ]
    assert losses[0] < 0.6 * losses[1]


def test_the_ellipsoid_has_the_volume_of_one():
    assert energies.ellipsoid((81, 81, 81)).mean() == pytest.approx(math.pi / 6, rel=0.05)


CLIP = np.random.default_rng(3).random((3, 10, 12, 2), np.float32)


@pytest.mark.parametrize("kind", ["blur", "fade"])
def test_a_mask_of_ones_is_the_clip_and_of_zeros_the_strongest_level(kind):
    levels = perturbations.pyramid(CLIP, kind)
    assert levels.shape == (8, *CLIP.shape) and levels.dtype == np.float32
    table = ops.convert_to_tensor(perturbations.level_table(levels))
    masks = np.stack([np.ones(CLIP.shape[:3]), np.zeros(CLIP.shape[:3])]).astype(np.float32)
    clips = ops.convert_to_numpy(perturbations.blend(table, ops.convert_to_tensor(masks)))
    np.testing.assert_allclose(clips, [CLIP, levels[0]], atol=1e-6)


def test_between_two_levels_a_mask_mixes_them():
    levels = perturbations.pyramid(CLIP, "blur", levels=5)
    table = ops.convert_to_tensor(perturbations.level_table(levels))
    masks = np.full((1, *CLIP.shape[:3]), 0.35, np.float32)  # 0.4 of the way from level 1 to 2
    clips = ops.convert_to_numpy(perturbations.blend(table, ops.convert_to_tensor(masks)))
    np.testing.assert_allclose(clips[0], 0.6 * levels[1] + 0.4 * levels[2], atol=1e-5)


def test_fading_is_multiplying():
    table = ops.convert_to_tensor(perturbations.level_table(perturbations.pyramid(CLIP, "fade")))
    masks = np.random.default_rng(4).random((2, *CLIP.shape[:3]), np.float32)
    clips = ops.convert_to_numpy(perturbations.blend(table, ops.convert_to_tensor(masks)))
    np.testing.assert_allclose(clips, CLIP * masks[..., None], atol=1e-6)


def test_each_level_is_less_blurred_than_the_one_before():
    levels = perturbations.pyramid(CLIP, "blur")
    detail = np.abs(np.diff(levels, axis=2)).mean(axis=(1, 2, 3, 4))
    assert np.all(np.diff(detail) > 0)
    np.testing.assert_allclose(levels.mean(axis=(1, 2, 3, 4)), CLIP.mean(), atol=0.02)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kind": "blurr"}, "Expected a perturbation, such as 'blur'. Received: 'blurr'"),
        ({"kind": "noise"}, "Expected a perturbation, such as 'blur', 'fade'"),
    ],
)
def test_wrong_perturbations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        perturbations.pyramid(CLIP, **options)


def test_the_start_holds_the_highest_cells():
    ranks = _ranks(np.array([[3.0, -1.0, 5.0, 4.0]]))
    np.testing.assert_allclose(ranks, [[0.5, 0.25, 1.0, 0.75]])
    chosen = _top_cells(ranks.reshape(1, 2, 2), np.array([0.5]))
    np.testing.assert_allclose(chosen.reshape(-1), [0.5, 0, 1, 1])
