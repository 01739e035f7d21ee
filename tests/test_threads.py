"""Several threads ask one network at a time: the answers are right, the network untouched."""

import threading

import keras
import numpy as np
from keras import ops
from test_attribution import QUICK

from c3dvis import graph, objectives
from c3dvis.attribution import attribute
from c3dvis.maximize import maximize

L = keras.layers
SHAPE = (4, 12, 12, 3)
THREADS = 8


def network() -> keras.Model:
    """All that is computed another way: ReLUs of three kinds, a pool, a softmax, a model inside."""
    keras.utils.set_random_seed(0)
    clip = L.Input(SHAPE)
    x = L.Conv3D(3, 3, padding="same", activation="relu", name="conv1")(clip)
    x = L.MaxPooling3D((1, 2, 2), name="pool")(x)
    inner = keras.Sequential(
        [L.Input(x.shape[1:]), L.Conv3D(4, 3, padding="same", name="conv2"), L.ReLU()], name="inner"
    )
    x = ops.relu(L.BatchNormalization(name="norm")(inner(x)))
    return keras.Model(clip, L.Dense(3, activation="softmax", name="classes")(L.Flatten()(x)))


def state(model: keras.Model) -> dict:
    """What is noted on each layer: its attributes by identity, and what lists and dicts hold."""

    def seen(value):
        held = list(value.items()) if isinstance(value, dict) else value
        flat = [*held] if isinstance(held, (list, tuple, set)) else []
        return id(value), [repr(one) if isinstance(one, tuple) else id(one) for one in flat]

    holders = [*graph.sublayers(model), *model.operations, model]
    return {
        (holder.name, name): seen(value)
        for holder in holders
        for name, value in vars(holder).items()
    }


def changed(before: dict, after: dict) -> set[tuple[str, str]]:
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


def answers(model: keras.Model, clip: np.ndarray, turn: int) -> dict:
    """A part of what can be asked, another in each turn; in turns of THREADS all of it."""
    results = {}
    for method in list(QUICK)[turn % THREADS :: THREADS]:
        results[method] = attribute(
            model, clip, objectives.logit(1), method=method, **QUICK[method]
        ).heatmap
    if turn % THREADS == 3:
        results["maximize"] = maximize(model, objectives.neuron("inner/conv2", 0), steps=2, seed=0)
    return results


def test_eight_threads_get_what_one_does_and_leave_the_network_as_it_was():
    model = network()
    clip = np.random.default_rng(0).random(SHAPE, np.float32)
    outputs = np.array(model(clip[None]))
    weights, config, before = model.get_weights(), model.get_config(), state(model)
    alone = [answers(model, clip, turn) for turn in range(THREADS)]
    assert changed(before, state(model)) == set()
    together: list[dict] = [{} for _ in range(THREADS)]
    start = threading.Barrier(THREADS)

    def work(turn):
        start.wait()
        together[turn] = answers(model, clip, turn)

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name for part in alone for name in part} == {*QUICK, "maximize"}
    for part, right in zip(together, alone, strict=True):
        assert part.keys() == right.keys()
        for name, value in part.items():
            np.testing.assert_array_equal(value, right[name], err_msg=name)
    assert changed(before, state(model)) == set()
    assert model.get_config() == config
    for now, then in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_array_equal(model(clip[None]), outputs)
