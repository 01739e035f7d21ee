"""Pages of animations: index.html, and README.md for GitHub."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from markupsafe import Markup

from c3dvis.files import write_text
from c3dvis.pages.environment import environment, html_attribute, sentence
from c3dvis.text import markdown, table

# Pictures side by side in a Markdown table.
_COLUMNS = 4


@dataclass(frozen=True)
class Picture:
    """One picture of a page.

    Attributes:
        file: Path of the file, relative to the page.
        caption: A few words below it.
        width: Displayed width in pixels.
        alt: Alternative text; None means the caption.
        strip: Path of its film strip, with which the page can pause it; None if there is none.
        shape: Frames, height and width of the strip.
        slider: Whether it does not play and has its own slider.
        facets: Its properties by kind, such as {"method": "grad_cam"}. The page lets readers choose
            among the values of a kind that has several.
    """

    file: str
    caption: str
    width: int
    alt: str | None = None
    strip: str | None = None
    shape: tuple[int, int, int] = (1, 1, 1)
    slider: bool = False
    facets: Mapping[str, str] = field(default_factory=dict)

    @property
    def description(self) -> str:
        return self.caption if self.alt is None else self.alt


@dataclass(frozen=True)
class Link:
    """A text in a table that links to another group of the page.

    Attributes:
        text: Displayed text.
        anchor: Anchor of the group.
    """

    text: str
    anchor: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Bars:
    """Values in a row, as over time, drawn as columns.

    Attributes:
        heights: Heights of the columns, from 0 to 1.
        marked: Indices of the columns that stand out.
        description: Text above the columns.
    """

    heights: Sequence[float]
    marked: Collection[int]
    description: str


@dataclass(frozen=True)
class PictureGroup:
    """Pictures that belong together.

    Attributes:
        title: Title of the group.
        about: A sentence or two about the pictures.
        pictures: The pictures, in reading order.
        table: Rows of texts below the sentence, heads first; None if there is none.
        bars: Rows of columns above the table.
        anchor: Anchor for links to it; None if there are none.
    """

    title: str
    about: str
    pictures: Sequence[Picture] = ()
    table: Sequence[Sequence[str | Link]] | None = None
    bars: Sequence[Bars] = ()
    anchor: str | None = None


def write(
    folder: Path,
    title: str,
    about: str,
    groups: Sequence[PictureGroup],
    *,
    banner: str | None = None,
    fps: float = 8,
) -> None:
    """Writes `index.html` and `README.md` into a folder, each whole or not at all.

    All texts are escaped: none is read as HTML or Markdown.

    Args:
        folder: Folder of the page.
        title: Title of the page.
        about: A text on all pictures.
        groups: The groups, in reading order.
        banner: A warning at the top.
        fps: Frames per second of the film strips.

    Raises:
        OSError: If a file cannot be written.
    """
    pictures = [picture for group in groups for picture in group.pictures]
    strips = [picture for picture in pictures if picture.strip]
    choices = _choices(pictures)
    values = {
        "title": title,
        "about": about,
        "sections": groups,
        "columns": _COLUMNS,
        "banner": banner,
        "fps": fps,
        "frames": max((picture.shape[0] for picture in strips), default=0),
        "choices": choices,
        "facets": partial(_numbers, choices),
        "widest": max((picture.width for picture in pictures), default=0),
        "table": _picture_table,
        "text_table": _text_table,
    }
    for name, template in (("index.html", "pictures.html"), ("README.md", "pictures.md")):
        write_text(folder / name, environment().get_template(template).render(values))


def _choices(pictures: Sequence[Picture]) -> dict[str, list[str]]:
    """By kind, its values in order; without kinds of a single value."""
    kinds: dict[str, dict[str, None]] = {}
    for picture in pictures:
        for kind, value in picture.facets.items():
            kinds.setdefault(kind, {})[value] = None
    return {kind: list(values) for kind, values in kinds.items() if len(values) > 1}


def _numbers(choices: Mapping[str, Sequence[str]], picture: Picture) -> dict[str, int]:
    """By kind, the index of a picture's value among the choices."""
    facets = picture.facets.items()
    return {kind: choices[kind].index(value) for kind, value in facets if kind in choices}


def _picture_table(row: Sequence[Picture]) -> Markup:
    """A row of pictures as a Markdown table, captions on top."""
    image = Markup('<img src="{}" width="{}" alt="{}">')
    images = [image.format(one.file, one.width, html_attribute(one.description)) for one in row]
    return Markup(table([markdown(picture.caption) for picture in row], [images]))


def _text_table(rows: Sequence[Sequence[str | Link]]) -> Markup:
    """Rows of texts as a Markdown table, the first of them heads."""
    heads, *others = ([sentence(str(text)) for text in row] for row in rows)
    return Markup(table(heads, others))
