"""The benchmark of attribution: what counts as verified, and a network whose answer is known."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from c3dvis.attribution.temporal.report import Row, TemporalReport

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import attribution as benchmark

EXACT = ("gradient", "gradient_x_input", "integrated_gradients", "guided_backpropagation")


@pytest.fixture(scope="module")
def white_box():
    return benchmark.white_box()


def test_evidence_that_decides_alone_is_verified(white_box):
    network, known = white_box
    assert benchmark.verify(network, known) == benchmark.Verdict(True, True, True)


def test_evidence_elsewhere_neither_keeps_the_score_nor_takes_it(white_box):
    network, known = white_box
    elsewhere = replace(known, mask=np.roll(known.mask, 16, axis=1))
    verdict = benchmark.verify(network, elsewhere)
    assert verdict == benchmark.Verdict(right=True, keeps=False, falls=False)
    assert not verdict.verified


def test_half_of_the_evidence_is_not_verified(white_box):
    network, known = white_box
    half = known.mask & (np.arange(len(known.mask)) < 4)[:, None, None]
    assert not benchmark.verify(network, replace(known, mask=half)).verified


def test_a_wrong_guess_is_not_verified(white_box):
    network, known = white_box
    assert not benchmark.verify(network, replace(known, label=3)).right


def test_a_tube_grows_within_its_frames_and_around_the_edges():
    mask = np.zeros((2, 8, 8), bool)
    mask[0, 0, 4] = True
    wider = benchmark.dilated(mask, 1)
    assert sorted(map(tuple, np.argwhere(wider))) == [
        (0, 0, 3),
        (0, 0, 4),
        (0, 0, 5),
        (0, 1, 4),
        (0, 7, 4),
    ]


def test_gradients_are_perfect_on_the_white_box_and_chance_is_not():
    rows = benchmark.white_box_scores(EXACT)
    for method in EXACT:
        assert rows[method][0] == pytest.approx(dict.fromkeys(benchmark.METRICS, 1.0)), method
    assert max(rows["random map"][0][name] for name in benchmark.SPATIAL_METRICS) < 0.2


def test_smoothing_lets_heat_out_of_the_tube_and_keeps_it_hottest_there():
    (plain,), (smoothed,) = (
        benchmark.white_box_scores([method])[method] for method in ("gradient", "gradient_smoothed")
    )
    assert plain["mass"] == pytest.approx(1) and 0.5 < smoothed["mass"] < 0.9
    assert smoothed["tube IoU"] > 0.8


def test_the_page_shows_shares_best_methods_and_differences(white_box):
    good, bad = (
        [dict.fromkeys(benchmark.METRICS, value + 0.01 * i) for i in range(3)]
        for value in (0.75, 0.25)
    )
    verdicts = [benchmark.Verdict(True, True, i < 3) for i in range(4)]
    result = benchmark.NetworkResult("some", verdicts, {"step": bad, "grad_cam": good})
    assert result.verified == [0, 1, 2]
    assert benchmark.best(result, "tube IoU") == ("grad_cam", pytest.approx(0.76))
    settings = dict.fromkeys(("options", "state", "candidates", "clips", "slow"), "")
    text = benchmark.page([result], None, None, {**settings, "slow_methods": ""})
    assert "| some | 4 | 100% | 100% | 75% | 75% |" in text
    step_beside_grad_cam = next(line for line in text.splitlines() if "| some | grad_cam" in line)
    assert "-0.50 [-0.50, -0.50]" in step_beside_grad_cam
    assert step_beside_grad_cam.endswith("| worse |")


@pytest.mark.parametrize(
    ("reversed_scores", "said"),
    [((0.9, 0.1), "B leans more"), ((0.1, 0.9), "A leans more"), ((0.5, 0.5), "do not tell")],
)
def test_the_sentence_names_the_network_that_loses_more_by_reversal(reversed_scores, said):
    report = TemporalReport(
        tuple(
            Row(str(clip), network, "left", 1.0, 0.1, score, None, (True,))
            for clip in range(4)
            for network, score in zip("AB", reversed_scores, strict=True)
        ),
        "window",
    )
    assert said in benchmark.order_sentence(report)
