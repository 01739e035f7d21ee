"""Attribution of transformers: worked out by hand, in NumPy, and on networks of known answers."""

import keras
import numpy as np
import pytest
from architectures import divided_attention, shifted_windows, vivit
from architectures.vivit import Positions

from c3dvis import objectives
from c3dvis.attribution import attention, attribute
from c3dvis.attribution.methods import attention_gradient, attention_rollout
from c3dvis.attribution.scorer import Scorer

L, ops = keras.layers, keras.ops
METHODS = ("attention_rollout", "attention_gradient", "attention_lrp")
GRID = (2, 2, 2)
SHAPE = (4, 8, 8, 1)
PLACE = np.arange(8)


def clip_of(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def attentions(weights, gradients=None):
    """Layers of one head and one row, of tokens 0, 1, ..."""
    weights = [np.array(w, np.float32)[None, None] for w in weights]
    slopes = weights if gradients is None else [np.array(g)[None, None] for g in gradients]
    ids = np.arange(weights[0].shape[-1])[None]
    return tuple(
        attention.Attention("a", w, g, ids, ids) for w, g in zip(weights, slopes, strict=True)
    )


def test_rollout_of_two_layers_by_hand():
    layers = attentions([[[0.5, 0.5], [0.0, 1.0]], [[0.2, 0.8], [1.0, 0.0]]])
    reading = attention.NetworkAttention(1.0, layers, np.array([1.0, 0.0]), (1, 1, 2))
    # The second layer's halves: [0.6, 0.4]; the first's: [[0.75, 0.25], [0, 1]].
    np.testing.assert_allclose(attention_rollout.rolled_out(reading), [0.45, 0.55], rtol=1e-6)


def test_gradient_weighted_attention_of_two_layers_by_hand():
    weights = [[[0.5, 0.5], [0.0, 1.0]], [[0.2, 0.8], [1.0, 0.0]]]
    gradients = [[[2.0, -1.0], [3.0, 0.5]], [[5.0, 2.5], [0.0, 0.0]]]
    reading = attention.NetworkAttention(
        1.0, attentions(weights, gradients), np.array([1.0, 0.0]), (1, 1, 2)
    )
    # From [1, 0]: plus [1, 2] is [2, 2]; the first layer's [[1, 0], [0, 0.5]] adds [2, 1].
    np.testing.assert_allclose(attention_gradient.propagated(reading), [4.0, 3.0], rtol=1e-6)


@pytest.fixture(scope="module")
def one_place():
    """A class token's attention goes to one place, whose brightness is the score."""
    clip = keras.Input(SHAPE)
    x = L.Conv3D(3, (2, 4, 4), (2, 4, 4), use_bias=False, name="patches")(clip)
    x = Positions(name="positions")(L.Reshape((8, 3), name="tokens")(x))
    x = divided_attention.ClassToken(name="token")(x)
    pooled = L.MultiHeadAttention(1, 1, use_bias=False, name="attention")(x[:, :1], x[:, 1:])
    network = keras.Model(clip, L.Dense(2, use_bias=False, name="classes")(pooled[:, 0]))
    network.get_layer("patches").set_weights([np.tile([1 / 32, 0, 0], (2, 4, 4, 1, 1))])
    network.get_layer("token").set_weights([np.array([[[0, 0, 1]]])])
    query, key, value, output = (np.zeros((3, 1, 1)) for _ in range(4))
    query[2], key[1], value[0] = 1, 1, 1
    output = np.array([[[1.0, 0, 0]]])
    network.get_layer("attention").set_weights([query, key, value, output])
    network.get_layer("classes").set_weights([np.array([[1.0, -1], [0, 0], [0, 0]])])
    return network


@pytest.mark.parametrize("method", METHODS)
def test_the_one_place_that_is_read_is_pointed_at(one_place, method):
    clip = clip_of(SHAPE) / 2 + 0.5
    for place in PLACE:
        embedding = np.zeros((8, 3))
        embedding[place, 1] = 12
        one_place.get_layer("positions").set_weights([embedding])
        answer = attribute(one_place, clip, objectives.logit(0), method=method)
        at = np.unravel_index(answer.heatmap.argmax(), SHAPE[:3])
        assert tuple(n // side for n, side in zip(at, (2, 4, 4), strict=True)) == tuple(
            map(int, np.unravel_index(place, GRID))
        )
        assert answer.heatmap.shape == SHAPE[:3] and answer.heatmap.dtype == np.float32


def test_relevance_is_signed(one_place):
    answer = attribute(one_place, clip_of(SHAPE), objectives.logit(1), method="attention_lrp")
    assert answer.score < 0 and answer.settings["patches"] < 0


@pytest.fixture(scope="module")
def one_block():
    """A pre-norm block whose mean is read; its biases are 0."""
    keras.utils.set_random_seed(3)
    clip = keras.Input(SHAPE)
    x = L.Reshape((8, 6))(L.Conv3D(6, (2, 4, 4), (2, 4, 4), name="patches")(clip))
    y = L.LayerNormalization()(x)
    x = L.add([x, L.MultiHeadAttention(2, 3)(y, y)])
    y = L.Dense(8, activation="gelu")(L.LayerNormalization()(x))
    x = L.GlobalAveragePooling1D()(L.add([x, L.Dense(6)(y)]))
    return keras.Model(clip, L.Dense(3, name="classes")(x))


def test_relevance_is_conserved_and_the_share_of_biases_said(one_block):
    answer = attribute(one_block, clip_of(SHAPE), objectives.logit(1), method="attention_lrp")
    assert abs(answer.settings["softmax"]) > 1e-4 * abs(answer.score)  # not trivially
    total = answer.settings["patches"] + answer.settings["softmax"]
    assert total == pytest.approx(answer.score, rel=1e-4)
    one_block.get_layer("classes").bias.assign([0.0, 0.7, 0.0])
    biased = attribute(one_block, clip_of(SHAPE), objectives.logit(1), method="attention_lrp")
    assert biased.settings["elsewhere"] == pytest.approx(0.7, rel=1e-4)
    np.testing.assert_allclose(biased.heatmap, answer.heatmap, rtol=1e-5)


class Position(L.Layer):
    """Adds a vector to each of eight tokens, looked up or a weight of its own."""

    def __init__(self, is_embedded, **options):
        super().__init__(**options)
        self.embedding = L.Embedding(8, 6) if is_embedded else None
        if not is_embedded:
            self.table = self.add_weight(shape=(8, 6))

    def call(self, x):
        return x + (self.table if self.embedding is None else self.embedding(ops.arange(8)))


def test_positions_that_are_looked_up_take_the_relevance_of_added_weights():
    def network(is_embedded):
        clip = keras.Input(SHAPE)
        x = L.Reshape((8, 6))(L.Conv3D(6, (2, 4, 4), (2, 4, 4), use_bias=False)(clip))
        x = Position(is_embedded)(x)
        x = L.add([x, L.MultiHeadAttention(2, 3)(x, x)])
        built = keras.Model(clip, L.Dense(3, name="classes")(L.GlobalAveragePooling1D()(x)))
        rng = np.random.default_rng(0)
        built.set_weights([0.3 * rng.normal(size=weight.shape) for weight in built.weights])
        return built

    looked_up, added = (
        attribute(network(is_embedded), clip_of(SHAPE), 1, method="attention_lrp")
        for is_embedded in (True, False)
    )
    assert looked_up.score == pytest.approx(added.score, rel=1e-5)
    assert abs(added.settings["elsewhere"]) > 1e-2 * abs(added.score)  # positions count
    np.testing.assert_allclose(looked_up.heatmap, added.heatmap, rtol=1e-4, atol=1e-6)
    assert looked_up.settings["elsewhere"] == pytest.approx(added.settings["elsewhere"], rel=1e-4)


def divided():
    """Attention in time, then in space, whose mean is read."""
    keras.utils.set_random_seed(5)
    frames, side, width = divided_attention.FRAMES, divided_attention.SIDE, divided_attention.WIDTH
    clip = keras.Input((frames, 8, 8, 1))
    x = L.Conv3D(width, (1, 2, 2), (1, 2, 2))(clip)
    x = Positions()(L.Reshape((frames * side * side, width))(x))
    for over_time in (True, False):
        # `fold` leaves the class token out.
        y = divided_attention.fold(L.ZeroPadding1D((1, 0))(x), over_time)
        y = L.MultiHeadAttention(2, 8, name="time" if over_time else "space")(y, y)
        x = L.add([x, divided_attention.unfold(y, over_time)])
    return keras.Model(clip, L.Dense(2)(L.GlobalAveragePooling1D()(x)))


def test_divided_attention_is_rolled_out_as_in_numpy():
    network, clip = divided(), clip_of((4, 8, 8, 1))
    reading = attention.read_attention(Scorer(network, objectives.logit(0)), clip, None)
    time, space = (a.weights.mean(axis=1) for a in reading.attentions)
    assert time.shape == (16, 4, 4) and space.shape == (4, 16, 16)
    whole = np.zeros((2, 64, 64))
    for t in range(4):
        for u in range(4):
            for p in range(16):
                whole[0, 16 * t + p, 16 * u + p] = time[p, t, u]
        whole[1, 16 * t : 16 * t + 16, 16 * t : 16 * t + 16] = space[t]
    first, second = (whole + np.eye(64)) / 2
    by_hand = (second @ first).mean(axis=0)
    np.testing.assert_allclose(attention_rollout.rolled_out(reading)[:64], by_hand, rtol=1e-5)
    assert by_hand.std() > 0


@pytest.mark.parametrize(
    ("build", "method"),
    [
        (vivit.build, "attention_gradient"),
        (shifted_windows.build, "attention_lrp"),
        *((divided_attention.build, method) for method in METHODS),
    ],
)
def test_joint_divided_and_shifted_windowed_attention(build, method):
    network = build()
    clip = clip_of(network.inputs[0].shape[1:])
    before = [dict(vars(layer)) for layer in network.layers]
    answer = attribute(network, clip, objectives.logit(0), method=method)
    assert np.isfinite(answer.heatmap).all() and answer.heatmap.std() > 0
    for layer, had in zip(network.layers, before, strict=True):
        assert {k: v for k, v in vars(layer).items() if k in had} == had


def test_masks_count():
    clip = keras.Input(SHAPE)
    x = L.Reshape((8, 4))(L.Conv3D(4, (2, 4, 4), (2, 4, 4))(clip))
    y = L.MultiHeadAttention(2, 2)(x, x, use_causal_mask=True)
    network = keras.Model(clip, L.Dense(2)(y[:, 0]))
    answer = attribute(network, clip_of(SHAPE), objectives.logit(0), method="attention_lrp")
    corners = answer.heatmap[::3, ::7, ::7].ravel()  # where nothing is interpolated
    assert abs(corners[0]) > 0
    np.testing.assert_allclose(corners[1:], 0, atol=1e-7)


def without_attention():
    clip = keras.Input(SHAPE)
    return keras.Model(clip, L.Dense(2)(L.Flatten()(L.Conv3D(2, 3)(clip))))


@keras.saving.register_keras_serializable("architectures")
class Block(L.Layer):
    """Attention inside a layer of one's own, whose code may ask for numbers."""

    def __init__(self, attention, needs_values=False, **kwargs):
        super().__init__(**kwargs)
        self.attention, self.needs_values = attention, needs_values

    def build(self, shape):
        if not self.attention.built:
            self.attention.build(shape, shape)

    def call(self, x):
        return self.attention(x, x) * (ops.convert_to_numpy(x).max() if self.needs_values else 1.0)

    def compute_output_shape(self, shape):
        return shape


def frame_by_frame(attention, x):
    """Each half of the tokens attends to itself, in the batch."""
    return ops.reshape(attention(*[ops.reshape(x, (-1, 4, 4))] * 2), (-1, 8, 4))


def timed(attention, x):
    """The same in Keras's layer for it."""
    tokens = keras.Input((4, 4))
    model = keras.Model(tokens, attention(tokens, tokens))
    return L.Reshape((8, 4))(L.TimeDistributed(model)(L.Reshape((2, 4, 4))(x)))


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        (lambda attention, x: Block(attention)(x), lambda attention, x: attention(x, x)),
        (timed, frame_by_frame),
    ],
    ids=["own", "timed"],
)
def test_attention_inside_other_layers_is_read_as_if_it_were_outside(hidden, shown):
    keras.utils.set_random_seed(7)
    clip = keras.Input(SHAPE)
    tokens = L.Reshape((8, 4))(L.Conv3D(4, (2, 4, 4), (2, 4, 4))(clip))
    attention, dense = L.MultiHeadAttention(1, 4, name="attention"), L.Dense(2)
    networks = [
        keras.Model(clip, dense(L.Flatten()(place(attention, tokens)))) for place in (shown, hidden)
    ]
    for method in METHODS:
        outside, inside = (
            attribute(network, clip_of(SHAPE), objectives.logit(0), method=method)
            for network in networks
        )
        np.testing.assert_allclose(inside.heatmap, outside.heatmap, rtol=1e-4, atol=1e-6)
        assert outside.heatmap.std() > 0
        assert inside.settings["grid"] == [2, 2, 2]


def closed_attention():
    clip = keras.Input(SHAPE)
    x = L.Reshape((8, 4))(L.Conv3D(4, (2, 4, 4), (2, 4, 4))(clip))
    block = Block(L.MultiHeadAttention(1, 4), needs_values=True, name="block")
    return keras.Model(clip, L.Dense(2)(L.Flatten()(block(x))))


def of_frames():
    clip = keras.Input(SHAPE)
    x = L.TimeDistributed(L.Flatten())(clip)
    return keras.Model(clip, L.Dense(2)(L.Flatten()(L.MultiHeadAttention(1, 4)(x, x))))


def with_a_softmax():
    clip = keras.Input(SHAPE)
    x = L.Reshape((8, 4))(L.Conv3D(4, (2, 4, 4), (2, 4, 4))(clip))
    x = L.MultiHeadAttention(1, 4)(x, x)
    return keras.Model(clip, L.Dense(2)(L.Flatten()(ops.square(x))))


def reading_another_token():
    """One beside those that attend last."""
    clip = keras.Input(SHAPE)
    x = L.Reshape((8, 4))(L.Conv3D(4, (2, 4, 4), (2, 4, 4))(clip))
    y = L.MultiHeadAttention(1, 4, name="attention")(x[:, 1:], x)
    return keras.Model(clip, L.Dense(2)(ops.concatenate([x[:, :1], y], axis=1)[:, 0]))


@pytest.mark.parametrize(
    ("build", "method", "message"),
    [
        *((without_attention, method, "integrated_gradients, grad_cam") for method in METHODS),
        (closed_attention, "attention_rollout", "inside 'block', a Block: its code"),
        (of_frames, "attention_gradient", r"give grid=\(t, h, w\)"),
        (with_a_softmax, "attention_lrp", "Received: layer 'square"),
        (reading_another_token, "attention_rollout", "doesn't depend on 'attention'"),
    ],
)
def test_what_can_not_be_explained_is_refused(build, method, message):
    network = build()
    clip = clip_of(network.inputs[0].shape[1:])
    with pytest.raises(ValueError, match=message):
        attribute(network, clip, objectives.logit(0), method=method)


@pytest.mark.parametrize("method", METHODS)
def test_more_attention_than_can_be_held_is_refused(one_place, method, monkeypatch):
    monkeypatch.setattr(attention, "_MAX_BYTES", 4 * 8)  # of one query and 8 keys
    attribute(one_place, clip_of(SHAPE), objectives.logit(0), method=method)
    monkeypatch.setattr(attention, "_MAX_BYTES", 4 * 8 - 1)
    with pytest.raises(ValueError, match="GiB of attention weights.*in 1 layers"):
        attribute(one_place, clip_of(SHAPE), objectives.logit(0), method=method)
