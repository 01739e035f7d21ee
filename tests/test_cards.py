"""Motion cards: what they say of planted units, and that their figures are files."""

import io

import keras
import numpy as np
import pytest
import tunings
from keras import layers, ops
from PIL import Image

from c3dvis import responses
from c3dvis.motion import DriftingGabor
from c3dvis.responses.cards import MotionCard
from c3dvis.responses.dependence import MotionDependence
from c3dvis.responses.factors import Factors
from c3dvis.responses.ranked_clips import UnitClip, UnitClips
from c3dvis.responses.tuning import COLOURS

SHAPE = (6, 12, 12, 3)


def tuning(*, best=1.0, opposite=0.0, direction=180.0, speed=2.0, contrasts=(1, 1), colour=1):
    grating = DriftingGabor(direction, spatial_frequency=0.1, temporal_frequency=0.1 * speed)
    values = np.zeros((1, 4, 1, 2), np.float32)
    values[0, 2, 0, 1] = best
    return tunings.of_one_unit(
        channels=(3,),
        responses=values,
        best=(grating,),
        best_response=np.array([best], np.float32),
        opposite=np.array([opposite], np.float32),
        contrasts=np.array([0.5, 1], np.float32),
        to_contrast=np.array([contrasts], np.float32),
        to_colour=colour * np.eye(len(COLOURS), dtype=np.float32)[[1]],
    )


def card(*, shares=(0.7, 0.2, 0.1), dependence=None, **of_tuning):
    table = np.zeros((1, 2, 2), np.float32)
    factors = Factors("conv", (3,), table, np.array([shares], np.float32))
    return MotionCard("conv", 3, tuning(**of_tuning), None, factors, dependence)


def test_the_sentence_says_direction_speed_and_shares():
    said = card().summary
    assert "prefers motion left at 2 pixels per frame (direction selectivity 1.00)" in said
    assert card().direction == 180.0 and card(speed=0.0).direction is None
    assert card(best=-1.0).direction is None
    assert "distinguishes clips by texture 70%, motion 20%, both together 10%" in said
    assert "prefers motion up and right at 2" in card(direction=47.0).summary
    assert "along one axis, left and back" in card(opposite=0.9).summary
    assert "static gratings" in card(speed=0.0).summary
    silent = {"best": -1.0, "contrasts": (-1, -1)}
    assert "no grating more than to grey;" in card(**silent, colour=-1).summary
    assert "to grey in light and dark, but to one in red and cyan;" in card(**silent).summary
    faint = card(best=-1.0, contrasts=(0.1, -1)).summary
    assert "at full contrast, where directions are measured, but to one of 50%;" in faint
    nothing = card(shares=(np.nan,) * 3)
    assert "responds equally to all textures" in nothing.summary and nothing.motion_share is None
    assert card().motion_share == pytest.approx(0.3)


def test_the_figure_is_written_whole_and_is_the_same_each_time(tmp_path):
    one = card()
    for name in ("card.png", "card.svg"):
        first = one.save(tmp_path / name).read_bytes()
        if name.endswith("png"):
            assert Image.open(io.BytesIO(first)).size == (924, 572)
            assert one.save(tmp_path / name).read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.png", "card.svg"]
    assert one._repr_png_().startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in one.figure().axes]
    assert any("180°, 2 px per frame; DSI 1.00" in title for title in titles)
    assert "best in red and cyan" in titles
    with pytest.raises(ValueError, match="of .png, .svg or .pdf. Received"):
        one.save(tmp_path / "card.txt")


def test_a_figure_names_no_direction_where_no_grating_excites():
    polar = card(best=-1.0, contrasts=(0.1, -1)).figure().axes[0]
    assert polar.get_title().startswith("no response to gratings of full contrast")
    assert not polar.lines and polar.get_legend() is None
    (curve,) = card(best=2.0).figure().axes[0].lines
    assert max(curve.get_ydata()) == 1 and polar.get_ylim() == (0, 1.05)


def test_shares_that_are_lost_are_drawn_to_one_scale():
    values = np.array([[1.0, 1.02, 0.98]], np.float32)
    dependence = MotionDependence("conv", (3,), values, {"freeze": 0.98 * values})
    *_, axes = card(dependence=dependence).figure().axes
    assert axes.get_ylim()[0] <= -0.1 and axes.get_ylim()[1] >= 1


@pytest.fixture(scope="module")
def network():
    """Unit 0: brightness. Unit 1: change from frame to frame."""
    clip = keras.Input(SHAPE)
    conv = layers.Conv3D(2, (2, 1, 1), use_bias=False, name="conv")
    bent = ops.stack([conv(clip)[..., 0], ops.abs(conv(clip)[..., 1])], axis=-1)
    units = layers.Identity(name="units")(bent)
    kernel = np.array([[0.5, -1], [0.5, 1]]).reshape(2, 1, 1, 1, 2) / 3
    conv.set_weights([kernel * np.ones((2, 1, 1, 3, 2), np.float32)])
    return keras.Model(clip, layers.GlobalAveragePooling3D()(units))


def test_cards_of_planted_units(network):
    draw = np.random.default_rng(0)
    films = [UnitClip(str(i), 1.0, draw.random(SHAPE, np.float32)) for i in range(3)]
    strongest = [UnitClips("units", 1, tuple(films), ()), UnitClips("units", 0, (films[0],), ())]
    still, moving = responses.motion_cards(network, "units", [0, 1], strongest=strongest)
    assert still.dependence is None  # of one clip there is no interval
    assert moving.dependence.original.shape == (1, 3)
    assert moving.dependence.index(1).mean == pytest.approx(1, abs=1e-5)
    assert "freezing its strongest clips takes 100% of its response" in moving.summary
    assert still.factors.kinds[0] == "static" and "texture" in still.summary
    assert moving.centre is not None and moving.tuning.responses[1, :, :, 0].max() < 1e-4
    assert len(moving.figure().axes) == 6 and len(still.figure().axes) == 5


def test_units_that_are_not_there_are_refused(network):
    with pytest.raises(ValueError, match="Expected channels from 0 to 1. Received: 2"):
        responses.motion_cards(network, "units", [2])
