"""Pages of pictures: what they show, and that no text is more than text."""

import markdown_it

from c3dvis import pages


def written(folder, about, groups):
    pages.write(folder, "Title", about, groups)
    return [(folder / name).read_text(encoding="utf-8") for name in ("index.html", "README.md")]


def test_pictures_stand_in_rows_under_their_captions(tmp_path):
    pictures = [pages.Picture(f"{i}.gif", f"filter {i}", 112) for i in range(5)]
    group = pages.PictureGroup("conv1", "Five of them.", pictures)
    index, readme = written(tmp_path, "About.", [group, pages.PictureGroup("none", "", [])])
    assert [f'src="{i}.gif" width="112"' in index for i in range(5)] == [True] * 5
    html = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(readme)
    assert html.count("<table>") == 2 and html.count("<td><img") == 5
    assert html.index("filter 3") < html.index('src="3.gif"') < html.index("filter 4")


def test_a_sentence_is_shown_as_it_is(tmp_path):
    about = "Frames <1> | *2* & 3, of a_b: " + "many words " * 20
    index, readme = written(tmp_path, about, [])
    assert "Frames &lt;1&gt; | *2* &amp; 3" in index
    html = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(readme)
    assert "Frames &lt;1&gt; | *2* &amp; 3, of a_b:" in html and "<em>" not in html
