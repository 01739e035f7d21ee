"""Attribution: one call for every method, and the scorer that they all ask."""

import gc
import importlib
import inspect
import json
import weakref

import keras
import numpy as np
import pytest
from keras import ops
from same_bits import assert_same

from c3dvis import attribution, graph, objectives
from c3dvis.attribution import _shared, attribute
from c3dvis.attribution.explain import methods_with_options
from c3dvis.attribution.scorer import Scorer

SHAPE = (6, 16, 16, 3)
L = keras.layers
# Those whose answer is one or a few gradients or forward passes, with what makes them quick.
QUICK = {
    "gradient": {},
    "gradient_x_input": {},
    "integrated_gradients": {"steps": 4, "max_steps": 8},
    "smooth_grad": {"samples": 3},
    "guided_backpropagation": {},
    "grad_cam": {},
    "grad_cam_plus_plus": {"weights": "frame"},
    "layer_cam": {},
    "score_cam": {},
}


def convolutions(policy=None):
    return [
        L.Conv3D(4, 3, padding="same", activation="relu", name="conv1", dtype=policy),
        L.MaxPooling3D((1, 2, 2), name="pool1", dtype=policy),
        L.Conv3D(6, 3, padding="same", name="conv2", dtype=policy),
        L.BatchNormalization(name="norm2", dtype=policy),
        L.ReLU(name="relu2", dtype=policy),
    ]


def head(policy=None):
    return [
        L.MaxPooling3D(2, name="pool2", dtype=policy),
        L.Flatten(name="flatten", dtype=policy),
        L.Dense(8, activation="relu", name="fc", dtype=policy),
        L.Dense(3, activation="softmax", name="classes", dtype="float32"),
    ]


def through(x, layers):
    for layer in layers:
        x = layer(x)
    return x


def functional(policy=None):
    clip = L.Input(SHAPE)
    return keras.Model(clip, through(clip, convolutions(policy) + head(policy)))


def sequential():
    return keras.Sequential([L.Input(SHAPE), *convolutions(), *head()])


def nested():
    clip = L.Input(SHAPE)
    backbone = keras.Model(clip, through(clip, convolutions()), name="backbone")
    outer = L.Input(SHAPE)
    top = keras.Sequential(head(), name="top")
    return keras.Model(outer, top(backbone(outer)))


def recurrent():
    clip = L.Input(SHAPE)
    x = L.ConvLSTM2D(3, 3, return_sequences=True, padding="same", name="convlstm")(clip)
    x = L.MaxPooling3D((1, 2, 2), name="pool")(x)
    return keras.Model(clip, L.Dense(3, activation="softmax")(L.Flatten()(x)))


def framewise():
    """Frames one after the other on the first axis, as some 2-D networks take them."""
    clip = L.Input(SHAPE)
    x = L.TimeDistributed(L.Conv2D(4, 3, activation="relu"), name="frames")(clip)
    return keras.Model(clip, L.Dense(3)(L.GlobalAveragePooling3D()(x)))


NETWORKS = {
    "functional": functional,
    "sequential": sequential,
    "nested": nested,
    "recurrent": recurrent,
    "framewise": framewise,
    "bfloat16": lambda: functional("mixed_bfloat16"),
}


def build(kind):
    keras.utils.set_random_seed(1)
    network = NETWORKS[kind]()
    for layer in graph.sublayers(network):
        if isinstance(layer, L.BatchNormalization):
            layer.set_weights([np.ones(6), np.full(6, 0.1), np.zeros(6), np.full(6, 0.5)])
    return network


@pytest.fixture(scope="module")
def networks():
    return {kind: build(kind) for kind in NETWORKS}


@pytest.fixture(scope="module")
def clips():
    return np.random.default_rng(0).random((3, *SHAPE), np.float32)


# One of each way to ask a network: its gradient, many points at once, another activation in its
# place, a layer and its gradient, many masked clips.
EVERYWHERE = (
    "gradient",
    "integrated_gradients",
    "guided_backpropagation",
    "grad_cam",
    "score_cam",
)


@pytest.mark.parametrize(
    "method, kind",
    [(m, kind) for kind in NETWORKS for m in (QUICK if kind == "functional" else EVERYWHERE)],
)
def test_every_method_and_every_network(networks, clips, method, kind):
    answer = attribute(networks[kind], clips[0], method=method, **QUICK[method])
    assert answer.heatmap.shape == SHAPE[:3] and answer.heatmap.dtype == np.float32
    assert np.isfinite(answer.heatmap).all() and np.isfinite(answer.score)
    assert answer.method == method
    json.dumps(answer.settings)
    np.testing.assert_array_equal(answer.clip, clips[0])
    # Again, and second in a batch: the answer depends on the clip alone.
    first, second = attribute(networks[kind], clips[[1, 0]], method=method, **QUICK[method])
    np.testing.assert_array_equal(second.heatmap, answer.heatmap)
    assert second.score == answer.score and second.settings == answer.settings
    assert first.heatmap.any() and not np.array_equal(first.heatmap, answer.heatmap)


@pytest.fixture(scope="module")
def unasked():
    """A network of which no method was asked before; each asks it once."""
    return build("functional")


@pytest.mark.parametrize("method", QUICK)
def test_the_network_is_left_as_it_was(unasked, clips, method):
    network = unasked
    before = network.predict(clips, verbose=0)
    weights = [np.array(w) for w in network.get_weights()]
    attributes = [dict(vars(layer)) for layer in network.layers]
    attribute(network, clips[0], method=method, **QUICK[method])
    for layer, had in zip(network.layers, attributes, strict=True):
        assert {k: v for k, v in vars(layer).items() if k in had} == had
        assert "call" not in vars(layer)
    for old, new in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(before, network.predict(clips, verbose=0))


def test_a_method_is_a_file_of_its_name_with_its_options_described():
    assert set(QUICK) <= set(attribution.methods.names())
    for name in attribution.methods.names():
        function, _ = methods_with_options([name], {})[name]
        options = dict(list(inspect.signature(function).parameters.items())[2:])
        defaults = {option: parameter.default for option, parameter in options.items()}
        assert methods_with_options([name], defaults) == {name: (function, defaults)}
        doc = inspect.getdoc(function)
        assert [option for option in options if f"    {option}: " not in doc] == []
        # Of a method that shares its function, the file says what is its own.
        assert importlib.import_module(f"{attribution.methods.__name__}.{name}").__doc__
    for machinery in ("cam", "explain", "scorer", "extremal", "search"):
        with pytest.raises(ValueError, match="Expected the name of a method"):
            methods_with_options([machinery], {})


def test_the_default_objective_is_the_predicted_class(networks, clips):
    network = networks["functional"]
    labels = network.predict(clips, verbose=0).argmax(axis=-1)
    logits = Scorer(network, objectives.logit(0)).class_scores(clips)
    for answer, label, scores in zip(
        attribute(network, clips, method="gradient"), labels, logits, strict=True
    ):
        assert answer.objective == objectives.logit(int(label))
        assert answer.score == pytest.approx(scores[label], rel=1e-4)


def test_the_default_objective_has_the_name_of_the_class(clips):
    network = build("functional")
    network.class_names = ("left", "right", "up")
    label = network.predict(clips[:1], verbose=0).argmax()
    answer = attribute(network, clips[0], method="gradient")
    assert answer.objective == objectives.logit(network.class_names[label])


def test_units_go_to_clips_one_by_one(networks, clips):
    network = networks["functional"]
    each = attribute(network, clips, objectives.logit([2, 0, 1]), method="gradient")
    for answer, clip, label in zip(each, clips, (2, 0, 1), strict=True):
        alone = attribute(network, clip, objectives.logit(label), method="gradient")
        np.testing.assert_array_equal(answer.heatmap, alone.heatmap)
    same = attribute(network, clips, objectives.logit(1), method="gradient")
    assert [answer.objective for answer in same] == [objectives.logit(1)] * 3


def wrong(value=0.5, shape=SHAPE, dtype=np.float32):
    clip = np.full(SHAPE, 0.5, np.float32)
    clip.flat[3] = value
    return np.resize(clip, shape).astype(dtype)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([wrong(shape=SHAPE[1:])], {}, r"\(frames, height, width, channels\). Received"),
        ([wrong(shape=(5, 16, 16, 3))], {}, "6 frames. Received: 5 frames"),
        ([wrong(shape=(6, 16, 15, 3))], {}, "width 16. Received: width 15"),
        ([wrong(shape=(6, 16, 16, 1))], {}, "3 channels. Received: 1 channel"),
        ([wrong(np.nan)], {}, "1 NaN"),
        ([wrong(255)], {}, "divide by 255"),
        ([wrong(dtype=np.uint8)], {}, "uint8"),
        ([np.zeros((0, *SHAPE), np.float32)], {}, "at least one clip"),
        ([wrong()], {"method": "grad_cm"}, "'grad_cam'.*Received: 'grad_cm'"),
        ([wrong()], {"method": "cam"}, "Expected the name of a method"),
        ([wrong()], {"method": 3}, "Received: 3"),
        ([wrong()], {"method": "grad_cam", "wieghts": "clip"}, "'weights'. Received: 'wieghts'"),
        ([wrong()], {"method": "gradient_x_input", "steps": 3}, "there is none. Received: 'steps'"),
        ([wrong(), "left"], {}, "Expected an objective.*Received: 'left'"),
        ([wrong(), objectives.logit([0, 1])], {}, "of 1, one for each clip. Received: 2 units"),
        ([wrong(), objectives.logit(3)], {}, "0 to 2. Received: 3"),
        ([wrong(), objectives.channel("conv", 0)], {}, "Received: 'conv'"),
        ([wrong(), objectives.alignment("conv1")], {}, "compares clips"),
        ([[wrong(), wrong(shape=(5, 16, 16, 3))]], {}, "several of different shapes"),
        ([wrong()], {"batch_size": 0}, "batch size of 1"),
        ([wrong()], {"batch_size": "8"}, "batch size of 1 or more. Received: '8'"),
        ([wrong()], {"preprocess": "imagenet"}, "a function of clips. Received: 'imagenet'"),
        ([wrong()], {"method": "grad_cam", "grid": 4}, "three whole numbers or None. Received"),
    ],
)
def test_wrong_calls_are_refused(networks, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        attribute(networks["functional"], *arguments, **{"method": "gradient", **options})


def test_what_is_no_network_of_clips_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return ops.mean(x, axis=(1, 2, 3))

    with pytest.raises(ValueError, match="functional or Sequential.*Received: Own"):
        attribute(Own(), wrong(), objectives.logit(0), method="gradient")
    image = L.Input((16, 16, 3))
    flat = keras.Model(image, L.Dense(2)(L.Flatten()(image)))
    with pytest.raises(ValueError, match=r"one input of shape \(N, T, H, W, C\)"):
        attribute(flat, wrong(), objectives.logit(0), method="gradient")
    clip = L.Input(SHAPE)
    headless = keras.Model(clip, L.Conv3D(2, 3)(clip))
    with pytest.raises(ValueError, match="one score per class"):
        attribute(headless, wrong(), method="gradient")


def test_weights_that_are_not_finite_are_told(clips):
    network = build("functional")
    kernel, bias = network.get_layer("fc").get_weights()
    kernel[0, 0] = np.nan
    network.get_layer("fc").set_weights([kernel, bias])
    with pytest.raises(ValueError, match="Expected finite.*NaN or Inf in 'fc/kernel'"):
        attribute(network, clips[0], objectives.logit(0), method="gradient")


# The scorer


@pytest.mark.parametrize("kind", ["functional", "recurrent", "bfloat16"])
def test_the_same_bits_whatever_the_batch(networks, kind):
    clips = np.random.default_rng(2).random((11, *SHAPE), np.float32)
    scorer = Scorer(networks[kind], objectives.logit(1), batch_size=4)
    scores, gradients = scorer.gradients(clips)
    assert scores.shape == (11,) and gradients.shape == clips.shape
    for some in (slice(3, 4), slice(3, 5), slice(3, 6), slice(3, 11)):
        again, gradient = scorer.gradients(clips[some])
        assert_same(again, scores[some])
        assert_same(gradient, gradients[some])
        assert_same(scorer.scores(clips[some]), scorer.scores(clips)[some])


def test_probabilities_are_those_of_the_network(networks, clips):
    network = networks["functional"]
    expected = network.predict(clips, verbose=0)
    for label in range(3):
        scorer = Scorer(network, objectives.logit(label))
        np.testing.assert_allclose(scorer.probabilities(clips), expected[:, label], rtol=1e-5)
        log_p, log_rest = scorer.log_probabilities(ops.convert_to_tensor(clips))
        np.testing.assert_allclose(np.exp(log_p), expected[:, label], rtol=1e-5)
        np.testing.assert_allclose(np.exp(log_rest), 1 - expected[:, label], rtol=1e-4)


def linear(weights, bias, activation):
    """Class scores that are the clip's mean times weights plus bias."""
    clip = L.Input((2, 2, 2, 1))
    dense = L.Dense(len(bias), activation=activation)
    network = keras.Model(clip, dense(L.GlobalAveragePooling3D()(clip)))
    dense.set_weights([np.array([weights], np.float32), np.array(bias, np.float32)])
    return network


def test_log_probabilities_are_finite_however_sure_the_network_is():
    network = linear([0, 0, 0], [300, 0, -300], "softmax")
    clip = ops.zeros((1, 2, 2, 2, 1))
    for label, expected in ((0, (0, -300)), (1, (-300, 0)), (2, (-600, 0))):
        logs = Scorer(network, objectives.logit(label)).log_probabilities(clip)
        np.testing.assert_allclose([float(x[0]) for x in logs], expected, atol=1e-6)


def test_a_sigmoid_gives_each_class_its_own_probability():
    network = linear([0, 0], [1, -200], "sigmoid")
    clip = np.zeros((1, 2, 2, 2, 1), np.float32)
    scorer = Scorer(network, objectives.logit(0))
    np.testing.assert_allclose(scorer.probabilities(clip), 1 / (1 + np.exp(-1)), rtol=1e-6)
    logs = Scorer(network, objectives.logit(1)).log_probabilities(ops.convert_to_tensor(clip))
    np.testing.assert_allclose([float(x[0]) for x in logs], [-200, 0], atol=1e-6)


@pytest.mark.parametrize(
    "objective",
    [
        objectives.channel("conv1", 0),
        2 * objectives.logit(0),
        objectives.logit(0) - objectives.logit(1),
    ],
)
def test_a_probability_needs_one_logit(networks, clips, objective):
    scorer = Scorer(networks["functional"], objective)
    assert scorer.scores(clips).shape == (3,)
    with pytest.raises(ValueError, match="one logit"):
        scorer.probabilities(clips)
    with pytest.raises(ValueError, match="one logit"):
        scorer.log_probabilities(ops.convert_to_tensor(clips))


def test_several_outputs_are_told_apart(clips):
    keras.utils.set_random_seed(0)
    clip = L.Input(SHAPE)
    x = L.GlobalAveragePooling3D()(L.Conv3D(4, 3, name="conv")(clip))
    heads = [L.Dense(n, activation="softmax", name=name)(x) for name, n in (("a", 2), ("b", 5))]
    network = keras.Model(clip, heads)
    name = network.output_names[1]
    answer = attribute(network, clips[0], objectives.logit(4, output=name), method="grad_cam")
    assert answer.heatmap.shape == SHAPE[:3]
    with pytest.raises(ValueError, match="output= one of"):
        attribute(network, clips[0], method="grad_cam")


def test_preprocessing_is_part_of_the_network():
    network = linear([3, 1], [0, 0], "softmax")
    clip = np.full((2, 2, 2, 1), 0.75, np.float32)

    def to_signed(clips):
        return 2 * clips - 1

    answer = attribute(network, clip, objectives.logit(0), method="gradient", preprocess=to_signed)
    assert answer.score == pytest.approx(3 * 0.5)
    np.testing.assert_allclose(answer.heatmap, 3 * 2 / 8, rtol=1e-6)


def test_a_term_of_the_clip_sees_it_before_preprocessing():
    network = linear([1, 1], [0, 0], None)
    objective = objectives.logit(0) - objectives.penalty(lambda c: ops.mean(c, axis=(1, 2, 3, 4)))
    scorer = Scorer(network, objective, preprocess=lambda clips: 4 * clips)
    np.testing.assert_allclose(scorer.scores(np.ones((1, 2, 2, 2, 1))), 4 - 1, rtol=1e-6)


def test_an_objective_that_was_given_a_clip_is_bound(networks, clips):
    objective = objectives.activation_difference("conv2", clips[0])
    scores = Scorer(networks["functional"], objective).scores(clips)
    assert scores[0] == pytest.approx(0, abs=1e-6) and (scores[1:] < -1e-4).all()


def test_compiled_once_for_all_classes_and_clips(clips):
    network, traces = build("functional"), []

    def counted(inputs):
        traces.append(inputs.shape)
        return inputs

    for clip in clips:
        for label in range(3):
            attribute(network, clip, objectives.logit(label), method="gradient", preprocess=counted)
    assert len(traces) == 1
    attribute(network, clips, objectives.logit(0), method="gradient", preprocess=counted)
    assert len(traces) == 1


def test_what_is_compiled_goes_with_the_network(clips):
    network = build("functional")
    attribute(network, clips[0], method="grad_cam")
    kept = weakref.ref(network)
    gc.collect()  # other tests' networks
    before = len(_shared.per_thread.kept)
    del network
    gc.collect()
    assert kept() is None and len(_shared.per_thread.kept) == before - 1


def test_new_weights_are_seen():
    network = linear([1, 0], [0, 0], "softmax")
    clip = np.ones((2, 2, 2, 1), np.float32)
    assert attribute(network, clip, objectives.logit(0), method="gradient").score == 1
    network.layers[-1].set_weights([np.array([[5, 0]]), np.zeros(2)])
    answer = attribute(network, clip, objectives.logit(0), method="gradient")
    assert answer.score == 5
    np.testing.assert_allclose(answer.heatmap, 5 / 8)


def test_batches_shrink_where_activations_are_large():
    clip = L.Input((None, None, None, 3))
    network = keras.Model(clip, L.Dense(2)(L.GlobalAveragePooling3D()(L.Conv3D(64, 3)(clip))))
    scorer = Scorer(network, objectives.logit(0), batch_size=8)
    assert scorer.clips_per_batch((8, 32, 32, 3)) == 8
    # 64 channels of 79 x 224 x 224 floats and their gradients are 2 GB.
    assert scorer.clips_per_batch((79, 224, 224, 3)) == 1


def test_a_question_is_about_one_unit(networks):
    with pytest.raises(ValueError, match="one unit. Received: 2"):
        Scorer(networks["functional"], objectives.logit([0, 1]))
    scorer = Scorer(networks["functional"], objectives.logit(0))
    for wrong_clips in (np.zeros(SHAPE, np.float32), np.zeros((0, *SHAPE), np.float32)):
        with pytest.raises(ValueError, match="Expected clips"):
            scorer.scores(wrong_clips)
