"""Pages of animations: index.html, and README.md for GitHub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from c3dvis.files import write_text
from c3dvis.pages.environment import environment
from c3dvis.text import markdown, table

# Pictures side by side in a Markdown table.
_COLUMNS = 4


@dataclass(frozen=True)
class Picture:
    """One picture of a page.

    Attributes:
        file: Its path, relative to the page.
        caption: A few words below it.
        width: In pixels, as shown.
    """

    file: str
    caption: str
    width: int


@dataclass(frozen=True)
class PictureGroup:
    """Pictures that belong together.

    Attributes:
        title: Of the group.
        about: A sentence or two on what is seen.
        pictures: In reading order.
    """

    title: str
    about: str
    pictures: Sequence[Picture]


def write(folder: Path, title: str, about: str, groups: Sequence[PictureGroup]) -> None:
    """Writes `index.html` and `README.md` into a folder, each whole or not at all.

    Every text is shown as it is: none is read as HTML or Markdown.

    Raises:
        OSError: If a file cannot be written.
    """
    values = {"title": title, "about": about, "sections": groups, "columns": _COLUMNS}
    for name, template in (("index.html", "pictures.html"), ("README.md", "pictures.md")):
        write_text(folder / name, environment().get_template(template).render(values, table=_table))


def _table(row: Sequence[Picture]) -> Markup:
    """A row of pictures as a Markdown table, captions on top."""
    image = Markup('<img src="{}" width="{}" alt="">')
    images = [image.format(picture.file, picture.width) for picture in row]
    return Markup(table([markdown(picture.caption) for picture in row], [images]))
