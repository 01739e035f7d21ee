"""Starts a run: locks the folder, adds the units to gallery.json, selects the shard's share."""

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
    plan,
    rebuild,
    render,
    shards,
)
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.plan import CLASSES, Section
from c3dvis.gallery.render import Renderer
from c3dvis.gallery.shards import Shard
from c3dvis.models import chosen as choices
from c3dvis.models.clip_shapes import clip_shape


@contextlib.contextmanager
def locked(
    renderer: Renderer, sections: Sequence[Section], share: Shard | None
) -> Iterator[Manifest]:
    """Locks the folder, or a share of it, for this run; a share ends with writing the pages.

    Args:
        renderer: Renderer of the gallery.
        sections: Sections of this run.
        share: Shard of this run; None locks the whole folder.

    Yields:
        The manifest, with the sections added.

    Raises:
        InUse: If another run has the folder, or the same share.
        ValueError: As `folder.previous_manifest` and `output_folder.check`.
    """
    out = renderer.out
    if share is None:
        with folder.locked(out):
            shards.refuse_running(out)
            output_folder.tidy(out)
            forming.clear(out)
            yield _updated_manifest(renderer, sections)
        return
    with contextlib.ExitStack() as stack:
        with folder.locked(out, wait=shards.WAIT):
            stack.enter_context(shards.held(out, share))
            current = _updated_manifest(renderer, sections)
        yield current
        with folder.locked(out, wait=shards.WAIT):
            rebuild.rebuild(out)


def _updated_manifest(renderer: Renderer, sections: Sequence[Section]) -> Manifest:
    """Checks the locked folder, adds the sections to gallery.json, and returns its content."""
    out, settings, network = renderer.out, renderer.settings, renderer.network
    before = folder.previous_manifest(out, renderer.identity)
    if before is None and not any(out.glob("*/*.json")):
        (out / held_out.NAME).unlink(missing_ok=True)
    shape = clip_shape(network, frames=settings.frames, size=settings.size)
    network_overview = overview.of(network, shape=shape[:3])
    fields = {layer.name: layer.field for layer in network_overview.layers}
    merged = manifest.merge(
        () if before is None else before.sections, sections, [CLASSES, *reversed(fields)]
    )
    all_sections = tuple(
        dataclasses.replace(one, field=fields.get(one.layer), kernel=kernels.add(network, one, out))
        for one in merged
    )
    max_size = groups.ON_GPU if autodiff.gpu_count() else groups.ON_CPU
    log_odds = render.has_exclusive_classes(network)
    updated = Manifest(
        identity=renderer.identity,
        sections=all_sections,
        groups=groups.extend(
            {} if before is None else before.groups, all_sections, settings.batch_size or max_size
        ),
        network=renderer.provenance,
        **renderer.environment,
        code={one.layer: code.python(settings, one, log_odds=log_odds) for one in all_sections},
        banner=choices.training_data_note(settings),
        overview=network_overview,
    )
    manifest.write(out, updated)
    return updated


def share_of(
    current: Manifest, sections: Sequence[Section], share: Shard | None
) -> tuple[Section, ...]:
    """The sections of this run, with the units of all groups, or of those of its share."""
    every = [group for of_layer in current.groups.values() for group in of_layer]
    own = every if share is None else share.share(every)
    selected = set(plan.units_of(sections))
    selected.intersection_update(unit for group in own for unit in group.units)
    shared = (
        dataclasses.replace(section, units=tuple(u for u in section.units if u in selected))
        for section in current.sections
    )
    return tuple(section for section in shared if section.units)
