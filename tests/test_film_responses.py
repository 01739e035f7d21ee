"""How filters respond in windows of a long film, from Python and as a page."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from c3dvis import clips, responses
from c3dvis.clips.reading import excerpts
from c3dvis.pages import windows
from c3dvis.responses import clip_sources
from c3dvis.responses.__main__ import _parse, main


@pytest.fixture(scope="module")
def network():
    """Filter 0 is the brightness of a place, filter 1 what is missing of it."""
    clip = keras.Input((4, 16, 16, 3))
    conv = keras.layers.Conv3D(2, 1, name="conv")
    network = keras.Model(clip, keras.layers.MaxPooling3D(2, name="pool")(conv(clip)))
    conv.set_weights([np.full((1, 1, 1, 3, 2), [1 / 3, -1 / 3]), np.array([0.0, 1.0])])
    return network


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """24 frames that are bright in the frames 12 to 17, on either side of dark ones."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    shown = np.full((24, 32, 32, 3), 0.2, np.float32)
    shown[12:18] = 0.8
    clips.write(path, shown)
    return path


def test_values_are_the_means_of_the_windows(network, film):
    of_film = responses.film_responses(network, film, "conv", windows=4)
    expected = np.array([0.2, 0.2, 0.8, 0.2])
    np.testing.assert_allclose(of_film.values, np.stack([expected, 1 - expected], 1), atol=0.02)
    assert [one.span for one in of_film.windows] == [(0, 5), (6, 11), (12, 17), (18, 23)]
    assert of_film.strongest(0, 1) == [2] and 2 not in of_film.strongest(1, 3)
    assert repr(of_film) == "FilmResponses('conv', 2 filters, 4 windows)"
    assert of_film._repr_html_().count("<figcaption>filter 0: ") == 4
    slid = responses.film_responses(network, film, "conv", windows=3, start=2, step=1, channels=[1])
    assert [one.span for one in slid.windows] == [(2, 5), (11, 14), (20, 23)]
    assert slid.values.shape == (3, 1) and slid.values[1, 0] < slid.values[0, 0]


def test_what_is_not_there_is_refused(network, film):
    with pytest.raises(ValueError, match="Expected channels from 0 to 1. Received: 5"):
        responses.film_responses(network, film, "conv", windows=2, channels=[5])
    with pytest.raises(ValueError, match="'cnv'"):
        responses.film_responses(network, film, "cnv", windows=2)
    with pytest.raises(ValueError, match="Expected 1 window or more. Received: 0"):
        responses.film_responses(network, film, "conv", windows=0)
    with pytest.raises(ValueError, match="Expected at least 32 frames"):
        responses.film_responses(network, film, "conv", windows=8)
    of_film = responses.film_responses(network, film, "conv", windows=2, channels=[1])
    with pytest.raises(ValueError, match="Received: 0"):
        of_film.strongest(0)


def test_a_network_of_grey_clips_is_given_grey_windows(film):
    clip = keras.Input((4, 16, 16, 1))
    grey = keras.Model(clip, keras.layers.Conv3D(1, 1, name="conv")(clip))
    assert responses.film_responses(grey, film, "conv", windows=2).windows[0].clip.shape[-1] == 1


@pytest.fixture(scope="module")
def command(tmp_path_factory, network, film):
    folder = tmp_path_factory.mktemp("command")
    network.save(folder / "small.keras")
    return [str(film), "--keras-model", str(folder / "small.keras"), "--windows", "4"]


def test_the_page_shows_values_over_time_and_maps_of_the_strongest(command, tmp_path, capsys):
    shown = ["--layer", "conv", "--layer", "pool", "--filters", "0,1", "--top", "1"]
    assert main([*command, *shown, "--out", str(tmp_path)]) == 0
    gifs = sorted(path.name for path in tmp_path.glob("window-*.gif"))
    assert "window-3-of-4-conv-filter-0.gif" in gifs and "window-3-of-4-clip.gif" in gifs
    assert "window-3-of-4-conv-filter-1.gif" not in gifs
    index = (tmp_path / "index.html").read_text()
    assert re.findall(r"<h2><bdi>(.*?)</bdi>", index)[:2] == [
        "conv in film.mp4, window by window",
        "pool in film.mp4, window by window",
    ]
    assert index.count('class="bars"') == 4 and "Each row has its own scale" in index
    assert "<bdi>pool, filter 1: " in index
    assert "mean activation of filter 0: from 0.2 in window" in index
    assert 'href="#window-3-of-4">window 3</a>' in index and 'id="window-3-of-4"' in index
    assert all(f'data-kind="{kind}"' in index for kind in ("window", "layer", "filter"))
    assert "film.mp4, window 3 of 4" in (tmp_path / "README.md").read_text()
    assert f"{len(list(tmp_path.glob('*.gif')))} GIFs" in capsys.readouterr().out


def test_a_layer_that_is_not_there_leaves_no_files(command, tmp_path, capsys):
    assert main([*command, "--layer", "cnv", "--out", str(tmp_path / "out")]) == 2
    assert "'cnv'" in capsys.readouterr().err and not list(tmp_path.rglob("*.gif"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "conv1", "--windows", "2"], "argument --windows: Expected a CLIP"),
        (["a.gif", "--random-kernel", "3", "--windows", "2"], "argument --windows: Expected"),
        (["a.gif", "--layer", "conv1", "--top", "2"], "argument --top: Expected --windows"),
    ],
)
def test_windows_are_of_a_film_and_layers(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.gif").touch()
    with pytest.raises(SystemExit):
        _parse(arguments)
    assert message in capsys.readouterr().err


def test_a_sweep_takes_the_same_windows_and_decodes_a_film_once(film, monkeypatch):
    decoded = []
    monkeypatch.setattr(
        clip_sources, "excerpts", lambda *a, **b: decoded.append(a) or excerpts(*a, **b)
    )
    read = list(clip_sources.of(film.parent, frames=4, size=(16, 16), windows=3).start_at(1))
    assert len(decoded) == 1
    expected = clips.read(film, frames=12, size=(16, 16)).reshape(3, 4, 16, 16, 3)
    assert [one.name for one in read] == ["film.mp4#1", "film.mp4#2"]
    np.testing.assert_array_equal([one.clip for one in read], expected[1:])


@pytest.mark.parametrize(
    "damage",
    [
        {"windows": []},
        {"series": []},
        {"film": 3},
        {"series": [{"asked": "a", "unit": "score", "values": [1.0]}]},
        {"windows": [{"name": 1}]},
    ],
)
def test_a_damaged_record_of_a_film_is_refused(damage):
    row = {"name": "a", "frames": "0 to 3", "seconds": ""}
    series = [{"asked": "filter 0", "unit": "score", "values": [1.0, -2.0]}]
    record = {"film": "f.mp4", "network": "n", "windows": [row, row], "series": series}
    (bars,) = windows.group(record, {("a", "filter 0")}, pictures="maps").bars
    assert bars.heights == [1.0, 0.0] and bars.marked == [0, 1]
    with pytest.raises(ValueError, match="Expected a (record of a film|text)"):
        windows.group({**record, **damage}, set(), pictures="maps")


def test_rows_share_a_scale_unless_each_has_its_own():
    row = {"name": "a", "frames": "0 to 3", "seconds": ""}
    series = [
        {"asked": name, "unit": "score", "values": values}
        for name, values in (("a", [0.0, 1.0]), ("b", [2.0, 4.0]))
    ]
    record = {"film": "f.mp4", "network": "n", "windows": [row, row], "series": series}

    def heights(**own):
        return [bars.heights for bars in windows.group(record, set(), pictures="maps", **own).bars]

    assert heights() == [[0, 0.25], [0.5, 1]]
    assert heights(own_scales=True) == [[0, 1], [0.5, 1]]
