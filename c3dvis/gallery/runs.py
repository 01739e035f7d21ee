"""How a run takes its folder: locks it, adds its units to gallery.json, and finds its share."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

from c3dvis import autodiff, receptive_field
from c3dvis.gallery import (
    code,
    folder,
    groups,
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
from c3dvis.models import layers
from c3dvis.models.extent import clip_shape


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
        ValueError: As `folder.check`.
    """
    out = renderer.out
    if share is None:
        with folder.locked(out, tidied=False):
            shards.refuse_running(out)
            folder.tidy(out)
            yield _begin(renderer, sections)
        return
    with contextlib.ExitStack() as stack:
        with folder.locked(out, wait=shards.WAIT, tidied=False):
            stack.enter_context(shards.held(out, share))
            begun = _begin(renderer, sections)
        yield begun
        with folder.locked(out, wait=shards.WAIT, tidied=False):
            rebuild.rebuild(out)


def _begin(renderer: Renderer, sections: Sequence[Section]) -> Manifest:
    """Checks a folder that this run has locked, and adds its units to gallery.json."""
    out, settings = renderer.out, renderer.settings
    folder.check(out, renderer.identity)
    before = folder.begun(out, renderer.identity)
    described = layers.describe(renderer.network)
    fields = _fields(renderer)
    every = [CLASSES, *(info.name for info in reversed(described))]
    seen = [
        dataclasses.replace(section, field=overview.seen(fields.get(section.layer)))
        for section in sections
    ]
    grown = manifest.grown(() if before is None else before.sections, seen, every)
    grown = tuple(
        dataclasses.replace(section, kernel=kernels.add(renderer.network, section, out))
        for section in grown
    )
    most = groups.ON_GPU if autodiff.gpu_count() else groups.ON_CPU
    shared = {} if before is None else before.groups
    begun = Manifest(
        identity=renderer.identity,
        sections=grown,
        groups=groups.grown(shared, grown, settings.batch_size or most),
        network=renderer.provenance,
        versions=provenance.versions(),
        machine=provenance.machine(),
        code=_code(renderer, grown),
        banner=choices.toy_note(settings),
        overview=overview.of(described, renderer.network.count_params(), fields),
    )
    manifest.write(out, begun)
    return begun


def _fields(renderer: Renderer) -> dict[str, receptive_field.Field]:
    """What a place of each layer sees, where the layers on the way tell."""
    settings = renderer.settings
    shape = clip_shape(renderer.network, frames=settings.frames, size=settings.size)
    try:
        return receptive_field.of_layers(renderer.network, shape=shape[:3])
    except ValueError:  # of a network of several inputs
        return {}


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


def _code(renderer: Renderer, sections: Sequence[Section]) -> dict[str, str]:
    """By layer, the Python that makes a clip."""
    log_odds = render.excludes(renderer.network)
    return {
        section.layer: code.python(renderer.settings, section, log_odds=log_odds)
        for section in sections
    }
