"""Plain pages of animations: index.html, and README.md for GitHub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from c3dvis.files import write_text
from c3dvis.text import markdown, visible

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
class Section:
    """Pictures that belong together.

    Attributes:
        title: Of the section.
        about: A sentence or two on what is seen.
        pictures: In reading order.
    """

    title: str
    about: str
    pictures: Sequence[Picture]


def write(folder: Path, title: str, about: str, sections: Sequence[Section]) -> None:
    """Writes `index.html` and `README.md` into a folder, each whole or not at all.

    Every text is shown as it is: none is read as HTML or Markdown.

    Raises:
        OSError: If a file cannot be written.
    """
    values = {"title": title, "about": about, "sections": sections, "columns": _COLUMNS}
    made = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    made.filters |= {"markdown": markdown, "visible": visible, "sentence": _sentence}
    for name, text in (("index.html", _HTML), ("README.md", _MARKDOWN)):
        write_text(folder / name, made.from_string(text).render(values))


def _sentence(text: str) -> str:
    """Markdown of a text of any length; `markdown` itself cuts labels short."""
    return " ".join(markdown(word) for word in text.split(" "))


_MARKDOWN = """# {{ title|markdown }}

{{ about|sentence }}
{% for section in sections %}

## {{ section.title|markdown }}

{{ section.about|sentence }}

{% for row in section.pictures|batch(columns) %}
|{% for picture in row %} {{ picture.caption|markdown }} |{% endfor %}

|{% for picture in row %} --- |{% endfor %}

|{% for one in row %} <img src="{{ one.file }}" width="{{ one.width }}" alt=""> |{% endfor %}


{% endfor %}
{% endfor %}
"""

_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title|visible }}</title>
<style>
:root { --page: #fbfbfa; --ink: #1c1f23; --soft: #626a73; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --ink: #e7e9ec; --soft: #9aa3ad; } }
body { max-width: 76rem; margin: 0 auto; padding: 1.25rem; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.2rem; margin: 2rem 0 0; }
p { max-width: 46rem; color: var(--soft); margin: .4rem 0 1rem; }
.pictures { display: flex; flex-wrap: wrap; gap: 1.25rem; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; border-radius: 4px; image-rendering: pixelated; }
figcaption { padding-top: .3rem; font-size: .9rem; }
</style>
</head>
<body>
<h1><bdi>{{ title|visible }}</bdi></h1>
<p>{{ about|visible }}</p>
{% for section in sections %}
<section>
<h2><bdi>{{ section.title|visible }}</bdi></h2>
<p>{{ section.about|visible }}</p>
<div class="pictures">
{% for picture in section.pictures %}
<figure style="width: {{ picture.width }}px">
<img src="{{ picture.file }}" width="{{ picture.width }}" alt="" loading="lazy">
<figcaption><bdi>{{ picture.caption|visible }}</bdi></figcaption>
</figure>
{% endfor %}
</div>
</section>
{% endfor %}
</body>
</html>
"""
