"""Synthetic clips of planted units, with every parametrization and setting, and their recovery."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np
from planted_judge import Recovery, judge
from planted_networks import FRAMES, KINDS, SIZE, SPEEDS, Planted

from c3dvis.maximize import Maximizer, parametrizations, scores, slow_to_fast, transforms

DRIFTING, LINEAR = tuple(SPEEDS), tuple(kind for kind in KINDS if kind.startswith("linear"))


def recover(
    planted: Planted, *, steps: int | None = None, seed: int = 0, **options
) -> list[Recovery]:
    """Makes a clip for every unit of a network and judges it.

    Args:
        planted: The network and its units.
        steps: Steps of the optimizer; None is the default of `Maximizer.make`.
        seed: The same seed makes the same clips.
        **options: Options of `Maximizer`.
    """
    best = scores(planted.network, planted.objective, np.stack([u.best for u in planted.units]))
    given = {} if steps is None else {"steps": steps}
    results = Maximizer(planted.network, planted.objective, **options).make(seed=seed, **given)
    return [
        judge(unit, result.clip, result.score / float(best[i, i]))
        for i, (unit, result) in enumerate(zip(planted.units, results, strict=True))
    ]


def variants(
    names: Sequence[str],
) -> Iterator[tuple[str, str | parametrizations.Parametrization]]:
    """Every parametrization as it is by default, and MaCo with time held and free."""
    for name in names:
        yield name, name
        parametrization = parametrizations.build(name)
        if isinstance(parametrization, parametrizations.MaCo):
            other = not parametrization.hold_time
            label = f"{name}, time {'held' if other else 'free'}"
            yield label, parametrizations.MaCo(hold_time=other)


def controls(networks: Sequence[Planted], *, seed: int = 0) -> dict[str, list[Recovery]]:
    """The recoveries of the optima themselves, and of white noise."""
    rng = np.random.default_rng(seed)
    recoveries: dict[str, list[Recovery]] = {"(planted optimum)": [], "(white noise)": []}
    for planted in networks:
        best = np.stack([unit.best for unit in planted.units])
        groups = best, rng.random(best.shape, np.float32)
        table = scores(planted.network, planted.objective, np.concatenate(groups))
        top, noise = (np.diag(part) for part in np.split(table, 2))
        for label, clips, own in zip(recoveries, groups, (top, noise), strict=True):
            for unit, clip, score in zip(planted.units, clips, own / top, strict=True):
                recoveries[label].append(judge(unit, clip, float(score)))
    return recoveries


def turn_knob(networks: Sequence[Planted], *, steps: int | None = None, seed: int = 0) -> list:
    """The clips of the drifting units under a range of temporal penalties, strongest first.

    Returns:
        For each weight: the weight, the recoveries, and the medians of the temporal energy and of
        the score over those of the free clip.
    """
    given = {} if steps is None else {"steps": steps}
    rows: dict[float, list] = {}
    for planted in networks:
        if planted.units[0].kind not in SPEEDS:
            continue
        path = slow_to_fast(planted.network, planted.objective, seed=seed, **given)
        free = path.weights.index(0.0)
        for i, weight in enumerate(path.weights):
            rows.setdefault(weight, []).extend(
                (
                    judge(unit, path.clips[i, k], float("nan")),
                    path.energies[i, k] / path.energies[free, k],
                    path.scores[i, k] / path.scores[free, k],
                )
                for k, unit in enumerate(planted.units)
            )
    table = []
    for weight in sorted(rows, reverse=True):
        recoveries, energies, points = zip(*rows[weight], strict=True)
        table.append((weight, recoveries, float(np.median(energies)), float(np.median(points))))
    return table


def try_other_settings(
    names: Sequence[str], networks: Sequence[Planted], *, steps: int | None = None, seed: int = 0
) -> list[tuple[str, str, str, list[Recovery]]]:
    """Recoveries with other settings than the defaults, on the kinds of units that they are for.

    Returns:
        Tuples of parametrization, setting, kind of units, and recoveries.
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
