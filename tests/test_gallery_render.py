"""From a unit to its files: what is written, what a record tells, and what stands for a failure."""

from __future__ import annotations

import hashlib
import json

import keras
import numpy as np
import pytest
from gallery_folder import bytes_below
from PIL import Image
from same_bits import batches_agree

from c3dvis import identity, motion
from c3dvis.gallery import folder, held_out, render
from c3dvis.gallery.groups import Group, Task
from c3dvis.gallery.make import Selection, plan_of
from c3dvis.gallery.plan import CLASSES, Unit
from c3dvis.gallery.record import Record
from c3dvis.gallery.render import Renderer
from c3dvis.gallery.settings import Settings
from c3dvis.models import chosen as choices

SETTINGS = Settings(steps=2, batch_size=2)


def small_network(frames=6):
    """Two convolutions and three classes on clips of 6 x 16 x 16."""
    keras.utils.set_random_seed(5)
    x = inputs = keras.Input((frames, 16, 16, 3))
    x = keras.layers.Conv3D(5, 3, activation="leaky_relu", name="conv1")(x)
    x = keras.layers.Conv3D(3, 3, strides=2, activation="leaky_relu", name="conv2")(x)
    x = keras.layers.GlobalAveragePooling3D()(x)
    x = keras.layers.Dense(3, activation="softmax", name="fc")(x)
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def network():
    return small_network()


def units(layer, channels):
    return [
        Unit(layer, channel, None, "classes" if layer == CLASSES else layer) for channel in channels
    ]


def task(layer, channels, size=None):
    group = Group(tuple(units(layer, channels)), size or len(channels))
    return Task(group, group.units)


@pytest.mark.parametrize("layer", ["conv1", CLASSES])
def test_a_unit_becomes_a_gif_a_strip_and_a_record(network, tmp_path, layer):
    (record,) = Renderer(SETTINGS, tmp_path, network=network).render(task(layer, [1]), {1: 0.5})
    where = tmp_path / ("classes" if layer == CLASSES else layer)
    values = json.loads((where / "1.json").read_text())
    assert record.to_json() == values and Record.from_json(values) == record
    assert sorted(path.name for path in where.iterdir()) == ["1.gif", "1.jpg", "1.json"]
    assert record.files == {n: (where / n).stat().st_size for n in ("1.gif", "1.jpg")}
    with Image.open(where / "1.gif") as gif, Image.open(where / "1.jpg") as strip:
        assert gif.size == (16, 16) and strip.size == (6 * 16, 16)
    assert (record.layer, record.channel, record.status) == (layer, 1, "ok")
    assert record.shape == (6, 16, 16, 3)
    assert record.ratio == pytest.approx(record.score / 0.5)
    assert record.settings["steps"] == 2 and record.seed == 0


@pytest.mark.parametrize("parametrization", ["fourier", "alpha"])
def test_a_class_clip_is_shown_to_the_network(tmp_path, parametrization):
    # Whatever a clip does for class 0 it does for class 1, which is always ahead.
    biased = small_network()
    kernel, bias = biased.get_layer("fc").get_weights()
    kernel[:, 1] = kernel[:, 0]
    biased.get_layer("fc").set_weights([kernel, bias + np.array([0, 1, -9], np.float32)])
    biased.class_names = ["up", "down", "left"]
    settings = Settings(steps=2, parametrization=parametrization)
    records = Renderer(settings, tmp_path, network=biased).render(task(CLASSES, [0, 1]), {})
    assert [record.predicted_class for record in records] == ["down", "down"]


def test_a_unit_is_the_same_whatever_is_made_beside_it(network, tmp_path):
    for name, groups, batch_size in (("all", [[0, 1, 2]], 2), ("one", [[2], [0], [1]], 1)):
        renderer = Renderer(
            Settings(steps=3, batch_size=batch_size), tmp_path / name, network=network
        )
        for group in groups:
            list(renderer.render(task("conv1", group), {}))
    together, alone = (bytes_below(tmp_path / name) for name in ("all", "one"))
    assert sorted(together) == sorted(alone)
    for name in together:
        if name.endswith(".json"):
            records = [json.loads(files[name]) for files in (together, alone)]
            batches = [record.pop("batch") for record in records]
            assert batches[0] != batches[1]
            assert records[0]["score"] == pytest.approx(records[1]["score"], rel=1e-3)
            assert records[0] == records[1] or not batches_agree()
        else:
            assert together[name] == alone[name] or not batches_agree()


def test_another_seed_makes_another_clip(network, tmp_path):
    for seed in (0, 1):
        settings = Settings(steps=2, seed=seed)
        list(
            Renderer(settings, tmp_path / str(seed), network=network).render(task("conv1", [1]), {})
        )
    strips = [(tmp_path / str(seed) / "conv1" / "1.jpg").read_bytes() for seed in (0, 1)]
    assert strips[0] != strips[1]


def test_a_filter_without_gradient_is_marked_and_has_no_clip(tmp_path):
    dead = small_network()
    kernel, bias = dead.get_layer("conv1").get_weights()
    kernel[..., 2] = 0
    dead.get_layer("conv1").set_weights([kernel, bias])
    records = list(Renderer(SETTINGS, tmp_path, network=dead).render(task("conv1", [1, 2]), {}))
    assert [record.status for record in records] == ["ok", "no gradient"]
    assert records[1].files == {}
    assert not (tmp_path / "conv1" / "2.gif").exists()


def test_a_unit_that_turns_nan_is_recorded_with_its_step_and_last_finite_clip(tmp_path):
    # One filter wants light, one dark; the logarithm fails once the clip is light enough. (No side
    # is 2 as the batch is: Keras would take what is added to that axis for a bias.)
    inputs = keras.Input((4, 8, 8, 3))
    mean = keras.ops.mean(inputs, axis=(1, 2, 3, 4), keepdims=True)
    light = keras.layers.Conv3D(3, 1, name="light")
    outputs = light(inputs) + 0 * keras.ops.log(0.55 - mean)
    top = keras.layers.Conv3D(3, 1, name="top")
    network = keras.Model(inputs, top(outputs))
    light.set_weights([np.tile([1.0, -1.0, 0.0], (1, 1, 1, 3, 1)), np.zeros(3)])
    top.set_weights([np.eye(3).reshape(1, 1, 1, 3, 3), np.zeros(3)])
    settings = Settings(steps=300, batch_size=2)
    records = list(Renderer(settings, tmp_path, network=network).render(task("top", [0, 1]), {}))
    assert [record.status for record in records] == ["failed", "ok"]
    assert 0 < records[0].failed_step < 300 and records[1].failed_step is None
    # The clip is the last one before, which without its transforms may be too light already.
    assert records[0].score is None or 0 < records[0].score <= 3 * 0.55
    with Image.open(tmp_path / "top" / "0.gif") as gif:
        assert gif.size == (8, 8)


def test_an_error_is_a_record_for_each_unit_that_is_left(network, tmp_path, monkeypatch):
    class Breaks:
        batch_size = 3

        def __init__(self, *_, **__):
            pass

        def make(self, objective, **_):
            yield render.MaximizedClip(np.zeros((6, 16, 16, 3), np.float32), 1.0, "ok")
            raise RuntimeError("out of luck\nsecond line") from KeyError("why")

    monkeypatch.setattr(render, "Maximizer", Breaks)
    chosen = units("conv1", [0, 1, 4])
    given = Task(Group(tuple(chosen), 3), tuple(chosen))
    renderer = Renderer(SETTINGS, tmp_path, network=network)
    records = list(renderer.render(given, {}))
    assert [record.status for record in records] == ["ok", "error", "error"]
    assert records[1].error == records[2].error == "RuntimeError: out of luck second line"
    cause = "KeyError: 'why'\n\nRuntimeError: out of luck\nsecond line"
    assert records[1].cause == cause
    records = folder.existing(tmp_path, chosen, identity=renderer.identity)
    assert [one.is_failure for one in records.values()] == [0, 1, 1]


def test_a_disk_error_stops_the_run(network, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(render.clips, "write", full)
    with pytest.raises(OSError, match="No space"):
        list(Renderer(SETTINGS, tmp_path, network=network).render(task("conv1", [0]), {}))
    assert not list(tmp_path.rglob("*.json"))


def test_held_out_clips_give_the_best_score_of_each_unit():
    network = small_network(frames=8)
    settings = Settings(compare=5)
    world = motion.MovingEvidence(seed=motion.HELD_OUT_SEED, frames=8, size=(16, 16))
    clips = world.batch(0, 5).clips
    sections = plan_of(network, Selection(filters=(0, 2)))
    best_scores = held_out.best(network, sections, settings)
    assert list(best_scores) == [CLASSES, "conv2", "conv1"]
    for section in sections:
        best = best_scores[section.layer]
        if section.layer == CLASSES:
            before = keras.Model(network.inputs, network.get_layer("fc").input).predict(
                clips, verbose=0
            )
            kernel, bias = network.get_layer("fc").get_weights()
            logits = (before @ kernel + bias).astype(np.float64)
            others = np.exp(logits).sum(axis=1, keepdims=True) - np.exp(logits)
            expected = (2 * logits - np.log(others)).max(axis=0)
        else:
            layer = keras.Model(network.inputs, network.get_layer(section.layer).output)
            expected = layer.predict(clips, verbose=0).mean(axis=(1, 2, 3)).max(axis=0)
        assert best == pytest.approx(
            {u.channel: expected[u.channel] for u in section.units}, rel=1e-4
        )


def test_classes_that_do_not_exclude_each_other_are_scored_each_by_itself(tmp_path):
    x = inputs = keras.Input((4, 8, 8, 3))
    x = keras.layers.GlobalAveragePooling3D()(keras.layers.Conv3D(2, 1)(x))
    outputs = keras.layers.Dense(2, activation="sigmoid", name="fc")(x)
    network = keras.Model(inputs, outputs)
    # Both want light; by log odds, neither could get ahead of the other.
    network.get_layer("fc").set_weights([np.ones((2, 2)), np.zeros(2)])
    records = list(Renderer(SETTINGS, tmp_path, network=network).render(task(CLASSES, [0, 1]), {}))
    assert [record.status for record in records] == ["ok", "ok"]


@pytest.mark.parametrize(
    "score, best, expected",
    [
        (6.0, 2.0, 3.0),
        (-1.0, 2.0, -0.5),
        (1.0, 0.0, None),
        (1.0, -2.0, None),
        (None, 1.0, None),
        (1.0, None, None),
    ],
)
def test_the_ratio_is_told_only_where_it_means_something(score, best, expected):
    record = Record(layer="a", channel=0, status="ok", score=score, best_held_out=best)
    assert record.ratio == expected


def test_a_comparison_needs_clips_of_three_channels(tmp_path):
    inputs = keras.Input((8, 16, 16, 1))
    network = keras.Model(inputs, keras.layers.Conv3D(2, 3, name="c")(inputs))
    sections = plan_of(network, Selection())
    with pytest.raises(ValueError, match="3 channels.* Received: one that takes 1"):
        held_out.best(network, sections, Settings(compare=4))


def test_a_value_range_reaches_the_network(tmp_path):
    inputs = keras.Input((8, 16, 16, 3))
    outputs = keras.layers.Conv3D(1, 1, kernel_initializer="ones", name="sum")(inputs)
    network = keras.Model(inputs, outputs)
    settings = Settings(steps=2, value_range=(-3.0, 5.0), compare=3)
    (section,) = plan_of(network, Selection())
    world = motion.MovingEvidence(seed=motion.HELD_OUT_SEED, frames=8, size=(16, 16))
    expected = (3 * (world.batch(0, 3).clips * 8 - 3)).mean(axis=(1, 2, 3, 4)).max()
    best_scores = held_out.best(network, [section], settings)
    assert best_scores == {"sum": {0: pytest.approx(expected, rel=1e-4)}}
    (record,) = Renderer(settings, tmp_path, network=network).render(
        Task(Group(section.units, 1), section.units), {}
    )
    with Image.open(tmp_path / "sum" / "0.jpg") as strip:
        mean = np.asarray(strip).mean() / 255
    assert record.score == pytest.approx(3 * (mean * 8 - 3), abs=0.2)


def test_the_hash_tells_weights_apart(network):
    other = small_network()
    assert identity.weights_sha256(network) == identity.weights_sha256(other)
    kernel, bias = other.get_layer("fc").get_weights()
    other.get_layer("fc").set_weights([kernel, bias + 1e-6])
    assert identity.weights_sha256(network) != identity.weights_sha256(other)


def test_labels_are_read_and_counted(tmp_path, network):
    network.save(tmp_path / "net.keras")
    labels = tmp_path / "labels.txt"
    labels.write_text("a\n<b>\nc\n", encoding="utf-8")
    settings = Settings(keras_model=str(tmp_path / "net.keras"), labels=str(labels))
    assert list(choices.load(settings).class_names) == ["a", "<b>", "c"]
    labels.write_text("a\nb\n", encoding="utf-8")
    with pytest.raises(ValueError, match="Expected 3 labels.* Received: 2"):
        choices.load(settings)
    labels.unlink()
    with pytest.raises(ValueError, match="text file of labels"):
        choices.load(settings)


def test_a_network_that_comes_without_weights_needs_them():
    with pytest.raises(ValueError, match="Expected --weights"):
        choices.load(Settings(model="c3d"))
    with pytest.raises(ValueError, match="c3d-motion"):
        choices.load(Settings(model="c3d-motoin"))


def test_only_what_decides_the_files_is_part_of_the_identity():
    same = Settings(batch_size=9, weights="a.h5").identity()
    assert same == Settings(weights="elsewhere/b.h5").identity()
    for other in (Settings(steps=3), Settings(seed=1), Settings(fps=2), Settings(compare=3)):
        assert other.identity() != same


RECORD = Record(
    layer="conv1",
    channel=3,
    label="wave",
    status="ok",
    score=1.5,
    best_held_out=0.5,
    predicted_class="wave",
    settings={"steps": 2},
    shape=(6, 16, 16, 3),
    files={"3.gif": 9},
    sha256={"3.gif": hashlib.sha256(b"GIF89a...").hexdigest()},
)


def test_a_record_survives_json():
    values = json.loads(json.dumps(RECORD.to_json()))
    assert Record.from_json(values) == RECORD
    assert (values["taken_for"], values["ratio"], values["label"]) == ("wave", 3.0, "wave")


@pytest.mark.parametrize(
    "key, wrong",
    [
        ("layer", None),
        ("channel", "3"),
        ("channel", True),
        ("status", "fine"),
        ("score", "high"),
        ("score", float("nan")),
        ("taken_for", 7),
        ("shape", [6, 16, 16]),
        ("shape", ["1/url(http://evil)", 1, 1, 1]),
        ("files", None),
        ("files", ["3.gif"]),
        ("files", {"3.gif": "9"}),
        ("files", {"../3.gif": 9}),
        ("sha256", {"3.gif": "9"}),
        ("batch", [-1]),
        ("batch", 3),
        ("network", []),
    ],
)
def test_a_damaged_record_is_refused_and_its_unit_made_anew(tmp_path, key, wrong):
    damaged = RECORD.to_json() | {key: wrong}
    with pytest.raises(ValueError, match="of a record. Received: "):
        Record.from_json(damaged)
    unit = Unit("conv1", 3, "wave", "conv1")
    (tmp_path / "conv1").mkdir()
    (tmp_path / "conv1" / "3.gif").write_bytes(b"GIF89a...")
    for values, whole in ((RECORD.to_json(), True), (damaged, False)):
        (tmp_path / "conv1" / "3.json").write_text(json.dumps(values))
        assert (unit in folder.existing(tmp_path, [unit], identity=RECORD.identity)) == whole


@pytest.mark.parametrize(
    "values",
    [None, [], "ok", {}, {"schema": 1, "layer": "conv1", "channel": 3}, {"schema": 2}],
)
def test_what_is_no_record_is_refused(values):
    with pytest.raises(ValueError, match="Expected a record"):
        Record.from_json(values)
