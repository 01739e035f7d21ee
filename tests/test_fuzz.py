"""Files with random damage: read, or refused in a sentence, in bounded time; nothing else.

The environment's `C3DVIS_FUZZ` is the number of inputs of each kind in the slow test.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
from damage import damage
from gallery_folder import write_folder
from test_checkpoints import write_h5
from test_clips import encode
from test_pytorch_files import write_legacy, write_safetensors, write_zip
from test_trees import write_msgpack, write_pickle

from c3dvis import clips, files, models, pages, responses
from c3dvis.attribution import page
from c3dvis.checkpoints import flax_msgpack, numpy_pickles, pytorch_files, safetensors_files
from c3dvis.gallery import cards, export, held_out, more_clips, real, rebuild, sheets, trust
from c3dvis.gallery.plan import Unit
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
FILMS = np.random.default_rng(1).random((5, 4, 8, 8, 3), np.float32)
SWEEP = responses.sweep(NETWORK, FILMS, layers=["conv"], verbose=0)


def load(path):
    """Loads weights; a refused file must have changed none."""
    try:
        models.load_weights(NETWORK, path)
    except ValueError:
        for before, now in zip(WEIGHTS, NETWORK.get_weights(), strict=True):
            np.testing.assert_array_equal(before, now)
        raise
    NETWORK.set_weights(WEIGHTS)


def load_index(path):
    """With the data of the whole one."""
    _beside(path, "whole.data-00000-of-00001", "data-00000-of-00001")


def load_data(path):
    _beside(path, "whole.index", "index")


def _beside(path, whole, ending):
    path.with_suffix(f".{ending}").write_bytes((path.parent / whole).read_bytes())
    load(path)


def save_tf(path):
    """A checkpoint in TensorFlow 1's names, with the weights that the network has."""
    tf = pytest.importorskip("tensorflow", reason="only TensorFlow writes its checkpoints")
    names = ("conv/w", "conv/b", "dense/w", "dense/b")
    tf.raw_ops.SaveV2(
        prefix=str(path.with_suffix("")),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(value) for value in WEIGHTS],
    )


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


def read_tensors(path):
    for weight in safetensors_files.stored_tensors(path).values():
        weight.read()


# What commands keep: one file of a folder is damaged, and the folder is read and shown.
UNIT = Unit("conv1", 1, None, "conv1")


def write_gallery(out):
    """A gallery with all that may lie beside its clips."""
    write_folder(out, {"conv1": [None, FILM]})
    files.write_json(out / held_out.NAME, {"conv1": {0: 1.0, 1: None}})
    for place in ("cards/conv1", "trust/conv1", "real/conv1"):
        (out / place).mkdir(parents=True)
    (out / cards.path(UNIT)).write_bytes(b"")
    files.write_json(out / "cards/conv1/1.json", {"summary": "It moves.", "direction": 90.0})
    both = []
    for rank, name in enumerate(("motion up", "motion down")):
        film = pages.film(out, f"cards/conv1/1-directions-{rank}", FILM, "")
        both.append(more_clips.Variant(name, 1.0, "backward 0.5", film.strip, film.shape))
    kinds = {"directions": asdict(more_clips.Variants(tuple(both), "It moves."))}
    files.write_json(out / "cards/conv1/1-more.json", {"schema": 1, **kinds})
    film = pages.film(out, "real/conv1/1-0", FILM, "")
    clip = real.RealClip("wave.gif", 1.0, film.file, film.strip, film.shape)
    strongest = [{"layer": "conv1", "channel": 1, "clips": [asdict(clip)]}]
    names = {"folder": "films", "count": 9, "units": strongest}
    files.write_json(out / "real.json", names)
    judged = trust.Trust(
        made_sha256=hashlib.sha256((out / UNIT.path("gif")).read_bytes()).hexdigest(),
        real_clips=9,
        made_score=0.9,
        interpretability="High.",
        description="It prefers motion.",
    )
    files.write_json(out / "trust/conv1/1.json", {"schema": trust.SCHEMA, **asdict(judged)})


def in_folder(write_whole: Callable, name: str, read_all: Callable) -> tuple[Callable, Callable]:
    """How one file of a folder is written, and what reads it with all that lies beside."""

    def write(path):
        write_whole(path.parent / "whole")
        path.write_bytes((path.parent / "whole" / name).read_bytes())

    def read(path):
        (path.parent / "whole" / name).write_bytes(path.read_bytes())
        read_all(path.parent / "whole")

    return write, read


def read_gallery(out):
    """By all that needs no network."""
    best = held_out.read(out)
    assert all(x is None or math.isfinite(x) for one in best.values() for x in one.values())
    _, records = rebuild.rebuild(out)
    json.dumps([record.to_json() for record in records.values()], allow_nan=False)
    export.export(out, out.with_suffix(".npz"))
    sheets.write(out)


def write_attribution(out):
    out.mkdir()
    film = pages.film(out, "a-gradient", FILM, "")
    record = {"key": "k", "clip": "a.gif", "method": "gradient", "network": "net", "about": "It."}
    record |= {"asked": "logit of 0", "score": 1.5, "settings": {}, "frames": "3", "highest": None}
    record |= {"shape": list(film.shape), "files": {}, "heatmap": "a.nii"}
    record |= {"part": "a", "cropped": True, "width": 128}
    files.write_json(out / "a-gradient.json", {**record, "planes": [asdict(film)]})
    windows = [{"name": "a", "frames": "0 to 3", "seconds": ""}]
    windows.append({"name": "b", "frames": "4 to 7", "seconds": "0.5 to 0.9"})
    series = [{"asked": "logit of 0", "unit": "score", "values": [0.5, -2.5]}]
    film_record = {"film": "a.gif", "network": "net", "windows": windows, "series": series}
    files.write_json(out / "a-0-of-2.json", film_record)


def read_attribution(out):
    page.write(out, [], argparse.Namespace(options={}, keras_model="net.keras"))


def sweep_into(out):
    return responses.sweep(NETWORK, FILMS, layers=["conv"], out=out, verbose=0)


# Of each kind of file, by an ending: how a whole one is written, and how it is read.
KINDS: dict[str, tuple[Callable, Callable]] = {
    "h5": (lambda path: write_h5(path, NETWORK), load),
    "weights.h5": (NETWORK.save_weights, load),
    "index": (save_tf, load_index),
    "data-00000-of-00001": (save_tf, load_data),
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
    "webm": (lambda path: encode(path, FILM), read_clip),
    "mkv": (lambda path: encode(path, FILM), read_clip),
    "avi": (lambda path: encode(path, FILM), read_clip),
    "frame.png": (lambda path: clips.write(path, FILM[:1]), read_frames),
    "nii": (save_scan, clips.read_volume),
    "nii.gz": (save_scan, clips.read_volume),
    "txt": (lambda path: path.write_text("wave\nclap\njump\n"), read_labels),
    "gallery.json": in_folder(write_gallery, "gallery.json", read_gallery),
    "record.json": in_folder(write_gallery, "conv1/1.json", read_gallery),
    "held-out.json": in_folder(write_gallery, "held-out.json", read_gallery),
    "card.json": in_folder(write_gallery, "cards/conv1/1.json", read_gallery),
    "more.json": in_folder(write_gallery, "cards/conv1/1-more.json", read_gallery),
    "trust.json": in_folder(write_gallery, "trust/conv1/1.json", read_gallery),
    "real.json": in_folder(write_gallery, "real.json", read_gallery),
    "windows.json": in_folder(write_attribution, "a-0-of-2.json", read_attribution),
    "attribution.json": in_folder(write_attribution, "a-gradient.json", read_attribution),
    "part.npz": in_folder(sweep_into, "parts/000000.npz", sweep_into),
    "sweep.npz": (lambda path: SWEEP.save(path), responses.Sweep.load),
}


def try_damaged(kind: str, folder: Path, count: int) -> None:
    """Every damaged copy of a file is read, or refused by a ValueError of one line, in time."""
    write, read = KINDS[kind]
    whole, path = folder / f"whole.{kind}", folder / f"damaged.{kind}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(whole)
        read(whole)
        content, wrong = whole.read_bytes(), []
        for number in range(count):
            path.write_bytes(damage(kind, content, number))
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
