"""The pages: what they show, that no name or label is more than text, and that they stand alone."""

from __future__ import annotations

import html.parser
import re

import markdown_it
import pytest

from c3dvis import files
from c3dvis.gallery import page
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.plan import CLASSES, OWN_NAMES, Section, Unit
from c3dvis.gallery.record import SCHEMA, Record
from c3dvis.text import visible

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</figcaption><script>alert(1)</script>",
    "a | b",
    "two\nlines",
    "\u202egnp.exe",
    '" onmouseover="alert(1)',
    "[click](javascript:alert(1))",
    "![](http://example.com/x.png)",
    "{{ 7 * 7 }}",
    "**bold** _it_ `code` ~~no~~ $x$",
    "&lt;b&gt; &amp;",
    "http://example.com",
    "\\",
    "\\|",
    "<!-- -->",
    "# one",
    "\ud800",
]


class Reader(html.parser.HTMLParser):
    """The elements with their attributes, and the text outside scripts and styles."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] not in ("script", "style"):
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def write_gallery(out, parts, *, compare=0, network="small", filling=False, real=None, **shown):
    """A gallery's pages; `parts` is layer to records, None for one not made."""
    folders = files.safe_names([one for one in parts if one != CLASSES], taken=OWN_NAMES)
    sections, by_unit = [], {}
    for layer, records in parts.items():
        units = tuple(
            Unit(layer, i, (one or {}).get("label"), folders.get(layer, "classes"))
            for i, one in enumerate(records)
        )
        for unit, values in zip(units, records, strict=True):
            if values is not None:
                own = {"schema": SCHEMA, "layer": layer, "channel": unit.channel}
                by_unit[unit] = Record.from_json(own | values)
        sections.append(Section(layer, "Conv3D", (4, None, 8, 9), 9, units))
    identity = {"compare": compare, "fps": 8.0, "seed": 3, "steps": 5, "parametrization": "fourier"}
    identity |= {"weights_sha256": "abc", "size": None}
    begun = Manifest(identity, tuple(sections), network={"name": network}, **shown)
    page.write(out, begun, by_unit, filling=filling, real=real)
    return [(out / name).read_text(encoding="utf-8") for name in ("index.html", "README.md")]


def record(channel=0, *, label=None, status="ok", **more):
    files = {} if status in ("error", "no gradient") else {f"{channel}.gif": 1, f"{channel}.jpg": 1}
    return {
        "label": label,
        "status": status,
        "score": 12.345,
        "best_held_out": 4.938,
        "shape": [4, 8, 6, 3],
        "files": files,
        **more,
    }


def cells(markdown, row):
    """The cells of one row of the first table, as text with `<...>` for what is HTML."""
    tokens = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    start = next(i for i, token in enumerate(tokens) if token.type == "table_open")
    rows: list[list[str]] = []
    for token in tokens[start:]:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            kinds = {child.type for child in token.children}
            assert kinds <= {"text", "html_inline", "strong_open", "strong_close", "text_special"}
            rows[-1].append("".join(child.content for child in token.children))
        elif token.type == "table_close":
            return rows[row]


def alts(markdown):
    rendered = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(markdown)
    return [image["alt"] for image in Reader(rendered).all("img")]


def test_both_pages_show_every_unit_with_its_numbers(tmp_path):
    parts = {
        "conv1": [record(0), record(1, score=0.5, best_held_out=None)],
        CLASSES: [record(label="left")],
    }
    index, readme = write_gallery(tmp_path, parts, compare=512)
    images = Reader(index).all("img")
    assert [i["src"] for i in images] == ["conv1/0.jpg", "conv1/1.jpg", "classes/0.jpg"]
    assert all(i["loading"] == "lazy" and i["alt"] for i in images)
    text = " ".join("".join(Reader(index).text).split())
    assert "0 activation 12.3 2.5 × held-out" in text and "left activation 12.3" in text
    assert "1 activation 0.5 – × held-out" in text
    assert "2 filters of 1 layer and 1 class." in text
    assert cells(readme, 0) == ["filter", "0", "1"]
    assert re.findall(r'src="(.*?)"', "".join(cells(readme, 1))) == ["conv1/0.gif", "conv1/1.gif"]
    assert cells(readme, 2) == ["activation", "12.3", "0.5"]
    assert cells(readme, 3) == ["× best of 512 held-out", "2.5", "–"]


def test_without_a_comparison_there_is_no_ratio(tmp_path):
    index, readme = write_gallery(tmp_path, {"conv1": [record()]})
    assert "held-out" not in index and "held-out" not in readme


def test_what_is_not_a_good_clip_is_marked_and_not_shown_as_one(tmp_path):
    parts = {
        "conv1": [
            record(0, status="no gradient"),
            record(1, status="failed", failed_step=7),
            record(2, status="error", error="ValueError: no", score=None),
            None,
        ]
    }
    index, readme = write_gallery(tmp_path, parts)
    assert [image["src"] for image in Reader(index).all("img")] == ["conv1/1.jpg"]
    text = "".join(Reader(index).text)
    notes = ["no gradient", "failed at step 7", "not made: ValueError: no", "not made yet"]
    assert all(note in text for note in notes)
    assert "4 filters of 1 layer; 1 not made yet." in text
    assert text.count("activation 12.3") == 1 and cells(readme, 2)[1:] == ["–", "12.3", "–", "–"]
    shown = cells(readme, 1)[1:]
    assert shown[0] == notes[0] and shown[2:] == notes[2:]
    assert shown[1].endswith("<br>failed at step 7") and "conv1/1.gif" in shown[1]


def test_a_class_clip_that_the_network_takes_for_another_class_says_so(tmp_path):
    records = [
        record(0, label="left", taken_for="left"),
        record(1, label="right", taken_for="<up> & away"),
    ]
    index, readme = write_gallery(tmp_path, {CLASSES: records})
    said = "classified as <up> & away"
    assert "".join(Reader(index).text).count("classified as") == 1
    assert said in "".join(Reader(index).text)
    assert cells(readme, 1)[2].endswith(f"<br>{said}") and "says" not in cells(readme, 1)[1]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text_in_html(tmp_path, text):
    parts = {"plain": [record()], f"layer {text}": [record()], CLASSES: [record(label=text)]}
    index, _ = write_gallery(tmp_path, parts, network=f"net {text}")
    plain, _ = write_gallery(
        tmp_path / "b", {"plain": [record()], "b": [record()], CLASSES: [record(label="b")]}
    )
    reader, expected = Reader(index), Reader(plain)
    assert [tag for tag, _ in reader.elements] == [tag for tag, _ in expected.elements]
    assert [set(a) for _, a in reader.elements] == [set(a) for _, a in expected.elements]
    text_shown = "".join(reader.text)
    for shown in (text, f"layer {text}", f"Gallery of net {text}"):
        assert visible(shown) in text_shown


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_text_in_markdown(tmp_path, text):
    parts = {CLASSES: [record(0, label=text), record(1, label="next")]}
    _, readme = write_gallery(tmp_path, parts)
    assert cells(readme, 0) == ["class", f"0 {visible(text)}", "1 next"]
    assert alts(readme) == [f"class 0: {visible(text)}", "class 1: next"]
    parts = {text: [record()]}
    _, readme = write_gallery(tmp_path / "b", parts, network=text)
    tokens = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse(readme)
    after = [tokens[i + 1] for i, t in enumerate(tokens) if t.type == "heading_open"]
    heads = ["".join(child.content for child in token.children) for token in after]
    assert heads == [f"Gallery of {visible(text)}", visible(text)]
    assert alts(readme) == [f"filter 0 of {visible(text)}"]
    assert {c.type for token in after for c in token.children} <= {"text", "text_special"}


def test_no_control_or_direction_mark_reaches_a_page(tmp_path):
    label = "".join(map(chr, [*range(32), 0x7F, 0x85, 0x2028, 0x202E, 0x2066, 0x200F])) + "ok"
    for text in write_gallery(tmp_path, {CLASSES: [record(label=label)]}):
        assert not set(label[:-2]) - {"\n"} & set(text)


def test_a_long_layer_goes_on_below_in_one_table(tmp_path):
    count = page.COLUMNS + 2
    _, readme = write_gallery(tmp_path, {"conv1": [record(i) for i in range(count)]})
    assert readme.count("\n| ---") == 1
    heads = [*cells(readme, 0)[1:], *cells(readme, 3)[1:]]
    assert [head for head in heads if head] == [str(i) for i in range(count)]


def test_the_page_stands_alone_and_can_be_stilled(tmp_path):
    index, _ = write_gallery(tmp_path, {"conv1": [record()]})
    reader = Reader(index)
    assert not reader.all("link") and all("src" not in script for script in reader.all("script"))
    assert not re.search(r"https?:|//[a-z]|fetch\(|XMLHttp|@import|url\(", index)
    assert "prefers-reduced-motion" in index and "prefers-color-scheme: dark" in index
    buttons = reader.all("button")
    assert buttons[0]["class"] == "play" and "aria-pressed" in buttons[0]
    assert buttons[1]["class"] == "clip" and buttons[1]["data-frames"] == "4"
    assert "aspect-ratio:6/8" in buttons[1]["style"] and "aria-label" not in buttons[1]
    ids = [a["id"] for _, a in reader.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert all(a["href"][1:] in ids for a in reader.all("a") if a["href"].startswith("#"))


def test_a_clip_of_one_frame_does_not_move(tmp_path):
    index, _ = write_gallery(tmp_path, {"conv1": [record(shape=[1, 8, 6, 3])]})
    assert "data-frames" not in Reader(index).all("button")[1]


def test_the_addresses_of_units_stay_and_never_meet(tmp_path):
    few, _ = write_gallery(tmp_path, {"conv-1": [record()], "conv": [record(0), record(1)]})
    reader = Reader(few)
    ids = [a["id"] for _, a in reader.elements if "id" in a]
    assert len(ids) == len(set(ids)) and {"conv-0", "conv-1", "conv-1-0", "conv"} <= set(ids)
    assert [a["href"] for a in reader.all("a") if a["href"].endswith("gif")] == [
        "conv-1/0.gif",
        "conv/0.gif",
        "conv/1.gif",
    ]


def test_a_clip_of_one_colour_is_a_swatch_and_a_sentence(tmp_path):
    parts = {"conv1": [record(0, plain_color="#fe0300"), record(1)]}
    index, readme = write_gallery(tmp_path, parts)
    assert [image["src"] for image in Reader(index).all("img")] == ["conv1/1.jpg"]
    said = "plain red: no pattern, no motion"
    assert "".join(Reader(index).text).count(said) == 1 and "background:#fe0300" in index
    assert cells(readme, 1)[1].endswith(f"<br>{said}") and "plain" not in cells(readme, 1)[2]


@pytest.mark.parametrize(
    "color, name",
    [
        ("#ffffff", "white"),
        ("#808080", "grey"),
        ("#050000", "black"),
        ("#00ffff", "cyan"),
        ("#000060", "dark blue"),
        ("#ff0008", "red"),
    ],
)
def test_plain_colours_have_names(tmp_path, color, name):
    index, _ = write_gallery(tmp_path, {"conv1": [record(plain_color=color)]})
    assert f"plain {name}: no pattern" in index


def test_a_drift_is_shown_where_it_explains_a_third_of_the_change(tmp_path):
    moving = {"drift": [0.0, -0.5], "drift_share": 0.34}
    parts = {"conv1": [record(0, **moving), record(1, **moving | {"drift_share": 0.33})]}
    index, readme = write_gallery(tmp_path, parts, compare=2)
    alts = [image["alt"] for image in Reader(index).all("img")]
    assert alts[0].endswith("2.5 times the best held-out clip, drifts up, 0.5 pixels per frame")
    assert "drifts" not in alts[1] and index.count('style="rotate:-90deg"') == 1
    assert cells(readme, 4) == ["drift, pixels per frame", "↑ 0.5", "–"]
    figures = Reader(index).all("figure")
    assert [figure.get("data-speed") for figure in figures] == ["0.5", None]
    assert [float(figure["data-score"]) for figure in figures] == [12.345, 12.345]


def test_units_are_sorted_by_the_motion_that_their_cards_hold_or_else_by_that_of_clips(tmp_path):
    parts = {"conv1": [record(i, change=0.25 * i) for i in range(3)]}

    def sorts():
        index, _ = write_gallery(tmp_path, parts)
        reader = Reader(index)
        figures, text = reader.all("figure"), "".join(reader.text)
        named = dict(re.findall(r'<option value="(\w+)">(.*?)</option>', index))
        return named, [figure.get("data-motion") for figure in figures], text

    named, values, text = sorts()
    assert named["change"] == "motion dependence (clips)" and "motion" not in named
    assert values == [None] * 3 and "how much their clips change between frames" in text
    (tmp_path / "cards" / "conv1").mkdir(parents=True)
    for channel, said in enumerate(({}, {"motion_share": 0.5}, {"motion_share": "much"})):
        (tmp_path / f"cards/conv1/{channel}.png").write_bytes(b"")
        kept = {"summary": "A card.", "direction": None, **said}  # the first is of before
        files.write_json(tmp_path / f"cards/conv1/{channel}.json", kept)
    named, values, text = sorts()
    assert named["motion"] == "motion dependence (cards)"
    assert named["change"] == "change between frames"
    assert values == [None, "0.5", None] and "units without a card come last" in text
    assert text.count("A card.") == 3


def test_a_page_that_is_being_filled_reloads_itself_and_says_so(tmp_path):
    filling, _ = write_gallery(tmp_path, {"conv1": [record(), None]}, filling=True)
    (box,) = [one for one in Reader(filling).all("input") if one["type"] == "checkbox"]
    assert "checked" in box and box["class"] == "reload"
    assert "reloads every 5 seconds" in "".join(Reader(filling).text)
    stopped, _ = write_gallery(tmp_path, {"conv1": [record(), None]})
    assert 'class="reload"' not in stopped and "reloads" not in stopped


def test_the_banner_and_the_code_are_text(tmp_path):
    options = {"banner": "<b>toy</b>", "code": {"conv1": 'print("<b>")'}}
    index, _ = write_gallery(tmp_path, {"conv1": [record()]}, **options)
    reader = Reader(index)
    assert "<b>toy</b>" in "".join(reader.text)
    assert reader.all("section")[0]["data-code"] == 'print("<b>")'


def test_markdown_goes_on_in_other_files_before_it_is_too_long(tmp_path, monkeypatch):
    parts = {"conv1": [record(i) for i in range(40)], "conv2": [record()], "conv3": [record()]}
    _, whole = write_gallery(tmp_path, parts)
    assert list(tmp_path.glob("README-*")) == [] and "README-2" not in whole
    monkeypatch.setattr(page, "LARGEST_MARKDOWN", 1500)
    write_gallery(tmp_path, parts)
    pages = [tmp_path / "README.md", *sorted(tmp_path.glob("README-*.md"))]
    texts = [one.read_text() for one in pages]
    assert len(pages) > 2 and all(text.count("<img") for text in texts)
    assert sum(text.count("<img") for text in texts) == whole.count("<img") == 42
    assert all(len(text.split("\n## ", 1)[1]) < 2500 for text in texts)
    for one, text in zip(pages, texts, strict=True):
        assert all(f"[{other.name}]({other.name})" in text for other in pages if other != one)
    assert "**README.md**: conv1" in texts[0] and "conv3" in texts[-1].split("## ", 1)[1]
    monkeypatch.undo()
    (tmp_path / "README-mine.md").write_text("of somebody else")
    assert write_gallery(tmp_path, parts)[1] == whole
    assert [path.name for path in tmp_path.glob("README-*")] == ["README-mine.md"]
