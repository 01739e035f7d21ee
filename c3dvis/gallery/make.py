"""Makes a gallery in a folder: lists its units, renders those missing, writes the pages."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

import c3dvis
from c3dvis import identity
from c3dvis.gallery import code, engines, folder, page, plan, render, tables
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.progress import Progress, Report
from c3dvis.gallery.record import Record
from c3dvis.gallery.render import Renderer
from c3dvis.gallery.settings import Settings, default_layers
from c3dvis.models import chosen as choices
from c3dvis.models import layers

# Seconds between two writings of the pages while clips are made.
_PAGES_EVERY = 5


@dataclass(frozen=True)
class Selection:
    """Which units a gallery shows; see `c3dvis.gallery.plan.sections`."""

    layers: tuple[str, ...] | None = None
    filters: tuple[int, ...] | str | None = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Outcome:
    """How a gallery stands.

    Attributes:
        records: By unit; a unit that is not made yet is missing.
        units: All units, in order.
    """

    units: tuple[Unit, ...]
    records: Mapping[Unit, Record]

    @property
    def failed(self) -> list[Unit]:
        """The units whose clip could not be made to the end."""
        bad = ("failed", "error")
        return [u for u in self.units if u in self.records and self.records[u].status in bad]


def plan_of(
    network: keras.Model,
    selection: Selection,
    default_layers: tuple[str, ...] | None = None,
) -> tuple[Section, ...]:
    """The sections of a gallery of a network; see `c3dvis.gallery.plan.sections`."""
    return plan.sections(
        layers.visualizable(network, weightless=True),
        class_count=choices.class_count(network),
        class_names=getattr(network, "class_names", None),
        chosen_layers=selection.layers,
        default_layers=default_layers,
        filters=selection.filters,
        classes=selection.classes,
    )


def make(
    settings: Settings,
    out: str | Path = "gallery",
    *,
    selection: Selection | None = None,
    engine: str = "serial",
    network: keras.Model | None = None,
    report: Report = print,
    bar: bool = False,
) -> Outcome:
    """Makes what is missing of a gallery, and its pages.

    Args:
        settings: What the clips are made of and how.
        out: Folder, made where there is none.
        selection: Units to show; None is four filters of every convolution (of the endpoints that
            the table of `c3dvis.models` names, where it does), and every class, or the first ten
            where there are more than twenty.
        engine: "serial" or "ray".
        network: The network that the settings name, where it is loaded already.
        report: Gets one line about each layer, and about each unit that fails.
        bar: Whether to show a progress bar instead of the line a layer.

    Returns:
        All units with their records.

    Raises:
        ValueError: If a setting or choice is wrong, the folder was begun with others, or another
            run is writing it.
        OSError: If files cannot be written. What is made stays, and the next run goes on there.

    Example: (not run with the tests, as it leaves a folder behind)
        >>> from c3dvis.gallery.make import Selection, Settings, make
        >>> make(Settings(steps=8), "gallery", selection=Selection(layers=("conv1",)))
        ... # doctest: +SKIP
    """
    out = Path(out)
    selection = Selection() if selection is None else selection
    runner = engines.build(engine)
    renderer = Renderer(settings, out, network=network)
    sections = plan_of(renderer.network, selection, default_layers(settings))
    renderer.check(sections[0])  # a setting that does not fit is reported before all else
    with folder.locked(out):
        begun_with = _identity(renderer.network, settings, selection)
        _report_left_out(sections, selection, report)
        folder.begin(out, begun_with, sections, _about(settings, sections))
        show = functools.partial(
            page.write,
            out,
            begun_with,
            sections,
            code=_code(renderer, sections),
            banner=choices.toy_note(settings),
        )
        return _make_missing(renderer, runner, sections, show, report, bar)


def list_layers(settings: Settings, *, report: Report = print) -> None:
    """Reports the layers and classes of a network that a gallery can show."""
    network = choices.load(settings)
    names = getattr(network, "class_names", None) or []
    every = layers.describe(network)
    shown = [info for info in every if info.reason is None]
    report(tables.layer_table(shown, names, choices.class_count(network)))
    for info in every:
        if info.reason is not None:
            report(f"{info.name} can't be shown: {info.reason}.")
        if info.closed is not None:
            report(f"Layers inside {info.name} can't be reached: {info.closed}.")


def dry_run(
    settings: Settings,
    out: str | Path,
    *,
    selection: Selection | None = None,
    report: Report = print,
) -> None:
    """Reports what `make` would make, after the same checks; writes nothing."""
    renderer = Renderer(settings, Path(out))
    selection = Selection() if selection is None else selection
    sections = plan_of(renderer.network, selection, default_layers(settings))
    renderer.check(sections[0])
    folder.check(Path(out), _identity(renderer.network, settings, selection), sections)
    records = folder.existing(Path(out), sections)
    report(tables.plan_table(sections, list(records)))
    _report_left_out(sections, selection, report)
    report(_to_make(Path(out), sections, records))


def _make_missing(
    renderer: Renderer,
    runner: engines.Engine,
    sections: Sequence[Section],
    show: Callable[..., None],
    report: Report,
    bar: bool,
) -> Outcome:
    """Makes the missing units; `show` writes the pages of records, now and then."""
    units = tuple(unit for section in sections for unit in section.units)
    records = folder.existing(renderer.out, sections)
    missing = [unit for unit in units if unit not in records]
    show(records, filling=bool(missing))
    if missing:
        address = (renderer.out / "index.html").resolve().as_uri()
        report(f"open {address} now: it fills as clips are made")
    report(_to_make(renderer.out, sections, records))
    by_name = {(unit.layer, unit.channel): unit for unit in units}
    shown_at = time.monotonic()
    try:
        best = _held_out(renderer, sections, missing, report) if missing else {}
        progress = Progress(sections, missing, report, bar=bar and bool(missing))
        for record in runner.run(renderer, missing, best):
            records[by_name[record.layer, record.channel]] = record
            layer_done = progress.layer_done(record)
            if layer_done or time.monotonic() - shown_at > _PAGES_EVERY:
                show(records, filling=len(records) < len(units))
                shown_at = time.monotonic()
    except BaseException:  # whatever ended the run, the pages show what is made
        with contextlib.suppress(OSError):
            show(records)
        raise
    return Outcome(units, records)


def _code(renderer: Renderer, sections: Sequence[Section]) -> dict[str, str]:
    """By layer, the Python that makes a clip."""
    log_odds = render.excludes(renderer.network)
    return {
        section.layer: code.python(renderer.settings, section, log_odds=log_odds)
        for section in sections
    }


def _to_make(out: Path, sections: Sequence[Section], records: Mapping[Unit, Record]) -> str:
    count = sum(len(section.units) for section in sections)
    return f"{out}: {count - len(records)} clips to make, {len(records)} there already"


def _report_left_out(sections: Sequence[Section], selection: Selection, report: Report) -> None:
    line = plan.left_out(sections) if selection.classes is None else None
    if line is not None:
        report(line)


def _held_out(
    renderer: Renderer, sections: Sequence[Section], missing: Sequence[Unit], report: Report
) -> dict[str, dict[int, float | None]]:
    """Best scores of held-out clips for the layers with missing units, kept in held-out.json."""
    count = renderer.settings.compare
    if not count:
        return {}
    best = folder.read_held_out(renderer.out)
    channels = {section.layer: {unit.channel for unit in section.units} for section in sections}
    needed = {
        unit.layer
        for unit in missing
        if not channels[unit.layer] <= best.get(unit.layer, {}).keys()
    }
    if needed:
        report(f"scoring {count} held-out clips for comparison")
        chosen = [section for section in sections if section.layer in needed]
        best |= render.best_held_out(renderer.network, chosen, renderer.settings)
        folder.write_held_out(renderer.out, best)
    return best


def _identity(network: keras.Model, settings: Settings, selection: Selection) -> dict[str, Any]:
    return {
        **settings.identity(),
        "layers": selection.layers,
        "filters": selection.filters,
        "classes": selection.classes,
        "weights_sha256": identity.weights_sha256(network),
        "architecture_sha256": identity.architecture_sha256(network),
        "class_names_sha256": identity.sha256(getattr(network, "class_names", None)),
    }


def _about(settings: Settings, sections: Sequence[Section]) -> dict[str, Any]:
    return {
        "network": settings.network_name,
        "version": c3dvis.__version__,
        "sections": [
            {
                "layer": section.layer,
                "title": section.title,
                "kind": section.kind,
                "shape": section.shape,
                "channels": section.channels,
                "folder": section.units[0].folder,
                "units": [(unit.channel, unit.label) for unit in section.units],
            }
            for section in sections
        ],
    }
