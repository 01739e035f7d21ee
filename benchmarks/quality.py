"""How well synthetic clips excite their units, and whether other networks recognise their classes.

python benchmarks/quality.py [--networks c3d-motion ...] [--parametrizations fourier ...]
    [--filters 0-1 | --classes-only] [--folder galleries] [--out docs/quality.md]

Makes galleries with the package's defaults, which go on where they were stopped: of every
parametrization on the first network, of the default one on the others. A unit's ratio is its clip's
score over the best score of 512 held-out clips. Class clips are read back from their GIFs, as
somebody who was sent them would see them, and shown to all networks.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from machine import add_out, state, write_page

from c3dvis import clips, models
from c3dvis.command_line import numbers
from c3dvis.gallery.held_out import RECORDED
from c3dvis.gallery.make import Outcome, Selection, Settings, make
from c3dvis.gallery.plan import CLASSES
from c3dvis.maximize import parametrizations

NETWORKS = tuple(entry.name for entry in models.NETWORKS if entry.knows_motion)
PARAMETRIZATIONS = ("fourier", *(n for n in parametrizations.names() if n != "fourier"))


def gallery(network: str, parametrization: str, args: argparse.Namespace) -> Outcome:
    """The units of a network, made, or read from the folder."""
    settings = Settings(model=network, parametrization=parametrization, compare=RECORDED)
    out = args.folder / f"{network}-{parametrization}"
    selection = Selection(filters=args.filters)
    if args.classes_only:
        selection = Selection(classes=("all",))
    return make(settings, out, selection=selection, report=lambda line: print(line, flush=True))


def ratios(outcome: Outcome) -> dict[str, list[float]]:
    """The ratios of each layer's units; 0 where no clip was made.

    Units that no held-out clip excites have no ratio and are left out.
    """
    by_layer: dict[str, list[float]] = {}
    for unit, record in outcome.records.items():
        own = by_layer.setdefault(unit.layer, [])
        if record.status != "ok":
            own.append(0.0)
        elif record.ratio is not None:
            own.append(record.ratio)
    return {layer: own for layer, own in by_layer.items() if own}


def ratio_table(ratios: Mapping[str, Mapping[str, Sequence[float]]], head: str) -> list[str]:
    """A Markdown table: a row for each key, the median and minimum of each layer's ratios."""
    # A gallery begins with the classes and the deepest layer.
    layers = list(dict.fromkeys(layer for row in ratios.values() for layer in row))[::-1]
    shown = ["classes" if layer == CLASSES else layer for layer in layers]
    rows = [f"| {head} | {' | '.join(shown)} | above 1 |", "|---" * (len(layers) + 2) + "|"]
    for name, row in ratios.items():
        cells = [
            f"{statistics.median(row[layer]):.1f} ({min(row[layer]):.2f})" if layer in row else ""
            for layer in layers
        ]
        every = [value for own in row.values() for value in own]
        above = sum(value > 1 for value in every)
        rows.append(f"| {name} | {' | '.join(cells)} | {above} of {len(every)} |")
    return rows


def recognised(outcome: Outcome, folder: Path, networks: Mapping[str, keras.Model]) -> list[int]:
    """How many of the class clips each network classifies correctly."""
    units = [u for u in outcome.units if u.layer == CLASSES and u in outcome.records]
    shown = [u for u in units if outcome.records[u].status == "ok"]
    if not shown:
        return [0] * len(networks)
    # A GIF holds equal frames that follow each other once.
    read = np.stack([clips.read(folder / u.path("gif"), frames=16, short="hold") for u in shown])
    labels = np.array([unit.channel for unit in shown])
    return [
        int((one.predict(read, verbose=0).argmax(axis=-1) == labels).sum())
        for one in networks.values()
    ]


def main() -> None:
    args = _arguments()
    machine = state()
    first, *others = args.networks
    of_first = {p: gallery(first, p, args) for p in args.parametrizations}
    default = args.parametrizations[0]
    of_all = {first: of_first[default]} | {n: gallery(n, default, args) for n in others}
    networks = {name: models.build(name) for name in NETWORKS}
    text = ["# How well synthetic clips excite their units", ""]
    text += ["Written by `benchmarks/quality.py`, which describes the measures.", "", *machine, ""]
    text += [
        f"Score over the best of {RECORDED} held-out clips of `c3dvis.motion`: the median over a "
        "layer's units, and the lowest in brackets. The defaults were chosen on c3d-motion.",
        "",
        f"## Parametrizations, on {first}",
        "",
        *ratio_table({p: ratios(o) for p, o in of_first.items()}, "parametrization"),
        "",
        f"## Networks, with {default}",
        "",
    ]
    for name, outcome in of_all.items():
        text += [*ratio_table({name: ratios(outcome)}, "network"), ""]
    text += [
        "## Class clips that networks recognise",
        "",
        "Of the ten classes' clips, read back from their GIFs.",
        "",
        f"| made by | {' | '.join(networks)} |",
        "|---" * (len(networks) + 1) + "|",
    ]
    rows = {f"{n}, {default}": (o, args.folder / f"{n}-{default}") for n, o in of_all.items()}
    for parametrization in args.parametrizations[1:]:
        folder = args.folder / f"{first}-{parametrization}"
        rows[f"{first}, {parametrization}"] = (of_first[parametrization], folder)
    for name, (outcome, folder) in rows.items():
        counts = recognised(outcome, folder, networks)
        text.append(f"| {name} | {' | '.join(map(str, counts))} |")
    write_page("\n".join([*text, ""]), args.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    add("--parametrizations", nargs="+", choices=PARAMETRIZATIONS, default=PARAMETRIZATIONS)
    add("--filters", type=numbers, default=(0, 1), metavar="CHOICE", help="of each layer")
    add("--classes-only", action="store_true", help="no filters")
    add("--folder", type=Path, default=Path("galleries"), help="of the galleries")
    add_out(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
