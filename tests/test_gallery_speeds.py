"""Clips of a gallery's units from slow to free."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gallery_folder import Instant, bytes_below
from test_gallery_page import Reader
from test_gallery_render import small_network

from c3dvis import files
from c3dvis.gallery import rebuild, render, speeds
from c3dvis.gallery.__main__ import main
from c3dvis.gallery.groups import Group
from c3dvis.gallery.plan import Unit
from c3dvis.gallery.settings import Settings
from c3dvis.gallery.speeds import SpeedClip, Speeds
from c3dvis.maximize import SlowToFast


def path_of(channels, weights, status="ok"):
    """As `slow_to_fast` would give it, at once: what a unit gets depends on those beside it."""
    shape = (len(weights), len(channels))
    draw = np.random.default_rng(list(channels))
    scores, energies = 1 + draw.random(shape), draw.random(shape) / 10
    statuses = np.full(shape, "ok", object)
    statuses[:, 0] = status
    return SlowToFast(weights, draw.random((*shape, 6, 16, 16, 3)), scores, energies, statuses)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A function that runs the command at once; what it asked for is in its attribute `asked`."""

    def at_once(network, objective, *, weights, **options):
        (channels,) = (term.units for _, term in objective.terms)
        run.asked.append(tuple(channels))
        return path_of(channels, weights, run.status)

    monkeypatch.setattr(render, "Maximizer", Instant)
    monkeypatch.setattr(render, "slow_to_fast", at_once)
    small_network().save(tmp_path / "small.keras")

    def run(*more):
        model = ["--keras-model", str(tmp_path / "small.keras"), "--steps", "2", "--speeds"]
        chosen = ["--layers", "conv2", "--filters", "0-1", "--out", str(tmp_path / "out")]
        return main([*model, *chosen, *more])

    run.asked, run.status = [], "ok"
    return run


def test_the_page_shows_them_and_they_are_made_once_among_the_same_others(made, tmp_path):
    assert made() == 0 and made.asked == [(0, 1)]
    out = tmp_path / "out"
    index = (out / "index.html").read_text("utf-8")
    images = [one for one in Reader(index).all("img") if "-speed-" in one["src"]]
    assert [one["src"] for one in images] == [
        f"cards/conv2/{channel}-speed-{rank}.jpg" for channel in (0, 1) for rank in range(3)
    ]
    assert images[0]["alt"] == "Clip for filter 0 of conv2, slowest"
    unit = Unit("conv2", 1, None, "conv2")
    kept = speeds.read(out, unit)
    assert len(kept.clips) == 3 and kept.sentence in "".join(Reader(index).text)
    whole = bytes_below(out)
    assert made() == 0 and len(made.asked) == 1
    for lost in (speeds._kept(out, unit), out / kept.clips[2].strip):
        lost.unlink()
        assert made() == 0 and made.asked[-1] == (0, 1) and bytes_below(out) == whole
    rebuild.rebuild(out)
    assert bytes_below(out) == whole


def test_a_unit_without_gradient_has_none_and_is_not_tried_again(made, tmp_path):
    made.status = "no gradient"
    assert made() == 0 and made() == 0 and len(made.asked) == 1
    index = (tmp_path / "out/index.html").read_text("utf-8")
    assert "1-speed-0.jpg" in index and "0-speed-0.jpg" not in index


def test_shards_leave_them_for_later(made, capsys):
    assert made("--shard", "1/2") == 2
    assert "clips of other speeds: add them when all shards are made" in capsys.readouterr().err


def test_what_it_costs_to_be_slow_is_said_in_words():
    def said(slow, free, change=0.25):
        both = (slow, change), (1.0, 0.5), (free, 0.5)
        return Speeds(tuple(SpeedClip(*one, "", (4, 8, 8)) for one in both)).sentence

    assert said(3.0, 4.0) == (
        "Slowest, with 50% of the free clip's change between frames, it keeps 75% of its score."
    )
    assert "keeps none of its score" in said(-1.0, 4.0)
    assert said(1.0, -1.0) == "" == Speeds(()).sentence


@pytest.mark.parametrize(
    "damage", [{"strip": "../secret.jpg"}, {"score": "high"}, {"energy": True}, {"shape": [1, 2]}]
)
def test_what_is_damaged_is_nothing(made, tmp_path, damage):
    assert made() == 0
    unit = Unit("conv2", 0, None, "conv2")
    path = Path(speeds._kept(tmp_path / "out", unit))
    values = files.read_json(path)
    values["clips"][0] |= damage
    files.write_json(path, values)
    assert speeds.read(tmp_path / "out", unit) is None


def test_they_are_those_of_maximize(tmp_path):
    renderer = render.Renderer(Settings(steps=1), tmp_path, network=small_network())
    unit = Unit("conv1", 1, None, "conv1")
    path = renderer.slow_to_fast(Group((unit,), 1), (1.0, 0.0))
    assert path.weights == (1.0, 0.0) and path.clips.shape == (2, 1, 6, 16, 16, 3)
