"""Kernels of layers that read the clip itself: what they look like, and a gallery's pictures."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from gallery_folder import Instant, bytes_below
from keras import layers
from PIL import Image
from test_gallery_page import Reader, cells

from c3dvis import files, responses
from c3dvis.gallery import kernels, manifest, rebuild, render
from c3dvis.gallery.__main__ import main
from c3dvis.models.c3d import CaffeInput

SHAPE = (3, 4, 5, 3)


def convolution(weights, *, before=(), after=(), shape=SHAPE):
    """A network with a convolution of given weights, and layers before and after it."""
    tensor = clip = keras.Input(shape)
    for layer in before:
        tensor = layer(tensor)
    weights = np.asarray(weights, np.float32)
    conv = layers.Conv3D(weights.shape[-1], weights.shape[:3], name="conv")
    tensor = conv(tensor)
    conv.set_weights([weights, np.zeros(weights.shape[-1])])
    for layer in after:
        tensor = layer(tensor)
    return keras.Model(clip, tensor)


def of_colours(*per_filter):
    """Weights `(1, 1, 1, channels, filters)`."""
    return np.array(per_filter, np.float32).T[None, None, None]


def test_colours_are_those_of_the_clip_where_the_network_turns_them_round():
    network = convolution(of_colours([1, 0, 0], [0, 0, -1]), before=[CaffeInput()])
    shown = responses.kernels(network, "conv")[:, 0, 0, 0]
    np.testing.assert_allclose(shown, [[0.5, 0.5, 1], [0, 0.5, 0.5]], atol=1e-4)


def test_colours_are_weighed_as_the_network_scales_them():
    scaled = [layers.Rescaling([2.0, 1.0, 1.0], offset=-1), layers.ZeroPadding3D(1)]
    network = convolution(of_colours([1, 1, 0]), before=scaled)
    shown = responses.kernels(network, "conv")[0, 0, 0, 0]
    np.testing.assert_allclose(shown, [1, 0.75, 0.5], atol=1e-6)


def test_a_kernel_of_grey_clips_keeps_its_sign():
    network = convolution(-np.ones((2, 1, 1, 1, 1)), shape=(3, 4, 5, 1))
    assert responses.kernels(network, "conv").max() == 0


def test_a_normalisation_that_turns_a_channel_turns_its_kernel():
    after = [layers.BatchNormalization(name="norm"), layers.ReLU(name="relu")]
    network = convolution(of_colours([1, 0, 0], [1, 0, 0]), after=after)
    network.get_layer("norm").gamma.assign([2.0, -2.0])
    expected = [[1, 0.5, 0.5], [0, 0.5, 0.5]]
    for name, rows in (("conv", [expected[0]] * 2), ("norm", expected), ("relu", expected)):
        shown = responses.kernels_of_clip(network, name)[:, 0, 0, 0]
        np.testing.assert_allclose(shown, rows, atol=1e-6)


def test_layers_that_read_something_else_have_none():
    after = [layers.MaxPooling3D((1, 2, 2), name="pool"), layers.Conv3D(1, 1, name="second")]
    network = convolution(of_colours([1, 0, 0]), after=after)
    assert [responses.kernels_of_clip(network, name) for name in ("pool", "second")] == [None] * 2
    assert responses.kernels_of_clip(network, "nowhere") is None
    learned = convolution(of_colours([1, 0, 0]), before=[layers.Dense(3)])
    assert responses.kernels_of_clip(learned, "conv") is None


def test_a_kernel_of_single_frames_is_found_inside_its_wrapper():
    clip = keras.Input(SHAPE)
    conv = layers.TimeDistributed(layers.Conv2D(2, (2, 3), name="inner"), name="conv")
    network = keras.Model(clip, conv(clip))
    assert responses.kernels_of_clip(network, "conv").shape == (2, 1, 2, 3, 3)


@pytest.fixture
def gallery(tmp_path, monkeypatch):
    """A function that makes a gallery at once; it returns its folder."""
    monkeypatch.setattr(render, "Maximizer", Instant)
    keras.utils.set_random_seed(3)
    clip = keras.Input((6, 16, 16, 3))
    maps = layers.Conv3D(3, (2, 3, 3), name="conv1")(clip)
    network = keras.Model(clip, layers.Conv3D(2, 3, name="conv2")(maps))
    network.save(tmp_path / "small.keras")

    def run(name="made", *more):
        model = ["--keras-model", str(tmp_path / "small.keras"), "--steps", "2"]
        assert main([*model, "--out", str(tmp_path / name), *more]) == 0
        return tmp_path / name

    return run


def test_a_gallery_shows_kernels_and_the_same_command_replaces_lost_ones(gallery):
    out = gallery()
    pictures = sorted(out.rglob("*-kernel.png"))
    assert [path.relative_to(out).as_posix() for path in pictures] == [
        f"conv1/{i}-kernel.png" for i in range(3)
    ]
    with Image.open(pictures[0]) as picture:
        frames, rows = 2, 3
        side = -(-48 // rows) * rows
        assert picture.size == (frames * side + 4, side) and picture.mode == "RGBA"
    index, readme = [(out / name).read_text("utf-8") for name in ("index.html", "README.md")]
    shown = [one for one in Reader(index).all("img") if "kernel" in one["src"]]
    assert [one["src"] for one in shown] == [f"conv1/{i}-kernel.png" for i in range(3)]
    assert shown[1]["alt"] == "Kernel of filter 1 of conv1, frame by frame"
    said = "This layer reads the clip itself"
    assert index.count(said) == 1 == readme.count(said)
    heads = [cells(readme.split("## conv1")[1], row)[0] for row in range(4)]
    assert heads == ["filter", "clip", "activation", "kernel"]
    whole = bytes_below(out)
    rebuild.rebuild(out)
    assert bytes_below(out) == whole
    pictures[1].unlink()
    rebuild.rebuild(out)
    readme = (out / "README.md").read_text("utf-8")
    assert cells(readme.split("## conv1")[1], 3)[2] == "–"
    gallery()
    assert bytes_below(out) == whole == bytes_below(gallery("again"))


def test_frames_of_a_long_kernel_stand_in_rows():
    """Seven frames, each of one grey, in rows of four."""
    greys = np.linspace(0.1, 0.7, 7, dtype=np.float32)
    (picture,) = kernels._side_by_side(np.tile(greys[:, None, None, None], (1, 48, 48, 3)))
    assert picture.shape == (2 * 48 + 4, 4 * 48 + 3 * 4, 4)
    centres = picture[24::52, 24::52]
    np.testing.assert_allclose(centres[..., 0].ravel()[:7], greys)
    assert centres[..., 3].ravel().tolist() == [1] * 7 + [0]


def test_a_gallery_of_before_has_none_until_its_command_runs_again(gallery):
    out = gallery()
    values = files.read_json(out / manifest.NAME)
    for section in values["sections"]:
        section.pop("kernel")
    values.pop("overview")
    files.write_json(out / manifest.NAME, values)
    rebuild.rebuild(out)
    assert "kernel.png" not in (out / "index.html").read_text("utf-8")
    gallery()
    assert "kernel.png" in (out / "index.html").read_text("utf-8")


def test_units_that_are_added_have_kernels_too(gallery):
    out = gallery("made", "--layers", "conv1", "--filters", "0")
    assert len(list(out.rglob("*-kernel.png"))) == 1
    gallery("made", "--layers", "conv1", "--filters", "2")
    assert len(list(out.rglob("*-kernel.png"))) == 2
