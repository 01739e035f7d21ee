"""Which frames decided: columns of the network's scores, frames of masks and heat in words."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from c3dvis import objectives
from c3dvis.attribution import Attribution, attribute, draw
from c3dvis.attribution.result import half_of_the_heat, in_words

SHAPE = (4, 6, 6, 3)
L = keras.layers


def network(ending, *, stride=1, time=True):
    """Class 0 is a frame's brightness, class 1 its darkness, times 8."""
    clip = keras.Input(SHAPE)
    pooled = L.AveragePooling3D((stride, *SHAPE[1:3]))(clip)
    frames = L.Reshape((SHAPE[0] // stride, 3))(pooled)
    dense = L.Dense(2, name="scores")
    scores = dense(frames if time else L.GlobalAveragePooling1D()(frames))
    scores = L.Activation(ending)(scores)
    model = keras.Model(clip, scores)
    dense.set_weights([np.repeat([[8.0, -8.0]], 3, axis=0) / 3, np.zeros(2)])
    return model


@pytest.fixture
def clip():
    """Frame 2 is bright, the others dark."""
    frames = np.full(SHAPE, 0.1, np.float32)
    frames[2] = 0.9
    return frames


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("softmax", lambda x: 1 / (1 + np.exp(-16 * x))),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-8 * x))),
        ("linear", lambda x: 8 * x),
    ],
)
def test_scores_of_frames_are_those_of_the_network(clip, ending, expected):
    answer = attribute(network(ending), clip, 0, method="gradient")
    np.testing.assert_allclose(answer.frame_scores, expected(clip[:, 0, 0, 0]), rtol=1e-4)
    assert answer.highest_frame.startswith("highest in frame 2 (")
    assert answer.caption.endswith(answer.highest_frame)


def test_an_output_of_fewer_frames_says_so_and_one_of_none_has_no_scores(clip):
    answer = attribute(network("linear", stride=2), clip, 1, method="gradient")
    np.testing.assert_allclose(answer.frame_scores, [-0.8, -4], rtol=1e-4)
    assert answer.highest_frame == "highest in frame 0 of the output (-0.8)"
    whole = network("linear", time=False)
    for asked in (0, objectives.channel("scores", 0)):
        answer = attribute(whole, clip, asked, method="gradient")
        assert answer.frame_scores is None and answer.highest_frame is None


def test_columns_are_as_high_as_their_scores_and_the_present_one_is_dark():
    strip = draw.score_strip(np.array([0, 0.25, 1], np.float32), 30, 2)
    rows = strip[-24:, [4, 14, 24], 0]
    filled = rows < 0.8
    assert filled.sum(axis=0).tolist() == [0, 6, 24]
    assert filled[-6:, 1].all() and rows[-1, 2] < rows[-1, 1]
    below = draw.score_strip(np.array([2, -4], np.float32), 20)[-24:, [4, 14], 0] < 0.8
    assert below.sum(axis=0).tolist() == [6, 12]
    assert below[6:12, 0].all() and below[12:, 1].all()
    assert not (draw.score_strip(np.zeros(2, np.float32), 20)[-24:] < 0.8).any()


def test_the_animation_has_the_strip_above_the_bar_in_step_with_it(clip, tmp_path):
    heat = np.zeros(SHAPE[:3], np.float32)
    scores = np.array([0.2, 0.8], np.float32)
    plain = Attribution(clip, heat, 1.0, objectives.logit(0), "gradient")
    scored = Attribution(clip, heat, 1.0, objectives.logit(0), "gradient", frame_scores=scores)
    before, after = plain.animation(), scored.animation()
    bar = draw.frame_bar(np.zeros(4, np.float32), after.shape[2], 3)
    strip = draw.score_strip(scores, after.shape[2], 1)
    np.testing.assert_array_equal(after[3, -len(bar) :], bar)
    np.testing.assert_array_equal(after[3, -len(bar) - len(strip) : -len(bar)], strip)
    np.testing.assert_array_equal(after[:, : -len(bar) - len(strip)], before[:, : -len(bar)])
    assert scored._repr_html_().count("<img") == 1 and "highest in frame 1" in repr(scored)
    scored.save(tmp_path / "sheet.png")


def test_frames_are_told_of_masks_and_of_heat(clip):
    mask = np.array([0, 1, 1, 0], np.float32)
    heat = np.zeros(SHAPE[:3], np.float32)
    heat[1, 0, 0], heat[3, 0, 0] = 2, -3
    masked = Attribution(clip, heat, 1.0, objectives.logit(0), "window", frame_mask=mask)
    assert masked.deciding_frames == "frames 1 to 2" and "frames 1 to 2" in masked.caption
    plain = Attribution(clip, heat, 1.0, objectives.logit(0), "gradient")
    assert plain.deciding_frames == "half of the heat in frame 3"
    assert half_of_the_heat(np.ones((4, 1, 1))) == [0, 1]
    assert in_words([0, 2, 3]) == "frames 0, 2 to 3"
    nothing = Attribution(clip, 0 * heat, 1.0, objectives.logit(0), "gradient")
    assert nothing.deciding_frames == "half of the heat in no frame"
