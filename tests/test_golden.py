"""Published weights give the published answers, where a folder has them.

The environment variable C3DVIS_WEIGHTS names the folder; files may lie anywhere inside it, under
their published names. What is absent is skipped, and says so. Each file's SHA-256 is printed.

| file | from |
|---|---|
| `rgb_imagenet/model.ckpt.*`, `v_CricketShot_g04_c01_rgb.npy`, `label_map.txt` | kinetics-i3d |
| `sports1M_weights_tf.h5`, `dM06AMFLsrc.mp4` (the basketball clip) | Keras copies of C3D |
| `r3d_18-b3b3357e.pth`, `mc3_18-a90a0ba3.pth`, `r2plus1d_18-91a641e6.pth` | torchvision |
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from c3dvis import clips, models
from c3dvis.models.labels import KINETICS_400, read_labels

VARIABLE = "C3DVIS_WEIGHTS"
# Of the released rgb_imagenet checkpoint, on its released sample clip.
CRICKET = {"logit": 25.856646, "probability": 0.9999968, "norm": 87.108871}
KICKBALL_LOGIT = 12.330335
# Of Sports-1M, in the order of C3D's outputs.
BASKETBALL = 367
# The basketball clip: 16 frames from this one on, scaled to 128 x 171, the middle 112 x 112.
FIRST_FRAME = 2000
TORCHVISION = {
    "r3d": "r3d_18-b3b3357e.pth",
    "mc3": "mc3_18-a90a0ba3.pth",
    "r2plus1d": "r2plus1d_18-91a641e6.pth",
}


def folder() -> Path:
    named = os.environ.get(VARIABLE)
    if not named:
        pytest.skip(f"{VARIABLE} names no folder with published weights")
    assert Path(named).is_dir(), f"{VARIABLE}={named} is no folder"
    return Path(named)


@pytest.fixture
def find(capsys):
    """A file of the folder by its name; prints its hash, or skips where it is absent."""

    def found(pattern: str) -> Path:
        matches = sorted(folder().rglob(pattern))
        if not matches:
            pytest.skip(f"no {pattern} in {folder()}")
        with matches[0].open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with capsys.disabled():
            print(f"\n{digest}  {matches[0]}")
        return matches[0]

    return found


def test_i3d_sees_cricket_in_its_sample_clip(find):
    shards = find("rgb_imagenet/model.ckpt.data-00000-of-00001")
    index = find("rgb_imagenet/model.ckpt.index")
    assert index.parent == shards.parent
    clip = (np.load(find("v_CricketShot_g04_c01_rgb.npy"), allow_pickle=False) + 1) / 2
    network = models.build(
        "i3d",
        weights=index.with_suffix(""),
        input_shape=clip.shape[1:],
        classifier_activation=None,
    )
    logits = network.predict(clip, verbose=0)[0]
    first, second = np.argsort(-logits)[:2]
    exponents = np.exp(logits - logits.max())
    assert logits[first] == pytest.approx(CRICKET["logit"], abs=1e-3)
    assert logits[second] == pytest.approx(KICKBALL_LOGIT, abs=1e-3)
    assert np.linalg.norm(logits) == pytest.approx(CRICKET["norm"], abs=1e-2)
    assert exponents[first] / exponents.sum() == pytest.approx(CRICKET["probability"], abs=1e-6)
    label_map = find("label_map.txt")
    names = read_labels(label_map, 400)
    assert names == KINETICS_400
    assert (names[first], names[second]) == ("playing cricket", "playing kickball")


@pytest.mark.parametrize("pool5", ["caffe", "symmetric"])
def test_c3d_sees_basketball(find, pool5):
    weights = find("sports1M_weights_tf.h5")
    video = find("dM06AMFLsrc.mp4")
    clip = clips.read(video, start=FIRST_FRAME, step=1, frames=16, size=(128, 171))
    network = models.build("c3d", weights=weights, pool5=pool5)
    probabilities = network.predict(clip[None, :, 8:120, 30:142], verbose=0)[0]
    assert probabilities.argmax() == BASKETBALL
    assert 0.58 < probabilities[BASKETBALL] < 0.71


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_weights_fit_whole(find, name):
    """No answer to a known clip is published for these; the file's name holds part of its hash."""
    path = find(TORCHVISION[name])
    network = models.build(name, weights=None)
    report = models.load_weights(network, path)
    assert report.assigned == report.total and not report.missing and not report.unused
    draw = np.random.default_rng(0).random((1, 16, 112, 112, 3), np.float32)
    assert network.predict(draw, verbose=0).sum() == pytest.approx(1, abs=1e-4)
