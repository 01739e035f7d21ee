"""Real clips beside the made ones: which, their ratio, and that nothing is made again for them."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from exit_code import exit_code
from test_gallery_page import HOSTILE, Reader, cells, record, write_gallery
from test_gallery_render import small_network

from c3dvis import clips, objectives, responses
from c3dvis.gallery import more_clips, real
from c3dvis.gallery.__main__ import main
from c3dvis.gallery.plan import CLASSES, Unit
from c3dvis.gallery.real import RealClip, RealClips
from c3dvis.maximize import both_ways, scores
from c3dvis.text import number


def beside(layer="conv1", name="kick/a.avi", *, best=4.0, weakest=False):
    first = RealClip(name, best, "real/conv1/0-0.gif", "real/conv1/0-0.jpg", (4, 8, 6))
    second = RealClip("b.avi", best / 2, "real/conv1/0-1.gif", "real/conv1/0-1.jpg", (4, 8, 6))
    weak = RealClip("w.avi", -2.5, "real/conv1/0-weak-0.gif", "real/conv1/0-weak-0.jpg", (4, 8, 6))
    units = {(layer, 0): (first, second)}
    return RealClips("films", 20, units, {(layer, 0): (weak,)} if weakest else {})


def test_the_page_shows_real_clips_and_the_ratio_to_the_best(tmp_path):
    index, readme = write_gallery(tmp_path, {"conv1": [record(0)]}, compare=512, real=beside())
    images = Reader(index).all("img")
    assert [one["src"] for one in images] == [
        "conv1/0.jpg",
        "real/conv1/0-0.jpg",
        "real/conv1/0-1.jpg",
    ]
    assert images[0]["alt"].endswith("3.09 times the best real clip")
    assert images[1]["alt"] == "Real clip kick/a.avi, activation 4"
    text = " ".join("".join(Reader(index).text).split())
    assert "3.09 × best real" in text and "best real 4, kick/a.avi" in text
    assert (
        "its ratio to the best of 20 real clips of films" in text
        and "held-out" not in index + readme
    )
    assert Reader(index).all("figure")[0]["data-ratio"] == str(12.345 / 4)
    assert cells(readme, 3) == ["× best of 20 real", "3.09"]
    assert cells(readme, 4)[1].startswith('<img src="real/conv1/0-0.gif"')


def test_the_weakest_real_clips_stand_below_the_strongest(tmp_path):
    index, _ = write_gallery(tmp_path, {"conv1": [record(0), record(1)]}, real=beside(weakest=True))
    images = [one for one in Reader(index).all("img") if one["src"].startswith("real")]
    assert [one["src"] for one in images] == [
        *(f"real/conv1/0-{i}.jpg" for i in range(2)),
        "real/conv1/0-weak-0.jpg",
    ]
    assert images[2]["alt"] == "Real clip w.avi, activation -2.5"
    groups = [one for one in Reader(index).all("div") if one.get("role") == "group"]
    assert [one["aria-label"].split()[0] for one in groups] == ["Strongest", "Weakest"]
    assert "weakest, -2.5" in "".join(Reader(index).text)


def test_units_without_real_clips_and_scores_below_0_have_no_ratio(tmp_path):
    parts = {"conv1": [record(0), None]}
    index, _ = write_gallery(tmp_path, parts, real=beside(best=-1.0))
    text = " ".join("".join(Reader(index).text).split())
    assert "– × best real" in text and "best real -1, kick" in text
    assert index.count('class="pair"') == 1


def test_a_clip_of_one_colour_is_shown_beside_real_ones(tmp_path):
    parts = {"conv1": [record(0, plain_color="#fe0300")]}
    index, _ = write_gallery(tmp_path, parts, real=beside())
    assert len(Reader(index).all("img")) == 3 and 'class="swatch"' not in index


@pytest.mark.parametrize("text", HOSTILE)
def test_the_names_of_clips_are_text(tmp_path, text):
    index, _ = write_gallery(tmp_path, {"conv1": [record()]}, real=beside(name=text))
    plain, readme = write_gallery(tmp_path / "b", {"conv1": [record()]}, real=beside(name="b"))
    assert [t for t, _ in Reader(index).elements] == [t for t, _ in Reader(plain).elements]
    assert len(cells(readme, 4)) == 2


def test_what_is_kept_is_read_and_damage_is_nothing(tmp_path):
    (tmp_path / "real.json").write_text("{}")
    assert real.read(tmp_path) is None
    kept = real._to_json(beside())
    real.files.write_json(tmp_path / "real.json", kept)
    assert real.read(tmp_path) == beside()  # as earlier versions wrote it
    kept = real._to_json(beside(weakest=True))
    real.files.write_json(tmp_path / "real.json", kept)
    assert real.read(tmp_path) == beside(weakest=True)
    (unit,) = kept["units"]
    for wrong in ({"weakest": {}}, {"weakest": [{"name": "w"}]}):
        real.files.write_json(tmp_path / "real.json", kept | {"units": [unit | wrong]})
        assert real.read(tmp_path) is None, wrong
    for wrong in ({"count": -1}, {"folder": None}, {"units": {}}, {"units": [{"layer": 1}]}):
        real.files.write_json(tmp_path / "real.json", kept | wrong)
        assert real.read(tmp_path) is None, wrong
    for wrong in ("1e999", f"1{'0' * 400}", "NaN", '"1"', "true"):
        text = json.dumps(kept).replace('"score": ', f'"score": {wrong}, "was": ', 1)
        (tmp_path / "real.json").write_text(text)
        assert real.read(tmp_path) is None, wrong


def test_log_odds_are_those_of_the_objective():
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    identity = keras.Sequential([keras.Input((1, 1, 1, 4)), keras.layers.Flatten()])
    given = 1 / (1 + np.exp(-logits))  # clips lie in [0, 1]
    expected = scores(identity, objectives.log_odds(range(4)), given[:, None, None, None])
    np.testing.assert_allclose(real._log_odds(given), expected, rtol=1e-5)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """A gallery that got real clips, with the command that made it and the network's folder."""
    folder = tmp_path_factory.mktemp("real")
    small_network().save(folder / "network.keras")
    (folder / "films").mkdir()
    draw = np.random.default_rng(0)
    for name in "abcde":
        clips.write(folder / "films" / f"{name}.gif", draw.random((6, 16, 16, 3)))
    command = ["--keras-model", str(folder / "network.keras"), "--steps", "2", "--filters", "0-1"]
    command += ["--layers", "conv2", "--classes", "0", "2", "--out", str(folder / "out")]
    assert main(command) == 0
    before = {path: path.stat().st_mtime_ns for path in (folder / "out").glob("c*/*")}
    command += ["--real", str(folder / "films")]
    assert main(command) == 0
    return folder, command, before


def test_a_gallery_is_given_real_clips_without_making_its_own_anew(gallery):
    folder, command, before = gallery
    out = folder / "out"
    assert {path: path.stat().st_mtime_ns for path in out.glob("c*/*")} == before and before
    kept = real.read(out)
    assert kept.folder == "films" and kept.count == 5 and len(kept.units) == 4
    films = {path: path.stat().st_mtime_ns for path in out.glob("real/*/*.gif")}
    assert len(films) == 4 * (4 + 1)  # the fifth is the weakest
    assert main(command) == 0  # nothing is left to do
    assert {path: path.stat().st_mtime_ns for path in films} == films
    assert main(command[:-2]) == 0  # and what is there is shown without asking for it
    assert (out / "index.html").read_text().count('class="pair"') == 4
    values = real.files.read_json(out / "real.json")
    before = {**values, "units": [{**one} for one in values["units"]]}
    for one in before["units"]:
        del one["weakest"]  # as an earlier version wrote it
    real.files.write_json(out / "real.json", before)
    assert main(command) == 0 and real.files.read_json(out / "real.json") == values


def test_scores_of_real_clips_are_those_of_the_objective(gallery):
    folder, _, _ = gallery
    network = keras.saving.load_model(folder / "network.keras")
    given = {path.name: clips.read(path) for path in sorted((folder / "films").iterdir())}
    every = np.stack(list(given.values()))
    classes = objectives.logit([0, 2]) + objectives.log_odds([0, 2])
    for layer, channels, objective in (
        ("conv2", (0, 1), objectives.channel("conv2", [0, 1])),
        (CLASSES, (0, 2), classes),
    ):
        expected = scores(network, objective, every)
        for column, channel in enumerate(channels):
            order = np.argsort(-expected[:, column])[:4]
            shown = real.read(folder / "out").units[layer, channel]
            assert [one.name for one in shown] == [list(given)[row] for row in order]
            (weak,) = real.read(out := folder / "out").weakest[layer, channel]
            assert weak.name == list(given)[int(np.argmin(expected[:, column]))]
            assert weak.score == pytest.approx(expected[:, column].min(), rel=2e-3, abs=1e-3)
            assert weak.gif == f"real/{shown[0].gif.split('/')[1]}/{channel}-weak-0.gif"
            assert (out / weak.gif).is_file() and (out / weak.strip).is_file()
            got = [one.score for one in shown]
            np.testing.assert_allclose(got, expected[order, column], rtol=2e-3, atol=1e-3)


def test_another_folder_is_refused(gallery, tmp_path, capsys):
    _, command, _ = gallery
    assert main([*command[:-1], str(tmp_path)]) == 2
    assert "Expected a folder with videos" in capsys.readouterr().err
    clips.write(tmp_path / "z.gif", np.random.default_rng(1).random((6, 16, 16, 3)))
    assert main([*command[:-1], str(tmp_path)]) == 2
    assert "was given before, of 'films'. Received: " in capsys.readouterr().err
    assert exit_code(main, [*command, "--shard", "1/2"]) == 2
    assert (
        "no real clips, motion cards or more clips of each unit with a shard"
        in capsys.readouterr().err
    )


def test_motion_cards_stand_beside_the_clips_and_are_made_once(gallery, monkeypatch):
    folder, command, _ = gallery
    asked = []

    class Card:
        summary = "prefers <b>motion</b> left."
        tuning, direction, motion_share = None, 90.0, 0.25

        def __init__(self, channel):
            self.channel = channel

        def save(self, path):
            path.write_bytes(b"png")

    def motion_cards(network, layer, channels, *, strongest, **options):
        asked.append((layer, channels, [len(unit.strongest) for unit in strongest]))
        return [Card(channel) for channel in channels]

    monkeypatch.setattr(responses, "motion_cards", motion_cards)
    assert main([*command, "--cards"]) == 0
    assert asked == [("logits/", [0, 2], [4, 4]), ("conv2", [0, 1], [4, 4])]
    index = (folder / "out" / "index.html").read_text()
    shown = [one for one in Reader(index).all("img") if one.get("class") == "card"]
    assert [one["src"] for one in shown] == [
        *("cards/classes/0.png", "cards/classes/2.png"),
        *("cards/conv2/0.png", "cards/conv2/1.png"),
    ]
    assert shown[0]["alt"] == "Motion card: prefers <b>motion</b> left."
    assert index.count('data-motion="0.25"') == 4
    assert main([*command, "--cards"]) == 0 and len(asked) == 2
    out = folder / "out"
    assert exit_code(main, [*command, "--directions"]) == 2
    assert main([*command, "--cards", "--directions"]) == 0 and len(asked) == 2
    unit = Unit("conv2", 1, None, "conv2")
    both = more_clips.read(out, unit)["directions"]
    along, against = both.clips
    assert [one.name for one in both.clips] == ["motion up", "motion down"]
    assert along.shape == (6, 16, 16)
    remade = both_ways(
        keras.saving.load_model(folder / "network.keras"), "conv2:1", [90.0], steps=2
    )
    assert along.score == pytest.approx(remade[0].along.score, rel=1e-4)
    assert along.note == f"backward {number(remade[0].along_backward)}"
    # No score is above 0.
    assert np.isnan(remade[0].selectivity) and both.sentence.startswith("Neither clip excites it")
    assert both.sentence in (out / "index.html").read_text()
    shown = [one["src"] for one in Reader((out / "index.html").read_text()).all("img")]
    assert {along.strip, against.strip} < set(shown)
    kept = out / "cards/conv2/1-more.json"
    written_at = kept.stat().st_mtime_ns
    assert (
        main([*command, "--cards", "--directions"]) == 0 and kept.stat().st_mtime_ns == written_at
    )
