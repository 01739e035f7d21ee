"""Makes a gallery in a folder: plans its units, renders the missing ones, writes the pages."""

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
    more_clips,
    options,
    page,
    plan,
    real,
    rebuild,
    runs,
    shards,
    tables,
)
from c3dvis.gallery.forming import Forming, clear
from c3dvis.gallery.manifest import NAME as MANIFEST_NAME
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.progress import Progress, Report
from c3dvis.gallery.record import Record
from c3dvis.gallery.render import Renderer
from c3dvis.gallery.settings import Settings
from c3dvis.models import chosen as choices
from c3dvis.models import layers
from c3dvis.objectives.terms import names_of_classes
from c3dvis.responses.clip_sources import check_folder
from c3dvis.text import counted, in_short, visible

# Seconds between two updates of the pages while clips are made.
_PAGE_INTERVAL = 5


@dataclass(frozen=True)
class Selection:
    """Which units a gallery shows; see `c3dvis.gallery.plan.sections`."""

    layers: tuple[str, ...] | None = None
    filters: tuple[int, ...] | str | None = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Outcome:
    """The state of a gallery after a run.

    Attributes:
        units: All units, in order.
        records: Record of each unit that is finished or has failed.
    """

    units: tuple[Unit, ...]
    records: Mapping[Unit, Record]

    @property
    def failed(self) -> list[Unit]:
        """The units whose clip could not be finished."""
        return [u for u in self.units if u in self.records and self.records[u].is_failure]


def plan_of(
    network: keras.Model, selection: Selection, settings: Settings | None = None
) -> tuple[Section, ...]:
    """The sections of a gallery of a network; see `c3dvis.gallery.plan.sections`.

    Args:
        network: The network to show.
        selection: Which of its units.
        settings: Names the network; the table of networks may list its default layers.
    """
    default_layers = None
    if settings is not None and settings.keras_model is None:
        default_layers = models.entry(settings.model).layers
    return plan.sections(
        layers.visualizable(network, weightless=True),
        class_count=choices.class_count(network),
        class_names=names_of_classes(network),
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
    """Makes the missing clips of a gallery, and its pages.

    Units of another selection are added to those that the folder holds.

    Args:
        settings: The network and how its clips are made.
        out: Folder of the gallery; created if missing.
        selection: Units to make; None means four filters of every convolution (or of the layers
            listed in the table of `c3dvis.models`), and every class, or the first ten if there are
            more than twenty.
        engine: "serial", "processes" or "ray"; see `engines.build`.
        workers: Maximum number of workers of "processes" or "ray".
        address: Address of a Ray cluster.
        shard: Such as "3/16": makes the third of sixteen shares while other runs make the others
            in the same folder; "slurm" reads it from a Slurm array job. See `shards`.
        retry_failed: Whether to try failed units again.
        network: The network of the settings, if it is already loaded.
        real_clips: Folder of videos. The page shows the real clips with the highest activation of
            each unit, and ratios to the best of them. Also works on a finished gallery.
        motion_cards: Whether to make each unit's motion card, which takes longer than its clip;
            with real clips also whether to trust the clip: see `trust`.
        directions: Whether to make two more clips of each unit with a card, in its preferred
            direction of motion and in the opposite one.
        slow_to_free: Whether to make three more clips of each unit, from slow to free.
        other_parametrizations: Names of parametrizations; one more clip of each unit in each.
        neurons: Whether to make one more clip of each filter whose receptive field is less than a
            third of a clip's height and width: of its centre neuron, cropped to the field.
        report: Called with one line for each layer and for each unit that fails.
        bar: Whether to show a progress bar instead of one line per layer.

    Returns:
        All units of the selection (and of the shard) with their records.

    Raises:
        ValueError: If a setting is wrong, the folder holds a gallery of other settings, or another
            run is writing it.
        OSError: If a file cannot be written. Finished clips stay, and the next run continues.

    Example: (not run with the tests, as it leaves a folder behind)
        >>> from c3dvis.gallery.make import Selection, Settings, make
        >>> make(Settings(steps=8), "gallery", selection=Selection(layers=("conv1",)))
        ... # doctest: +SKIP
    """
    out = Path(out)
    selection = Selection() if selection is None else selection
    options.check(
        engine=engine,
        workers=workers,
        address=address,
        shard=shard,
        real_clips=real_clips,
        motion_cards=motion_cards,
        directions=directions,
        slow_to_free=slow_to_free,
        other_parametrizations=other_parametrizations,
        neurons=neurons,
    )
    share = None if shard is None else shards.parse(shard)
    kinds = clip_kinds.selected(
        directions=directions,
        speeds=slow_to_free,
        other_parametrizations=other_parametrizations,
        neurons=neurons,
    )
    if real_clips is not None:
        check_folder(Path(real_clips))
    runner = engines.build(engine, workers=workers, address=address)
    renderer = Renderer(settings, out, network=network)
    sections = plan_of(renderer.network, selection, settings)
    renderer.check(sections[0])  # wrong settings are reported before the folder is touched
    with runs.locked(renderer, sections, share) as manifest:
        if selection.classes is None:
            plan.report_left_out(sections, report)
        gallery = (renderer.network, settings, sections, out)
        swept = None
        if real_clips is not None:
            swept = real.add(*gallery, real_clips, report=report, bar=bar)
        outcome = _make_missing(
            renderer,
            runner,
            manifest,
            sections,
            report,
            share=share,
            retry_failed=retry_failed,
            bar=bar,
        )
        if motion_cards:
            cards.add(*gallery, swept, report=report)
        if kinds:
            failed = set(outcome.failed)
            shown = [unit for unit in outcome.units if unit not in failed]
            more_clips.add(renderer, manifest.groups, shown, kinds, report=report)
        if motion_cards or kinds:
            rebuild.rebuild(out)
        return outcome


def list_layers(settings: Settings, *, report: Report = print) -> None:
    """Reports the layers and classes of a network that a gallery can show."""
    network = choices.load(settings)
    names = names_of_classes(network) or ()
    every = layers.describe(network)
    shown = [info for info in every if info.reason is None]
    report(tables.layer_table(shown, names, choices.class_count(network)))
    for info in every:
        if info.reason is not None:
            report(f"{visible(info.name)} can't be shown: {info.reason}.")
        if info.closed is not None:
            report(f"Layers inside {visible(info.name)} can't be reached: {info.closed}.")


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
    output_folder.check(out, "gallery", manifest=MANIFEST_NAME)
    folder.previous_manifest(out, renderer.identity)
    units = plan.units_of(sections)
    records = folder.existing(out, units, identity=renderer.identity, report=report)
    report(tables.plan_table(sections, list(records)))
    if selection.classes is None:
        plan.report_left_out(sections, report)
    report(_work_summary(out, units, [unit for unit in units if unit not in records]))


def _make_missing(
    renderer: Renderer,
    runner: engines.Engine,
    manifest: Manifest,
    sections: Sequence[Section],
    report: Report,
    *,
    share: shards.Shard | None,
    retry_failed: bool,
    bar: bool,
) -> Outcome:
    """Makes the missing units of the sections; writes the pages of the whole folder."""
    out = renderer.out
    every = plan.units_of(manifest.sections)
    records = folder.existing(out, every, identity=renderer.identity, report=report)
    _report_versions(records.values(), manifest, report)
    sections = runs.share_of(manifest, sections, share)
    units = tuple(plan.units_of(sections))
    real_clips = real.read(out)
    missing = [u for u in units if u not in records or (retry_failed and records[u].is_failure)]
    for unit in missing:
        records.pop(unit, None)

    forming = Forming(out, lambda: show(filling=True))

    def show(*, filling: bool = False) -> None:
        if share is not None:  # its pages would show that share only
            return
        unfinished = forming.clips if filling else None
        page.write(out, manifest, records, filling=filling, forming=unfinished, real=real_clips)

    show(filling=bool(missing))
    if missing and share is None:
        renderer.forming = forming
        address = (out / "index.html").resolve().as_uri()
        report(f"open {address} now: it shows clips as they are made")
    report(_work_summary(out, units, missing))
    by_name = {(unit.layer, unit.channel): unit for unit in units}
    shown_at = time.monotonic()
    remaining = len(missing)
    try:
        # With real clips, scores are compared with theirs instead of those of held-out clips.
        compares = missing and renderer.settings.compare and real_clips is None
        best = held_out.add(renderer, sections, missing, report=report) if compares else {}
        progress = Progress(sections, missing, report, bar=bar and bool(missing))
        for record in runner.run(renderer, groups.tasks(manifest.groups, missing), best):
            records[by_name[record.layer, record.channel]] = record
            remaining -= 1
            layer_done = progress.layer_done(record)
            # The clips of a batch arrive together, long before the next batch.
            batch_done = [*dict.fromkeys(record.batch)][-1:] == [record.channel]
            if layer_done or batch_done or time.monotonic() - shown_at > _PAGE_INTERVAL:
                show(filling=remaining > 0)
                shown_at = time.monotonic()
    except BaseException:  # whatever ended the run, the pages show the finished clips
        with contextlib.suppress(OSError):
            show()
        raise
    finally:
        if share is None:
            renderer.forming = None
            clear(out)
    return Outcome(units, {unit: records[unit] for unit in units if unit in records})


def _report_versions(records: Iterable[Record], manifest: Manifest, report: Report) -> None:
    """Reports if existing clips were made with other versions of the programs."""
    others = {
        f"{name} {version}"
        for record in records
        for name, version in record.versions.items()
        if manifest.versions.get(name) != version
    }
    if others:
        report(
            f"some existing clips were made with {in_short(sorted(others))}; new ones may differ "
            "slightly from them"
        )


def _work_summary(out: Path, units: Sequence[Unit], missing: Sequence[Unit]) -> str:
    return (
        f"{out}: {counted(len(missing), 'clip')} to make, {len(units) - len(missing)} already made"
    )
