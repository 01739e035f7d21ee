"""The bundled weights: present, recorded truly, and as good as recorded."""

import hashlib
import json
from importlib import resources

import numpy as np
import pytest

from c3dvis import maximize, models
from c3dvis.gallery import held_out
from c3dvis.gallery.make import Selection, plan_of
from c3dvis.gallery.render import objective_of
from c3dvis.gallery.settings import Settings
from c3dvis.models import layers
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
def evidence():
    return MovingEvidence(seed=HELD_OUT_SEED).batch(0, 80)


@pytest.mark.parametrize("name", BUNDLED)
def test_held_out_clips_are_told_apart_as_recorded(name, evidence):
    """80 held-out clips: within what chance allows (4 deviations) of the recorded accuracy."""
    network = models.build(name)
    right = network.predict(evidence.clips, verbose=0, batch_size=20).argmax(-1) == evidence.labels
    recorded = record(name)["held_out"]["accuracy"]
    deviation = np.sqrt(recorded * (1 - recorded) / 80)
    assert abs(right.mean() - recorded) <= 4 * deviation + 1 / 80


def test_the_bundled_c3d_is_at_least_as_good_as_promised():
    assert record("c3d-motion")["held_out"]["accuracy"] >= 0.95


@pytest.mark.parametrize("name", BUNDLED)
def test_held_out_clips_score_as_recorded(name):
    """For eight clips that are the best for some unit: that much there, and no more elsewhere."""
    network, clips_of = models.build(name), MovingEvidence(seed=HELD_OUT_SEED)
    settings = Settings(model=name, compare=held_out.RECORDED)
    shown = [info.name for info in layers.visualizable(network) if info.is_convolution][:2]
    chosen = Selection(layers=tuple(shown), filters="all", classes=("all",))
    sections = plan_of(network, chosen)
    with np.load(held_out.record_file()) as record:
        best = [record[held_out.record_key(name, section.layer)] for section in sections]
    assert held_out.best(network, sections, settings) == {
        section.layer: dict(enumerate(scores.tolist()))
        for section, (scores, _) in zip(sections, best, strict=True)
    }
    indices = sorted({int(i) for _, which in best for i in which})[:8]
    clips = np.concatenate([clips_of.batch(i, 1).clips for i in indices])
    objectives = [objective_of(network, s.layer, range(s.channels)) for s in sections]
    for (scores, which), of_layer in zip(
        best, maximize.scores(network, objectives, clips), strict=True
    ):
        assert (of_layer <= scores + 1e-4 * np.abs(scores)).all()
        for row, index in zip(of_layer, indices, strict=True):
            mine = which == index
            assert row[mine] == pytest.approx(scores[mine], rel=1e-4)
