"""Clips made for planted units, with every parametrization and setting, and what they show."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np
from planted_judge import Found, judge
from planted_networks import FRAMES, KINDS, SIZE, SPEEDS, Planted

from c3dvis.maximize import Maximizer, parametrizations, scores, slow_to_fast, transforms

DRIFTING, LINEAR = tuple(SPEEDS), tuple(kind for kind in KINDS if kind.startswith("linear"))


def recover(planted: Planted, *, steps: int | None = None, seed: int = 0, **options) -> list[Found]:
    """Makes a clip for every unit of a network and judges it.

    Args:
        planted: The network and its units.
        steps: Of the optimizer; None is the default of `Maximizer.make`.
        seed: The same seed makes the same clips.
        **options: Those of `Maximizer`.
    """
    best = scores(planted.network, planted.objective, np.stack([u.best for u in planted.units]))
    given = {} if steps is None else {"steps": steps}
    made = Maximizer(planted.network, planted.objective, **options).make(seed=seed, **given)
    return [
        judge(unit, one.clip, one.score / float(best[i, i]))
        for i, (unit, one) in enumerate(zip(planted.units, made, strict=True))
    ]


def variants(
    names: Sequence[str],
) -> Iterator[tuple[str, str | parametrizations.Parametrization]]:
    """Every parametrization as it is by default, and MaCo with time held and free."""
    for name in names:
        yield name, name
        made = parametrizations.build(name)
        if isinstance(made, parametrizations.MaCo):
            other = not made.hold_time
            label = f"{name}, time {'held' if other else 'free'}"
            yield label, parametrizations.MaCo(hold_time=other)


def controls(networks: Sequence[Planted], *, seed: int = 0) -> dict[str, list[Found]]:
    """What the measures say of the optima themselves, and of clips of white noise."""
    draw = np.random.default_rng(seed)
    found: dict[str, list[Found]] = {"(planted optimum)": [], "(white noise)": []}
    for planted in networks:
        best = np.stack([unit.best for unit in planted.units])
        groups = best, draw.random(best.shape, np.float32)
        table = scores(planted.network, planted.objective, np.concatenate(groups))
        top, noise = (np.diag(part) for part in np.split(table, 2))
        for label, clips, own in zip(found, groups, (top, noise), strict=True):
            for unit, clip, score in zip(planted.units, clips, own / top, strict=True):
                found[label].append(judge(unit, clip, float(score)))
    return found


def turn_knob(networks: Sequence[Planted], *, steps: int | None = None, seed: int = 0) -> list:
    """What the slow/fast knob makes of the drifting units: a row a weight, heaviest first.

    Returns:
        For each weight the weight, what was found, and the medians of the temporal energy and of
        the score over those of the free clip.
    """
    given = {} if steps is None else {"steps": steps}
    rows: dict[float, list] = {}
    for planted in networks:
        if planted.units[0].kind not in SPEEDS:
            continue
        made = slow_to_fast(planted.network, planted.objective, seed=seed, **given)
        free = made.weights.index(0.0)
        for i, weight in enumerate(made.weights):
            rows.setdefault(weight, []).extend(
                (
                    judge(unit, made.clips[i, k], float("nan")),
                    made.energies[i, k] / made.energies[free, k],
                    made.scores[i, k] / made.scores[free, k],
                )
                for k, unit in enumerate(planted.units)
            )
    table = []
    for weight in sorted(rows, reverse=True):
        found, energies, points = zip(*rows[weight], strict=True)
        table.append((weight, found, float(np.median(energies)), float(np.median(points))))
    return table


def try_other_settings(
    names: Sequence[str], networks: Sequence[Planted], *, steps: int | None = None, seed: int = 0
) -> list[tuple[str, str, str, list[Found]]]:
    """What settings besides the defaults mend or spoil, on the kinds of units that they are for.

    Returns:
        For each the parametrization, the setting, the kind of units and what was found.
    """
    return [
        (name, label, kind, recover(planted, **{"steps": steps, "seed": seed, **options}))
        for name in names
        for label, kinds, options in _other_settings(name)
        for planted in networks
        if (kind := planted.units[0].kind) in kinds
    ]


def _other_settings(name: str) -> list[tuple[str, tuple[str, ...], dict]]:
    steady = [
        one
        for one in transforms.default(FRAMES, *SIZE)
        if not isinstance(one, transforms.TemporalJitter)
    ]
    common = {"parametrization": name}
    each_weight = keras.optimizers.AdamW(0.1, weight_decay=0.1, beta_2=0.99)
    return [
        ("AdamW, one step size a weight", DRIFTING, {**common, "optimizer": each_weight}),
        ("independent colours", ("colour",), {**common, "colours": "independent"}),
        ("no temporal jitter", LINEAR, {**common, "transforms": steady}),
        ("no transforms", LINEAR, {**common, "transforms": []}),
    ]
