"""The page that benchmarks/planted.py writes, from what it measured."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from c3dvis.text import table

_HEAD = """\
# Planted truth: do synthetic clips show what a unit prefers?

Written by `python benchmarks/planted.py{options}`.

The networks here are not trained. Their filters are drifting Gabors of known direction, speed,
spatial frequency and colour, so the optimal stimulus of each unit is known in advance: a wave of
those parameters at full contrast. Gradient ascent from these optima finds nothing better, and from
noise it never ends more than 1 % above them (both are tests). Clips are synthesized with the
default settings of `Maximizer`, {frames} frames of {size[0]} x {size[1]} pixels.

| units | number | planted |
| --- | --- | --- |
{units}

Energy units sum the squares of two filters in quadrature, averaged over the clip, so the phase is
free. Linear units are one filter at one position, so phase and position matter.
Flicker units are the product of the energies of two opposite directions. The order classes are the
energy of one direction times that of the other 8 frames later.

**Recovered** means direction within 10 degrees, speed within 10 %, colour within 10 degrees and an
overlap of at least 0.9, for both events where there are two. Direction, speed and the two
frequencies are those of the highest peak of the clip's power spectrum, computed in windows of the
size of the filters. **Overlap** is the cosine between the power spectra of the synthetic clip and
of the planted optimum in such windows, and **shared** is their intersection, the share of power at
the same frequencies; initial noise and other patterns that the unit ignores lower the second much
more than the first. Flicker has an orientation and no direction. **Score** is that of the synthetic
clip over that of the planted optimum.
"""


def page(
    recoveries: Mapping[str, Sequence], *, knob: Sequence, others: Sequence, settings: Mapping
) -> str:
    """The whole page.

    Args:
        recoveries: Of every unit, by the label of a row of the tables.
        knob: Recoveries at each weight of the temporal penalty, strongest first.
        others: Of other settings: parametrization, setting, kind of units, recoveries.
        settings: What the text says of the run: options, frames, size.
    """
    units = next(iter(recoveries.values()))
    text = _HEAD.format(**settings, units="\n".join(_planted(units)))
    text += "\n## Parametrizations\n\nMedians over units, with the worst unit in brackets.\n\n"
    text += table(_OVERALL, [[label, *_overall(some)] for label, some in recoveries.items()])
    text += "\n\nUnits within each limit:\n\n" + _limits(recoveries)
    text += "\n\nUnits recovered of each kind:\n\n" + _kinds(recoveries)
    if knob:
        text += "\n\n" + _KNOB_HEAD + table(_KNOB, [_knob_row(*row) for row in knob])
    if others:
        text += "\n\n" + _OTHERS_HEAD + _others(recoveries, others)
    text += "\n\n## Failures\n\n" + _failures(recoveries)
    return text + "\n"


_OVERALL = (
    "parametrization",
    "recovered",
    "direction, degrees",
    "speed",
    "spatial frequency",
    "temporal frequency",
    "colour, degrees",
    "overlap",
    "shared",
    "score",
)


def _overall(recoveries: Sequence) -> list[str]:
    recovered = sum(not one.misses for one in recoveries)

    def errors(name: str, form: str) -> str:
        values = [abs(getattr(one, name)) for one in recoveries]
        return f"{_form(statistics.median(values), form)} ({_form(max(values), form)})"

    def likeness(name: str) -> str:
        values = [getattr(one, name) for one in recoveries]
        return f"{statistics.median(values):.2f} ({min(values):.2f})"

    return [
        f"{recovered} of {len(recoveries)}",
        errors("direction", ".1f"),
        errors("speed", ".1%"),
        errors("spatial_frequency", ".1%"),
        errors("temporal_frequency", ".1%"),
        errors("colour", ".1f"),
        likeness("overlap"),
        likeness("shared"),
        likeness("score"),
    ]


def _limits(recoveries: Mapping[str, Sequence]) -> str:
    names = ("direction", "speed", "colour", "overlap")
    rows = [
        [label, *(_count(some, lambda o, name=name: name not in o.misses) for name in names)]
        for label, some in recoveries.items()
    ]
    return table(["parametrization", *names], rows)


def _kinds(recoveries: Mapping[str, Sequence]) -> str:
    kinds = list(dict.fromkeys(one.unit.kind for one in next(iter(recoveries.values()))))
    rows = []
    for label, some in recoveries.items():
        by_kind = [[one for one in some if one.unit.kind == kind] for kind in kinds]
        rows.append([label, *(_count(part, lambda o: not o.misses) for part in by_kind)])
    return table(["parametrization", *kinds], rows)


_KNOB_HEAD = """\
## Clips from slow to fast

`slow_to_fast` on the slow, medium and fast units, with its default weights and parametrization.
A larger weight should lower the speed only: orientation and spatial frequency should stay those of
the unit. Medians; energy and score are relative to the clip without a penalty, speed to the planted
one.

"""
_KNOB = (
    "weight",
    "temporal energy",
    "score",
    "orientation within 10 degrees",
    "direction within 10 degrees",
    "spatial frequency within 10 %",
    "speed, slow units",
    "speed, medium units",
    "speed, fast units",
)


def _knob_row(weight: float, recoveries: Sequence, energy: float, score: float) -> list[str]:
    speeds = []
    for kind in ("slow", "medium", "fast"):
        some = [1 + one.speed for one in recoveries if one.unit.kind == kind]
        speeds.append(f"{statistics.median(some):.2f}" if some else "")
    return [
        f"{weight:g}",
        f"{energy:.2f}",
        f"{score:.2f}",
        _count(recoveries, lambda o: min(o.direction, 180 - o.direction) <= 10),
        _count(recoveries, lambda o: o.direction <= 10),
        _count(recoveries, lambda o: abs(o.spatial_frequency) <= 0.1),
        *speeds,
    ]


_OTHERS_HEAD = """\
## Other settings

Each setting on the units that it is meant for; the default in brackets.

"""


def _others(recoveries: Mapping[str, Sequence], others: Sequence) -> str:
    head = ("parametrization", "setting", "units", "recovered", "overlap", "shared", "score")
    rows = []
    for name, setting, kind, now in others:
        before = [one for one in recoveries[name] if one.unit.kind == kind]
        values = [
            f"{statistics.median(getattr(one, key) for one in now):.2f}"
            f" ({statistics.median(getattr(one, key) for one in before):.2f})"
            for key in ("overlap", "shared", "score")
        ]
        recovered, was = (sum(not one.misses for one in some) for some in (now, before))
        rows.append([name, setting, kind, f"{recovered} ({was}) of {len(now)}", *values])
    return table(head, rows)


def _failures(recoveries: Mapping[str, Sequence]) -> str:
    head = ["parametrization", "unit", "direction", "speed", "colour", "overlap", "shared", "score"]
    rows = []
    for label, some in recoveries.items():
        for one in some:
            if one.misses:
                values = [
                    ("direction", _form(one.direction, ".0f")),
                    ("speed", _form(one.speed, "+.0%")),
                    ("colour", _form(one.colour, ".0f")),
                    ("overlap", f"{one.overlap:.2f}"),
                ]
                marked = [f"**{value}**" if name in one.misses else value for name, value in values]
                rest = [f"{one.shared:.2f}", f"{one.score:.2f}"]
                rows.append([label, one.unit.name, *marked, *rest])
    text = "Every unit that was not recovered; measures outside the limits are bold.\n\n"
    return text + table(head, rows) if rows else "None."


def _planted(recoveries: Sequence) -> list[str]:
    lines = []
    for kind in dict.fromkeys(one.unit.kind for one in recoveries):
        units = [one.unit for one in recoveries if one.unit.kind == kind]
        waves = {}
        for event in (event for unit in units for event in unit.events):
            space, time = f"{event.spatial_frequency:.3f}", f"{event.temporal_frequency:.2f}"
            waves[f"{space} cycles a pixel, {time} a frame ({event.speed:.2f} pixels a frame)"] = (
                None
            )
        lines.append(f"| {kind} | {len(units)} | {'; '.join(waves)} |")
    return lines


def _count(recoveries: Sequence, met: Callable) -> str:
    return f"{sum(map(met, recoveries))} of {len(recoveries)}" if recoveries else ""


def _form(value: float, form: str) -> str:
    """A formatted number, without the sign of one that rounds to 0."""
    text = format(value, form)
    return text.lstrip("-") if float(text.rstrip("%")) == 0 else text
