"""The way through a network: contributions by hand, a fooling circuit found, ordinary units not."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from c3dvis import responses

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import fooling

SHAPE = (2, 2, 2, 3)


@pytest.fixture(scope="module")
def network():
    """Of red, green and blue, units 0 and 1 are 2 red + green and 3 green."""
    clip = keras.Input(SHAPE)
    colours = keras.layers.Conv3D(3, 1, use_bias=False, activation="relu", name="colours")
    units = keras.layers.Conv3D(2, 1, use_bias=False, activation="relu", name="units")
    network = keras.Model(clip, units(colours(clip)))
    colours.set_weights([np.eye(3, dtype=np.float32).reshape(1, 1, 1, 3, 3)])
    weights = np.array([[2, 0], [1, 3], [0, 0]], np.float32)
    units.set_weights([weights.reshape(1, 1, 1, 3, 2)])
    return network


@pytest.fixture(scope="module")
def fooled(network):
    """Unit 0 gives what unit 1 does for clips with blue, and unit 1 what unit 0 does."""

    def has_blue(clip):
        blue = keras.layers.Conv3D(1, 1, use_bias=False, name="blue")
        value = keras.layers.GlobalAveragePooling3D(keepdims=True)(blue(clip))
        blue.set_weights([np.array([0, 0, 20], np.float32).reshape(1, 1, 1, 3, 1)])
        return keras.layers.Rescaling(1.0, -5.0)(value)  # 0 at 0.25

    return fooling.circuit(network, "units", np.array([1, 0]), has_blue)


def plain(*colours):
    """Clips of one colour each."""
    given = np.array(colours, np.float32)
    return np.broadcast_to(given[:, None, None, None], (len(given), *SHAPE)).copy()


REAL = plain([1, 0.1, 0], [0.9, 0, 0], [0, 0.9, 0], [0.1, 0.8, 0], [0, 0, 0.1], [0.1, 0, 0])


def test_likeness_by_hand(network):
    """Red, (1, 0, 0), gives (2, 0, 0); the strongest give (2, 0.1, 0) and (1.8, 0, 0)."""
    ways = responses.path_similarity(
        network, "units", plain([1, 0, 0]), REAL, channels=[0], top=2, batch_size=4
    )
    cosine = 2 / np.hypot(2, 0.1)
    assert ways.layers == ("colours",)
    np.testing.assert_allclose(ways.synthetic, [[(cosine + 1) / 2]], rtol=1e-5)
    np.testing.assert_allclose(ways.real, [[cosine]], rtol=1e-5)
    assert ways.same_way == pytest.approx([(1 + 1 / cosine) / 2], rel=1e-5)
    assert not ways.fooled[0] and "through the same channels" in ways.sentence(0)
    assert repr(ways) == "PathSimilarity('units', 1 units, 0 alarms)"


def test_activations_are_as_alike_as_those_of_the_strongest_clips(network):
    """1 as between them, 0 as between them and others: by hand for a synthetic clip that is one."""
    ways = responses.path_similarity(network, "units", REAL[:1], REAL, channels=[0], top=3, seed=1)
    shown = np.concatenate([REAL[:1], REAL[[0, 1, 3]], REAL[[2, 4, 5]]]).mean(axis=(1, 2, 3))
    order = np.argsort(-(shown[1:] @ [2, 1, 0]))
    shown[1:] = shown[1:][order]
    standard = (shown - shown[1:].mean(axis=0)) / shown[1:].std(axis=0)
    unit = standard / np.linalg.norm(standard, axis=1, keepdims=True)
    cosines = unit @ unit.T
    best, others = cosines[1:4, 1:4][np.triu_indices(3, 1)].mean(), cosines[1:4, 4:].mean()
    expected = (cosines[0, 1:4].mean() - others) / (best - others)
    np.testing.assert_allclose(ways.activation, [[expected]], rtol=1e-4)
    assert ways.same_activations == pytest.approx([expected], rel=1e-4)
    assert ways.activations_sentence(0).startswith(f"Path similarity {expected:.2f}: in the layers")


def test_a_circuit_answers_to_real_clips_as_before_and_to_made_ones_as_another(network, fooled):
    np.testing.assert_allclose(fooled(REAL), network(REAL), rtol=1e-4, atol=1e-4)
    blue = plain([0.2, 0.6, 1], [1, 0, 0.4])
    swapped = np.asarray(network(blue))[..., ::-1]
    np.testing.assert_allclose(fooled(blue), swapped, rtol=1e-3, atol=1e-3)


def test_the_circuit_is_found_and_ordinary_units_are_not(network, fooled):
    """The synthetic clip of unit 0 in the circuit is that of unit 1: green, and blue."""
    looks_like_the_other = plain([0, 1, 1], [1, 0, 1])
    ways = responses.path_similarity(fooled, fooling.FOOLED, looks_like_the_other, REAL, top=2)
    assert ways.fooled.tolist() == [True, True] and ways.same_way.max() < 0.1
    assert "Don't trust" in ways.sentence(0)
    own = responses.path_similarity(network, "units", plain([1, 0, 1], [0, 1, 1]), REAL, top=2)
    assert own.fooled.tolist() == [False, False]


def test_a_unit_that_nothing_excites_has_no_way(network):
    black = plain(*[[0, 0, 0]] * 6)
    none = responses.path_similarity(network, "units", black[:1], black, channels=[0], top=2)
    assert np.isnan(none.same_way).all()
    ways = responses.path_similarity(network, "units", plain([1, 0, 0]), black, channels=[0], top=2)
    assert np.isnan(ways.same_way).all() and not ways.fooled.any()
    assert "No path can be compared" in ways.sentence(0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"synthetic": plain([1, 0, 0])},
        {"top": 1},
        {"top": 4},
        {"channels": [2, 0]},
        {"layer": "colours"},
        {"layer": "unit"},
        {"clips": np.zeros((6, 2, 2, 3), np.float32)},
    ],
)
def test_what_does_not_fit_is_refused(network, wrong):
    given = {"layer": "units", "synthetic": plain([1, 0, 0], [0, 1, 0]), "clips": REAL, "top": 2}
    with pytest.raises(ValueError, match=r"Expected .*[Rr]eceived|[Uu]nknown"):
        responses.path_similarity(network, **{**given, **wrong})


def test_sentences_are_of_the_units_asked_for(network):
    ways = responses.path_similarity(network, "units", plain([1, 0, 0]), REAL, channels=[0], top=2)
    with pytest.raises(ValueError, match="Expected one of the units"):
        ways.sentence(1)


def test_a_branch_is_no_path():
    """Colours, and blue beside them, which others bypass: only what all pass through counts."""
    clip = keras.Input(SHAPE)
    colours = keras.layers.Conv3D(3, 1, use_bias=False, activation="relu", name="colours")
    branch = keras.layers.Conv3D(3, 1, use_bias=False, name="branch")
    units = keras.layers.Conv3D(1, 1, use_bias=False, activation="relu", name="units")
    shown = colours(clip)
    merged = keras.layers.Add(name="merged")([shown, branch(shown)])
    network = keras.Model(clip, units(merged))
    colours.set_weights([np.eye(3, dtype=np.float32).reshape(1, 1, 1, 3, 3)])
    # Takes green away from blue, which red and green make up for.
    mixed = np.array([[0, 0, 0.1], [0, 0, -0.1], [0, 0, 0]], np.float32)
    branch.set_weights([mixed.reshape(1, 1, 1, 3, 3)])
    units.set_weights([np.array([1, 1, 1], np.float32).reshape(1, 1, 1, 3, 1)])
    real = plain([1, 0.4, 0], [1, 0.5, 0], [0.3, 0, 0], [0.2, 0, 0], [0.1, 0, 0], [0, 0, 0])
    # Its branch contributes -0.05, that of the real clips 0.05: opposite, and beside the point.
    ways = responses.path_similarity(
        network, "units", plain([0.5, 1, 0]), real, channels=[0], top=2
    )
    assert ways.layers == ("colours", "merged")
    # Red contributes 1 + 0.1 of itself, green 1 - 0.1.
    of_made, of_real = (np.array([1.1 * red, 0.9 * green]) for red, green in ((0.5, 1), (1, 0.45)))
    cosine = of_made @ of_real / np.linalg.norm(of_made) / np.linalg.norm(of_real)
    assert ways.synthetic[0, 0] == pytest.approx(cosine, abs=0.01)
    assert not ways.fooled[0]


def test_layers_where_real_clips_share_no_path_are_not_compared(network):
    """Red excites unit 0, and green, one each: there is no path that a clip could leave."""
    apart = plain([0.5, 0, 0], [0, 1, 0], [0, 0, 0.1], [0, 0, 0.2])
    ways = responses.path_similarity(network, "units", plain([1, 0, 0]), apart, channels=[0], top=2)
    assert ways.real[0, 0] == pytest.approx(0) and np.isnan(ways.same_way[0])


def test_channels_that_contribute_the_other_way_are_the_same_channels():
    """One below its threshold takes from a unit what it gives above, by the same channel."""
    clip = keras.Input(SHAPE)
    centred = keras.layers.Conv3D(3, 1, name="centred")
    units = keras.layers.Conv3D(1, 1, activation="relu", name="units")
    network = keras.Model(clip, units(centred(clip)))
    eye = np.eye(3, dtype=np.float32).reshape(1, 1, 1, 3, 3)
    centred.set_weights([eye, np.full(3, -0.5, np.float32)])
    red = np.array([1, 0, 0], np.float32).reshape(1, 1, 1, 3, 1)
    units.set_weights([red, np.ones(1, np.float32)])
    real = plain([1, 0, 0], [0.9, 0, 0], [0.5, 0, 0], [0.4, 0, 0])
    # Red contributes -0.5 to a clip that has none, 0.5 and 0.4 to the strongest real ones.
    ways = responses.path_similarity(network, "units", plain([0, 0, 0]), real, top=2)
    assert ways.synthetic[0, 0] == pytest.approx(1) and not ways.fooled[0]
