"""Pages in HTML and Markdown: one look, one environment of templates, one player."""

from c3dvis.pages.environment import environment
from c3dvis.pages.films import film, read_strip
from c3dvis.pages.pictures import Bars, Link, Picture, PictureGroup, write

__all__ = ["Bars", "Link", "Picture", "PictureGroup", "environment", "film", "read_strip", "write"]
