"""VideoPrism as KerasHub has it, with random weights, where KerasHub is installed."""

import numpy as np
import pytest

from c3dvis import objectives, responses
from c3dvis.attribution import attribute
from c3dvis.maximize import maximize
from c3dvis.models import layers

SHAPE, GRID = (4, 32, 32, 3), (4, 4, 4)


@pytest.fixture(scope="module")
def network():
    keras_hub = pytest.importorskip("keras_hub", reason="needs KerasHub, which is not installed")
    return keras_hub.models.VideoPrismBackbone(
        num_frames=SHAPE[0],
        patch_size=8,
        hidden_dim=16,
        intermediate_dim=32,
        num_heads=2,
        num_spatial_layers=1,
        num_temporal_layers=1,
        num_auxiliary_layers=0,
        image_shape=SHAPE[1:],
    )


def test_frames_and_places_in_the_batch_are_read_clip_by_clip(network):
    shapes = {info.name: info.shape for info in layers.describe(network)}
    assert shapes["spatial_encoder"] == (4, 16, 16)  # frames, places, channels
    assert shapes["temporal_encoder"] == (16, 4, 16)  # places, frames, channels


def test_units_are_maximized_and_explained(network):
    clip = np.random.default_rng(0).random(SHAPE, np.float32)
    assert maximize(network, "spatial_encoder:0", steps=1).shape == (1, *SHAPE)
    objective = objectives.channel("temporal_encoder", 0)
    assert attribute(network, clip, objective, method="gradient").heatmap.std() > 0
    maps = responses.feature_maps(network, clip, "spatial_encoder", grid=GRID).maps
    assert maps.shape == (*GRID, 16)


def test_what_can_not_be_done_is_said(network):
    """Its patches are no convolution: the grid has to be given, as the refusal says."""
    clip = np.zeros(SHAPE, np.float32)
    with pytest.raises(ValueError, match=r"give grid=\(t, h, w\)"):
        responses.feature_maps(network, clip, "spatial_encoder")
