"""Callbacks of `model.fit`: training stays the same to the bit, and the folder tells what was."""

import importlib
import io
import random
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from PIL import Image

from c3dvis import attribution, callbacks, clips, objectives
from c3dvis.callbacks import AttributionCallback, GalleryCallback
from c3dvis.callbacks.film import film
from c3dvis.callbacks.history import EpochResult, History, named
from c3dvis.callbacks.isolation import isolated_thread, run_isolated
from c3dvis.callbacks.network_copy import NetworkCopy
from c3dvis.files import read_json
from c3dvis.maximize import parametrizations

SHAPE = (4, 16, 16, 3)
EPOCHS = 2  # what a callback does after the first is seen in the second
RNG = np.random.default_rng(0)
CLIPS = RNG.random((8, *SHAPE), np.float32)
LABELS = np.arange(8) % 2


def network_of(**options) -> keras.Model:
    """Dropout, noise, batch normalization, a frozen layer, a penalty: all that could be moved."""
    x = clip = keras.Input(SHAPE)
    x = keras.layers.GaussianNoise(0.1)(x)
    # Filters that are on from the start, so that two steps show that a clip changes them.
    first = {"activation": "relu", "bias_initializer": "ones"}
    if keras.config.dtype_policy().name == "float32":  # Keras adds it to a float32 loss
        first["activity_regularizer"] = "l2"
    x = keras.layers.Conv3D(4, 3, name="conv1", **first)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv3D(3, (2, 3, 3), name="conv2", trainable=False)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling3D()(x)
    x = keras.layers.Dropout(0.5)(x)
    network = keras.Model(clip, keras.layers.Dense(2, name="scores", dtype="float32")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # To compile a training of a few steps takes longer than the steps do.
    options = {"run_eagerly": True, **options}
    network.compile("adam", loss, metrics=["accuracy"], **options)
    return network


def both(folder: Path, method: str = "gradient", **options) -> list:
    shared = {"log_dir": folder / "logs"}
    return [
        GalleryCallback({"conv1": [0, 2]}, folder / "a", steps=2, **shared),
        AttributionCallback(CLIPS[:2], [0, 1], folder / "b", method=method, **shared, **options),
    ]


def fit(network, callbacks=(), epochs=EPOCHS, **options):
    options = {"batch_size": 4, "shuffle": True, "verbose": 0, **options}
    history = network.fit(CLIPS, LABELS, epochs=epochs, callbacks=list(callbacks), **options)
    return history.history


def all_of(network, losses) -> dict:
    """All that a training leaves behind, the state of every random generator included."""
    values = [ops.convert_to_numpy(v) for v in (*network.variables, *network.optimizer.variables)]
    flags = [layer.trainable for layer in network.layers]
    names = [v.path for v in network.trainable_variables]
    drawn = [random.random(), np.random.random()]
    drawn += [float(keras.random.uniform(())), float(tf.random.uniform(()))]
    return {
        "values": [(v.dtype, v.shape, v.tobytes()) for v in values],
        "flags": (flags, names),
        "losses": losses,
        "drawn": drawn,
    }


def trained(callbacks, *, policy="float32", scope=None, inside=False, **options) -> dict:
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    options = {"run_eagerly": False, **options}  # as users train
    try:
        if scope is None:
            network = network_of(**options)
            return all_of(network, fit(network, callbacks))
        with scope():
            network = network_of(**options)
            if inside:
                return all_of(network, fit(network, callbacks))
        return all_of(network, fit(network, callbacks))
    finally:
        keras.config.set_dtype_policy(before)


def mirrored():
    return tf.distribute.MirroredStrategy(["/cpu:0"]).scope()


CASES = {
    "float32": {},
    "eager": {"run_eagerly": True},
    "bfloat16": {"policy": "mixed_bfloat16"},
    "float16": {"policy": "mixed_float16"},
    "xla": {"jit_compile": True},
    "mirrored": {"scope": mirrored, "jit_compile": False},
    "mirrored, fit inside": {"scope": mirrored, "inside": True, "jit_compile": False},
}


SLOW = ("eager", "float16", "xla", "mirrored", "mirrored, fit inside")


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.slow] if c in SLOW else []) for c in CASES]
)
def test_training_is_the_same_to_the_bit(tmp_path, case):
    plain = trained([], **CASES[case])
    followed = trained(both(tmp_path), **CASES[case])
    for name, value in plain.items():
        assert followed[name] == value, name
    gifs = [path for path in tmp_path.glob("*/*/epoch-*.gif")]
    assert len(gifs) == EPOCHS * (2 + 2)


def test_the_comparison_sees_a_touched_training(tmp_path):
    class Touching(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model(CLIPS[:1], training=True)

    plain, touched = trained([]), trained([Touching()])
    assert plain["values"] != touched["values"]


@pytest.mark.slow
def test_a_search_for_masks_beside_it_leaves_training_the_same(tmp_path):
    followed = trained(both(tmp_path, method="extremal_3d", steps=4))
    assert followed == trained([])


TWO_REPLICAS = """
import sys, pathlib
import tensorflow as tf
cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
import test_callbacks as t
def two():
    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]).scope()
for inside in (False, True):
    case = {"scope": two, "inside": inside, "jit_compile": False}
    folder = pathlib.Path(sys.argv[2]) / str(inside)
    plain, followed = t.trained([], **case), t.trained(t.both(folder), **case)
    assert all(plain[name] == followed[name] for name in plain)
    assert len(list(folder.glob("*/*/epoch-*.gif"))) == t.EPOCHS * 4
"""


@pytest.mark.slow
def test_training_on_two_replicas_is_the_same_to_the_bit(tmp_path):
    script = [sys.executable, "-W", "error::RuntimeWarning", "-c", TWO_REPLICAS]
    run = subprocess.run(
        [*script, str(Path(__file__).parent), str(tmp_path)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]


# Few steps and samples: one draws of a generator as well as many do.
FEW = {
    "extremal_2d": {"steps": 2},
    "extremal_3d": {"steps": 2},
    "integrated_gradients": {"steps": 4, "max_steps": 8},
    "rise": {"count": 16},
    "step": {"steps": 2},
}


def drawn() -> list[float]:
    """What each random generator gives next."""
    return [random.random(), np.random.random(), float(keras.random.uniform(()))]


@pytest.fixture(scope="module")
def copy():
    """A copy of a network, of which all methods are asked: what one compiled serves the next."""
    network = network_of()
    keras.utils.set_random_seed(5)
    expected = drawn()
    keras.utils.set_random_seed(5)
    with isolated_thread() as thread:
        copy = run_isolated(lambda _: NetworkCopy(network), thread)
    assert drawn() == expected
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("method", attribution.methods.names())
def test_no_method_of_attribution_moves_a_random_generator(copy, method):
    keras.utils.set_random_seed(5)
    expected = drawn()
    keras.utils.set_random_seed(5)
    options = {"method": method, **FEW.get(method, {})}
    with warnings.catch_warnings():
        # Methods warn of clips this small and of a network that knows nothing; both are so here.
        warnings.simplefilter("ignore")
        try:
            with isolated_thread() as thread:
                run_isolated(
                    lambda _: attribution.attribute(
                        copy.network, CLIPS[0], objectives.logit(1), **options
                    ),
                    thread,
                )
        except ValueError as error:  # of methods for which the clip is too small
            assert "Expected" in str(error) and method not in FEW
    assert drawn() == expected


def test_the_copy_follows_the_network():
    network = network_of()
    copy = NetworkCopy(network)
    assert not {id(v) for v in copy.network.variables} & {id(v) for v in network.variables}
    before = network.predict(CLIPS, verbose=0)
    np.testing.assert_array_equal(copy.network.predict(CLIPS, verbose=0), before)
    fit(network, epochs=1)
    after = network.predict(CLIPS, verbose=0)
    assert not np.array_equal(after, before)
    np.testing.assert_array_equal(copy.network.predict(CLIPS, verbose=0), before)
    copy.refresh()
    np.testing.assert_array_equal(copy.network.predict(CLIPS, verbose=0), after)


def test_a_clip_is_that_of_the_network_after_its_epoch(tmp_path):
    from c3dvis.maximize import maximize

    keras.utils.set_random_seed(2)
    network = network_of()
    follow = GalleryCallback({"conv1": 1}, tmp_path / "a", steps=3)
    explain = AttributionCallback(CLIPS[:1], [1], tmp_path / "b", method="gradient_x_input")
    fit(network, [follow, explain], epochs=2)
    expected = maximize(network, objectives.channel("conv1", 1), steps=3)[0]
    clips.write(tmp_path / "expected.gif", expected)
    gif = tmp_path / "a" / follow.units[0].stem / "epoch-0002.gif"
    assert gif.read_bytes() == (tmp_path / "expected.gif").read_bytes()
    assert gif.read_bytes() != gif.with_name("epoch-0001.gif").read_bytes()
    options = {"method": "gradient_x_input"}
    attribution.attribute(network, CLIPS[0], objectives.logit(1), **options).save(
        tmp_path / "expected.gif"
    )
    gif = tmp_path / "b" / explain.units[0].stem / "epoch-0002.gif"
    assert gif.read_bytes() == (tmp_path / "expected.gif").read_bytes()


def test_one_step_is_traced_for_all_epochs(tmp_path):
    traces = []

    class Counting(GalleryCallback):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            traces.append(self._maximizers[0].traces)

    fit(network_of(), [Counting({"conv1": 0}, tmp_path, steps=2)], epochs=3)
    assert traces[0] == traces[2] > 0


def test_there_is_no_hook_at_batches():
    for one in (GalleryCallback, AttributionCallback):
        for name in dir(keras.callbacks.Callback):
            if "batch" in name:
                assert getattr(one, name) is getattr(keras.callbacks.Callback, name), name


def explained(folder: Path, **options) -> AttributionCallback:
    """A callback that takes little time."""
    options = {"method": "gradient", **options}
    return AttributionCallback(CLIPS[:2], [0, 1], folder, **options)


def epochs_in(folder: Path, unit) -> list[int]:
    return [read_json(path)["epoch"] for path in sorted((folder / unit.stem).glob("epoch-*.json"))]


@pytest.mark.parametrize(
    "every, epochs, expected", [(1, 2, [1, 2]), (2, 5, [2, 4, 5]), (9, 2, [2])]
)
def test_they_act_after_every_nth_epoch_and_the_last(tmp_path, every, epochs, expected):
    follow = explained(tmp_path, every=every)
    fit(network_of(), [follow], epochs=epochs)
    assert epochs_in(tmp_path, follow.units[1]) == expected


def test_the_page_and_film_show_every_epoch(tmp_path):
    follow = GalleryCallback({"conv1": [0, 3]}, tmp_path, steps=2)
    fit(network_of(), [follow], epochs=2)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    for unit in follow.units:
        assert page.count(f'src="{unit.stem}/') == 3
        shown = clips.read(tmp_path / unit.stem / "film.gif")
        single = clips.read(tmp_path / unit.stem / "epoch-0001.gif")
        assert len(shown) == 2 * len(single)
        # The picture below the title is each epoch's clip, as far as 256 colours tell it.
        large = single.repeat(7, axis=1).repeat(7, axis=2)
        assert np.abs(shown[: len(single), -112:] - large).mean() < 0.02
    assert "epoch 2: score" in page
    assert "channel 3 of conv1" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_film_of_many_epochs_and_frames_stays_short():
    long = [np.full((40, 8, 8, 3), i / 99, np.float32) for i in range(4)]
    moving = film(long, list("abcd"))
    assert moving.shape[0] == 4 * 32
    assert moving[0, -1, 0, 0] == 0 and moving[-1, -1, 0, 0] == np.float32(3 / 99)


def test_a_resumed_training_goes_on_with_the_page(tmp_path):
    fit(network_of(), [explained(tmp_path)], epochs=2)
    kept = {path: path.read_bytes() for path in tmp_path.glob("*/epoch-0001.*")}
    follow = explained(tmp_path)
    fit(network_of(), [follow], epochs=3, initial_epoch=2)
    assert epochs_in(tmp_path, follow.units[0]) == [1, 2, 3]
    assert len(kept) == 4 and all(path.read_bytes() == was for path, was in kept.items())
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert [page.count(f">epoch {n}: score") for n in (1, 2, 3, 4)] == [2, 2, 2, 0]
    assert len(clips.read(tmp_path / follow.units[0].stem / "film.gif")) == 3 * SHAPE[0]


def test_later_epochs_of_an_earlier_training_are_set_aside(tmp_path):
    fit(network_of(), [explained(tmp_path)], epochs=3)
    again = explained(tmp_path, every=5, log_dir=tmp_path / "logs")
    with pytest.warns(RuntimeWarning, match="later epochs of an earlier training.*set-aside-1"):
        fit(network_of(), [again], epochs=2, initial_epoch=1)
    assert epochs_in(tmp_path, again.units[0]) == [1, 2]
    assert len(clips.read(tmp_path / again.units[0].stem / "film.gif")) == 2 * SHAPE[0]
    aside = sorted(path.name for path in tmp_path.glob(f"set-aside-1/{again.units[0].stem}/*"))
    assert aside == [f"epoch-000{n}.{end}" for n in (2, 3) for end in ("gif", "json")]
    kinds = [event.WhichOneof("what") for event in events(tmp_path / "logs" / "attribution")]
    assert kinds == ["file_version", "session_log", "summary", "summary"]


def test_a_gif_without_a_record_does_not_count(tmp_path):
    follow = explained(tmp_path)
    fit(network_of(), [follow], epochs=2)
    for unit in follow.units:
        (tmp_path / unit.stem / "epoch-0001.json").unlink()
        (tmp_path / unit.stem / "epoch-0002.json").write_text('{"epoch": 2, "width": "wide"}')
    fit(network_of(), [follow], epochs=3, initial_epoch=2)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "epoch 1:" not in page and "epoch 2:" not in page and "epoch 3:" in page


def test_the_film_of_a_clip_that_stands_still_keeps_its_time(tmp_path):
    still = np.full((5, 16, 16, 3), 0.5, np.float32)
    (unit,) = named(["unit"])
    history = History(tmp_path, {}, fps=8)
    history.put(unit, 1, EpochResult(1.0, still))
    history.put(unit, 2, EpochResult(2.0, np.linspace(still, 1 - still / 2, 5)[:, 0]))
    history.film(unit)
    with Image.open(tmp_path / unit.stem / "film.gif") as film_file:
        shown = []
        for i in range(film_file.n_frames):
            film_file.seek(i)
            shown.append(film_file.info["duration"])
    assert sum(shown) == pytest.approx(1000 * 10 / 8, abs=10)


def events(folder: Path) -> list:
    """What TensorFlow's own reader, which checks every checksum, finds in a folder."""
    from tensorflow.core.util import event_pb2

    (path,) = folder.glob("events.out.tfevents.*")
    return [
        event_pb2.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))
    ]


def test_tensorboard_gets_the_animations(tmp_path):
    one, other = both(tmp_path)
    fit(network_of(), [one, other], epochs=2)
    for follow, kind in ((one, "gallery"), (other, "attribution")):
        version, *rest = events(tmp_path / "logs" / kind)
        assert version.file_version == "brain.Event:2"
        shown = [(event.step, value.tag) for event in rest for value in event.summary.value]
        assert shown == [(n, unit.title) for n in (1, 2) for unit in follow.units]
        image = rest[-1].summary.value[0].image
        with Image.open(io.BytesIO(image.encoded_image_string)) as gif:
            assert gif.format == "GIF" and gif.n_frames == SHAPE[0]
            assert gif.size == (image.width, image.height)


def test_a_network_of_nan_warns_and_is_trained_on(tmp_path):
    network = network_of()
    network.get_layer("conv1").kernel.assign(np.full((3, 3, 3, 3, 4), np.nan))
    with pytest.warns(RuntimeWarning) as caught:
        losses = fit(network, both(tmp_path), epochs=1)
    assert len(losses["loss"]) == 1
    told = [str(one.message) for one in caught if one.category is RuntimeWarning]
    assert len(told) == 4
    assert told[0].startswith("channel 0 of conv1 was not made at epoch 1: its score was NaN")
    assert "clip 0, logit of 0 was not made at epoch 1" in told[2]
    assert "Epoch 1: its score was NaN" in (tmp_path / "a/index.html").read_text(encoding="utf-8")


def test_a_dead_unit_warns_and_the_others_are_made(tmp_path):
    network = network_of()
    kernel, bias = network.get_layer("conv1").get_weights()
    kernel[..., 0], bias[0] = 0, -1
    network.get_layer("conv1").set_weights([kernel, bias])
    network.get_layer("conv1").trainable = False
    follow = GalleryCallback({"conv1": [0, 1]}, tmp_path, steps=3)
    with pytest.warns(RuntimeWarning, match="channel 0 of conv1 was not made at epoch 1: nothing"):
        fit(network, [follow], epochs=1)
    assert len(list(tmp_path.glob("*/epoch-0001.gif"))) == 1


@pytest.mark.parametrize("error", [MemoryError("no room"), OSError("disk full"), KeyError("x")])
def test_no_error_stops_the_training(tmp_path, monkeypatch, error):
    one, other = both(tmp_path)

    def broken(*args, **kwargs):
        raise error

    monkeypatch.setattr("c3dvis.callbacks.attribution.attribute", broken)
    monkeypatch.setattr("c3dvis.maximize.Maximizer.make", broken)
    with pytest.warns(RuntimeWarning) as caught:
        losses = fit(network_of(), [one, other], epochs=2)
    assert len(losses["loss"]) == 2
    assert sum(type(error).__name__ in str(one.message) for one in caught) == 2 * 4


def test_a_folder_that_cannot_be_written_warns(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("c3dvis.callbacks.history.clips.write", full)
    with pytest.warns(RuntimeWarning, match="attribution of epoch 1 was not finished.*No space"):
        fit(network_of(), [explained(tmp_path)], epochs=1)
    assert not list(tmp_path.glob("*/epoch-*"))


def test_a_folder_of_other_objects_among_the_settings_is_refused(tmp_path):
    def begun(exponent):
        fourier = parametrizations.Fourier(spatial_exponent=exponent)
        callback = GalleryCallback({"conv1": 0}, tmp_path, steps=1, parametrization=fourier)
        callback._history.begin()

    begun(3.0)
    begun(3.0)
    with pytest.raises(ValueError, match="begun with.*'spatial_exponent': 3.0.* there, .* now"):
        begun(0.5)


@pytest.fixture
def interruptible():
    """Ctrl-C raises, also where a shell began the tests in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_ends_the_work_and_reaches_the_caller(interruptible):
    before, started, ended = threading.enumerate(), threading.Event(), threading.Event()
    told = []

    def work(interrupted):
        started.set()
        told.append(interrupted.wait(60))
        ended.set()

    def interrupt():
        started.wait(60)
        # Again if it came just before the other thread began to wait, which then goes on waiting.
        while not ended.is_set():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            ended.wait(2)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    try:
        with pytest.raises(KeyboardInterrupt), isolated_thread() as thread:
            run_isolated(work, thread)
    finally:
        ended.set()
        interrupting.join()
    assert told == [True]
    new = [thread for thread in threading.enumerate() if thread not in before]
    assert not [thread for thread in new if thread.name.startswith("c3dvis")]


@pytest.mark.parametrize(
    "units, message",
    [
        ({"conv9": 0}, "Expected the name of a layer, such as .*'conv1'.*Received: 'conv9'"),
        ({"conv1": 4}, "has 4 channels.*Received: 4"),
        (objectives.logit("dog"), "Expected the index of a class"),
        (objectives.activation_difference("conv1", CLIPS[0]), "without reference clips"),
    ],
)
def test_what_the_network_does_not_have_is_an_error_at_once(tmp_path, units, message):
    with pytest.raises(ValueError, match=message):
        fit(network_of(), [GalleryCallback(units, tmp_path)])
    if len(units) == 1 and not isinstance(units, dict):
        with pytest.raises(ValueError, match=message):
            fit(network_of(), [AttributionCallback(CLIPS[:1], units, tmp_path)])


def test_units_and_targets_are_text_and_numbers_too(tmp_path):
    channels = GalleryCallback(["conv1:0-1", 2], tmp_path).objectives
    assert channels == [objectives.channel("conv1", [0, 1]), objectives.logit(2)]
    assert GalleryCallback(np.int64(1), tmp_path).objectives == [objectives.logit(1)]
    for target in (1, np.int64(1), [1] * 8, objectives.logit(1)):
        assert AttributionCallback(CLIPS, target, tmp_path).objectives == [objectives.logit(1)] * 8


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda f: GalleryCallback([], f), "Received: none"),
        (lambda f: GalleryCallback([1.5], f), "Expected an objective.*Received: 1.5"),
        (lambda f: GalleryCallback(None, f), "Expected an objective.*Received: None"),
        (lambda f: GalleryCallback({"c": 0}, None), "Expected a path.*Received: NoneType"),
        (lambda f: GalleryCallback("conv1:3-1", f), "Received: 'conv1:3-1'"),
        (
            lambda f: GalleryCallback({"c": 0}, f, every=0),
            "whole number from 1. Received: 0",
        ),
        (lambda f: GalleryCallback({"c": 0}, f, every=1.5), "Received: 1.5"),
        (lambda f: GalleryCallback({"c": 0}, f, fps=0), "Received: fps=0"),
        (lambda f: GalleryCallback({"c": 0}, f, fps="8"), "Received: fps='8'"),
        (lambda f: GalleryCallback({"c": 0}, f, steps=0), "Received: 0"),
        (lambda f: GalleryCallback({"c": 0}, f, seed=-1), "Received: -1"),
        (lambda f: AttributionCallback(CLIPS[0], [0], f), "Expected clips"),
        (lambda f: AttributionCallback([CLIPS[0], CLIPS[0, :2]], 0, f), "of different shapes"),
        (lambda f: AttributionCallback(255 * CLIPS, [0] * 8, f), r"values in \[0, 1\]"),
        (lambda f: AttributionCallback(CLIPS, [0], f), "Expected 8 classes.*Received: 1"),
        (lambda f: AttributionCallback(CLIPS[:1], [[0, 1]], f), "one unit. Received: one of 2"),
        (lambda f: AttributionCallback(CLIPS[:1], [0], f, method="gradien"), "'gradient'"),
        (lambda f: AttributionCallback(CLIPS[:1], [0], f, step=3), "'steps'.*Received: 'step'"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, make, message):
    with pytest.raises(ValueError, match=message):
        make(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="README.md of something else"):
        fit(network_of(), [GalleryCallback({"conv1": 0}, tmp_path)])
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "mine"
    with pytest.raises(ValueError, match="Expected a folder.*which is a file"):
        History(tmp_path / "README.md", {}, fps=8).begin()


def test_other_settings_in_the_same_folder_are_refused(tmp_path):
    fit(network_of(), [GalleryCallback({"conv1": 0}, tmp_path, steps=2)], epochs=1)
    with pytest.raises(ValueError, match="steps 2 there, 3 now"):
        fit(network_of(), [GalleryCallback({"conv1": 0}, tmp_path, steps=3)], epochs=1)
    with pytest.raises(ValueError, match="kind 'gallery' there, 'attribution' now"):
        fit(network_of(), [AttributionCallback(CLIPS[:1], [0], tmp_path)], epochs=1)


def test_a_network_that_cannot_be_copied_is_refused(tmp_path):
    class Own(keras.layers.Layer):
        def __init__(self, needed):
            super().__init__()

        def call(self, x):
            return x

    clip = keras.Input(SHAPE)
    network = keras.Model(clip, keras.layers.GlobalAveragePooling3D()(Own(1)(clip)))
    network.compile("sgd", "mse")
    with pytest.raises(ValueError, match="get_config"):
        network.fit(CLIPS, np.zeros((8, 3)), callbacks=[GalleryCallback({"x": 0}, tmp_path)])


def test_the_names_are_exported_without_keras():
    code = "import c3dvis.callbacks, sys; print('keras' in sys.modules, dir(c3dvis.callbacks))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.startswith("False") and "GalleryCallback" in run.stdout, run.stderr
    assert importlib.import_module("c3dvis").callbacks is callbacks
