"""The command that scores heatmaps on known evidence: its clips, its files, what it prints."""

import json
import re
import sys

import numpy as np
import pytest
from exit_code import exit_code

from c3dvis import bench, models
from c3dvis.attribution import metrics
from c3dvis.bench import evidence, functions, scores
from c3dvis.bench.__main__ import bundled, main
from c3dvis.bench.shapes import MovingShapes, natural_texture
from c3dvis.motion import CLASSES, MovingEvidence


@pytest.fixture(scope="module")
def network():
    return models.build("c3d-motion")


@pytest.fixture(autouse=True)
def own_path(monkeypatch):
    """What a file that is run adds to the path of imports doesn't stay."""
    monkeypatch.setattr("sys.path", sys.path[:])


@pytest.fixture
def one_clip(monkeypatch):
    """Two clips, none of which is asked whether the network uses its evidence."""

    def given(network, world, count, **options):
        known = tuple(evidence.known_clip(world, index) for index in range(2))
        return bench.Verified(known, (bench.Verdict(True, True, True),) * 2)

    monkeypatch.setattr(scores, "verified_clips", given)


# The second world


def test_shapes_are_of_known_evidence_and_the_same_twice():
    some, again = (MovingShapes(seed=5).batch(0, 10) for _ in range(2))
    np.testing.assert_array_equal(some.clips, again.clips)
    assert some.clips.dtype == np.float32 and some.clips.min() >= 0 and some.clips.max() <= 1
    assert some.labels.tolist() == list(range(len(CLASSES)))
    for mask, (first, end) in zip(some.masks, some.windows, strict=True):
        assert mask.any(axis=(1, 2)).tolist() == [first <= t < end for t in range(16)]


def test_marked_shapes_are_as_red_as_discs_and_of_other_outlines():
    shapes, discs = (world(seed=5).batch(0, 20) for world in (MovingShapes, MovingEvidence))
    for some in (shapes, discs):
        red, green, _ = some.clips[some.masks].mean(axis=0)
        assert red > 2 * green
    areas = [m.sum() / m.any(axis=(1, 2)).sum() for m in (*shapes.masks, *discs.masks)]
    assert np.mean(areas[:20]) == pytest.approx(np.mean(areas[20:]), rel=0.15)
    # A disc fills pi / 4 of the square around it, whatever way it is turned.
    assert np.std(_filled(shapes.masks)) > 3 * np.std(_filled(discs.masks))


def _filled(masks):
    """The share of its upright box that the object fills in one frame, where it isn't cut."""
    shares = []
    for mask in masks:
        frame = mask[np.flatnonzero(mask.any(axis=(1, 2)))[0]]
        rows, columns = np.flatnonzero(frame.any(axis=1)), np.flatnonzero(frame.any(axis=0))
        if np.ptp(rows) < 40 and np.ptp(columns) < 40:
            shares.append(frame.sum() / ((np.ptp(rows) + 1) * (np.ptp(columns) + 1)))
    return shares


def test_natural_textures_have_the_spectrum_of_photographs():
    texture = natural_texture(np.random.default_rng(0), (128, 128))
    assert texture.std() == pytest.approx(1) and texture.mean() == pytest.approx(0, abs=1e-6)
    amplitude = np.abs(np.fft.fft2(texture.mean(axis=-1)))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    near, far = (amplitude[np.abs(frequency - f) < 0.01].mean() for f in (0.05, 0.4))
    assert near / far == pytest.approx(0.4 / 0.05, rel=0.25)
    colours = np.corrcoef(texture.reshape(-1, 3).T)
    assert colours[0, 1] > 0.8


# Verified clips


def test_clips_are_looked_at_until_enough_are_verified(network, monkeypatch):
    verdicts = iter([True, False, True, True])
    monkeypatch.setattr(evidence, "verify", lambda n, k: bench.Verdict(True, True, next(verdicts)))
    verified = bench.verified_clips(network, MovingEvidence(seed=3), 2)
    assert len(verified.clips) == 2 and len(verified.verdicts) == 3
    np.testing.assert_array_equal(
        verified.clips[1].clip, MovingEvidence(seed=3).batch(2, 1).clips[0]
    )


def test_a_network_that_uses_no_evidence_is_refused(network, monkeypatch):
    monkeypatch.setattr(evidence, "verify", lambda n, k: bench.Verdict(False, True, True))
    with pytest.raises(ValueError, match="on 0 of 40, and knows 0"):
        bench.score(network, {}, clips=2)


# What is scored


FILE = """
import beside_it
def heatmap(network, clip, target):
    assert clip.shape == (16, 64, 64, 3) and type(target) is int
    return clip[..., 0] - clip[..., 1]
"""


def test_a_file_is_scored_beside_the_defaults_as_its_function_says(
    tmp_path, one_clip, capsys, monkeypatch
):
    path = tmp_path / "red.py"
    path.write_text(FILE)
    (tmp_path / "beside_it.py").write_text("")
    monkeypatch.setattr("c3dvis.bench.__main__._BESIDE", ("gradient", "random map"))
    assert main([str(path), "--world", "shapes", "--clips", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    world = printed["worlds"]["shapes"]
    assert printed["model"] == "c3d-motion" and list(world["scores"]) == [
        str(path),
        "gradient",
        "random map",
    ]
    known = [evidence.known_clip(MovingShapes(seed=9999), i) for i in range(2)]
    own = [metrics.tube_iou(k.clip[..., 0] - k.clip[..., 1], k.mask) for k in known]
    mean, low, high = world["scores"][str(path)]["tube IoU"]
    assert mean == pytest.approx(np.mean(own)) and low <= mean <= high
    assert world["verified"] == world["looked_at"] == 2
    assert main([str(path), "--world", "discs", "--clips", "2"]) == 0
    table = capsys.readouterr().out
    assert "discs: 2 verified clips of 2, of which the network knows 2" in table
    assert f"| {path} | " in table and "| heatmap | pointing | tube IoU |" in table


def test_a_method_and_its_smoothed_heatmap_are_computed_once(network, monkeypatch):
    asked = []
    real = functions.attribute
    monkeypatch.setattr(functions, "attribute", lambda *a, **k: asked.append(a) or real(*a, **k))
    heatmaps = functions.heatmaps_of(["Gradient", "gradient_smoothed"])
    clip = MovingEvidence(seed=1).batch(0, 1).clips[0]
    plain, smoothed = (heatmap(network, clip, 0) for heatmap in heatmaps.values())
    assert len(asked) == 1 and smoothed.min() >= 0 > plain.min()
    heatmaps["Gradient"](network, clip, 1)
    assert len(asked) == 2


@pytest.mark.parametrize(
    "source, message",
    [
        (None, "which does not exist"),
        ("def heatmap(:", "fails in line 1 with SyntaxError"),
        ("import sys; sys.exit('no')", "fails in line 1 with SystemExit: no"),
        ("x = 1\n1 / 0", "fails in line 2 with ZeroDivisionError: division by zero"),
        ("def heat(network, clip, target): pass", "which has none"),
        ("def heatmap(network): pass", "too many positional arguments"),
        ("def heatmap(*a):\n  raise KeyError('no')", "that fails in line 2 with KeyError"),
        ("def heatmap(n, clip, t): return clip", r"shape \(16, 64, 64, 3\)"),
        ("def heatmap(n, clip, t): return clip[..., 0] / 0", "NaN or infinite values"),
        ("def heatmap(n, clip, t): return None", "fails with TypeError|shape|NaN"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_files_that_can_not_be_scored(tmp_path, one_clip, capsys, source, message):
    path = tmp_path / "mine.py"
    if source is not None:
        path.write_text(source)
    assert exit_code(main, [str(path), "--world", "discs"]) == 2
    out, error = capsys.readouterr()
    assert error.startswith("error: Expected ") and error.count("\n") == 1 and not out
    assert "Received: " in error
    assert re.search(message, error), error


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["grad_cm"], "name of a method, such as 'grad_cam'"),
        (["window"], "'window', which finds frames"),
        (["gradient", "--model", "i3d"], "a network that comes with c3dvis"),
    ],
)
def test_names_that_are_refused(arguments, message, capsys):
    assert exit_code(main, arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "functions, options, message",
    [
        (len, {}, "functions by name.*Received: builtin_function_or_method"),
        ({}, {"world": "disc"}, "such as 'discs'. Received: 'disc'"),
        ({"mine": 3}, {}, "Expected 'mine' to be a function. Received: 3"),
        ({}, {"clips": 1}, "clips to be a whole number from 2. Received: 1"),
        ({}, {"clips": "30"}, "clips to be a whole number from 2. Received: '30'"),
    ],
)
def test_scores_of_nothing_are_refused(network, functions, options, message):
    with pytest.raises(ValueError, match=message):
        bench.score(network, functions, **options)


def test_networks_that_know_the_classes_are_taken():
    assert "c3d-motion" in bundled() and "i3d" not in bundled()
