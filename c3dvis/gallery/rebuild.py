"""Writes a gallery's pages again from its manifest and records, without computing anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from c3dvis.gallery import folder, manifest, page, plan, real
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.plan import Unit
from c3dvis.gallery.record import Record


def rebuild(
    out: Path, *, report: Callable[[str], None] | None = None
) -> tuple[Manifest, dict[Unit, Record]]:
    """Writes index.html and README.md; returns the manifest and records.

    Args:
        out: Folder of the gallery.
        report: Called with a line about invalid records.

    Raises:
        ValueError: If the folder holds no gallery.
        OSError: If a page cannot be written.
    """
    content, records = read(out, report=report)
    page.write(out, content, records, real=real.read(out))
    return content, records


def read(
    out: Path, *, report: Callable[[str], None] | None = None
) -> tuple[Manifest, dict[Unit, Record]]:
    """A gallery's manifest and records; see `rebuild`."""
    content = manifest.read(out)
    if content is None:
        raise ValueError(
            f"Expected the folder of a gallery, with its {manifest.NAME}. Received: {out}."
        )
    units = plan.units_of(content.sections)
    return content, folder.existing(out, units, identity=content.identity, report=report)
