"""Makes a gallery in a folder: lists its units, renders those missing, writes the pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

import c3dvis
from c3dvis import files
from c3dvis.gallery import engines, folder, page, plan, render, tables
from c3dvis.gallery import network as networks
from c3dvis.gallery.network import Settings
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.progress import Progress, Report
from c3dvis.gallery.render import Renderer
from c3dvis.models import layers


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
    records: dict[Unit, dict[str, Any]]

    @property
    def failed(self) -> list[Unit]:
        """The units whose clip could not be made to the end."""
        bad = ("failed", "error")
        return [u for u in self.units if u in self.records and self.records[u]["status"] in bad]


def plan_of(
    network: keras.Model,
    selection: Selection,
    default_layers: tuple[str, ...] | None = None,
) -> tuple[Section, ...]:
    """The sections of a gallery of a network; see `c3dvis.gallery.plan.sections`."""
    return plan.sections(
        layers.visualizable(network, weightless=True),
        class_count=networks.class_count(network),
        class_names=getattr(network, "class_names", None),
        chosen_layers=selection.layers,
        default_layers=default_layers,
        filters=selection.filters,
        classes=selection.classes,
    )


def standing(out: Path, sections: Sequence[Section]) -> Outcome:
    """What is made already."""
    units = tuple(unit for section in sections for unit in section.units)
    found = {unit: folder.read_record(out, unit) for unit in units}
    return Outcome(units, {unit: record for unit, record in found.items() if record is not None})


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
    sections = plan_of(renderer.network, selection, networks.default_layers(settings))
    renderer.check(sections[0])  # a setting that does not fit is told before all else
    with folder.claimed(out):
        identity = _identity(renderer.network, settings, selection)
        _tell_left_out(sections, selection, report)
        folder.begin(out, identity, _about(settings, sections))
        return _make_missing(renderer, runner, sections, report, bar)


def list_layers(settings: Settings, *, report: Report = print) -> None:
    """Reports the layers and classes of a network that a gallery can show."""
    network = networks.load(settings)
    names = getattr(network, "class_names", None) or []
    shown = layers.visualizable(network, weightless=True)
    report(tables.layer_table(shown, names, networks.class_count(network)))


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
    sections = plan_of(renderer.network, selection, networks.default_layers(settings))
    renderer.check(sections[0])
    folder.check(Path(out), _identity(renderer.network, settings, selection))
    before = standing(Path(out), sections)
    report(tables.plan_table(sections, list(before.records)))
    _tell_left_out(sections, selection, report)
    report(_to_make(Path(out), before))


def _make_missing(
    renderer: Renderer,
    runner: engines.Engine,
    sections: Sequence[Section],
    report: Report,
    bar: bool,
) -> Outcome:
    out, before = renderer.out, standing(renderer.out, sections)
    missing = [unit for unit in before.units if unit not in before.records]
    report(_to_make(out, before))
    page.write(out)
    best = _held_out(renderer, sections, missing, report) if missing else {}
    progress = Progress(sections, missing, report, bar=bar and bool(missing))
    for record in runner.run(renderer, missing, best):
        if progress.layer_done(record):
            page.write(out)
    page.write(out)
    # Unlike `standing`, with the records of units that an error kept from being made.
    after = {unit: files.read_json(out / unit.path("json")) for unit in before.units}
    return Outcome(before.units, {u: record for u, record in after.items() if record is not None})


def _to_make(out: Path, before: Outcome) -> str:
    there = len(before.records)
    return f"{out}: {len(before.units) - there} clips to make, {there} there already"


def _tell_left_out(sections: Sequence[Section], selection: Selection, report: Report) -> None:
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
    path = renderer.out / "held-out.json"
    kept = files.read_json(path) or {}
    needed = {unit.layer for unit in missing} - set(kept)
    if needed:
        report(f"scoring {count} held-out clips for comparison")
        chosen = [section for section in sections if section.layer in needed]
        kept |= render.best_held_out(renderer.network, chosen, renderer.settings)
        files.write_json(path, kept)
    return {
        layer: {int(channel): best for channel, best in by_channel.items()}
        for layer, by_channel in kept.items()
    }


def _identity(network: keras.Model, settings: Settings, selection: Selection) -> dict[str, Any]:
    return {
        **settings.identity(),
        "layers": selection.layers,
        "filters": selection.filters,
        "classes": selection.classes,
        "weights_sha256": networks.fingerprint(network),
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
