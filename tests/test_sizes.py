"""Networks of the table at the size that a command asks for, and what it is where none is."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import numpy as np
import pytest

from c3dvis import models
from c3dvis.gallery.__main__ import main
from c3dvis.gallery.settings import Settings
from c3dvis.models import chosen


def choice(model, **asked):
    nothing = {"weights": None, "keras_model": None, "labels": None, "frames": None, "size": None}
    return SimpleNamespace(model=model, **{**nothing, **asked})


@pytest.mark.parametrize(
    ("name", "asked", "shape"),
    [
        ("i3d", {}, (16, 112, 112, 3)),
        ("i3d-flow", {}, (16, 112, 112, 2)),
        ("tsm", {}, (8, 112, 112, 3)),
        ("r3d", {}, (16, 112, 112, 3)),
        ("convlstm-kth", {}, (32, 120, 160, 3)),
        ("i3d", {"frames": 64}, (64, 112, 112, 3)),
        ("i3d", {"size": (48, 64)}, (16, 48, 64, 3)),
        ("i3d-motion", {"frames": 1, "size": (8, 9)}, (1, 8, 9, 3)),
        ("c3d", {"frames": 16, "size": (112, 112)}, (16, 112, 112, 3)),
    ],
)
def test_the_size_asked_for_or_what_a_laptop_can_do(name, asked, shape):
    assert chosen.command_shape(models.entry(name), **asked) == shape


@pytest.mark.parametrize(
    ("name", "asked", "told"),
    [
        (
            "c3d",
            {"size": (64, 64)},
            "Expected 16 frames of 112 x 112, as the fully connected layers of 'c3d' fix it there; "
            "i3d, i3d-flow, r3d, mc3, r2plus1d and tsm take other sizes. "
            "Received: 16 frames of 64 x 64.",
        ),
        ("c3d-motion", {"frames": 8}, "i3d-motion, r3d-motion, mc3-motion, r2plus1d-motion and ts"),
        ("convlstm-motion", {"frames": 8}, "dense layer of 'convlstm-motion' fix it there"),
    ],
)
def test_networks_of_one_size_say_which_and_what_takes_others(name, asked, told):
    with pytest.raises(ValueError) as refused:
        chosen.load(choice(name, **asked))
    assert told in str(refused.value)


def test_a_line_tells_the_published_size_where_it_is_another():
    said: list[str] = []
    for name in ("i3d", "c3d", "convlstm-kth"):
        chosen.say_size(choice(name), said.append)
    chosen.say_size(choice("convlstm-kth", frames=8), said.append)
    chosen.say_size(choice("r3d-motion", size=(32, 48)), said.append)
    chosen.say_size(choice("c3d", keras_model="mine.keras", frames=8), said.append)
    assert said == [
        "i3d at 16 x 112 x 112; published at 64 x 224 x 224: --frames 64 --size 224",
        "convlstm-kth at 8 x 120 x 160; published at 32 x 120 x 160: --frames 32 --size 120x160",
        "r3d-motion at 16 x 32 x 48; trained at 16 x 64 x 64: --frames 16 --size 64",
    ]


@pytest.mark.parametrize("name", ["i3d-motion", "tsm-motion"])
def test_trained_weights_serve_another_size(name):
    """What does not fit is refused, so they are all there."""
    assert chosen.load(choice(name, frames=4, size=(24, 32))).input_shape == (None, 4, 24, 32, 3)


def test_they_are_the_same_weights():
    small = chosen.load(choice("mc3-motion", frames=2, size=(8, 8)))
    trained = models.build("mc3-motion")
    for one, other in zip(small.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", [e.name for e in models.NETWORKS if e.command_shape])
def test_what_a_laptop_can_do_is_at_most_a_quarter(name):
    entry = models.entry(name)
    assert not entry.fixed_by
    assert 4 * np.prod(chosen.command_shape(entry)) <= np.prod(entry.shape)


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"model": "i3d"}, (224, 224)),
        ({"model": None}, (64, 64)),
        ({"model": "i3d", "size": (48, 64)}, (48, 64)),
        ({"model": None, "keras_model": "mine.keras"}, None),
    ],
)
def test_real_clips_keep_the_published_size(asked, size):
    given = argparse.Namespace(**vars(choice(**asked)))
    assert chosen.for_real_clips(given).size == size


def test_a_gallery_is_of_the_size_that_was_built():
    laptop = Settings(model="i3d").identity()
    assert (laptop["frames"], laptop["size"]) == (16, [112, 112])
    assert laptop == Settings(model="i3d", frames=16, size=(112, 112)).identity()
    assert laptop != Settings(model="i3d", frames=64, size=(224, 224)).identity()
    own = Settings(keras_model="mine.keras").identity()
    assert (own["frames"], own["size"]) == (None, None)


def test_the_gallery_command_lists_and_plans_at_that_size(tmp_path, capsys):
    arguments = ["--model", "mc3-motion", "--frames", "4", "--size", "16x32"]
    arguments += ["--out", str(tmp_path / "out")]
    assert main([*arguments, "--list-layers"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("mc3-motion at 4 x 16 x 32; trained at 16 x 64 x 64: ")
    assert "4 x 8 x 16 x 8" in told
    assert main([*arguments, "--dry-run", "--layers", "stem"]) == 0
    assert f"{tmp_path / 'out'}: 4 clips to make, 0 already made" in capsys.readouterr().out
