"""More clips of a gallery's units: from slow to free, of other parametrizations, of neurons."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from exit_code import exit_code
from gallery_folder import Instant, bytes_below
from test_gallery_page import Reader
from test_gallery_render import small_network

from c3dvis import files
from c3dvis.gallery import clip_kinds, more_clips, rebuild, render
from c3dvis.gallery.__main__ import main
from c3dvis.gallery.groups import Group
from c3dvis.gallery.plan import Unit
from c3dvis.gallery.settings import Settings
from c3dvis.maximize import SlowToFast

UNITS = [Unit("conv2", channel, None, "conv2") for channel in (0, 1)]


def path_of(channels, weights, status="ok"):
    """As `slow_to_fast` would give it, at once: what a unit gets depends on those beside it."""
    shape = (len(weights), len(channels))
    draw = np.random.default_rng(list(channels))
    scores, energies = 1 + draw.random(shape), draw.random(shape) / 10
    statuses = np.full(shape, "ok", object)
    statuses[:, 0] = status
    return SlowToFast(weights, draw.random((*shape, 6, 16, 16, 3)), scores, energies, statuses)


@pytest.fixture
def gallery(tmp_path, monkeypatch):
    """A function that runs the command at once; what it asked for is in its attribute `asked`."""

    def at_once(network, objective, *, weights, **options):
        (channels,) = (term.units for _, term in objective.terms)
        run.asked.append(tuple(channels))
        return path_of(channels, weights, run.status)

    monkeypatch.setattr(render, "Maximizer", Instant)
    monkeypatch.setattr(clip_kinds, "Maximizer", Instant)
    monkeypatch.setattr(clip_kinds, "slow_to_fast", at_once)
    small_network().save(tmp_path / "small.keras")

    def run(*more):
        model = ["--keras-model", str(tmp_path / "small.keras"), "--steps", "2"]
        chosen = ["--layers", "conv2", "--filters", "0-1", "--out", str(tmp_path / "out")]
        return main([*model, *chosen, *more])

    run.asked, run.status = [], "ok"
    return run


def sources(out, word):
    index = (out / "index.html").read_text("utf-8")
    return [one for one in Reader(index).all("img") if word in one["src"]]


def test_the_page_shows_them_and_they_are_made_once_among_the_same_others(gallery, tmp_path):
    assert gallery("--speeds") == 0 and gallery.asked == [(0, 1)]
    out = tmp_path / "out"
    images = sources(out, "-speeds-")
    assert [one["src"] for one in images] == [
        f"cards/conv2/{channel}-speeds-{rank}.jpg" for channel in (0, 1) for rank in range(3)
    ]
    assert images[0]["alt"] == "Clip for filter 0 of conv2, slowest"
    kept = more_clips.read(out, UNITS[1])["speeds"]
    index = (out / "index.html").read_text("utf-8")
    assert len(kept.clips) == 3 and kept.sentence in "".join(Reader(index).text)
    whole = bytes_below(out)
    assert gallery("--speeds") == 0 and len(gallery.asked) == 1
    for lost in (more_clips._record_path(out, UNITS[1]), out / kept.clips[2].strip):
        lost.unlink()
        assert (
            gallery("--speeds") == 0 and gallery.asked[-1] == (0, 1) and bytes_below(out) == whole
        )
    rebuild.rebuild(out)
    assert bytes_below(out) == whole


def test_a_kind_is_added_beside_the_others(gallery, tmp_path, capsys):
    out = tmp_path / "out"
    assert gallery("--speeds") == 0 and gallery("--parametrizations", "pixels", "pyramid") == 0
    told = capsys.readouterr().out
    assert "conv2: clips from slow to free, 2 units\n" in told
    assert "conv2: clips of the parametrization pyramid, 2 units\n" in told
    assert list(more_clips.read(out, UNITS[0])) == ["speeds", "pixels", "pyramid"]
    assert len(sources(out, "-speeds-")) == 6
    alts = [one["alt"] for word in ("-pixels-", "-pyramid-") for one in sources(out, word)]
    assert alts[::2] == [
        "Clip for filter 0 of conv2, pixels",
        "Clip for filter 0 of conv2, pyramid",
    ]
    whole = bytes_below(out)
    assert gallery("--parametrizations", "pyramid") == 0 and bytes_below(out) == whole


def test_what_is_no_parametrization_is_refused_before_anything_is_made(gallery, tmp_path, capsys):
    assert exit_code(lambda given: gallery(*given), ["--parametrizations", "pixel"]) == 2
    assert "Received: 'pixel'" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_unit_without_gradient_has_none_and_is_not_tried_again(gallery, tmp_path):
    gallery.status = "no gradient"
    assert gallery("--speeds") == 0 and gallery("--speeds") == 0 and len(gallery.asked) == 1
    shown = [one["src"] for one in sources(tmp_path / "out", "-speeds-0")]
    assert shown == ["cards/conv2/1-speeds-0.jpg"]


def test_shards_leave_them_for_later(gallery, capsys):
    assert exit_code(lambda given: gallery(*given), ["--speeds", "--shard", "1/2"]) == 2
    assert "more clips of each unit with a shard: add them when all" in capsys.readouterr().err


def test_what_it_costs_to_be_slow_is_said_in_words():
    def said(slow, free, change=0.25):
        return clip_kinds._speed_sentence(np.array([slow, 1.0, free]), np.array([change, 0.5, 0.5]))

    assert said(3.0, 4.0) == (
        "Slowest, with 50% of the free clip's change between frames, it keeps 75% of its score."
    )
    assert "keeps none of its score" in said(-1.0, 4.0)
    assert said(1.0, -1.0) == "" == said(1.0, 0.0)


@pytest.mark.parametrize(
    ("selectivity", "words"),
    [
        (0.7, "selectivity 0.70, so direction matters"),
        (0.0, "counts for more than which way"),
        (-0.7, "prefer the opposite direction"),
        (float("nan"), "Neither clip excites it"),
    ],
)
def test_what_a_direction_is_worth_is_said_in_words(selectivity, words):
    assert words in clip_kinds._direction_sentence(selectivity)


@pytest.mark.parametrize(
    "damage", [{"strip": "../secret.jpg"}, {"score": "high"}, {"note": None}, {"shape": [1, 2]}]
)
def test_what_is_damaged_is_nothing_and_the_others_stay(gallery, tmp_path, damage):
    out = tmp_path / "out"
    assert gallery("--speeds", "--parametrizations", "pixels") == 0
    path = more_clips._record_path(out, UNITS[0])
    values = files.read_json(path)
    values["speeds"]["clips"][0] |= damage
    files.write_json(path, values)
    assert list(more_clips.read(out, UNITS[0])) == ["pixels"]


def test_no_kind_leads_out_of_the_gallery(gallery, tmp_path):
    out = tmp_path / "out"
    assert gallery("--parametrizations", "pixels") == 0
    path = more_clips._record_path(out, UNITS[0])
    values = files.read_json(path)
    kind = "x/../../../../secret"
    (out / "cards/conv2/0-x").mkdir()
    (tmp_path / "secret-0.jpg").write_bytes(b"")
    values[kind] = values.pop("pixels")
    values[kind]["clips"][0]["strip"] = f"cards/conv2/0-{kind}-0.jpg"
    assert (out / values[kind]["clips"][0]["strip"]).is_file()
    files.write_json(path, values)
    assert more_clips.read(out, UNITS[0]) == {}


def test_they_are_those_of_maximize(tmp_path):
    renderer = render.Renderer(Settings(steps=1), tmp_path, network=small_network())
    group = Group((Unit("conv1", 1, None, "conv1"),), 1)
    for kind in clip_kinds.selected(speeds=True, other_parametrizations=["pixels"]):
        (variants,) = kind.make(renderer, group).values()
        assert all(one.clip.shape == (6, 16, 16, 3) for one in variants.clips)


def test_a_neuron_is_shown_by_what_it_sees(tmp_path):
    """The known answer: bright where its kernel is positive, dark elsewhere."""
    clip = keras.Input((4, 20, 20, 3))
    conv = keras.layers.Conv3D(1, (2, 6, 6), name="conv")
    network = keras.Model(clip, keras.layers.Conv3D(1, 3, name="deeper")(conv(clip)))
    kernel = np.ones((2, 6, 6, 3, 1))
    kernel[:, :, :3] = -1
    conv.set_weights([kernel, np.zeros(1)])
    renderer = render.Renderer(Settings(steps=32), tmp_path, network=network)
    (kind,) = clip_kinds.selected(neurons=True)
    group = Group((Unit("conv", 0, None, "conv"),), 1)
    assert kind.units_of(renderer, group) == group.units
    ((shown,),) = (variants.clips for variants in kind.make(renderer, group).values())
    assert (shown.name, shown.note) == ("centre neuron", "sees 2 × 6 × 6")
    assert shown.clip.shape == (2, 66, 66, 3)
    dark, bright = shown.clip[:, :, :33].mean(), shown.clip[:, :, 33:].mean()
    assert bright - dark > 0.5
    deeper = Group((Unit("deeper", 0, None, "deeper"),), 1)  # it sees 8 of 20 rows
    assert not kind.units_of(renderer, deeper)
    classes = Group((Unit(clip_kinds.CLASSES, 0, None, "classes"),), 1)
    assert not kind.units_of(renderer, classes)
