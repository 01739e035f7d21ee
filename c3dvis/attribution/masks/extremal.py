"""Extremal masks: for each area, the pixels that keep or remove the class.

STEP and extremal perturbations differ only in their energy. `method` turns an energy into a method;
the file of the method describes its energy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis.attribution.baselines import blur
from c3dvis.attribution.masks import perturbations
from c3dvis.attribution.masks.energies import VARIANTS, Energy, reward
from c3dvis.attribution.masks.generators import RadialMasks, SeparableMasks
from c3dvis.attribution.masks.search import MaskSearch, Plateau
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.text import unknown

AREAS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2)
"""Shares of the volume, as published."""

PUBLISHED_STEPS, FAST_STEPS = 2000, 60

# SGD at 0.05 with momentum and dampening 0.9, as PyTorch has it: all but the first step, which
# PyTorch does not dampen.
_PUBLISHED_OPTIMIZER = {"learning_rate": 0.05 * (1 - 0.9), "momentum": 0.9}
_FAST_OPTIMIZER = {"learning_rate": 0.05, "beta_2": 0.99}
# Share of the probability that a sufficient mask keeps, or removes.
_SUFFICIENT = 0.9
# Points of the path of the integrated gradients that the fast search begins with.
_POINTS = 8
_HALVINGS = 10
# A mask that shrinks keeps the class on its way; one that is too small at first may never find it.
_INITIAL_AREA_FACTOR = 2.0


def method(name: str, energy: Energy) -> Callable[..., Attribution]:
    """The method of this name that searches masks of the lowest energy.

    Args:
        name: Name of the method.
        energy: What its masks minimise.

    Returns:
        A function of a `Scorer` and a clip, whose docstring describes its options.
    """

    def attribute(
        scorer: Scorer,
        clip: NDArray[np.float32],
        *,
        variant: str = "preserve",
        areas: Sequence[float] = AREAS,
        perturbation: str = "blur",
        reference: bool = False,
        steps: int | None = None,
    ) -> Attribution:
        """The mean of masks of given areas that keep or remove the class.

        For each area, the search finds a mask that minimises the method's energy
        (`energies.Energy`). The published search begins with a mask of ones and takes 2000 small
        steps. By default the same energy falls faster: the search begins where integrated gradients
        along the blur are largest (`initial_grids`), takes 60 steps of Adam, over which the weights
        of the energy grow as over the 2000, and ends when the energy stops falling. Its masks are
        made of squarish discs, which are cheaper (`generators.SeparableMasks`). At the smallest
        areas its rewards can be lower than those of the published search, at others they are mostly
        higher.

        The heatmap is the mean of the masks, so a pixel ranks higher if smaller areas need it. It
        is blurred frame by frame by the radius of a mask's discs, as the inside of a disc would
        otherwise be a plateau without a highest point. Fong et al. add up and blur masks in the
        same way, by 0.09 of a frame's side, where they compare methods.

        With a network built under the dtype policy mixed_bfloat16, the search runs in bfloat16.

        Args:
            scorer: The network and the class. For any other objective, "probability" means how near
                its score is to the clip's, see `Scorer.calibrate`.
            clip: float32 `(T, H, W, C)` in [0, 1].
            variant: "preserve" keeps the class where only the mask's pixels are shown, "delete"
                removes it where they are hidden, "dual" does both.
            areas: Share of the mask's volume for each mask (of every frame for `extremal_2d`),
                rising, in (0, 1). The mask has a margin around the frame; `settings["covered"]`
                are the shares of the clip.
            perturbation: What a pixel becomes at mask 0: "blur", a pyramid of 8 levels up to 20
                pixels, or "fade", to black.
            reference: Whether to search as published.
            steps: Maximum number of steps; None means 60, or 2000 with `reference`.

        Returns:
            A heatmap from 0, in no mask, to 1, in those of all areas. `settings` hold for each area
            the class's probability with only the mask kept and with it removed, and the reward
            (log p, log(1 - p), or their sum). `perturbed` is the clip under the mask of
            `settings["area_shown"]`: the smallest that keeps nine tenths of the probability, or
            removes them (delete), or else the largest.

        Raises:
            ValueError: An unknown variant or perturbation, areas that are not rising numbers in
                (0, 1), fewer than 1 step, or a score that the perturbation doesn't change.
        """
        areas = _check(variant, areas, steps)
        steps = steps or (PUBLISHED_STEPS if reference else FAST_STEPS)
        levels = perturbations.pyramid(clip, perturbation)
        scorer.calibrate(levels[0], clip)
        probability = float(scorer.probabilities(clip[None])[0])
        search = mask_search(
            scorer, clip.shape, energy, areas=areas, variant=variant, reference=reference
        )
        search.load(levels)
        masks, steps_run = find_masks(search, scorer.unit_indices, steps=steps, reference=reference)
        kept, removed, clips = _evaluate_masks(scorer, search, masks)
        shown = _smallest_sufficient(kept, removed, probability, variant)
        settings = {
            "variant": variant,
            "areas": list(areas),
            "perturbation": perturbation,
            "reference": reference,
            "steps": steps_run,
            "probability": probability,
            "probability_kept": np.exp(kept[0]).tolist(),
            "probability_removed": np.exp(removed[0]).tolist(),
            "rewards": reward(kept[0], removed[1], variant).tolist(),
            "covered": masks.mean(axis=(1, 2, 3), dtype=np.float64).tolist(),
            "area_shown": areas[shown],
        }
        heatmap = combine_masks(masks, search.masks.sigma)
        score = float(scorer.scores(clip[None])[0])
        return Attribution(
            clip, heatmap, score, scorer.objective, name, settings, perturbed=clips[shown]
        )

    return attribute


def find_masks(
    search: MaskSearch, unit_indices: NDArray[np.int32], *, steps: int, reference: bool
) -> tuple[NDArray[np.float32], int]:
    """Searches masks for the loaded clip.

    Args:
        search: Made for the published search or for the fast one.
        unit_indices: The class, as `Scorer.unit_indices`.
        steps: Maximum number of steps.
        reference: Whether to search as published.

    Returns:
        float32 `(areas, T, H, W)` in [0, 1], and the number of steps run.
    """
    if reference:
        ones = np.ones(search.grid.shape, np.float32)
        return search.run(ones, unit_indices, np.arange(steps)), steps
    # The search begins where the published one is after a while, so all terms count from the start.
    iterations = np.linspace(search.energy.core_from + 1, PUBLISHED_STEPS, steps)
    plateau = Plateau()
    masks = search.run(initial_grids(search, unit_indices), unit_indices, iterations, [plateau])
    return masks, plateau.steps


def initial_grids(search: MaskSearch, unit_indices: NDArray[np.int32]) -> NDArray[np.float32]:
    """Grids of masks with twice their areas, which the search shrinks.

    Integrated gradients attribute the rise of the reward from the most perturbed clip to the clip
    itself to the cells of a grid; each mask holds the cells of the largest attributions.

    Args:
        search: With its clip loaded.
        unit_indices: The class, as `Scorer.unit_indices`.

    Returns:
        float32 `(areas, T, rows, columns)` in [0, 1].
    """
    cells = search.sensitivity(unit_indices, _POINTS)
    groups = len(cells) if search.energy.per_frame else 1
    ranks = _ranks(cells.reshape(groups, -1)).reshape(cells.shape)
    # Bisection, on a logarithmic scale, for the share of cells whose mask has the area.
    low, high = np.full(len(search.areas), 1 / cells.size), np.ones(len(search.areas))
    for _ in range(_HALVINGS):
        share = np.sqrt(low * high)
        grids = _top_cells(ranks, share)
        covered = ops.convert_to_numpy(search.masks(ops.convert_to_tensor(grids)))
        large = covered.mean(axis=(1, 2, 3)) > _INITIAL_AREA_FACTOR * np.array(search.areas)
        low, high = np.where(large, low, share), np.where(large, share, high)
    return grids


def combine_masks(masks: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Mean of masks `(areas, T, H, W)`, every frame blurred by `sigma` pixels; `(T, H, W)`."""
    return blur(masks.mean(axis=0)[..., None], sigma)[..., 0]


def mask_search(
    scorer: Scorer,
    shape: tuple[int, ...],
    energy: Energy,
    *,
    areas: tuple[float, ...] = AREAS,
    variant: str = "preserve",
    reference: bool = False,
) -> MaskSearch:
    """The compiled search for masks of clips `(T, H, W, C)`.

    The latest is kept for other clips, and for other classes of the same network.
    """
    kept: dict[tuple, MaskSearch] = scorer.cached("mask search", dict)
    key = (shape, areas, variant, energy, reference)
    if key not in kept:
        kept.clear()
        kept[key] = MaskSearch(
            scorer.shared,
            shape,
            areas=areas,
            variant=variant,
            energy=energy,
            masks=(RadialMasks if reference else SeparableMasks)((shape[1], shape[2])),
            exact=reference,
            optimizer=(
                keras.optimizers.SGD(**_PUBLISHED_OPTIMIZER)
                if reference
                else keras.optimizers.Adam(**_FAST_OPTIMIZER)
            ),
        )
    return kept[key]


def _check(variant: str, areas: Sequence[float], steps: int | None) -> tuple[float, ...]:
    """The areas as numbers; ValueError for wrong options."""
    if variant not in VARIANTS:
        raise unknown("a variant", variant, VARIANTS)
    if steps is not None and steps < 1:
        raise ValueError(f"Expected 1 step or more. Received: {steps}.")
    rising = sorted(set(areas)) == list(areas)
    if not len(areas) or not rising or not all(0 < area < 1 for area in areas):
        raise ValueError(f"Expected rising areas between 0 and 1. Received: {areas}.")
    return tuple(map(float, areas))


def _evaluate_masks(scorer: Scorer, search: MaskSearch, masks):
    """Log p and log(1 - p), `(2, areas)`, with only the masks' pixels and without; the clips."""
    both = ops.convert_to_tensor(np.concatenate([masks, 1 - masks]))
    clips = ops.convert_to_numpy(perturbations.blend(search.table, both))
    logs = np.stack(scorer.compute(scorer.shared.log_probabilities, clips))
    count = len(masks)
    shown = clips[count:] if search.variant == "delete" else clips[:count]
    return logs[:, :count], logs[:, count:], shown


def _smallest_sufficient(kept, removed, probability: float, variant: str) -> int:
    """Index of the smallest sufficient area, or else of the largest."""
    if variant == "delete":
        sufficient = np.exp(removed[0]) <= (1 - _SUFFICIENT) * probability
    else:
        sufficient = np.exp(kept[0]) >= _SUFFICIENT * probability
    return int(sufficient.argmax()) if sufficient.any() else len(sufficient) - 1


def _ranks(rows: NDArray) -> NDArray:
    """Ranks of the values of each row, as shares: above 0 for the smallest, 1 for the largest."""
    return (rows.argsort(axis=1).argsort(axis=1) + 1) / rows.shape[1]


def _top_cells(ranks: NDArray, shares: NDArray) -> NDArray[np.float32]:
    """Grids with a share of the highest cells on; a soft threshold keeps the gradient of others."""
    shares = shares.reshape(-1, 1, 1, 1)
    return np.clip(0.5 + (ranks - (1 - shares)) / shares, 0, 1).astype(np.float32)
