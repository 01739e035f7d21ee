"""`python -m c3dvis.attribution`: what it makes, makes again, and refuses."""

from __future__ import annotations

import argparse
import json
import re

import keras
import numpy as np
import pytest
from exit_code import exit_code
from PIL import Image

from c3dvis import clips
from c3dvis.attribution import page as command_page
from c3dvis.attribution import predictions
from c3dvis.attribution.__main__ import _parse, main
from c3dvis.motion import MovingEvidence


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "left.mp4"
    clips.write(path, MovingEvidence(seed=5).batch(0, 1).clips[0])
    return path


def files_of(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_gifs_and_pages_are_written_and_made_once(tmp_path, clip_file, capsys):
    out = tmp_path / "out"
    arguments = [str(clip_file), "--method", "gradient", "grad_cam", "--out", str(out)]
    assert main(arguments) == 0
    first = files_of(out)
    gifs = sorted(name for name in first if name.endswith(".gif"))
    assert len(gifs) == 2 and gifs[0].endswith("-grad_cam.gif")
    page = (out / "index.html").read_text()
    assert all(gif in page for gif in gifs) and "moving left" in page
    assert all(f'src="{gif[:-4]}.jpg"' in page for gif in gifs) and 'class="play"' in page
    assert "frames that decided" in page and "half of the heat in frame" in page
    assert page.count("and its heatmap in orange and blue, gra") == 2
    assert (
        "coloured discs, not on real films" in page
        and "coloured discs" in (out / "README.md").read_text()
    )
    with Image.open(out / gifs[0]) as shown:
        assert shown.n_frames > 8
    assert "2 GIFs, 0 failed" in capsys.readouterr().out
    assert main(arguments) == 0
    again = files_of(out)
    assert all(again[gif] == first[gif] for gif in gifs)
    assert main([*arguments, "--target", "moving up"]) == 0
    assert all(files_of(out)[gif] != first[gif] for gif in gifs)


# Windows of a long film


@pytest.fixture(scope="module")
def small_network(tmp_path_factory):
    """Classes "dark" and "bright" by the mean brightness of four frames."""
    path = tmp_path_factory.mktemp("network") / "brightness.keras"
    clip = keras.Input((4, 16, 16, 3))
    scores = keras.layers.Dense(2, "softmax", name="scores")
    keras.Model(clip, scores(keras.layers.GlobalAveragePooling3D()(clip))).save(path)
    network = keras.saving.load_model(path)
    network.get_layer("scores").set_weights([np.tile([-1.0, 1.0], (3, 1)), np.array([1.5, -1.5])])
    network.save(path)
    (path.parent / "labels.txt").write_text("dark\nbright")
    return ["--keras-model", str(path), "--labels", str(path.parent / "labels.txt")]


@pytest.fixture(scope="module")
def film_file(tmp_path_factory):
    """A film of 24 frames that is bright in the frames 12 to 17."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    film = np.full((24, 32, 48, 3), 0.1, np.float32)
    film[12:18] = 0.9
    clips.write(path, film)
    return path


def test_a_long_film_is_scored_by_windows_and_the_strongest_are_explained(
    tmp_path, film_file, small_network
):
    out = tmp_path / "out"
    arguments = [str(film_file), *small_network, "--method", "gradient", "--windows", "4"]
    arguments += ["--out", str(out)]
    assert main([*arguments, "--top", "1", "--target", "bright"]) == 0
    (gif,) = out.glob("*.gif")
    assert "-3-of-4-gradient" in gif.name
    (film,) = out.glob("*-0-of-4.json")
    windows = json.loads(film.read_text())["windows"]
    assert [one["frames"] for one in windows] == [
        "0 to 5",
        "6 to 11",
        "12 to 17",
        "18 to 23",
    ]
    brightness = np.array([0.1, 0.1, 0.9, 0.1])
    expected = 1 / (1 + np.exp(-2 * (3 * brightness - 1.5)))
    (series,) = json.loads(film.read_text())["series"]
    np.testing.assert_allclose(series["values"], expected, atol=0.02)
    page = (out / "index.html").read_text()
    assert page.count('class="bars"') == 1 and page.count('<i class="marked"') == 1
    assert f'href="#{gif.name.removesuffix("-gradient.gif")}"' in page
    assert page.index("film.mp4, window by window") < page.index("film.mp4, window 3 of 4")
    assert "12 to 17" in (out / "README.md").read_text()
    # Of the class with the highest mean, the strongest windows in the order of time.
    before = files_of(out)
    assert main([*arguments, "--top", "2"]) == 0
    assert json.loads(film.read_text())["series"][0]["asked"] == "logit of dark"
    assert files_of(out)[gif.name] == before[gif.name]
    assert len(list(out.glob("*.gif"))) == 3
    film.write_text(json.dumps({"windows": [{"name": 3}]}))
    assert main([*arguments, "--windows", "1"]) == 0
    assert "window by window" not in (out / "index.html").read_text()


def test_each_class_is_explained_in_its_own_strongest_windows(tmp_path, film_file, small_network):
    arguments = [str(film_file), *small_network, "--method", "gradient", "--out", str(tmp_path)]
    asked = ["--target", "dark", "--target", "bright"]
    assert main([*arguments, *asked, "--windows", "4", "--top", "1"]) == 0
    gifs = sorted(path.name for path in tmp_path.glob("*.gif"))
    assert len(gifs) == 2 and "-1-of-4-dark" in gifs[0] and "-3-of-4-bright" in gifs[1]
    shown = (tmp_path / "index.html").read_text()
    rows = re.findall(r'class="bars".*?</div>', shown, re.DOTALL)
    marked = [["marked" in one for one in row.split("<i")[1:]] for row in rows]
    assert marked == [[True, False, False, False], [False, False, True, False]]
    assert re.search(r"probability of dark: from 0.0\d+ in window 3 to 0.9\d+ in window 1", shown)
    assert [shown.count(f">window {i}</a>") for i in range(1, 5)] == [1, 0, 1, 0]


def test_several_classes_of_one_clip_stand_in_one_part(tmp_path, film_file, small_network):
    arguments = [str(film_file), *small_network, "--method", "gradient", "--out", str(tmp_path)]
    asked = [word for name in ("dark", "bright", "dark") for word in ("--target", name)]
    assert main([*arguments, *asked]) == 0
    assert len(list(tmp_path.glob("*.gif"))) == 2
    shown = (tmp_path / "index.html").read_text()
    assert shown.count("<section") == 1 and 'data-kind="class"' in shown
    assert "gradient: logit of dark" in shown and "gradient: logit of bright" in shown
    before = files_of(tmp_path)
    assert main([*arguments, *asked]) == 0
    again = files_of(tmp_path)
    assert all(again[name] == before[name] for name in before if name.endswith(".gif"))


def test_windows_slide_with_a_step(tmp_path, film_file, small_network):
    arguments = [str(film_file), *small_network, "--method", "gradient", "--out", str(tmp_path)]
    assert main([*arguments, "--windows", "5", "--step", "1", "--start", "2", "--top", "1"]) == 0
    (film,) = tmp_path.glob("*-0-of-5.json")
    spans = [one["frames"] for one in json.loads(film.read_text())["windows"]]
    assert spans == ["2 to 5", "6 to 9", "11 to 14", "15 to 18", "20 to 23"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--windows", "8"], "Expected at least 32 frames; fewer than 8 --windows, or --short"),
        (["--windows", "2", "--target", "dim"], "Expected"),
    ],
)
def test_windows_that_do_not_fit_are_one_line(
    tmp_path, film_file, small_network, capsys, arguments, message
):
    given = [str(film_file), *small_network, *arguments, "--out", str(tmp_path / "out")]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["film.mp4", "--top", "2"], "argument --top: Expected --windows with it"),
        (["scan.nii", "--windows", "2"], "Expected a video or pictures with it"),
        (["film.mp4", "--windows", "0"], "Expected a whole number from 1"),
    ],
)
def test_windows_are_of_films(capsys, arguments, message):
    with pytest.raises(SystemExit):
        _parse(arguments)
    assert message in capsys.readouterr().err


def test_heat_is_drawn_over_the_film_and_what_was_cropped_is_told(tmp_path, small_network):
    film = np.random.default_rng(0).random((20, 96, 128, 3), np.float32)
    clips.write(tmp_path / "film.mp4", film)
    arguments = [str(tmp_path / "film.mp4"), *small_network, "--method", "gradient"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    (gif,) = (tmp_path / "out").glob("*.gif")
    with Image.open(gif) as shown:
        # Film and heat side by side, twice as large, for the shorter side to have 112 pixels.
        assert shown.size == (2 * 256 + 4, 192 + 16)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "of each the middle 96 x 96 of 96 x 128 pixels" in page
    assert "a line surrounds what the network saw" in page
    # A record that an earlier version left, without what this one adds, is shown as it is.
    record = json.loads(gif.with_suffix(".json").read_text())
    old = {key: value for key, value in record.items() if key not in ("cropped", "width")}
    gif.with_suffix(".json").write_text(json.dumps(old))
    command_page.write(gif.parent, [], argparse.Namespace(options={}, keras_model="net"))
    page = (tmp_path / "out" / "index.html").read_text()
    assert gif.name in page and "a line surrounds" not in page


def test_other_labels_make_the_gifs_anew(tmp_path, clip_file):
    (tmp_path / "labels.txt").write_text("\n".join("ABCDEFGHIJ"))
    arguments = [str(clip_file), "--method", "gradient", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "gradient: logit of moving left" in (tmp_path / "out" / "index.html").read_text()
    assert main([*arguments, "--labels", str(tmp_path / "labels.txt")]) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "gradient: logit of A" in page and "moving left" not in page


def test_damaged_gifs_and_records_are_repaired(tmp_path, clip_file, small_network):
    arguments = [str(clip_file), *small_network, "--method", "gradient", "--out", str(tmp_path)]
    assert main(arguments) == 0
    (gif,) = tmp_path.glob("*.gif")
    whole = gif.read_bytes()
    gif.write_bytes(whole[:100])
    assert main(arguments) == 0
    assert gif.read_bytes() == whole
    gif.with_suffix(".jpg").unlink()
    assert main(arguments) == 0 and gif.with_suffix(".jpg").is_file()
    record = json.loads(gif.with_suffix(".json").read_text())
    for name in record:
        part = {key: value for key, value in record.items() if key != name}
        gif.with_suffix(".json").write_text(json.dumps(part))
        command_page.write(gif.parent, [], argparse.Namespace(options={}, keras_model="net"))
    assert main(arguments) == 0
    assert gif.read_bytes() == whole


def test_a_short_clip_is_told_in_the_words_of_the_command_line(tmp_path, capsys):
    clip = np.random.default_rng(0).random((12, 16, 16, 3))
    clips.write(tmp_path / "short.gif", clip)
    arguments = [
        str(tmp_path / "short.gif"),
        "--method",
        "gradient",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert (
        "Expected at least 16 frames; --short loop or --short hold accepts fewer" in error
        and '"' not in error
    )


def test_somebody_elses_page_is_never_overwritten(tmp_path, clip_file, capsys):
    (tmp_path / "README.md").write_text("# My thesis")
    assert main([str(clip_file), "--method", "gradient", "--out", str(tmp_path)]) == 2
    assert "README.md from something else" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_options_reach_the_methods_that_have_them_and_the_clip(tmp_path, clip_file, small_network):
    arguments = [str(clip_file), *small_network, "--method", "SmoothGrad", "gradient"]
    arguments += ["--option", "samples=3", "--start", "1", "--step", "5", "--short", "loop"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert "Frames 1, 6, 11, 1 of 16, counted" in (tmp_path / "index.html").read_text()
    records = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]
    assert [record["method"] for record in records] == ["gradient", "smooth_grad"]
    assert records[1]["settings"]["samples"] == 3


@pytest.mark.parametrize(
    ("units", "activation", "said"),
    [
        (3, "softmax", r"class 2 \(70\.1%\), class 1 \(21\.1%\), class 0 \(8\.8%\)\."),
        (1, "sigmoid", r"class 0 \(36\.8%\)\."),
        (
            3,
            "sigmoid",
            r"class 2 \(82\.2%\), class 1 \(58\.2%\), class 0 \(36\.8%\)\. The classes do not",
        ),
        (3, None, r"class 2 \(score 1\.53\), class 1 \(score 0\.33\), class 0 \(score -0\.54\)\."),
    ],
)
def test_what_the_network_says_is_told_by_what_it_ends_in(units, activation, said):
    clip = np.zeros((2, 4, 4, 3), np.float32)
    x = inputs = keras.Input(clip.shape)
    scores = keras.layers.Dense(units, activation, name="scores")
    network = keras.Model(inputs, scores(keras.layers.GlobalAveragePooling3D()(x)))
    bias = np.array([-0.54, 0.33, 1.53])[:units]
    scores.set_weights([np.zeros((3, units)), bias])
    assert re.search(said, predictions.top_classes(network, clip, None))


def test_smoothed_gifs_show_what_matters_and_are_made_anew(tmp_path, clip_file):
    arguments = [str(clip_file), "--method", "gradient", "--out", str(tmp_path)]
    assert main(arguments) == 0
    (gif,) = tmp_path.glob("*.gif")
    plain, page = gif.read_bytes(), (tmp_path / "index.html").read_text()
    assert "blue against it" in page
    assert main([*arguments, "--smooth"]) == 0
    assert gif.read_bytes() != plain
    assert "for it or against it" in (tmp_path / "index.html").read_text()
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("*.json"))
    assert record["settings"]["smoothed"] == 1.5


def test_a_folder_of_clips_goes_on_behind_one_that_is_damaged(tmp_path, small_network, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.mp4").write_text("<html>")
    clips.write(folder / "b.mp4", np.random.default_rng(0).random((16, 64, 64, 3)))
    out = folder / "out"
    for _ in range(2):  # the second time, `out` is no clip
        arguments = [str(folder), *small_network, "--method", "gradient", "--out", str(out)]
        assert main(arguments) == 1
        assert "1 GIF, 1 failed" in capsys.readouterr().out
    assert "a.mp4" in (out / "README.md").read_text().replace("\\", "")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--method", "grad_cm"], "'grad_cam'"),
        (["--method", "saliency"], "; use 'gradient' with magnitude=True"),
        (["--start", "99s"], "Expected start within the "),
        (["--option", "samples=3"], "Expected an option of 'integrated_gradients'"),
        (["--method", "occlusion", "--option", "block=8"], "as three whole numbers or None"),
        (["--method", "step", "--option", "areas=0.05"], "as several numbers. Received: 0.05"),
        (["--method", "gradient", "--tolerance", "0.1"], "Received: 'tolerance'."),
        (["--target", "moving lef"], "'moving left'"),
        (["--target", "12"], "Expected an index from 0 to 9"),
        (["--model", "c3"], "c3d"),
        (["--frames", "8"], "Expected 16 frames of 64 x 64, as the fully connected layers"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, clip_file, capsys, arguments, message):
    out = tmp_path / "out"
    assert exit_code(main, [str(clip_file), *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments", [[], ["none.mp4"], ["--option", "samples"], ["--polarity", "up"]]
)
def test_arguments_that_do_not_parse_end_with_2(arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_a_numpy_file_of_optical_flow_is_explained(tmp_path, capsys):
    clip = keras.Input((4, 12, 12, 2))
    mean = keras.layers.GlobalAveragePooling3D()(keras.layers.Conv3D(2, 3)(clip))
    keras.Model(clip, keras.layers.Dense(2)(mean)).save(tmp_path / "flow.keras")
    flow = np.random.default_rng(0).random((6, 16, 24, 2), np.float32)
    np.save(tmp_path / "wave.npy", flow)
    clips.write(tmp_path / "wave.gif", clips.to_rgb(flow))
    own = ["--keras-model", str(tmp_path / "flow.keras"), "--method", "gradient"]
    assert main([str(tmp_path / "wave.npy"), *own, "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "of each the middle 16 x 16 of 16 x 24 pixels" in page
    assert main([str(tmp_path / "wave.gif"), *own, "--out", str(tmp_path / "other")]) == 2
    assert "Expected a clip of 2 channels" in capsys.readouterr().err


def test_methods_are_given_at_once_or_one_by_one(tmp_path, clip_file, small_network):
    both = ["--method", "gradient", "--method", "gradient_x_input"]
    assert main([str(clip_file), *small_network, *both, "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("*.gif"))) == 2


def test_what_a_start_and_a_clip_are_is_told(clip_file, capsys):
    for arguments, said in (
        ([str(clip_file), "--start", "1.5"], "number of a frame, or a time such as 12.5s"),
        (["none.mp4"], "Received: 'none.mp4', which does not exist"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert said in capsys.readouterr().err


def test_smoothed_heat_has_nothing_negative_to_draw(clip_file, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([str(clip_file), "--smooth", "--polarity", "negative"])
    assert stopped.value.code == 2
    assert "with --smooth, whose heat has no sign" in capsys.readouterr().err


def test_methods_are_listed(capsys):
    assert main(["--list-methods"]) == 0
    assert {"step", "grad_cam", "window"} <= set(capsys.readouterr().out.split())


# A tolerance


def test_a_tolerance_is_an_option_of_the_methods_that_state_their_error(tmp_path):
    parsed = _parse([str(tmp_path), "--method", "rise", "--tolerance", "0.2"])
    assert parsed.options == {"tolerance": 0.2}
    assert _parse([str(tmp_path)]).options == {}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--tolerance", "0"], "Expected a number above 0. Received: '0'."),
        (["--tolerance", "nan"], "Expected a number above 0. Received: 'nan'."),
        (["--tolerance", "small"], "Expected a number above 0. Received: 'small'."),
        (["--tolerance", "1", "--option", "tolerance=2"], "not allowed with argument --option"),
    ],
)
def test_tolerances_that_the_command_refuses(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as end:
        _parse([str(tmp_path), *arguments])
    assert end.value.code == 2 and message in capsys.readouterr().err
