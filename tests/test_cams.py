"""Class activation maps: worked out in NumPy, on every layer, and against another package."""

import keras
import numpy as np
import pytest

from c3dvis import models, objectives
from c3dvis.attribution import attribute, cam
from c3dvis.attribution.scorer import Scorer

SHAPE, GRID = (4, 6, 8, 3), (4, 6, 8)
LABEL = 1
L = keras.layers
CAMS = ("grad_cam", "grad_cam_plus_plus", "layer_cam", "score_cam")


def flat_network():
    """Activations of one layer, and class scores that are linear in them."""
    keras.utils.set_random_seed(4)
    clip = L.Input(SHAPE)
    x = L.Conv3D(5, 3, padding="same", activation="relu", name="conv")(clip)
    return keras.Model(clip, L.Dense(3, name="classes")(L.Flatten(name="flatten")(x)))


@pytest.fixture(scope="module")
def network():
    return flat_network()


@pytest.fixture(scope="module")
def clip():
    return np.random.default_rng(1).random(SHAPE, np.float32)


@pytest.fixture(scope="module")
def by_hand(network, clip):
    """The layer's activation and the gradient of the class score with respect to it."""
    tap = keras.Model(network.inputs, network.get_layer("conv").output)
    kernel = np.array(network.get_layer("classes").kernel)
    activation = tap.predict(clip[None], verbose=0)[0]
    return activation, kernel[:, LABEL].reshape(activation.shape)


def heat(network, clip, method, **options):
    return attribute(network, clip, objectives.logit(LABEL), method=method, **options).heatmap


def test_the_reading_is_the_layer_and_its_gradient(network, clip, by_hand):
    reading = cam.read_layer(Scorer(network, objectives.logit(LABEL)), clip, "conv")
    np.testing.assert_allclose(reading.activation, by_hand[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reading.gradient, by_hand[1], rtol=1e-5)


def test_grad_cam_in_numpy(network, clip, by_hand):
    activation, gradient = by_hand
    of_clip = (activation * gradient.mean(axis=(0, 1, 2))).sum(axis=-1)
    of_frames = np.stack(
        [(a * g.mean(axis=(0, 1))).sum(-1) for a, g in zip(activation, gradient, strict=True)]
    )
    assert (of_clip < -0.001).any() and not np.allclose(of_clip, of_frames)
    close = {"rtol": 1e-4, "atol": 1e-6}
    np.testing.assert_allclose(heat(network, clip, "grad_cam"), np.maximum(of_clip, 0), **close)
    np.testing.assert_allclose(heat(network, clip, "grad_cam", signed=True), of_clip, **close)
    frame = heat(network, clip, "grad_cam", weights="frame", signed=True)
    np.testing.assert_allclose(frame, of_frames, **close)


def plus_plus(activation, gradient):
    """Grad-CAM++ as its authors' code has it, channel by channel."""
    total = np.zeros(activation.shape[:-1])
    for a, g in zip(np.moveaxis(activation, -1, 0), np.moveaxis(gradient, -1, 0), strict=True):
        alpha = g**2 / (2 * g**2 + a.sum() * g**3)
        alpha = alpha / alpha.sum()
        total += (alpha * np.maximum(g, 0)).sum() * a
    return np.maximum(total, 0)


def test_grad_cam_plus_plus_in_numpy(network, clip, by_hand):
    activation, gradient = (x.astype(np.float64) for x in by_hand)
    whole = heat(network, clip, "grad_cam_plus_plus")
    np.testing.assert_allclose(whole, plus_plus(activation, gradient), rtol=1e-3, atol=1e-6)
    frames = [plus_plus(a, g) for a, g in zip(activation, gradient, strict=True)]
    heatmap = heat(network, clip, "grad_cam_plus_plus", weights="frame")
    np.testing.assert_allclose(heatmap, np.stack(frames), rtol=1e-3, atol=1e-6)


def test_layer_cam_in_numpy(network, clip, by_hand):
    activation, gradient = by_hand
    expected = np.maximum((activation * np.maximum(gradient, 0)).sum(axis=-1), 0)
    np.testing.assert_allclose(heat(network, clip, "layer_cam"), expected, rtol=1e-4)


def softmax(scores):
    return np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()


def score_cam_by_hand(network, clip, maps, confidence, baseline):
    def sure(one):
        scores = network.predict(one[None], verbose=0)[0]
        return softmax(scores)[LABEL] if confidence == "probability" else scores[LABEL]

    total = np.zeros(GRID)
    for channel in np.moveaxis(maps, -1, 0):
        mask = (channel - channel.min()) / (channel.max() - channel.min())
        weight = sure(clip * mask[..., None])
        total += channel * (weight - (sure(0 * clip) if baseline else 0))
    return np.maximum(total, 0)


@pytest.mark.parametrize("confidence", ["probability", "score"])
@pytest.mark.parametrize("baseline", ["black", None])
def test_score_cam_in_numpy(network, clip, by_hand, confidence, baseline):
    expected = score_cam_by_hand(network, clip, by_hand[0], confidence, baseline)
    options = {"confidence": confidence, "baseline": baseline}
    heatmap = heat(network, clip, "score_cam", **options)
    np.testing.assert_allclose(heatmap, expected, rtol=1e-3, atol=1e-5)


def test_score_cam_on_the_channels_that_vary_most(network, clip, by_hand):
    activation, _ = by_hand
    varied = np.argsort(activation.std(axis=(0, 1, 2)))[-2:]
    options = {"confidence": "score", "baseline": None}
    expected = score_cam_by_hand(network, clip, activation[..., varied], **options)
    heatmap = heat(network, clip, "score_cam", channels=2, **options)
    np.testing.assert_allclose(heatmap, expected, rtol=1e-3, atol=1e-5)


def test_what_is_not_one_logit_is_judged_by_its_score(network, clip):
    objective = objectives.logit(0) - objectives.logit(1)
    attribution = attribute(network, clip, objective, method="score_cam")
    assert attribution.settings["confidence"] == "score"
    with pytest.raises(ValueError, match="one logit"):
        attribute(network, clip, objective, method="score_cam", confidence="probability")


# From the grid to the clip


def along(values, length, axis):
    """Linear interpolation between the centres of cells that fill the axis, by NumPy."""
    small = values.shape[axis]
    at = (np.arange(length) + 0.5) * small / length - 0.5
    return np.apply_along_axis(lambda line: np.interp(at, np.arange(small), line), axis, values)


@pytest.mark.parametrize("grid", [(2, 3, 4), (1, 1, 1), (8, 12, 12), (3, 5, 7)])
def test_maps_are_interpolated_between_the_centres_of_cells(grid):
    small = np.random.default_rng(0).random((2, *grid))
    expected = along(along(along(small, 8, 1), 12, 2), 12, 3)
    np.testing.assert_allclose(cam.upsample(small, (8, 12, 12)), expected, rtol=1e-5, atol=1e-6)


def test_a_cell_keeps_its_place():
    """Cells lie edge to edge on the clip; corner to corner would push the middle cell's centre."""
    small = np.zeros((1, 1, 1, 4))
    small[..., 1] = 1
    row = cam.upsample(small, (1, 1, 16))[0, 0, 0]
    assert row.argmax() in (5, 6) and row[5] == row[6]


# Which layer


def test_the_default_layer_of_the_networks():
    def default(network, objective=None):
        scorer = Scorer(network, objectives.logit(0) if objective is None else objective)
        return cam.default_layer(scorer, tuple(network.input_shape[1:]))

    small = {"input_shape": (8, 64, 64, 3), "classes": 3}
    c3d = models.C3D(input_shape=(16, 64, 64, 3), classes=3, width=0.05)
    assert default(c3d) == "conv3b"  # 8 x 16 x 16, before 4 x 8 x 8
    assert default(c3d, objectives.channel("conv3b", 0)) == "conv3b"
    assert default(c3d, objectives.neuron("conv3b", 0)) == "conv3a"
    assert default(models.I3D(**small, width=0.1)) == "Conv3d_2c_3x3"
    assert default(models.R3D(**small, width=0.1)) == "layer2"
    assert default(models.ConvLSTM(**small, filters=(3, 3), kernel_size=(3, 3))) == "convlstm1"
    # At the published size, the grid of 14 x 14 that Grad-CAM was published with.
    published = models.C3D(input_shape=(16, 112, 112, 3), classes=3, width=0.05)
    assert default(published) == "conv4b"


@pytest.mark.parametrize(
    ("stride", "name"),
    [
        ((1, 1, 1), "coarse"),  # 4 x 16 x 16
        ((2, 1, 1), "fine"),  # 2 x 16 x 16 has too few frames
        ((1, 2, 2), "fine"),  # 4 x 8 x 8 too few rows and columns
        ((1, 4, 4), "coarse"),  # no other is finer than 8 x 8
    ],
)
def test_a_coarse_map_is_the_default_only_where_there_is_no_finer_one(stride, name):
    start = L.Input((8, 32, 32, 3))
    x = L.Conv3D(2, 3, strides=stride, padding="same", name="fine")(start)
    x = L.Conv3D(2, 3, strides=(2, 2, 2), padding="same", name="coarse")(x)
    network = keras.Model(start, L.Dense(3)(L.GlobalAveragePooling3D()(x)))
    scorer = Scorer(network, objectives.logit(0))
    assert cam.default_layer(scorer, (8, 32, 32, 3)) == name


@pytest.mark.parametrize("shape", [(4, 8, 8, 3), (None, None, None, 3)])
def test_a_convolution_without_places_is_no_map(shape):
    """As the one behind the pooling of I3D, whose scores are those of the whole picture."""
    start = L.Input(shape)
    x = L.Conv3D(4, 3, padding="same", name="map")(start)
    x = L.Conv3D(3, 1, name="scores")(L.AveragePooling3D((1, 8, 8))(x))
    network = keras.Model(start, L.GlobalAveragePooling3D()(x))
    scorer = Scorer(network, objectives.logit(0))
    assert cam.default_layer(scorer, (4, 8, 8, 3)) == "map"


@keras.saving.register_keras_serializable("test_cams")
class Nothing(L.Layer):
    def call(self, clips):
        return keras.ops.zeros_like(clips)


def test_a_branch_that_no_clip_reaches_is_neither_the_default_layer_nor_taken():
    keras.utils.set_random_seed(0)
    clip = L.Input((4, 16, 16, 3))
    seen = L.Conv3D(2, 3, padding="same", name="seen")(clip)
    blind = L.Conv3D(2, 3, bias_initializer="ones", name="first_blind")(Nothing()(clip))
    blind = L.Conv3D(2, 3, padding="same", name="blind")(blind)
    pooled = [L.GlobalAveragePooling3D()(x) for x in (seen, blind)]
    network = keras.Model(clip, L.Dense(2)(L.Concatenate()(pooled)))
    given = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
    answer = attribute(network, given, 0, method="grad_cam", signed=True)
    assert answer.settings["layer"] == "seen" and answer.heatmap.std() > 0
    for method in CAMS:
        with pytest.raises(ValueError, match="the clip changes. Received: 'blind', which is the"):
            attribute(network, given, 0, method=method, layer="blind")


def test_a_heatmap_of_nothing_says_so():
    """Grad-CAM keeps what speaks for a class: here nothing does."""
    clip = L.Input((2, 8, 8, 3))
    x = L.Conv3D(1, 1, kernel_initializer="ones", name="conv")(clip)
    scores = L.Dense(1, kernel_initializer=keras.initializers.Constant(-1))
    network = keras.Model(clip, scores(L.GlobalAveragePooling3D()(x)))
    given = np.ones((2, 8, 8, 3), np.float32)
    plain, signed = (
        attribute(network, given, 0, method="grad_cam", signed=signed).caption
        for signed in (False, True)
    )
    assert "heatmap 0 everywhere" in plain and "0 everywhere" not in signed


def nested_twin(network):
    """The same network with its convolution in a model of its own."""
    clip = L.Input(SHAPE)
    conv = L.Conv3D(5, 3, padding="same", activation="relu", name="conv")
    inner = keras.Model(clip, conv(clip), name="inner")
    outer = L.Input(SHAPE)
    twin = keras.Model(outer, L.Dense(3)(L.Flatten()(inner(outer))))
    twin.set_weights(network.get_weights())
    return twin


@pytest.mark.parametrize("method", CAMS)
def test_a_layer_inside_a_nested_model_answers_as_any_other(network, clip, method):
    twin = nested_twin(network)
    for layer in (None, "conv", "inner/conv"):
        heatmap = heat(twin, clip, method, layer=layer)
        np.testing.assert_allclose(heatmap, heat(network, clip, method), rtol=1e-4, atol=1e-6)


def test_what_goes_past_a_layer_is_not_its_own(clip):
    """In a residual block only what passes through the branch counts for the branch."""
    keras.utils.set_random_seed(0)
    x = start = L.Input(SHAPE)
    x = L.Conv3D(3, 1, name="first")(x)
    branch = L.Conv3D(3, 1, name="branch")(x)
    x = L.Add()([branch, x])
    network = keras.Model(start, L.Dense(3, name="classes")(L.GlobalAveragePooling3D()(x)))
    scorer = Scorer(network, objectives.logit(LABEL))
    kernel = np.array(network.get_layer("classes").kernel)[:, LABEL] / np.prod(GRID)
    inside = np.array(network.get_layer("branch").kernel)[0, 0, 0]
    gradient = cam.read_layer(scorer, clip, "branch").gradient
    np.testing.assert_allclose(gradient, np.broadcast_to(kernel, gradient.shape), rtol=1e-4)
    gradient = cam.read_layer(scorer, clip, "first").gradient
    np.testing.assert_allclose(
        gradient, np.broadcast_to(kernel + inside @ kernel, gradient.shape), rtol=1e-4
    )


def test_a_sequence_is_explained_frame_by_frame(clip):
    """With frame weights, a ConvLSTM's heat in a frame depends on that frame's gradient alone."""
    keras.utils.set_random_seed(0)
    start = L.Input(SHAPE)
    sequence = L.ConvLSTM2D(4, 3, return_sequences=True, name="convlstm")(start)
    last = L.Dense(2, name="classes")(L.Flatten()(sequence[:, -1]))
    network = keras.Model(start, last)
    of_clip, of_frames = (
        attribute(
            network, clip, objectives.logit(LABEL), method="grad_cam", weights=weights, signed=True
        )
        for weights in ("clip", "frame")
    )
    assert of_frames.settings["layer"] == "convlstm" and of_frames.settings["grid"][0] == 4
    assert of_clip.heatmap[0].any() and not of_frames.heatmap[:3].any()
    assert of_frames.heatmap[3].any()


def test_a_map_without_time_holds_for_every_frame(clip):
    start = L.Input(SHAPE)
    x = L.ConvLSTM2D(4, 3, name="last")(start)
    network = keras.Model(start, L.Dense(2)(L.Flatten()(x)))
    heatmap = heat(network, clip, "layer_cam")
    assert (heatmap == heatmap[0]).all() and heatmap.any()


@pytest.mark.parametrize("method", CAMS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "covn"}, "'conv'.*Received: 'covn'"),
        ({"layer": "flatten"}, r"layer with places.*'flatten' of shape \(None, 960\)"),
    ],
)
def test_wrong_layers_are_refused(network, clip, method, options, message):
    with pytest.raises(ValueError, match=message):
        heat(network, clip, method, **options)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("grad_cam", {"weights": "clips"}, "'clip' or 'frame'. Received: 'clips'"),
        ("grad_cam_plus_plus", {"weights": None}, "Received: None"),
        ("score_cam", {"channels": 6}, "from 1 to 5. Received: 6"),
        ("score_cam", {"confidence": "sure"}, "'probability'.*Received: 'sure'"),
        ("score_cam", {"baseline": "white"}, "Received: 'white'"),
    ],
)
def test_wrong_options_are_refused(network, clip, method, options, message):
    with pytest.raises(ValueError, match=message):
        heat(network, clip, method, **options)


def test_a_layer_behind_the_objective_is_refused(clip):
    start = L.Input(SHAPE)
    x = L.Conv3D(2, 1, name="below")(start)
    y = L.Conv3D(2, 1, name="above")(x)
    network = keras.Model(start, L.GlobalAveragePooling3D()(y))
    with pytest.raises(ValueError, match="that the objective depends on.*'above'"):
        attribute(network, clip, objectives.channel("below", 0), method="grad_cam", layer="above")
    flat = keras.Model(start, L.Dense(2)(L.Flatten()(start)))
    with pytest.raises(ValueError, match="need no layer. Received: a network without"):
        attribute(flat, clip, method="grad_cam")


# Another package, where it is installed


@pytest.fixture(scope="module")
def reference():
    """tf-keras-vis, with a network and a clip in its terms."""
    pytest.importorskip("tf_keras_vis", reason="the comparison needs tf-keras-vis: extra bench")
    keras.utils.set_random_seed(7)
    clip = L.Input((4, 8, 8, 3))
    x = L.Conv3D(4, 3, padding="same", activation="relu", name="conv1")(clip)
    x = L.Conv3D(6, 3, padding="same", activation="relu", name="conv2")(x)
    x = L.Dense(8, activation="relu")(L.Flatten()(x))
    network = keras.Model(clip, L.Dense(3, name="classes")(x))
    return network, np.random.default_rng(1).random((4, 8, 8, 3), np.float32)


def other_cam(reference, kind):
    from tf_keras_vis import gradcam, gradcam_plus_plus, layercam, scorecam

    network, clip = reference
    kinds = {
        "grad_cam": gradcam.Gradcam,
        "grad_cam_plus_plus": gradcam_plus_plus.GradcamPlusPlus,
        "layer_cam": layercam.Layercam,
        "score_cam": scorecam.Scorecam,
    }
    run = kinds[kind](network, clone=False)
    options = {"penultimate_layer": "conv2", "expand_cam": False, "normalize_cam": False}
    return run(lambda output: output[..., LABEL], clip[None], **options)[0]


# tf-keras-vis gives Keras a list where the network takes one tensor, of which Keras warns.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", CAMS)
def test_maps_agree_with_tf_keras_vis(reference, kind):
    network, clip = reference
    options = {"baseline": None} if kind == "score_cam" else {}
    heatmap = heat(network, clip, kind, layer="conv2", **options)
    expected = np.asarray(other_cam(reference, kind))
    if kind == "grad_cam_plus_plus":  # there every weight has the exponential of the score
        expected = expected / np.exp(network.predict(clip[None], verbose=0)[0, LABEL])
    np.testing.assert_allclose(heatmap, expected, rtol=2e-3, atol=1e-4 * expected.max())


# tf-keras-vis gives Keras a list where the network takes one tensor, of which Keras warns.
@pytest.mark.filterwarnings("ignore")
def test_saliency_agrees_with_tf_keras_vis(reference):
    from tf_keras_vis.saliency import Saliency

    network, clip = reference
    run = Saliency(network, clone=False)
    options = {"keepdims": True, "normalize_map": False, "gradient_modifier": None}
    expected = np.asarray(run(lambda output: output[..., LABEL], clip[None], **options)[0])
    np.testing.assert_allclose(
        heat(network, clip, "gradient"), expected.sum(axis=-1), rtol=1e-3, atol=1e-6
    )
    np.random.seed(0)
    smooth = run(
        lambda output: output[..., LABEL],
        clip[None],
        smooth_samples=200,
        smooth_noise=0.15,
        **options,
    )
    heatmap = heat(network, clip, "smooth_grad", samples=200)
    # Two draws of the noise: alike as two means of 200 are.
    assert np.corrcoef(heatmap.ravel(), np.asarray(smooth)[0].sum(axis=-1).ravel())[0, 1] > 0.98
