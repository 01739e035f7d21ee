"""Writes a gallery's pages anew from its manifest and records: nothing is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from c3dvis.gallery import folder, manifest, page, real
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.plan import Unit
from c3dvis.gallery.record import Record


def rebuild(
    out: Path, *, report: Callable[[str], None] | None = None
) -> tuple[Manifest, dict[Unit, Record]]:
    """Writes index.html and README.md; returns what they are of.

    Args:
        out: Folder of the gallery.
        report: Gets a line about records that do not count.

    Raises:
        ValueError: If there is no gallery.
        OSError: If a page cannot be written.
    """
    begun, records = read(out, report=report)
    page.write(out, begun, records, real=real.read(out))
    return begun, records


def read(
    out: Path, *, report: Callable[[str], None] | None = None
) -> tuple[Manifest, dict[Unit, Record]]:
    """A gallery's manifest and records; see `rebuild`."""
    begun = manifest.read(out)
    if begun is None:
        raise ValueError(
            f"Expected the folder of a gallery, with its {manifest.NAME}. Received: {out}."
        )
    return begun, folder.existing(out, begun.sections, identity=begun.identity, report=report)
