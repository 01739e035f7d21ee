"""Fits on rows: in order, and without a thread that a fit's end would wait for."""

import logging

import keras
import numpy as np
import pytest
from keras import ops

from c3dvis import autodiff
from c3dvis.maximize import maximize


class Noting(keras.Model):
    """Notes each step's first row."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(shape=())
        self.seen = self.add_weight(shape=(3,), initializer="zeros", trainable=False)
        self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)

    def call(self, inputs):
        numbers, _ = inputs
        where = ops.one_hot(self.step, 3)
        self.seen.assign_add(where * ops.cast(numbers[0, 0], "float32"))
        self.step.assign_add(1)
        return self.weight * ops.sum(numbers)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return y_pred


@pytest.fixture
def rows():
    return np.arange(1, 7, dtype=np.float32)[:, None], np.zeros((6, 2), np.float32)


def test_steps_take_the_rows_in_their_order(rows):
    model = Noting()
    model.compile("sgd")
    autodiff.fit(model, rows, batch_size=2, verbose=0)
    assert ops.convert_to_numpy(model.seen).tolist() == [1, 3, 5]


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow tunes the feeding of rows"
)
def test_nothing_tunes_the_feeding_of_rows(rows, monkeypatch):
    given = []
    model = Noting()
    monkeypatch.setattr(model, "fit", lambda steps, **options: given.append(steps))
    autodiff.fit(model, rows, batch_size=2)
    assert given[0].options().autotune.enabled is False


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow warns")
def test_one_fit_after_another_is_no_retracing(rows, caplog):
    """TensorFlow warns of the fifth function from one line of Keras's, whosever it is."""
    logger = logging.getLogger("tensorflow")
    logger.addHandler(caplog.handler)  # which does not hand on to others
    try:
        for _ in range(6):
            model = Noting()
            model.compile("sgd")
            autodiff.fit(model, rows, batch_size=2, verbose=0)
            autodiff.predict(model, rows, batch_size=2, verbose=0)
        ours = list(caplog.messages)
        own = Noting()
        own.compile("sgd")
        own.fit(rows, batch_size=2, verbose=0)
        own.predict(rows, batch_size=2, verbose=0)
    finally:
        logger.removeHandler(caplog.handler)
    assert not ours and not caplog.messages


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has scopes")
def test_the_scope_of_a_strategy_is_refused_where_an_input_is_optimized():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        clip = keras.Input((2, 4, 4, 3))
        network = keras.Model(clip, keras.layers.Dense(2)(keras.layers.Flatten()(clip)))
        with pytest.raises(ValueError, match=r"outside of .*strategy.scope.*a MirroredStrategy"):
            maximize(network, 1, steps=1)
    assert np.isfinite(maximize(network, 1, steps=1)).all()
