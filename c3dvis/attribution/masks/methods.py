"""What extremal perturbations and STEP share: from a clip by masks of its areas to a heatmap."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from c3dvis import autodiff
from c3dvis.attribution.baselines import blur
from c3dvis.attribution.masks import perturbations
from c3dvis.attribution.masks.generators import RadialMasks, SeparableMasks
from c3dvis.attribution.masks.search import VARIANTS, Energy, MaskSearch, Plateau
from c3dvis.attribution.masks.start import start
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
# Share of the probability that the clip shown has to keep, or to lose.
_ENOUGH = 0.9


def explain(
    scorer: Scorer,
    clip: NDArray[np.float32],
    *,
    method: str,
    energy: Energy,
    variant: str,
    areas: Sequence[float],
    perturbation: str,
    reference: bool,
    steps: int | None,
) -> Attribution:
    """Searches a mask for every area and tells what all of them together show.

    See `step.attribute` for the options. The heatmap is the mean of the masks, so that a pixel
    ranks the higher the smaller the areas that need it, blurred frame by frame by the radius of a
    mask's discs: the inside of a disc would be a plateau without a highest point. Fong et al. add
    up and blur masks in the same way, by 0.09 of a frame's side, where they compare methods.
    """
    areas = _checked(variant, areas, steps)
    steps = steps or (PUBLISHED_STEPS if reference else FAST_STEPS)
    levels = perturbations.pyramid(clip, perturbation)
    probability = float(scorer.probabilities(clip[None])[0])  # refuses what has none
    search = search_for(
        scorer, clip.shape, energy, areas=areas, variant=variant, reference=reference
    )
    search.load(levels)
    masks, taken = find_masks(search, scorer.columns, steps=steps, reference=reference)
    kept, removed, clips = _judged(scorer, search, masks)
    shown = _shown(kept, removed, probability, variant)
    settings = {
        "variant": variant,
        "areas": list(areas),
        "perturbation": perturbation,
        "reference": reference,
        "steps": taken,
        "probability": probability,
        "probability_kept": np.exp(kept[0]).tolist(),
        "probability_removed": np.exp(removed[0]).tolist(),
        "rewards": _rewards(kept, removed, variant).tolist(),
        "covered": masks.mean(axis=(1, 2, 3), dtype=np.float64).tolist(),
        "area_shown": areas[shown],
    }
    heatmap = together(masks, search.masks.sigma)
    score = float(scorer.scores(clip[None])[0])
    return Attribution(
        clip, heatmap, score, scorer.objective, method, settings, perturbed=clips[shown]
    )


def find_masks(
    search: MaskSearch, columns: NDArray[np.int32], *, steps: int, reference: bool
) -> tuple[NDArray[np.float32], int]:
    """Searches the masks of the clip that was loaded.

    Args:
        search: Made for the published search or for the fast one.
        columns: Which class, as a `Scorer` gives it.
        steps: Most steps.
        reference: Search as published.

    Returns:
        float32 `(areas, T, H, W)` in [0, 1], and the number of steps taken.
    """
    if reference:
        ones = np.ones(search.grid.shape, np.float32)
        return search.run(ones, columns, np.arange(steps)), steps
    # As it begins where the published search is after a while, all terms count at once.
    iterations = np.linspace(search.energy.core_from + 1, PUBLISHED_STEPS, steps)
    plateau = Plateau()
    masks = search.run(start(search, columns), columns, iterations, [plateau])
    return masks, plateau.steps


def together(masks: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Mean of masks `(areas, T, H, W)`, every frame blurred by `sigma` pixels; `(T, H, W)`."""
    return blur(masks.mean(axis=0)[..., None], sigma)[..., 0]


def _checked(variant: str, areas: Sequence[float], steps: int | None) -> tuple[float, ...]:
    """The areas as numbers, or what is wrong with the options."""
    if variant not in VARIANTS:
        raise unknown("a variant", variant, VARIANTS)
    if steps is not None and steps < 1:
        raise ValueError(f"Expected 1 step or more. Received: {steps}.")
    found = tuple(float(area) for area in areas)
    if not found or not all(0 < area < 1 for area in found) or sorted(set(found)) != list(found):
        raise ValueError(f"Expected rising areas between 0 and 1. Received: {areas}.")
    return found


def search_for(
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
    kept: dict[tuple, MaskSearch] = scorer.compiled("mask search", dict)
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


def _judged(scorer: Scorer, search: MaskSearch, masks):
    """Log p and log(1 - p), `(2, areas)`, with only the masks' pixels and without; the clips."""
    run = scorer.compiled(
        "log probabilities",
        lambda: autodiff.compiled(
            scorer.shared.log_probabilities, variables=scorer.shared.tap.variables
        ),
    )
    both = ops.convert_to_tensor(np.concatenate([masks, 1 - masks]))
    clips = ops.convert_to_numpy(perturbations.blend(search.table, both))
    logs = np.stack(scorer.in_batches(run, clips))
    count = len(masks)
    shown = clips[count:] if search.variant == "delete" else clips[:count]
    return logs[:, :count], logs[:, count:], shown


def _rewards(kept, removed, variant: str) -> NDArray[np.float32]:
    if variant == "dual":
        return kept[0] + removed[1]
    return kept[0] if variant == "preserve" else removed[1]


def _shown(kept, removed, probability: float, variant: str) -> int:
    """The smallest area that is enough, or else the largest."""
    if variant == "delete":
        enough = np.exp(removed[0]) <= (1 - _ENOUGH) * probability
    else:
        enough = np.exp(kept[0]) >= _ENOUGH * probability
    return int(enough.argmax()) if enough.any() else len(enough) - 1
