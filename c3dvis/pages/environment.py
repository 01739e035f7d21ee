"""The templates of all pages, and how text gets into them."""

from __future__ import annotations

import functools
import re

import jinja2
from markupsafe import Markup

from c3dvis.text import markdown, number, visible


@functools.cache
def environment() -> jinja2.Environment:
    """The templates in `templates/`, in which every text is escaped.

    Filters: `visible` for HTML; `markdown` for labels and `sentence` for longer texts in Markdown;
    `number` for three digits.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("c3dvis.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {
        "markdown": markdown,
        "visible": visible,
        "sentence": sentence,
        "number": number,
    }
    return templates


def sentence(text: str) -> Markup:
    """Markdown of a text of any length; `markdown` itself cuts labels short."""
    return Markup(" ").join(markdown(word) for word in text.split(" "))


def html_attribute(text: str) -> Markup:
    """The text in an attribute of HTML in Markdown, where backslashes do not escape.

    >>> print(html_attribute("Mixed_4d | <b>"))
    Mixed&#95;4d &#124; &#60;b&#62;
    """
    return Markup(re.sub(r"[^\w .,-]|_", lambda match: f"&#{ord(match[0])};", visible(text)))
