"""Feature maps of a clip, kernels as clips, and the response of any 3-D kernel."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from exit_code import exit_code
from PIL import Image

from c3dvis import clips, responses
from c3dvis.responses.__main__ import main
from c3dvis.responses.maps import with_and_without_motion


def triple_loop(clip, kernel):
    t, h, w, _ = kernel.shape
    shape = tuple(n - k + 1 for n, k in zip(clip.shape[:3], (t, h, w), strict=True))
    response = np.zeros(shape, np.float64)
    for i in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                response[i, y, x] = np.sum(clip[i : i + t, y : y + h, x : x + w] * kernel)
    return response


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    clip = keras.Input((4, 8, 8, 3), name="clip")
    x = keras.layers.Conv3D(4, 3, padding="same", activation="relu", name="conv1")(clip)
    x = keras.layers.MaxPooling3D(2, name="pool1")(x)
    x = keras.layers.Conv3D(5, (1, 3, 3), name="conv2")(x)
    x = keras.layers.GlobalAveragePooling3D(name="mean")(x)
    return keras.Model(clip, keras.layers.Dense(2, name="scores")(x))


@pytest.fixture
def clip():
    return np.random.default_rng(1).random((4, 8, 8, 3), np.float32)


@pytest.mark.parametrize("shape", [(2, 3, 5, 3), (4, 8, 8, 3), (1, 1, 1, 3)])
def test_convolve_equals_the_triple_loop(clip, shape):
    kernel = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    expected = triple_loop(clip, kernel)
    response = responses.convolve(clip, kernel)
    assert response.shape == expected.shape
    np.testing.assert_allclose(response, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [2, 6])
def test_several_kernels_are_each_on_their_own(clip, count):
    kernels = np.random.default_rng(3).standard_normal((2, 3, 3, 3, count)).astype(np.float32)
    response = responses.convolve(clip, kernels)
    for i in range(count):
        np.testing.assert_allclose(
            response[..., i], responses.convolve(clip, kernels[..., i]), atol=1e-5
        )


@pytest.mark.parametrize(
    "kernel, message",
    [
        (np.ones((2, 3, 3, 2)), r"Expected a kernel \(t, h, w, 3\)"),
        (np.ones((3, 3, 3)), r"Expected a kernel \(t, h, w, 3\)"),
        (np.ones((5, 3, 3, 3)), r"that fits into \(4, 8, 8\)"),
        (np.full((1, 1, 1, 3), np.nan), "of finite numbers"),
    ],
)
def test_kernels_that_do_not_fit_are_refused(clip, kernel, message):
    with pytest.raises(ValueError, match=message):
        responses.convolve(clip, kernel)


def test_random_kernels_depend_on_the_seed():
    first, again, other = (responses.random_kernel(3, seed=s) for s in (0, 0, 1))
    assert (first == again).all() and not (first == other).all()
    assert 0.3 < responses.random_kernel(9).std() < 0.7
    with pytest.raises(ValueError, match="Expected a size"):
        responses.random_kernel(0)


def test_feature_maps_are_the_layers_activations(network, clip):
    maps = responses.feature_maps(network, clip, "conv1", channels=[3, 1])
    kernel, bias = network.get_layer("conv1").get_weights()
    padded = np.pad(clip, [(1, 1)] * 3 + [(0, 0)])
    by_hand = np.maximum(triple_loop(padded, kernel[..., 3]) + bias[3], 0)
    np.testing.assert_allclose(maps.maps[..., 0], by_hand, atol=1e-5)
    assert maps.channels == (3, 1) and maps.maps.shape == (4, 8, 8, 2)


def test_maps_are_scaled_by_filter_or_over_the_layer(network, clip):
    maps = responses.feature_maps(network, clip, "conv2")
    each = maps.scaled("filter")
    assert each.shape == (5, 4, 8, 8, 1)
    assert np.allclose(each.min((1, 2, 3, 4)), 0) and np.allclose(each.max((1, 2, 3, 4)), 1)
    together = maps.scaled("layer")
    assert together.min() == 0 and together.max() == 1
    assert (together.max((1, 2, 3, 4)) < 1).sum() == 4
    # Every position of the layer covers as many frames, rows and columns.
    small = maps.maps[..., 0]
    assert maps.maps.shape[:3] == (2, 2, 2)
    expected = small.repeat(2, 0).repeat(4, 1).repeat(4, 2)
    low, high = small.min(), small.max()
    np.testing.assert_allclose(each[0, ..., 0], (expected - low) / (high - low), atol=1e-6)
    with pytest.raises(ValueError, match="'filter' or 'layer'"):
        maps.scaled("frame")


def test_a_map_stands_beside_its_clip(network, clip):
    shown = responses.feature_maps(network, clip, "conv1").beside()
    assert shown.shape == (4, 4, 8, 18, 3)
    np.testing.assert_array_equal(shown[2, :, :, :8], clip)


def test_without_motion_all_frames_are_one(network, clip):
    resting = responses.still(clip, 1)
    assert (resting == clip[1]).all()
    maps = responses.feature_maps(network, resting, "conv1").maps
    assert (responses.feature_maps(network, clip, "conv1").maps != maps).any()
    np.testing.assert_array_equal(maps[1], maps[2])  # the others see the padding of time
    with pytest.raises(ValueError, match="a frame from 0 to 3"):
        responses.still(clip, 4)


def test_a_layer_itself_and_one_channel_are_taken(network, clip):
    layer = network.get_layer("conv1")
    assert responses.feature_maps(network, clip, layer, channels=3).channels == (3,)
    dependence = responses.motion_dependence(network, layer, [clip, clip], channels=3)
    assert dependence.channels == (3,) and dependence.layer == "conv1"
    assert list(responses.sweep(network, [clip], layers=layer, verbose=0)) == ["conv1"]
    assert len(responses.kernels(network, layer)) == 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: responses.UnitResponses(net, "conv1")([]), "none"),
        (lambda net: responses.UnitResponses(net, "conv1")(np.zeros((4, 8, 8, 3))), "with axes"),
        (lambda net: responses.UnitResponses(net, "conv1", batch_size=0), "batch_size of 1"),
        (lambda net: responses.UnitResponses(net, "conv1").units([0.5]), "whole numbers"),
        (lambda net: responses.UnitResponses(net, 3), "the name of a layer"),
        (lambda _: responses.random_kernel(2.5), "a size.*size=2.5"),
        (lambda _: responses.still(np.zeros((4, 8, 8, 3), np.float32), 1.5), "frame from 0 to 3"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(network, call, message):
    with pytest.raises(ValueError, match=f"Expected .*{message}") as error:
        call(network)
    assert "Received" in str(error.value)


@pytest.mark.parametrize(
    "layer, channels, message",
    [
        ("conv9", None, "Expected the name of a layer, such as 'conv2', 'conv1'"),
        ("scores", None, "Expected a layer with rows, columns"),
        ("conv1", [4], "Expected filters from 0 to 3. Received: 4"),
        ("conv1", [-1], "Expected filters from 0 to 3. Received: -1"),
        ("conv1", [], "Expected filters from 0 to 3. Received: none"),
    ],
)
def test_wrong_layers_and_filters_are_refused(network, clip, layer, channels, message):
    with pytest.raises(ValueError, match=message):
        responses.feature_maps(network, clip, layer, channels=channels)


def test_kernels_keep_their_signs_and_shape(network):
    shown = responses.kernels(network, "conv1")
    weights = np.moveaxis(network.get_layer("conv1").get_weights()[0], -1, 0)
    assert shown.shape == (4, 3, 3, 3, 3)
    assert ((shown > 0.5) == (weights > 0)).all()
    assert np.allclose(np.abs(shown - 0.5).max((1, 2, 3, 4)), 0.5)


def test_kernels_of_other_channels_show_their_strongest_mixture():
    clip = keras.Input((2, 4, 4, 6))
    network = keras.Model(clip, keras.layers.Conv3D(1, 2, name="conv")(clip))
    pattern = np.random.default_rng(4).random((2, 2, 2)) + 0.1
    mixture = np.random.default_rng(5).standard_normal(6)
    network.get_layer("conv").set_weights([(pattern[..., None] * mixture)[..., None], np.zeros(1)])
    shown = responses.kernels(network, "conv")
    np.testing.assert_allclose(shown[0, ..., 0], 0.5 + 0.5 * pattern / pattern.max(), atol=1e-5)
    with pytest.raises(ValueError, match="Expected the name of a convolution, such as 'conv'"):
        responses.kernels(network, "dense")


@pytest.fixture(scope="module")
def with_metadata():
    """A network that scales from 0 to 255 and takes numbers beside the clip, and its plain twin."""
    keras.utils.set_random_seed(1)
    metadata, clip = keras.Input((3,), name="metadata"), keras.Input((4, 8, 8, 3), name="clip")
    conv = keras.layers.Conv3D(4, 3, bias_initializer="random_normal", name="conv")
    units = keras.layers.Conv3D(2, 2, bias_initializer="random_normal", name="units")
    scaled = keras.layers.Rescaling(1 / 255)(clip)
    outputs = [units(conv(scaled)), keras.layers.Dense(2)(metadata)]
    return keras.Model([metadata, clip], outputs), keras.Model(clip, units(conv(clip)))


def measured(network, clips_given, film):
    """What each function of the room that takes a network says of its units."""
    options = {"channels": [0, 1]}
    paths = responses.path_similarity(network, "units", clips_given[:2], clips_given, top=2)
    swept = responses.sweep(network, clips_given, layers=["units"], verbose=0)
    strongest = responses.unit_clips(network, swept, clips_given, "units", [0, 1])
    tuning = responses.motion_tuning(
        network, "units", directions=(0, 180), spatial_frequencies=[0.1], **options
    )
    described = responses.describe(network, "units", clips_given, tuning=tuning)
    return [
        *(paths.activation, paths.synthetic, tuning.responses, tuning.best_response),
        [clip.score for unit in strongest for clip in unit.strongest],
        [unit.correlation for unit in described],
        responses.video_mis(network, "units", clips_given, share=0.3, tasks=4).margins,
        responses.appearance_and_motion(network, "units", textures=2, clips_each=1).responses,
        responses.motion_dependence(network, "units", clips_given).original,
        responses.film_responses(network, film, "units", windows=2).values,
    ]


def test_other_inputs_are_held_and_clips_scaled_by_all_that_measure_units(with_metadata, tmp_path):
    given = np.random.default_rng(2).random((12, 4, 8, 8, 3), np.float32)
    clips.write(tmp_path / "film.mp4", given[:2].reshape(8, 8, 8, 3).repeat(8, 1).repeat(8, 2))
    both, plain = (measured(one, given, tmp_path / "film.mp4") for one in with_metadata)
    for value, expected in zip(both, plain, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4)


def test_the_command_writes_gifs_and_pages(tmp_path, capsys):
    clips.write(tmp_path / "own.gif", np.random.default_rng(6).random((16, 64, 64, 3)))
    out = tmp_path / "out"
    arguments = [str(tmp_path / "own.gif"), "--layer", "conv3a", "--filters", "0,2"]
    assert main([*arguments, "--out", str(out)]) == 0
    names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    gifs = {f"{kind}-{c}.gif" for kind in ("filter", "kernel") for c in (0, 2)}
    gifs |= {"clip.gif", "still.gif"}
    strips = {gif.replace(".gif", ".jpg") for gif in gifs}
    assert names == {*gifs, *strips, "README.md", "index.html"}
    page, markdown = (out / "index.html").read_text(), (out / "README.md").read_text()
    assert all(gif in page and gif in markdown for gif in gifs)
    assert all(f'src="{strip}"' in page for strip in strips) and "first singular vector" in page
    assert "ten motions of coloured discs, not on real films" in page
    assert all(re.search(rf"<bdi>filter {c}: \S+ moving, \S+ still</bdi>", page) for c in (0, 2))
    with Image.open(out / "filter-2.gif") as shown:
        assert shown.size == (2 * 64 * 2 + 4, 128)
    assert "6 GIFs" in capsys.readouterr().out


def test_several_layers_stand_on_one_page(tmp_path, capsys):
    x = inputs = keras.Input((8, 32, 32, 3))
    for name in ("first", "second"):
        x = keras.layers.Conv3D(2, 3, name=name)(x)
    keras.Model(inputs, x).save(tmp_path / "two.keras")
    arguments = ["--keras-model", str(tmp_path / "two.keras"), "--filters", "1"]
    out = tmp_path / "out"
    arguments += ["--layer", "first", "--layer", "second", "--out", str(out)]
    assert main(arguments) == 0
    gifs = {
        f"{layer}-{kind}-1.gif" for layer in ("first", "second") for kind in ("filter", "kernel")
    }
    assert {path.name for path in out.glob("*.gif")} == {*gifs, "clip.gif", "still.gif"}
    page = (out / "index.html").read_text()
    assert "Responses of first, second" in page and 'data-kind="layer"' in page
    assert re.findall(r"<h2><bdi>(.*?)</bdi>", page) == [
        "Clip",
        *(
            f"{part} of {layer}"
            for layer in ("first", "second")
            for part in ("Feature maps", "Kernels")
        ),
    ]
    assert main([*arguments[:-1], str(tmp_path / "other"), "--layer", "third"]) == 2
    assert "third" in capsys.readouterr().err and not (tmp_path / "other").exists()


def test_maps_with_and_without_motion_share_a_scale():
    clip = np.zeros((2, 2, 2, 3), np.float32)
    maps = np.arange(16, dtype=np.float32).reshape(2, 2, 2, 2)
    moving = responses.FeatureMaps(clip, "a", (0, 1), maps)
    resting = responses.FeatureMaps(clip, "a", (0, 1), maps / 2)
    shown = with_and_without_motion(moving, resting)
    assert shown.shape == (2, 2, 2, 6, 1) and (shown[:, :, :, 2:4] == 1).all()
    np.testing.assert_allclose(shown[0, ..., :2, 0], maps[..., 0] / 14)
    np.testing.assert_allclose(shown[0, ..., 4:, 0], maps[..., 0] / 28)
    together = with_and_without_motion(moving, resting, "layer")
    np.testing.assert_allclose(together[1, ..., 4:, 0], maps[..., 1] / 30)
    with pytest.raises(ValueError, match="Expected maps of the same filters"):
        with_and_without_motion(moving, responses.FeatureMaps(clip, "a", (0, 2), maps))
    with pytest.raises(ValueError, match="Expected 'filter' or 'layer'. Received: 'clip'"):
        with_and_without_motion(moving, resting, "clip")


def test_a_network_of_grey_clips_is_given_grey_ones(tmp_path):
    inputs = keras.Input((8, 32, 32, 1))
    x = keras.layers.Conv3D(2, 3, name="conv")(inputs)
    scores = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling3D()(x))
    keras.Model(inputs, scores).save(tmp_path / "grey.keras")
    clips.write(tmp_path / "own.gif", np.random.default_rng(6).random((8, 32, 32, 3)))
    for clip in ([], [str(tmp_path / "own.gif")]):
        arguments = ["--keras-model", str(tmp_path / "grey.keras"), "--layer", "conv"]
        assert main([*clip, *arguments, "--out", str(tmp_path / f"out{len(clip)}")]) == 0


def test_the_command_shows_a_random_kernel_without_a_network(tmp_path):
    arguments = ["--random-kernel", "3", "--size", "32x40", "--frames", "8"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"response.gif", "kernel.gif"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--layer", "conv9"],
            "Received: 'conv9'. python -m c3dvis.gallery --list-layers lists the layers",
        ),
        (["--layer", "conv1", "--filters", "900"], "Expected filters from 0 to 7"),
        (["--layer", "conv1", "--model", "c3b"], "c3d"),
        (["--layer", "fc6"], "Expected a layer with rows"),
        (["--random-kernel", "999"], "Expected a random kernel that fits into"),
        (
            ["--layer", "conv1", "--size", "32"],
            "Expected 16 frames of 64 x 64, as the fully connected layers",
        ),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, capsys, arguments, message):
    assert exit_code(main, [*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [[], ["none.gif", "--layer", "conv1"], ["--layer"]])
def test_arguments_that_do_not_parse_end_with_2(arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
