"""Makes a gallery in a folder: lists its units, renders those missing, writes the pages."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from c3dvis import models, output_folder
from c3dvis.gallery import (
    cards,
    clip_kinds,
    engines,
    folder,
    groups,
    held_out,
    manifest,
    more_clips,
    page,
    plan,
    real,
    rebuild,
    runs,
    shards,
    tables,
)
from c3dvis.gallery.forming import Forming, clear
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.progress import Progress, Report
from c3dvis.gallery.record import Record
from c3dvis.gallery.render import Renderer
from c3dvis.gallery.settings import Settings
from c3dvis.models import chosen as choices
from c3dvis.models import layers
from c3dvis.text import counted, in_short

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
        return [u for u in self.units if u in self.records and self.records[u].is_failure]


def plan_of(
    network: keras.Model, selection: Selection, settings: Settings | None = None
) -> tuple[Section, ...]:
    """The sections of a gallery of a network; see `c3dvis.gallery.plan.sections`.

    Args:
        network: Whose layers are chosen from.
        selection: Of the units.
        settings: That name the network: the table may say which of its layers are the default.
    """
    usual = None
    if settings is not None and settings.keras_model is None:
        usual = models.entry(settings.model).layers
    return plan.sections(
        layers.visualizable(network, weightless=True),
        class_count=choices.class_count(network),
        class_names=getattr(network, "class_names", None),
        chosen_layers=selection.layers,
        default_layers=usual,
        filters=selection.filters,
        classes=selection.classes,
    )


def make(
    settings: Settings,
    out: str | Path = "gallery",
    *,
    selection: Selection | None = None,
    engine: str = "serial",
    workers: int | None = None,
    address: str | None = None,
    shard: str | None = None,
    retry_failed: bool = False,
    network: keras.Model | None = None,
    real_clips: str | Path | None = None,
    motion_cards: bool = False,
    directions: bool = False,
    slow_to_free: bool = False,
    other_parametrizations: Sequence[str] = (),
    neurons: bool = False,
    report: Report = print,
    bar: bool = False,
) -> Outcome:
    """Makes what is missing of a gallery, and its pages.

    The folder grows: with another selection, its units are added to those there are.

    Args:
        settings: What the clips are made of and how.
        out: Folder, made where there is none.
        selection: Units to make; None is four filters of every convolution (of the endpoints that
            the table of `c3dvis.models` names, where it does), and every class, or the first ten
            where there are more than twenty.
        engine: "serial", "processes" or "ray"; see `engines.build`, also for what follows.
        workers: Most workers of "processes" or "ray".
        address: Of a Ray cluster.
        shard: Such as "3/16": makes the third of sixteen shares, beside other runs that make the
            others in the same folder; "slurm" is what Slurm's array says. See `shards`.
        retry_failed: Whether to make units again that failed.
        network: The network that the settings name, where it is loaded already.
        real_clips: Folder of videos; the page shows those that each unit responds to most, and
            ratios over the best of them. A gallery that is made already can be given one too.
        motion_cards: Whether to make each unit's motion card too, which takes longer than its clip;
            and, with real clips, what these say of whether to believe the clip: see `trust`.
        directions: Whether to make two more clips of each unit that has a card, in the direction
            that it prefers and in the opposite one.
        slow_to_free: Whether to make three more clips of each unit, from slow to free.
        other_parametrizations: Names of parametrizations, of each of which there is one more clip
            of each unit.
        neurons: Whether to make one more clip of each filter that sees less than a third of a
            clip's height and width: of its neuron in the middle, cropped to what it sees.
        report: Gets one line about each layer, and about each unit that fails.
        bar: Whether to show a progress bar instead of the line a layer.

    Returns:
        All units of the selection (and of the shard) with their records.

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
    share = None if shard is None else shards.parse(shard)
    kinds = clip_kinds.chosen(
        directions=directions,
        speeds=slow_to_free,
        other_parametrizations=other_parametrizations,
        neurons=neurons,
    )
    if share is not None and (real_clips is not None or motion_cards or kinds):
        raise ValueError(
            "Expected real clips or motion cards without a shard, and more clips of each unit: add "
            f"them when all shards are made. Received: {shard!r}."
        )
    if real_clips is not None:
        real.check(real_clips)
    if directions and not motion_cards:
        raise ValueError("Expected directions with motion cards, which measure them.")
    runner = engines.build(engine, workers=workers, address=address)
    renderer = Renderer(settings, out, network=network)
    sections = plan_of(renderer.network, selection, settings)
    renderer.check(sections[0])  # a setting that does not fit is reported before all else
    with runs.locked(renderer, sections, share) as begun:
        if selection.classes is None:
            plan.report_left_out(sections, report)
        of = (renderer.network, settings, sections, out)
        if real_clips is not None:
            real.add(*of, real_clips, report=report, bar=bar)
        outcome = _make_missing(
            renderer,
            runner,
            begun,
            sections,
            report,
            share=share,
            retry_failed=retry_failed,
            bar=bar,
        )
        if motion_cards:
            swept = None if real_clips is None else real.swept_clips(*of, real_clips)
            cards.add(*of, swept, report=report)
        shown = [unit for unit in outcome.units if unit not in outcome.failed]
        more_clips.add(renderer, begun.groups, shown, kinds, report=report)
        if motion_cards or kinds:
            rebuild.rebuild(out)
        return outcome


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
    out = Path(out)
    renderer = Renderer(settings, out)
    selection = Selection() if selection is None else selection
    sections = plan_of(renderer.network, selection, settings)
    renderer.check(sections[0])
    output_folder.check(out, "gallery", manifest=manifest.NAME)
    folder.begun(out, renderer.identity)
    records = folder.existing(out, sections, identity=renderer.identity, report=report)
    report(tables.plan_table(sections, list(records)))
    if selection.classes is None:
        plan.report_left_out(sections, report)
    units = [unit for section in sections for unit in section.units]
    report(_to_make(out, units, [unit for unit in units if unit not in records]))


def _make_missing(
    renderer: Renderer,
    runner: engines.Engine,
    begun: Manifest,
    sections: Sequence[Section],
    report: Report,
    *,
    share: shards.Shard | None,
    retry_failed: bool,
    bar: bool,
) -> Outcome:
    """Makes the missing units of the sections; writes the pages of all that the folder holds."""
    out = renderer.out
    records = folder.existing(out, begun.sections, identity=renderer.identity, report=report)
    _report_versions(records.values(), begun, report)
    sections, units = runs.share_of(begun, sections, share)
    missing = [u for u in units if u not in records or (retry_failed and records[u].is_failure)]
    records = {unit: record for unit, record in records.items() if unit not in missing}

    forming = Forming(out, lambda: show(filling=True))

    def show(*, filling: bool = False) -> None:
        if share is None:  # the pages of a share would be those of a part
            own = forming.clips if filling else None
            beside = real.read(out)
            page.write(out, begun, records, filling=filling, forming=own, real=beside)

    show(filling=bool(missing))
    if missing and share is None:
        renderer.forming = forming
        address = (out / "index.html").resolve().as_uri()
        report(f"open {address} now: it fills as clips are made")
    report(_to_make(out, units, missing))
    by_name = {(unit.layer, unit.channel): unit for unit in units}
    shown_at = time.monotonic()
    left = len(missing)
    try:
        best = held_out.add(renderer, sections, missing, report=report) if missing else {}
        progress = Progress(sections, missing, report, bar=bar and bool(missing))
        for record in runner.run(renderer, groups.tasks(begun.groups, missing), best):
            records[by_name[record.layer, record.channel]] = record
            left -= 1
            layer_done = progress.layer_done(record)
            # A batch's clips come all at once, and the next ones much later.
            batch_done = [*dict.fromkeys(record.batch)][-1:] == [record.channel]
            if layer_done or batch_done or time.monotonic() - shown_at > _PAGES_EVERY:
                show(filling=left > 0)
                shown_at = time.monotonic()
    except BaseException:  # whatever ended the run, the pages show what is made
        with contextlib.suppress(OSError):
            show()
        raise
    finally:
        if share is None:
            renderer.forming = None
            clear(out)
    return Outcome(units, {unit: records[unit] for unit in units if unit in records})


def _report_versions(made: Iterable[Record], begun: Manifest, report: Report) -> None:
    """Says what other versions made the clips that are there, which may differ a little."""
    others = {
        f"{name} {version}"
        for record in made
        for name, version in record.versions.items()
        if begun.versions.get(name) != version
    }
    if others:
        report(
            f"some clips that are there were made with {in_short(sorted(others))}; those of this "
            "run may differ from them a little"
        )


def _to_make(out: Path, units: Sequence[Unit], missing: Sequence[Unit]) -> str:
    return (
        f"{out}: {counted(len(missing), 'clip')} to make, {len(units) - len(missing)} there already"
    )
