"""How a run takes its folder: locks it, adds its units to gallery.json, and finds its share."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

from c3dvis import autodiff, output_folder
from c3dvis.gallery import (
    code,
    folder,
    forming,
    groups,
    held_out,
    kernels,
    manifest,
    overview,
    provenance,
    rebuild,
    render,
    shards,
)
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.plan import CLASSES, Section, Unit
from c3dvis.gallery.render import Renderer
from c3dvis.gallery.shards import Shard
from c3dvis.models import chosen as choices
from c3dvis.models.clip_shapes import clip_shape


@contextlib.contextmanager
def locked(
    renderer: Renderer, sections: Sequence[Section], share: Shard | None
) -> Iterator[Manifest]:
    """Has the folder for this run, or a share of it, and begins it; a share ends with its pages.

    Args:
        renderer: With the folder.
        sections: That are chosen.
        share: None is all of it, which nobody may write beside this run.

    Yields:
        What gallery.json says now.

    Raises:
        InUse: If another run has the folder, or the same share.
        ValueError: As `folder.begun` and `output_folder.check`.
    """
    out = renderer.out
    if share is None:
        with folder.locked(out):
            shards.refuse_running(out)
            output_folder.tidy(out)
            forming.clear(out)
            yield _begin(renderer, sections)
        return
    with contextlib.ExitStack() as stack:
        with folder.locked(out, wait=shards.WAIT):
            stack.enter_context(shards.held(out, share))
            begun = _begin(renderer, sections)
        yield begun
        with folder.locked(out, wait=shards.WAIT):
            rebuild.rebuild(out)


def _begin(renderer: Renderer, sections: Sequence[Section]) -> Manifest:
    """Checks a folder that this run has locked, and adds its units to gallery.json."""
    out, settings, network = renderer.out, renderer.settings, renderer.network
    before = folder.begun(out, renderer.identity)
    if before is None and not any(out.glob("*/*.json")):
        (out / held_out.NAME).unlink(missing_ok=True)
    shape = clip_shape(network, frames=settings.frames, size=settings.size)
    described = overview.of(network, shape=shape[:3])
    fields = {layer.name: layer.field for layer in described.layers}
    chosen = [dataclasses.replace(one, field=fields.get(one.layer)) for one in sections]
    every = manifest.grown(
        () if before is None else before.sections, chosen, [CLASSES, *reversed(fields)]
    )
    every = tuple(
        dataclasses.replace(section, kernel=kernels.add(network, section, out)) for section in every
    )
    most = groups.ON_GPU if autodiff.gpu_count() else groups.ON_CPU
    shared = {} if before is None else before.groups
    log_odds = render.excludes(network)
    begun = Manifest(
        identity=renderer.identity,
        sections=every,
        groups=groups.grown(shared, every, settings.batch_size or most),
        network=renderer.provenance,
        versions=provenance.versions(),
        machine=provenance.machine(),
        code={one.layer: code.python(settings, one, log_odds=log_odds) for one in every},
        banner=choices.training_data_note(settings),
        overview=described,
    )
    manifest.write(out, begun)
    return begun


def share_of(
    begun: Manifest, sections: Sequence[Section], share: Shard | None
) -> tuple[tuple[Section, ...], tuple[Unit, ...]]:
    """What this run makes of its sections: all, or the groups of its share."""
    chosen = {(unit.layer, unit.channel) for section in sections for unit in section.units}
    every = [group for of_layer in begun.groups.values() for group in of_layer]
    mine = every if share is None else share.share(every)
    own = {unit for group in mine for unit in group.units if (unit.layer, unit.channel) in chosen}
    parts = tuple(
        dataclasses.replace(section, units=tuple(u for u in section.units if u in own))
        for section in begun.sections
    )
    parts = tuple(section for section in parts if section.units)
    return parts, tuple(unit for section in parts for unit in section.units)
