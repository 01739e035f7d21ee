"""Files with random damage: read, or refused in a sentence, in bounded time; nothing else.

The environment's `C3DVIS_FUZZ` is the number of inputs of each kind in the slow test.
"""

from __future__ import annotations

import os
import random
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from test_checkpoints import write_h5
from test_pytorch_files import write_legacy, write_safetensors, write_zip
from test_trees import write_msgpack, write_pickle

from c3dvis import clips, files, models
from c3dvis.checkpoints import flax_msgpack, numpy_pickles, pytorch_files, safetensors_files
from c3dvis.gallery.record import Record
from c3dvis.models.labels import read_labels

SECONDS = 20  # for one input, on a busy machine


def build():
    clip = keras.Input((4, 8, 8, 3))
    x = keras.layers.Conv3D(2, 3, name="conv")(clip)
    x = keras.layers.GlobalAveragePooling3D()(x)
    return keras.Model(clip, keras.layers.Dense(2, name="dense")(x))


NETWORK = build()
WEIGHTS = NETWORK.get_weights()
TENSORS = {f"{i}.weight": value for i, value in enumerate(WEIGHTS)}
FILM = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
RECORD = Record(
    layer="conv1", channel=3, status="ok", score=1.5, shape=(4, 8, 8, 3), files={"3": 1}
)


def load(path):
    """Loads weights; a refused file must have changed none."""
    try:
        models.load_weights(NETWORK, path)
    except ValueError:
        for before, now in zip(WEIGHTS, NETWORK.get_weights(), strict=True):
            np.testing.assert_array_equal(before, now)
        raise
    NETWORK.set_weights(WEIGHTS)


def load_tf(path):
    data = path.parent / "whole.data-00000-of-00001"
    path.with_suffix(".data-00000-of-00001").write_bytes(data.read_bytes())
    load(path)


def save_tf(path):
    tf = pytest.importorskip("tensorflow", reason="only TensorFlow writes its checkpoints")
    named = {v.path.replace("/", "_"): tf.Variable(v.numpy()) for v in NETWORK.weights}
    tf.train.Checkpoint(**named).write(str(path.with_suffix("")))


def save_scan(path):
    nibabel = pytest.importorskip("nibabel", reason="NIfTI needs nibabel: extra volumes")
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6), np.float32), np.eye(4)), path)


def read_clip(path):
    clips.read(path, frames=4, size=(8, 8), short="hold")


def read_frames(path):
    folder = path.parent / "frames"
    folder.mkdir(exist_ok=True)
    (folder / "0.png").write_bytes(path.read_bytes())
    clips.read(folder)


def read_record(path):
    Record.from_json(files.read_json(path))


def read_tensors(path):
    for weight in safetensors_files.stored_tensors(path).values():
        weight.read()


# Of each kind of file, by an ending: how a whole one is written, and how it is read.
KINDS: dict[str, tuple[Callable, Callable]] = {
    "h5": (lambda path: write_h5(path, NETWORK), load),
    "weights.h5": (NETWORK.save_weights, load),
    "index": (save_tf, load_tf),
    "pkl": (lambda path: write_pickle(path, {"a": WEIGHTS}), numpy_pickles.read_tree),
    "msgpack": (lambda path: write_msgpack(path, {"a": WEIGHTS[0]}), flax_msgpack.read_tree),
    "zip.pth": (lambda path: write_zip(path, TENSORS), pytorch_files.read_tensors),
    "legacy.pth": (lambda path: write_legacy(path, TENSORS), pytorch_files.read_tensors),
    "safetensors": (lambda path: write_safetensors(path, TENSORS), read_tensors),
    "keras": (NETWORK.save, models.load_keras_model),
    "model.h5": (NETWORK.save, models.load_keras_model),
    "gif": (lambda path: clips.write(path, FILM), read_clip),
    "webp": (lambda path: clips.write(path, FILM), read_clip),
    "apng.png": (lambda path: clips.write(path, FILM), read_clip),
    "mp4": (lambda path: clips.write(path, FILM), read_clip),
    "frame.png": (lambda path: clips.write(path, FILM[:1]), read_frames),
    "nii": (save_scan, clips.read_volume),
    "nii.gz": (save_scan, clips.read_volume),
    "txt": (lambda path: path.write_text("wave\nclap\njump\n"), read_labels),
    "json": (lambda path: files.write_json(path, RECORD.to_json()), read_record),
}
# Its variables have no names that the network's layers have; what counts is its index.
NOT_READ_WHOLE = ("index",)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A copy with some bytes changed, cut out, doubled or left off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64))
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at : at + length] = bytes(rng.randrange(256) for _ in range(length))
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff" * 4))
            case _:
                if rng.random() < 0.3:
                    del data[at:]
        if not data:
            return b""
    return bytes(data)


def try_damaged(kind: str, folder: Path, count: int) -> None:
    """Every damaged copy of a file is read, or refused by a ValueError of one line, in time."""
    write, read = KINDS[kind]
    whole, path = folder / f"whole.{kind}", folder / f"damaged.{kind}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(whole)
        if kind not in NOT_READ_WHOLE:
            read(whole)
        rng, content, wrong = random.Random(kind), whole.read_bytes(), []
        for number in range(count):
            path.write_bytes(damaged(content, rng))
            begin = time.perf_counter()
            try:
                read(path)
            except ValueError as error:
                if "\n" in str(error).strip():
                    wrong.append(f"{number}: more than one line: {error}")
            except Exception as error:
                wrong.append(f"{number}: {type(error).__name__}: {error}")
            if time.perf_counter() - begin > SECONDS:
                wrong.append(f"{number}: took {time.perf_counter() - begin:.0f} s")
    assert not wrong, "\n".join(wrong[:5])


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind, tmp_path):
    try_damaged(kind, tmp_path, 10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files_are_read_or_refused(kind, tmp_path):
    try_damaged(kind, tmp_path, int(os.environ.get("C3DVIS_FUZZ", 100)))
