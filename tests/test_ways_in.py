"""The calls that users of other packages try first: text, functions, a clip to start from."""

from __future__ import annotations

import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import c3dvis
from c3dvis import __main__ as command
from c3dvis import clips, models, objectives
from c3dvis.attribution import attribute, method_names, methods
from c3dvis.attribution.method_names import method_name
from c3dvis.callbacks import GalleryCallback
from c3dvis.maximize import Maximizer, maximize, scores, slow_to_fast
from c3dvis.objectives.describe import describe
from c3dvis.responses import feature_maps

SHAPE = (4, 8, 8, 3)
L = keras.layers


def product(activations):
    """Mean of one channel times another's."""
    conv = activations["conv"]
    return ops.mean(conv[..., 0] * conv[..., 1], axis=(1, 2, 3))


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    clip = keras.Input(SHAPE)
    x = L.Conv3D(4, 3, padding="same", activation="softplus", name="conv")(clip)
    x = L.GlobalAveragePooling3D(name="mean")(x)
    model = keras.Model(clip, L.Dense(3, activation="softmax", name="scores")(x))
    model.class_names = ("moving left", "moving right", "conv:0")
    return model


@pytest.fixture(scope="module")
def clip():
    return np.random.default_rng(0).uniform(0.1, 0.9, SHAPE).astype(np.float32)


# Text and numbers


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("conv:2", objectives.channel("conv", 2)),
        ("conv:1-3", objectives.channel("conv", range(1, 4))),
        ("conv:0-1,3", objectives.channel("conv", [0, 1, 3])),
        ("moving left", objectives.logit("moving left")),
        ("conv:0", objectives.logit("conv:0")),  # a class that is called so
        (1, objectives.logit(1)),
        (np.int64(1), objectives.logit(1)),
        (keras.ops.convert_to_tensor(1), objectives.logit(1)),
        (keras.ops.convert_to_tensor([0, 2]), objectives.logit([0, 2])),
        (range(3), objectives.logit(range(3))),
        (["conv:1", "conv:2-3"], objectives.channel("conv", [1, 2, 3])),
        (["moving right", 0], objectives.logit(["moving right", 0])),
        ([objectives.layer("conv")] * 2, objectives.layer("conv")),
        (objectives.layer("conv"), objectives.layer("conv")),
    ],
)
def test_text_and_numbers_mean_objectives(network, given, meant):
    assert objectives.of(given, network) == meant


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("moving lft", "name of a class, such as 'moving left'.*Received: 'moving lft'"),
        ("conv", "such as 'conv:0' or 'conv:0-3,7'.*Received: 'conv'"),
        ("conf:1", "name of a layer, such as 'conv'.*Received: 'conf'"),
        ("conv:3-1", "such as 'conv:0'.*Received: 'conv:3-1'"),
        ("conv:all", "such as 'conv:0'.*Received: 'conv:all'"),
        (keras.Input((3,)), "Received: <KerasTensor"),
        (lambda activations: 0, r"Received: <function.*objectives.function\(function, layers\)"),
        (True, "Received: True"),
        ("conv:9", "has 4 channels.*Received: 9"),
        (9, "has 3 classes.*Received: 9"),
        (1.5, "Received: 1.5"),
        (["conv:1", "moving left"], "list of one kind.*'conv', 'logits/'"),
        ([], "at least one objective"),
    ],
)
def test_what_means_nothing_is_refused_with_the_nearest(network, given, message):
    with pytest.raises(ValueError, match=message):
        maximize(network, given, steps=1)


def test_text_works_wherever_objectives_do(network, clip):
    several = maximize(network, "conv:1-2", steps=2)
    np.testing.assert_array_equal(
        several, maximize(network, objectives.channel("conv", [1, 2]), steps=2)
    )
    maximizer = Maximizer(network, "conv:1-2", batch_size=1)
    (one,) = maximizer.make("conv:2", steps=2)
    np.testing.assert_allclose(one.clip, several[1], atol=1e-5)
    named = attribute(network, clip, "moving right", method="gradient")
    assert named.objective == objectives.logit("moving right")
    indexed = attribute(network, clip, 1, method="gradient")
    np.testing.assert_array_equal(named.heatmap, indexed.heatmap)
    np.testing.assert_array_equal(scores(network, 1, clip[None]), [[indexed.score]])
    assert slow_to_fast(network, "conv:1", weights=[0], steps=1).scores.shape == (1, 1)


def test_a_layer_is_named_by_itself_too(network, clip):
    conv = network.get_layer("conv")
    assert objectives.channel(conv, 1) == objectives.channel("conv", 1)
    assert feature_maps(network, clip, conv).layer == "conv"
    answer = attribute(network, clip, 0, method="grad_cam", layer=conv)
    assert answer.settings["layer"] == "conv"
    with pytest.raises(ValueError, match="name of a layer. Received: 3"):
        objectives.channel(3, 1)


def test_what_is_no_network_of_clips_leads_to_one():
    pictures = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(2, 3), L.Flatten(), L.Dense(1)])
    for given, way in (
        ("c3d-motion", r"models.build\(name\).*Received: 'c3d-motion'"),
        (pictures, "Received: .*None, 8, 8, 3.*keras.layers.TimeDistributed"),
    ):
        with pytest.raises(ValueError, match=way):
            maximize(given, 0, steps=1)
    clips = keras.Input((4, 8, 8, 3))
    network = keras.Model(clips, L.GlobalAveragePooling1D()(L.TimeDistributed(pictures)(clips)))
    assert maximize(network, 0, steps=1).shape == (1, 4, 8, 8, 3)
    with pytest.raises(ValueError, match=r"has 1 class. Expected 0, or -objectives.logit\(0\)"):
        maximize(network, 1, steps=1)


def test_callbacks_are_several_one_or_none_as_in_fit(network):
    history = keras.callbacks.History()
    for callbacks in (None, history, [history]):
        assert maximize(network, 0, steps=1, snapshots=1, callbacks=callbacks).shape[0] == 1
    assert len(history.epoch) == 1
    with pytest.raises(ValueError, match="Expected Keras callbacks.*Received: 'history'"):
        maximize(network, 0, steps=1, callbacks=["history"])


# Functions


def test_a_function_scores_and_is_explained_as_its_formula(network, clip):
    objective = objectives.function(product, "conv")
    conv = feature_maps(network, clip, "conv").maps.astype(np.float64)
    expected = (conv[..., 0] * conv[..., 1]).mean()
    assert scores(network, objective, clip[None])[0, 0] == pytest.approx(expected, rel=1e-5)
    answer = attribute(network, clip, objective, steps=32, baseline="black")
    assert answer.score == pytest.approx(expected, rel=1e-5)
    rise = answer.score - answer.settings["baseline_score"]
    assert answer.heatmap.sum() == pytest.approx(rise, rel=1e-2)
    assert describe(objective) == "product of conv"


def test_a_function_adds_and_is_maximized(network):
    objective = objectives.function(product, ["conv"])
    both = objective - 0.5 * objectives.channel("conv", [2, 3])
    assert len(both) == 2
    before, after = (
        np.array([one.score for one in Maximizer(network, both).make(steps=steps)])
        for steps in (1, 12)
    )
    assert (after > before).all()
    parts = scores(network, [objective, objectives.channel("conv", [2, 3])], np.ones((1, *SHAPE)))
    whole = scores(network, both, np.ones((1, *SHAPE)))
    np.testing.assert_allclose(whole, parts[0] - 0.5 * parts[1], rtol=1e-5)


def test_a_function_reads_several_layers_and_the_clip(network, clip):
    def mixed(activations):
        brightness = ops.mean(activations[objectives.CLIP], axis=(1, 2, 3, 4))
        return activations["mean"][:, 1] * activations[objectives.LOGITS][:, 0] - brightness

    names = ["mean", objectives.LOGITS, objectives.CLIP]
    objective = objectives.function(mixed, names)
    mean = feature_maps(network, clip, "conv").maps.mean(axis=(0, 1, 2))[1]
    logit = attribute(network, clip, 0, method="gradient").score
    expected = mean * logit - clip.mean()
    assert attribute(network, clip, objective, method="gradient").score == pytest.approx(
        expected, rel=1e-4
    )
    (result,) = Maximizer(network, objective).make(steps=2)
    again = scores(network, objective, result.clip[None])[0, 0]
    assert result.score == pytest.approx(again, rel=1e-4)
    # What preprocessing makes of the clip is not the clip.
    with pytest.raises(ValueError, match="Expected no preprocess"):
        scores(network, objective, clip[None], preprocess=lambda x: x)


@pytest.mark.parametrize(
    ("function", "layers", "message"),
    [
        (3, ["conv"], "Expected a function of activations. Received: 3"),
        (product, [], "layers= that the function reads"),
        (product, ["cnv"], "name of a layer, such as 'conv'"),
        (product, ["mean"], "reads, such as 'mean'. Received: 'conv'"),
        (lambda a: a["conv"], ["conv"], r"one number per clip, \(N,\).*\(.*4, 8, 8, 4\)"),
        (lambda a: a["conv"].mean(), ["conv"], "operations of keras.ops"),
    ],
)
def test_functions_that_score_no_clip_are_refused(network, clip, function, layers, message):
    with pytest.raises(ValueError, match=message):
        attribute(network, clip, objectives.function(function, layers), method="gradient")


# A start


@pytest.mark.parametrize("parametrization", ["pixels", "fourier"])
@pytest.mark.parametrize("shape", [SHAPE, (5, 7, 9, 3), (3, 8, 6, 2)])
def test_a_given_clip_is_the_start_to_the_pixel(parametrization, shape):
    from c3dvis.maximize import parametrizations

    layer = parametrizations.build(parametrization)
    layer.build((2, *shape))
    given = np.random.default_rng(1).uniform(0.02, 0.98, (2, *shape)).astype(np.float32)
    layer.start_from(given)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.decode()), given, atol=1e-5)


def test_clips_start_from_a_clip_each_or_one_for_all(network, clip):
    options = {"steps": 1, "learning_rate": 1e-6, "batch_size": 2}
    given = np.stack([clip, clip[::-1], 1 - clip])
    restarted = maximize(network, "conv:1-3", start=given, **options)
    np.testing.assert_allclose(restarted, given, atol=1e-3)
    restarted = maximize(network, "conv:1-3", start=clip, **options)
    np.testing.assert_allclose(restarted, np.stack([clip] * 3), atol=1e-3)
    (dream,) = Maximizer(network, "conv:1").make(start=clip, steps=12)
    assert dream.score > scores(network, "conv:1", clip[None])[0, 0]


@pytest.mark.parametrize(
    ("start", "options", "message"),
    [
        (np.zeros((2, *SHAPE)), {}, "or 1, one for each unit. Received: 2"),
        (np.zeros((4, 9, 8, 3)), {}, r"height 8.*clips.resize\(clip, \(8, 8\)\)"),
        (np.zeros(SHAPE, np.uint8), {}, "divide by 255"),
        (np.zeros(SHAPE), {"parametrization": "cppn"}, "'pixels' or 'fourier'.*Received: CPPN"),
    ],
)
def test_what_can_be_no_start_is_refused(network, start, options, message):
    with pytest.raises(ValueError, match=message):
        maximize(network, "conv:1", start=start, steps=1, **options)


def test_a_grey_parametrization_starts_from_grey_clips_alone(network, clip):
    from c3dvis.maximize.parametrizations import Pixels

    options = {"parametrization": Pixels(colours="grey"), "steps": 1, "learning_rate": 1e-6}
    grey = np.repeat(clip[..., :1], 3, axis=-1)
    np.testing.assert_allclose(
        maximize(network, "conv:1", start=grey, **options)[0], grey, atol=1e-3
    )
    with pytest.raises(ValueError, match="Expected a grey clip"):
        maximize(network, "conv:1", start=clip, **options)


# Messages


def test_a_clip_of_another_size_is_told_the_calls_that_fit_it(network, clip):
    long = np.repeat(clip, 2, axis=0)
    with pytest.raises(ValueError, match=r"; clips.sample\(clip, 4\) would fit it"):
        attribute(network, long, 0)
    large = np.zeros((3, 12, 16, 3))
    with pytest.raises(ValueError) as error:
        attribute(network, large, 0)
    calls = str(error.value).partition("; ")[2].removesuffix(" would fit it.").split(" and ")
    for call in calls:
        large = eval(call, {"clips": clips, "clip": large})
    assert large.shape == SHAPE
    with pytest.raises(ValueError, match=r"2 channels \(shape \(4, 8, 8, 2\)\)\.$"):
        attribute(network, clip[..., :2], 0)


def test_a_regularizer_of_arrays_is_told_of_keras_ops(network):
    with pytest.raises(ValueError, match="regularizers in the operations of keras.ops"):
        maximize(network, "conv:1", steps=1, regularizers=[lambda clips: clips.mean()])


def test_progress_ends_at_the_last_step(network, capsys):
    maximize(network, "conv:1", steps=5, steps_per_execution=4, verbose=1)
    printed = capsys.readouterr().out
    assert "5/5" in printed and "8/5" not in printed


# Several methods, and what is shown


def test_several_methods_are_a_dict_and_each_gets_its_own_options(network, clip):
    answers = attribute(
        network, clip, 0, method=["gradient", "integrated_gradients"], steps=2, baseline="black"
    )
    assert list(answers) == ["gradient", "integrated_gradients"]
    alone = attribute(network, clip, 0, steps=2, baseline="black")
    np.testing.assert_array_equal(answers["integrated_gradients"].heatmap, alone.heatmap)
    both = attribute(network, np.stack([clip, clip]), 0, method=["gradient"])
    assert len(both["gradient"]) == 2
    with pytest.raises(ValueError, match="such as 'steps'.*Received: 'step'"):
        attribute(network, clip, 0, method=["gradient", "integrated_gradients"], step=2)
    with pytest.raises(ValueError, match="at least one method"):
        attribute(network, clip, 0, method=[])


def test_results_are_one_line_of_text_and_pictures_in_a_notebook(network, clip):
    one = attribute(network, clip, 0, method="gradient")
    several = attribute(network, np.stack([clip] * 2), 0, method="gradient")
    by_method = attribute(network, clip, 0, method=["gradient", "gradient_x_input"])
    maps = feature_maps(network, clip, "conv")
    path = slow_to_fast(network, "conv:1", weights=[1, 0], steps=1)
    (maximized,) = Maximizer(network, "conv:1").make(steps=1)
    expected = [(one, 1), (several, 2), (by_method, 2), (maps, 4), (path, 2), (maximized, 1)]
    for result, pictures in expected:
        assert len(repr(result)) < 250 and "\n" not in repr(result)
        assert result._repr_html_().count("<img") == pictures
    many = feature_maps(network, clip, "conv", channels=[0] * 66)
    assert many._repr_html_().count("<img") == 64 and "and 2 more" in many._repr_html_()


# Names that other packages use


@pytest.mark.parametrize(
    ("given", "own"),
    [
        ("IntegratedGradients", "integrated_gradients"),
        ("integrated gradients", "integrated_gradients"),
        ("ig", "integrated_gradients"),
        ("GradCAM", "grad_cam"),
        ("grad-cam", "grad_cam"),
        ("Grad-CAM++", "grad_cam_plus_plus"),
        ("smoothgrad", "smooth_grad"),
        ("InputXGradient", "gradient_x_input"),
        ("gradient*input", "gradient_x_input"),
        ("RISE", "rise"),
        *((name, name) for name in methods.names()),
    ],
)
def test_a_method_is_known_in_any_spelling(given, own):
    assert method_name(given) == own


def test_no_two_methods_share_a_spelling_and_all_that_is_advised_exists():
    spelled = [method_names._spelled(name) for name in methods.names()]
    assert len(set(spelled)) == len(spelled)
    others = {**method_names._SAME, **method_names._NEAREST}
    assert not set(others) & set(spelled)
    assert all(method_names._spelled(name) == name for name in others)
    assert set(method_names._SAME.values()) <= set(methods.names())
    for advice in method_names._NEAREST.values():
        named = re.findall(r"'(\w+)'", re.sub(r"\w+='\w+'", "", advice))
        assert set(named) <= set(methods.names()), advice


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("saliency", "; use 'gradient' with magnitude=True. Received: 'saliency'"),
        ("DeepLIFT", "; use 'integrated_gradients', with baseline="),
        ("LIME", "; use 'occlusion' or 'rise', which hide parts of the clip. Received"),
        ("Occlusions", "such as 'occlusion'. Received: 'Occlusions'"),
        (None, "Received: None"),
    ],
)
def test_other_methods_are_refused_with_what_comes_nearest(network, clip, given, message):
    with pytest.raises(ValueError, match=message):
        attribute(network, clip, 0, method=given)


def test_methods_are_found_in_any_spelling_in_the_answer(network, clip):
    answers = attribute(network, clip, 0, method=["GradCAM", "ig"], steps=1)
    assert list(answers) == ["grad_cam", "integrated_gradients"]
    assert (
        answers["Grad-CAM"] is answers["grad_cam"]
        and answers["ig"].method == "integrated_gradients"
    )
    for missing in ("rise", "no such"):
        with pytest.raises(KeyError):
            answers[missing]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 1}, "; use the objective, which is the third argument. Received: 'target'"),
        ({"n_steps": 8}, "such as 'steps'"),
        ({"internal_batch_size": 8}, "; use batch_size"),
        ({"method": "occlusion", "window": (1, 2, 2)}, "; use block. Received: 'window'"),
        ({"method": "grad_cam", "samples": 2}, "such as 'layer', .*Received: 'samples'"),
        ({"baseline": "zeros"}, "'black', 'blur', .* a number in .* or a clip. Received: 'zeros'"),
    ],
)
def test_options_of_other_packages_lead_to_those_of_here(network, clip, options, message):
    with pytest.raises(ValueError, match=message):
        attribute(network, clip, 0, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed_input": 0}, "; use start. Received: 'seed_input'"),
        ({"thresholds": (1, 2)}, "; use snapshots"),
        ({"lr": 0.1}, "; use learning_rate"),
        ({"stepz": 2}, "such as 'steps'"),
        ({"optimizer": "adamm"}, "Keras optimizer or the name of one.*Received: 'adamm'"),
        ({"learning_rate": -1}, "learning rate above 0. Received: -1"),
        ({"learning_rate": "high"}, "learning rate above 0. Received: 'high'"),
        ({"transforms": ["jitter"]}, r"transforms.Jitter\(4\)\]; there is .* Received: \['jitter'"),
        ({"regularizers": ["tv"]}, "functions of clips as regularizers.*Received: 'tv'"),
        ({"regularizers": [np.mean]}, "keras.ops.*returns a NumPy array"),
        ({"steps": (2, 4)}, r"number of steps.*Received: \(2, 4\); snapshots= gives the clips"),
        ({"steps": True}, "number of steps.*Received: True"),
    ],
)
def test_options_of_maximize_lead_to_those_of_here(network, options, message):
    with pytest.raises(ValueError, match=message):
        maximize(network, 0, **{"steps": 1, **options})


def test_options_are_checked_wherever_they_are_passed_on(network):
    with pytest.raises(ValueError, match="; use learning_rate"):
        slow_to_fast(network, 0, weights=[0], steps=1, lr=0.1)
    with pytest.raises(ValueError, match="; use learning_rate"):
        GalleryCallback("conv:0", "out", lr=0.1)


def test_a_given_optimizer_takes_the_learning_rate(network):
    slow, fast = (
        maximize(network, 0, steps=1, optimizer="sgd", learning_rate=rate) for rate in (1e-9, 1e3)
    )
    assert np.abs(slow - fast).max() > 1e-3


def test_a_call_of_a_module_leads_to_its_function():
    with pytest.raises(TypeError, match=r"Expected c3dvis.maximize.maximize\(...\). Received"):
        c3dvis.maximize(None, 0)
    with pytest.raises(TypeError, match=r"Expected c3dvis.attribution.attribute\(...\). Received"):
        c3dvis.attribution(None, 0)
    with pytest.raises(AttributeError, match="it is c3dvis.attribution.attribute"):
        c3dvis.attribute  # noqa: B018 - it is looked up


def test_what_is_no_clip_leads_to_one(network, clip):
    one = attribute(network, clip, 0, method="gradient")
    for given, way in (
        ("wave.mp4", r"Received: 'wave.mp4'; clips.read\(path, frames=..., size=...\)"),
        (one, r"Received: Attribution.*; its animation\(\) is a clip"),
        (clip[0], r"shape \(8, 8, 3\); clip\[None\] is a clip of one frame"),
    ):
        with pytest.raises(ValueError, match=way):
            attribute(network, given, 0)
    for given in (one, [one]):
        with pytest.raises(ValueError, match=r"its animation\(\) is a clip"):
            clips.show(given)
    with pytest.raises(ValueError, match="class_names= takes a network"):
        models.decode_predictions(np.zeros((1, 3)), network)
    with pytest.raises(ValueError, match="ending; use '.mp4'. Received: '.avi'"):
        one.save("heat.avi")


@pytest.mark.parametrize("changed", ["moveaxis, 1", "moveaxis, 0", "grey"])
def test_channels_are_told_the_call_that_fits_them(network, clip, changed):
    given = clip[..., :1]
    if changed != "grey":
        given = np.moveaxis(clip, -1, int(changed[-1]))
    with pytest.raises(ValueError) as error:
        attribute(network, given, 0)
    call = re.search(r"np\.\w+\(clip.*\) would fit it", str(error.value)).group()
    fitted = eval(call.removesuffix(" would fit it"), {"np": np, "clip": given})
    assert attribute(network, fitted, 0, method="gradient").clip.shape == SHAPE


# The command


def test_the_command_lists_the_others_and_runs_them(capsys):
    assert command.main([]) == 0
    listed = capsys.readouterr().out
    assert all(
        f"\n  {name} " in listed
        for name in ("gallery", "attribution", "responses", "audit", "bench", "models")
    )
    assert command.main(["galery"]) == 2
    error = capsys.readouterr().err
    assert error == "error: Expected a command, such as 'gallery'. Received: 'galery'.\n"
    with pytest.raises(SystemExit) as end:
        command.main(["responses", "--help"])
    assert end.value.code == 0 and "--random-kernel" in capsys.readouterr().out


def test_the_command_answers_without_keras():
    code = "import sys, c3dvis.__main__ as m; m.main([]); sys.exit('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr
