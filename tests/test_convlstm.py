"""The ConvLSTM: the published sizes, both variants, and a block worked by hand."""

import keras
import numpy as np
import pytest

from c3dvis.models.convlstm import ConvLSTM


def trainable(network) -> int:
    return sum(int(np.prod(w.shape)) for w in network.trainable_weights)


@pytest.mark.slow
def test_the_published_variant_has_the_published_number_of_parameters():
    assert trainable(ConvLSTM(padding="same", shared_normalization=True)) == 1_324_014


@pytest.mark.slow
def test_the_kth_variant():
    network = ConvLSTM(
        input_shape=(32, 120, 160, 3),
        classes=6,
        filters=(32, 32),
        kernel_size=(3, 5),
        whole_sequence=False,
        dropout=0.5,
    )
    assert network.output_shape == (None, 6)
    # Rows: (120 - 3) // 2 + 1 = 59, pooled 29, (29 - 3) // 2 + 1 = 14, pooled 7.
    # Columns: (160 - 5) // 2 + 1 = 78, pooled 39, (39 - 5) // 2 + 1 = 18, pooled 9.
    assert network.get_layer("bn2").output.shape == (None, 32, 7, 9, 32)
    assert network.get_layer("flatten").output.shape == (None, 7 * 9 * 32)


def test_a_cell_worked_by_hand():
    """One 1x1 cell on 2 frames of one pixel after stride 2: gates of an LSTM on plain numbers."""
    network = ConvLSTM(
        include_top=False, input_shape=(2, 3, 3, 1), filters=(1,), kernel_size=(1, 1)
    )
    cell = network.get_layer("convlstm1")
    kernel, recurrent = np.array([0.5, -0.3, 0.8, 0.2]), np.array([0.1, 0.4, -0.6, 0.7])
    bias = np.array([0.0, 1.0, 0.1, -0.2])
    cell.set_weights([kernel.reshape(1, 1, 1, 4), recurrent.reshape(1, 1, 1, 4), bias])
    clip = np.random.default_rng(0).random((1, 2, 3, 3, 1), np.float32)
    sequence = keras.Model(network.inputs, cell.output).predict(clip, verbose=0)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    hidden = memory = 0.0
    for t in range(2):
        i, f, c, o = kernel * clip[0, t, 0, 2, 0] + recurrent * hidden + bias
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(c)
        hidden = sigmoid(o) * np.tanh(memory)
        np.testing.assert_allclose(sequence[0, t, 0, 1, 0], hidden, rtol=1e-5)


def test_only_the_last_step_reaches_the_classes():
    network = ConvLSTM(
        input_shape=(3, 12, 12, 3),
        filters=(2,),
        kernel_size=(3, 3),
        classes=2,
        whole_sequence=False,
    )
    assert network.get_layer("flatten").output.shape == (None, 2 * 2 * 2)


@pytest.mark.parametrize(
    ("options", "smallest"),
    [
        ({"filters": (2, 2)}, (31, 31)),
        ({"filters": (2,), "kernel_size": (3, 5)}, (5, 7)),
        ({"filters": (2, 2), "padding": "same", "kernel_size": (3, 3)}, (11, 11)),
    ],
)
def test_the_smallest_clip_leaves_one_position_and_a_smaller_one_is_refused(options, smallest):
    rows, columns = smallest
    network = ConvLSTM(include_top=False, input_shape=(2, rows, columns, 3), **options)
    assert network.output_shape == (None, 2, 1, 1, 2)
    for shape in ((2, rows - 1, columns, 3), (2, rows, columns - 1, 3)):
        with pytest.raises(ValueError, match=f"at least {rows} x {columns} pixels.* Received: "):
            ConvLSTM(include_top=False, input_shape=shape, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": ()}, "at least one block"),
        ({"filters": 32}, "filters as a tuple of numbers. Received: filters=32"),
        ({"kernel_size": 3}, "kernel_size as a tuple of numbers. Received: kernel_size=3"),
        ({"filters": (2, 3), "shared_normalization": True}, "equal filters"),
        ({"input_shape": (None, 24, 24, 3)}, "fixed frames"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ConvLSTM(**{"input_shape": (4, 24, 24, 3), "filters": (2,), **options})
