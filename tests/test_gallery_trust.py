"""What real clips say of a gallery's clips: the numbers, the words, and what is kept of them."""

from __future__ import annotations

import numpy as np
import pytest
from test_gallery_page import Reader, record, write_gallery
from test_gallery_render import small_network

from c3dvis import clips, files, objectives, responses
from c3dvis.gallery import real, trust
from c3dvis.gallery.plan import CLASSES, Section, Unit
from c3dvis.gallery.settings import Settings
from c3dvis.motion import DriftingGabor

UNITS = tuple(Unit("conv2", channel, None, "conv2") for channel in (0, 2))
SECTION = Section("conv2", "Conv3D", (1, 6, 6, 3), 3, UNITS)
FIRST = Section("conv1", "Conv3D", (4, 14, 14, 5), 5, (Unit("conv1", 0, None, "conv1"),))
COUNT = 24


class Drawn:
    """In the place of `real.SweptClips`."""

    def __init__(self, network, layer, shown):
        self.shown = shown
        self.swept = responses.sweep(network, shown, layers=[layer], top=4, verbose=0)

    def draw(self, most):
        return self.swept, self.shown


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def films():
    """Moving gratings in some noise, each of its own direction and speed."""
    draw = np.random.default_rng(0)
    shown = []
    for i in range(COUNT):
        grating = DriftingGabor(15.0 * i, spatial_frequency=0.1, temporal_frequency=0.02 * i)
        shown.append(grating.clip(frames=6, size=(16, 16)) + 0.1 * draw.normal(size=(6, 16, 16, 3)))
    return np.clip(shown, 0, 1).astype(np.float32)


def tuning(network, layer, channels):
    return responses.motion_tuning(
        network,
        layer,
        channels=channels,
        directions=(0, 90, 180, 270),
        spatial_frequencies=[0.1],
        temporal_frequencies=[0.2],
    )


def write_made(out, section):
    draw = np.random.default_rng(1)
    for unit in section.units:
        (out / unit.folder).mkdir(exist_ok=True)
        clips.write(out / unit.path("gif"), draw.random((6, 16, 16, 3)))


@pytest.fixture(scope="module")
def judged(network, films, tmp_path_factory):
    out = tmp_path_factory.mktemp("trust")
    write_made(out, SECTION)
    tuned = tuning(network, "conv2", [0, 2])
    trust.add(network, Settings(), SECTION, out, Drawn(network, "conv2", films), tuned)
    return out, tuned


def test_numbers_and_words_are_those_of_the_functions(network, films, judged):
    out, tuned = judged
    synthetic = np.stack([clips.read(out / unit.path("gif")) for unit in UNITS])
    scores = responses.video_mis(network, "conv2", films, channels=[0, 2], synthetic=synthetic)
    ways = responses.path_similarity(network, "conv2", synthetic, films, channels=[0, 2])
    words = responses.describe(network, "conv2", films, tuning=tuned)
    for row, unit in enumerate(UNITS):
        one = trust.read(out, unit)
        assert one.real_clips == COUNT
        assert one.made_score == pytest.approx(float(scores.scores[row]))
        assert one.same_way == pytest.approx(float(ways.same_way[row]), rel=1e-4)
        assert one.fooled == bool(ways.fooled[row])
        assert one.auc == pytest.approx(words[row].auc)
        assert one.description == str(words[row])
        assert one.interpretability.startswith(scores.sentence(unit.channel))
        assert one.activations == ways.activations_sentence(unit.channel)
        assert one.way == ways.sentence(unit.channel)
        assert one.alarm == (one.way if ways.fooled[row] else "")
        assert one.way in (one.alarm, *one.sentences) and one.description in one.sentences


def test_what_is_of_another_clip_or_damaged_is_nothing(network, films, judged, tmp_path):
    out, _ = judged
    kept = files.read_json(out / "trust/conv2/0.json")
    write_made(tmp_path, SECTION)
    (tmp_path / "trust/conv2").mkdir(parents=True)
    assert trust.missing(tmp_path, SECTION, []) == list(UNITS)
    files.write_json(tmp_path / "trust/conv2/0.json", kept)
    assert trust.read(tmp_path, UNITS[0]) == trust.read(out, UNITS[0]) is not None
    assert trust.missing(tmp_path, SECTION, []) == [UNITS[1]]
    for wrong in ({"schema": 0}, {"way": 1}, {"made_sha256": "0"}, {"more": 1}, {"auc": "0.9"}):
        files.write_json(tmp_path / "trust/conv2/0.json", kept | wrong)
        assert trust.read(tmp_path, UNITS[0]) is None, wrong
    (tmp_path / "trust/conv2/0.json").write_text("[")
    assert trust.read(tmp_path, UNITS[0]) is None


def test_too_few_clips_and_no_layer_before_are_told(network, films, tmp_path):
    write_made(tmp_path, FIRST)
    drawn = Drawn(network, "conv1", films[:3])
    trust.add(network, Settings(), FIRST, tmp_path, drawn, tuning(network, "conv1", [0]))
    one = trust.read(tmp_path, FIRST.units[0])
    assert one.sentences == (
        "A description needs 10 real clips; there are 3.",
        "An interpretability score needs 20 real clips; there are 3.",
        "An alarm needs 4 real clips; there are 3.",
    )
    assert one.made_score is None and one.same_way is None
    drawn = Drawn(network, "conv1", films[:4])
    trust.add(network, Settings(), FIRST, tmp_path, drawn, tuning(network, "conv1", [0]))
    assert "No earlier layer has" in trust.read(tmp_path, FIRST.units[0]).way


def test_the_page_says_it_and_an_alarm_stands_out(judged, tmp_path):
    out, _ = judged
    kept = files.read_json(out / "trust/conv2/0.json")
    (tmp_path / "trust/conv1").mkdir(parents=True)
    parts = {"conv1": [record(0)]}
    index, _ = write_gallery(tmp_path, parts)
    assert trust.EXPLANATION[:40] not in index and 'value="interpretability"' not in index
    (tmp_path / "conv1").mkdir()
    (tmp_path / "conv1/0.gif").write_bytes(b"GIF")
    sha = trust._sha256(tmp_path / "conv1/0.gif")
    changed = kept | {"made_sha256": sha, "fooled": True, "way": "Don't <b>trust</b>"}
    changed |= {"made_score": 0.875}
    files.write_json(tmp_path / "trust/conv1/0.json", changed)
    index, _ = write_gallery(tmp_path, parts)
    assert trust.EXPLANATION[:40] in index and "<em>Don&#39;t &lt;b&gt;trust" in index
    assert 'value="interpretability"' in index and 'data-interpretability="0.875"' in index
    text = " ".join("".join(Reader(index).text).split())
    assert " ".join(kept["interpretability"].split()) in text


def test_classes_are_judged_by_their_scores(network, films, tmp_path):
    section = Section(CLASSES, "classes", (3,), 3, (Unit(CLASSES, 1, "a", "classes"),))
    write_made(tmp_path, section)
    tuned = tuning(network, objectives.LOGITS, [1])
    trust.add(network, Settings(), section, tmp_path, Drawn(network, "logits/", films), tuned)
    one = trust.read(tmp_path, section.units[0])
    assert one.same_way is not None and 0 <= one.made_score <= 1
    ways = responses.path_similarity(network, objectives.LOGITS, films[:1], films, channels=[1])
    assert ways.layers == ("conv1", "conv2")  # the last layer is the score itself


def test_drawn_clips_are_those_of_the_sweep(network, films, tmp_path):
    for i, film in enumerate(films[:6]):
        clips.write(tmp_path / f"{i}.gif", film)
    swept = responses.sweep(network, tmp_path, layers=["conv2"], top=2, verbose=0)
    every = real.SweptClips(network, Settings(), tmp_path, swept)
    part, shown = every.draw(4)
    assert len(shown) == len(part.names) == 4 == len(part.sources)
    for name, clip, row in zip(part.names, shown, part["conv2"].scores, strict=True):
        np.testing.assert_array_equal(clip, clips.read(tmp_path / name))
        np.testing.assert_array_equal(row, swept["conv2"].scores[swept.names.index(name)])
    assert every.draw(99)[0].names == swept.names
