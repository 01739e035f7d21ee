"""The bundled weights: present, recorded truly, and as good as recorded."""

import hashlib
import json
from importlib import resources

import numpy as np
import pytest

from c3dvis import models
from c3dvis.motion import HELD_OUT_SEED, MovingEvidence

FOLDER = resources.files("c3dvis.weights")
BUNDLED = [entry.name for entry in models.NETWORKS if entry.weights is not None]
MEGABYTE = 1_000_000


def record(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("name", BUNDLED)
def test_the_record_is_of_this_file(name):
    content = (FOLDER / f"{name}.weights.h5").read_bytes()
    assert hashlib.sha256(content).hexdigest() == record(name)["sha256"]
    assert len(content) == record(name)["bytes"] <= 3 * MEGABYTE


def test_all_together_stay_small():
    assert sum(record(name)["bytes"] for name in BUNDLED) <= 15 * MEGABYTE


@pytest.fixture(scope="module")
def held_out():
    return MovingEvidence(seed=HELD_OUT_SEED).batch(0, 200)


@pytest.mark.parametrize("name", BUNDLED)
def test_held_out_clips_are_told_apart_as_recorded(name, held_out):
    """200 held-out clips: within what chance allows (4 deviations) of the recorded accuracy."""
    network = models.build(name)
    right = network.predict(held_out.clips, verbose=0, batch_size=20).argmax(-1) == held_out.labels
    recorded = record(name)["held_out"]["accuracy"]
    deviation = np.sqrt(recorded * (1 - recorded) / 200)
    assert abs(right.mean() - recorded) <= 4 * deviation + 1 / 200


def test_the_bundled_c3d_is_at_least_as_good_as_promised():
    assert record("c3d-motion")["held_out"]["accuracy"] >= 0.95
