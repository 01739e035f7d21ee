"""The network at the top of a gallery's page."""

from __future__ import annotations

from dataclasses import asdict

import keras
import numpy as np
import pytest
from keras import layers
from test_gallery_page import HOSTILE, Reader, record, write_gallery

from c3dvis import clips
from c3dvis.gallery import overview
from c3dvis.gallery.overview import LayerSummary, Overview
from c3dvis.gallery.plan import CLASSES
from c3dvis.text import visible


def small(*, between=1):
    named = [LayerSummary(f"between{i}", "ReLU", (4, 8, 6, 2), 0) for i in range(between)]
    first = LayerSummary("conv1", "Conv3D", (4, None, 6, 2), 1234, (3, 5, 7))
    last = LayerSummary("fc", "Dense", (3,), 9)
    return Overview(1243, (first, *named, last))


def test_layers_are_counted_and_their_fields_are_known():
    clip = keras.Input((8, 8, 8, 3))
    maps = layers.Conv3D(2, 3, padding="same", name="conv1")(clip)
    maps = layers.MaxPooling3D(2, name="pool")(maps)
    network = keras.Model(clip, layers.Dense(3, name="fc")(layers.Flatten(name="flat")(maps)))
    summary = overview.of(network)
    assert summary.parameters == sum(one.parameters for one in summary.layers)
    assert [(one.name, one.shape, one.parameters, one.field) for one in summary.layers] == [
        ("conv1", (8, 8, 8, 2), 2 * (27 * 3 + 1), (3, 3, 3)),
        ("pool", (4, 4, 4, 2), 0, (4, 4, 4)),
        ("flat", (128,), 0, None),
        ("fc", (3,), 129 * 3, None),
    ]
    assert Overview.from_json(asdict(summary) | {"layers": _lists(summary)}) == summary


def _lists(summary):
    """As they come from JSON."""
    return [
        {key: list(value) if isinstance(value, tuple) else value for key, value in one.items()}
        for one in asdict(summary)["layers"]
    ]


@pytest.mark.parametrize(
    "damage",
    [{"name": None}, {"shape": [-1]}, {"parameters": "9"}, {"field": [1, 2]}, {"field": [0, 1, 1]}],
)
def test_what_is_damaged_is_refused(damage):
    one, *others = _lists(small())
    with pytest.raises(ValueError, match="Expected"):
        Overview.from_json({"parameters": 1, "layers": [one | damage, *others]})


def test_the_page_shows_the_layers_in_order_behind_the_classes(tmp_path):
    parts = {CLASSES: [record(label="left")], "conv1": [record(i) for i in range(6)]}
    index, _ = write_gallery(tmp_path, parts, overview=small(between=2))
    reader = Reader(index)
    text = " ".join("".join(reader.text).split())
    assert "4 layers, 1,243 parameters" in text
    places = [text.index(name) for name in ("1,234 parameters", "between0", "between1", "fc Dense")]
    assert places == sorted(places)
    assert "4 × any × 6 × 2 field 3 × 5 × 7" in text and "6 of 9 filters" in text
    assert len(reader.all("li")) == 3
    hrefs = [a["href"] for a in reader.all("a")]
    # Behind the links of the bar and the unit of the classes, which come first.
    links = hrefs[hrefs.index("#conv1", 2) :][:2]
    assert links == ["#conv1", "#classes"]
    ids = [a["id"] for _, a in reader.elements if "id" in a]
    assert set(one[1:] for one in links) <= set(ids)
    sections = [one["id"] for one in reader.all("section")]
    assert sections == ["classes", "network", "conv1"]
    thumbnails = [image for image in reader.all("img") if image["alt"] == ""]
    assert [one["src"] for one in thumbnails] == [f"conv1/{i}.jpg" for i in range(4)] + [
        "classes/0.jpg"
    ]
    assert all(one["loading"] == "lazy" for one in thumbnails)


def test_clips_of_one_colour_come_last_and_are_swatches(tmp_path):
    records = [record(0, plain_color="#fe0300"), *(record(i) for i in range(1, 4))]
    index, _ = write_gallery(tmp_path, {"conv1": records}, overview=small())
    thumbnails = [a for a in Reader(index).all("span") if a.get("class") == "thumbnail"]
    assert [one["style"] for one in thumbnails[:3]] == ["aspect-ratio:6/8"] * 3
    assert thumbnails[3]["style"] == "background:#fe0300"


@pytest.mark.parametrize("between, folded", [(2, 0), (3, 1)])
def test_many_layers_without_clips_are_folded_up(tmp_path, between, folded):
    plain, _ = write_gallery(tmp_path, {"conv1": [record()]})
    index, _ = write_gallery(tmp_path, {"conv1": [record()]}, overview=small(between=between))
    assert len(Reader(index).all("details")) == len(Reader(plain).all("details")) + folded
    assert ("4 layers without clips" in index) == bool(folded)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_shown_as_text(tmp_path, text):
    named = Overview(1, (LayerSummary(text, "Conv3D", (4, 8), 1), LayerSummary("b", "X", None, 0)))
    index, _ = write_gallery(tmp_path, {"b": [record()]}, overview=named)
    safe = Overview(1, (LayerSummary("a", "Conv3D", (4, 8), 1), LayerSummary("b", "X", None, 0)))
    plain, _ = write_gallery(tmp_path / "b", {"b": [record()]}, overview=safe)
    assert [tag for tag, _ in Reader(index).elements] == [tag for tag, _ in Reader(plain).elements]
    assert visible(text) in "".join(Reader(index).text)


@pytest.fixture
def address(tmp_path):
    for name in ("conv1/0.jpg", "conv1/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        clips.write(tmp_path / name, np.random.default_rng(0).random((4, 8, 6, 3)))
    write_gallery(tmp_path, {"conv1": [record(0), record(1)]}, overview=small())
    return (tmp_path / "index.html").as_uri()


POSITION = "document.querySelector('.thumbnail img').style.objectPosition"


def test_thumbnails_play_and_rest_where_motion_is_reduced(open_page, address):
    shown = open_page(address)
    shown.wait_for_function(f"{POSITION} && parseFloat({POSITION}) > 0")
    rests = open_page(address, reduced_motion="reduce")
    rests.wait_for_function(f"{POSITION} !== ''")
    for _ in range(2):  # of four frames, both times the first only where nothing moves
        rests.wait_for_timeout(150)
        assert rests.evaluate(f"parseFloat({POSITION})") == 0


def test_a_thumbnail_leads_to_its_layer(open_page, address):
    shown = open_page(address, reduced_motion="reduce")
    shown.click(".thumbnail")
    assert shown.url.endswith("#conv1")
    assert shown.get_by_role("link", name="conv1", exact=True).count() == 2  # in the bar, too
