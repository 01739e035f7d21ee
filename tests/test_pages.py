"""Pages of pictures: what they show, and that no text is more than text."""

import markdown_it
import numpy as np
from test_gallery_page import alts

from c3dvis import pages


def written(folder, about, groups, **options):
    pages.write(folder, "Title", about, groups, **options)
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


def test_a_film_is_played_from_its_strip_and_described(tmp_path):
    clip = np.random.default_rng(0).random((4, 8, 6, 3))
    film = pages.film(tmp_path, "wave", clip, "a caption", alt='a "wave"', fps=5)
    assert film == pages.Picture("wave.gif", "a caption", 6, 'a "wave"', "wave.jpg", (4, 8, 6))
    index, readme = written(tmp_path, "", [pages.PictureGroup("one", "", [film])], fps=5)
    assert 'src="wave.jpg"' in index and 'href="wave.gif"' in index and 'data-frames="4"' in index
    assert 'alt="a &#34;wave&#34;"' in index and 'alt="a &#34;wave&#34;"' in readme
    assert 'data-fps="5"' in index and 'role="region" aria-label="Player"' in index


def test_what_is_seen_is_told_in_full_in_markdown(tmp_path):
    alt = "Mixed_4d | `7` of <b> & (\\) *x* " + "many words " * 8 + "$y$"
    picture = pages.Picture("a.gif", "a", 9, alt)
    _, readme = written(tmp_path, "", [pages.PictureGroup("one", "", [picture])])
    assert alts(readme) == [alt]


def test_a_clip_too_wide_for_a_strip_is_shown_as_its_gif(tmp_path):
    film = pages.film(tmp_path, "long", np.zeros((700, 1, 100, 1)), "long")
    assert film.strip is None and not (tmp_path / "long.jpg").exists()
    index, _ = written(tmp_path, "", [pages.PictureGroup("one", "", [film])])
    assert '<img src="long.gif" width="100" alt="long"' in index and "<script>" not in index


def test_a_banner_comes_first(tmp_path):
    index, readme = written(tmp_path, "About.", [], banner="Knows <discs>.")
    assert index.index("Knows &lt;discs&gt;.") < index.index("About.")
    assert readme.index("Knows &#60;discs&#62;.") < readme.index("About.")


def test_a_table_shows_its_texts_as_they_are(tmp_path):
    rows = [["class", "what it | reads"], ["<b>", "a long text " * 8], ["wave", "*much*"]]
    group = pages.PictureGroup("Verdict", "", table=rows)
    index, readme = written(tmp_path, "", [group])
    html = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(readme)
    for page in (index, html):
        assert page.count("<tr>") == 3 and page.count("<th") >= 2
        assert "&lt;b&gt;" in page and "what it | reads" in page and "*much*" in page
        assert ("a long text " * 8).strip() in page


def test_there_is_a_choice_of_what_there_are_several_of(tmp_path):
    facets = [
        {"method": "gradient", "clip": "a"},
        {"method": '"<b>', "clip": "a"},
        {"method": "gradient", "clip": "a", "layer": "conv1"},
    ]
    pictures = [pages.Picture(f"{i}.gif", "", 10, facets=one) for i, one in enumerate(facets)]
    index, readme = written(tmp_path, "", [pages.PictureGroup("One", "", pictures)])
    assert index.count("<fieldset") == 1 and '<fieldset data-kind="method">' in index
    assert index.count('type="checkbox" value=') == 2 and "&#34;&lt;b&gt;" in index
    assert [f"data-facets='{{\"method\": {i}}}'" in index for i in (0, 1, 2)] == [True, True, False]
    assert "fieldset" not in readme
    index, _ = written(tmp_path, "", [pages.PictureGroup("One", "", pictures[:1])])
    assert "<fieldset" not in index and "data-facets" not in index


def test_columns_and_links_to_other_parts(tmp_path):
    rows = [["window", "heatmaps"], ["1", pages.Link("see <1>", "one")], ["2", ""]]
    bars = pages.Bars([0.25, 1.0], [1], 'of "wave"')
    groups = [
        pages.PictureGroup("All", "", table=rows, bars=[bars]),
        pages.PictureGroup("One", "", anchor="one"),
    ]
    index, readme = written(tmp_path, "", groups)
    assert '<a href="#one">see &lt;1&gt;</a>' in index and '<section id="one">' in index
    assert '<i style="height:25.0%"></i><i class="marked" style="height:100.0%"></i>' in index
    assert 'role="img" aria-label="of &#34;wave&#34;"' in index
    assert "see &#60;1&#62;" in readme
