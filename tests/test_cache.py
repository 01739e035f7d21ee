"""The same clip is never made twice; a changed weight or setting is another clip."""

import keras
import numpy as np
import pytest
from same_bits import assert_same

from c3dvis import objectives
from c3dvis.maximize import Maximizer, cache, maximize
from c3dvis.maximize.regularizers import TotalVariation
from c3dvis.maximize.transforms import Jitter, Pad

SHAPE = (4, 8, 8, 3)
OBJECTIVE = objectives.channel("conv", range(3))


def small_network() -> keras.Model:
    keras.utils.set_random_seed(0)
    clip = keras.layers.Input(SHAPE)
    x = keras.layers.Conv3D(5, 3, activation="relu", name="conv")(clip)
    return keras.Model(clip, keras.layers.Conv3D(2, 1, name="deeper")(x))


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture
def fits(monkeypatch):
    """The number of fits: of clips that have really been made."""
    counted = []
    fit = Maximizer.fit

    def counting(self, *args, **kwargs):
        counted.append(self.count)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(Maximizer, "fit", counting)
    return counted


def test_what_was_made_is_not_made_again(network, fits, tmp_path):
    options = {"steps": 2, "cache": tmp_path}
    first = maximize(network, OBJECTIVE[:2], **options)
    assert sum(fits) == 2
    again = maximize(network, OBJECTIVE, batch_size=1, **options)
    assert sum(fits) == 3
    np.testing.assert_array_equal(again[:2], first)
    assert_same(again, maximize(network, OBJECTIVE, steps=2))
    # A network of the same weights and layers under other names of Keras's own.
    maximize(small_network(), OBJECTIVE, **options)
    assert sum(fits) == 6


def scaled(factor):
    return lambda clips: clips * factor


CHANGES = {
    "steps": {"steps": 3},
    "seed": {"seed": 1},
    "parametrization": {"parametrization": "pixels"},
    "transforms": {"transforms": []},
    "pad": {"transforms": [Pad(1), Jitter(2)]},
    "regularizers": {"regularizers": [TotalVariation(spatial=0.5)]},
    "regularizer's weight": {"regularizers": [TotalVariation(spatial=0.25)]},
    "optimizer": {"optimizer": "sgd"},
    "learning rate": {"learning_rate": 0.2},
    "dtype": {"dtype": "bfloat16"},
    "preprocess": {"preprocess": scaled(2.0)},
    "another factor": {"preprocess": scaled(3.0)},
}


def key(network, change, objective=OBJECTIVE[0]) -> str:
    """Of the clip's file, from a new Maximizer."""
    options = {"steps": 2, "seed": 0, **change}
    settings = {name: options.pop(name) for name in ("steps", "seed")}
    return cache.key_of(Maximizer(network, objective, **options)._decisive(settings), objective)


def test_every_changed_setting_is_another_file(network):
    keys = [key(network, change) for change in [{}, *CHANGES.values()]]
    assert len(set(keys)) == len(keys)
    assert keys[0] == key(network, {})
    assert keys[-1] == key(network, {"preprocess": scaled(3.0)})
    assert keys[0] == key(network, {"batch_size": 2, "steps_per_execution": 3})


def test_a_changed_setting_is_made(network, fits, tmp_path):
    for change in ({}, CHANGES["steps"], CHANGES["dtype"], {}):
        maximize(network, OBJECTIVE[0], cache=tmp_path, **{"steps": 2, **change})
    assert len(fits) == 3


def test_other_readings_are_other_files(network):
    readings = [
        OBJECTIVE[0],
        2 * OBJECTIVE[0],
        objectives.channel("conv", 0, before_activation=True),
        objectives.neuron("conv", 0),
        objectives.neuron("conv", 0, position=(0, 0, 0)),
        objectives.direction("conv", np.eye(5)[0]),
        objectives.direction("conv", np.eye(5)[1]),
    ]
    assert len({key(network, {}, reading) for reading in readings}) == len(readings)


def test_changed_weights_count_where_they_are_read(fits, tmp_path):
    network = small_network()
    options = {"steps": 2, "cache": tmp_path}
    maximize(network, OBJECTIVE[0], **options)
    network.get_layer("deeper").bias.assign([5.0, 5.0])
    maximize(network, OBJECTIVE[0], **options)
    assert len(fits) == 1
    network.get_layer("conv").bias.assign([0.0, 0.0, 0.0, 0.0, 1e-6])
    maximize(network, OBJECTIVE[0], **options)
    assert len(fits) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "pickle"])
def test_a_damaged_file_is_made_again_and_replaced(network, fits, tmp_path, damage):
    options = {"steps": 2, "cache": tmp_path}
    first = maximize(network, OBJECTIVE[0], **options)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:-100])
    elif damage == "flipped":
        path.write_bytes(whole[:400] + bytes([whole[400] ^ 1]) + whole[401:])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other":
        np.savez(path, clip=np.zeros(3))
    else:
        np.savez(path, clip=np.array([{}], object), score=0, status="ok", failed_step=-1)
    np.testing.assert_array_equal(maximize(network, OBJECTIVE[0], **options), first)
    np.testing.assert_array_equal(maximize(network, OBJECTIVE[0], **options), first)
    assert len(fits) == 2 and [one.name for one in tmp_path.iterdir()] == [path.name]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def stops(file, **arrays):
        file.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(cache.np, "savez", stops)
    kept = cache.Cache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        kept.put("key", {"clip": np.zeros(3)})
    assert list(tmp_path.iterdir()) == [] and kept.get("key") is None


def test_clips_that_depend_on_each_other_are_kept_together(network, fits, tmp_path):
    joint = objectives.channel("conv", [1, 1]) + objectives.diversity("conv")
    first = maximize(network, joint, steps=2, cache=tmp_path)
    np.testing.assert_array_equal(maximize(network, joint, steps=2, cache=tmp_path), first)
    assert fits == [2] and not np.array_equal(*first)


def test_what_cannot_be_told_apart_is_refused(network, tmp_path):
    class Opaque:
        __slots__ = ()

        def __call__(self, clips):
            return clips

    with pytest.raises(ValueError, match="told apart.*Opaque"):
        maximize(network, OBJECTIVE, preprocess=Opaque(), cache=tmp_path)
    with pytest.raises(ValueError, match="no callbacks"):
        maximize(network, OBJECTIVE, cache=tmp_path, callbacks=[keras.callbacks.Callback()])
