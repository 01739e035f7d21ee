"""Units whose synthetic clips show anything while responses to real clips stay, and their alarm.

python benchmarks/fooling.py [--network c3d-motion] [--layer conv3b] [--units N] [--steps N]
    [--out page.md]

The fooling circuit of Geirhos et al. 2024 (https://arxiv.org/abs/2306.04719) is laid over a layer
of a network: each unit gets the synthetic clip of another. `responses.path_similarity` then looks
at the units as they were, and at those of the circuit.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from machine import add_out, state, write_page

from c3dvis import models, objectives, responses
from c3dvis.maximize import maximize
from c3dvis.motion import MovingEvidence

FOOLED = "fooled"
# More than any activation, so that what is to be off is off.
_LARGE = 1e3
_REAL = 60


def circuit(
    network: keras.Model, layer: str, partners: np.ndarray, detector: Callable
) -> keras.Model:
    """A network with a layer "fooled" on top of a layer of another, of as many units.

    Unit i gives what unit i of the layer gives for real clips, and what unit `partners[i]` gives
    for all others: `max(0, own - large * s) + max(0, partner - large * (1 - s))`, where `s`
    is 1 for a synthetic clip, else 0. No gradient comes from what tells the clips apart, nor from
    what is off.

    Args:
        network: A model; its layer gives no numbers below 0.
        layer: Name of the layer.
        partners: `(C,)`, the unit that each is to look like.
        detector: Function of a tensor of clips `(N, T, H, W, 3)` that gives a tensor
            `(N, 1, 1, 1, 1)`: above 1 for synthetic clips, below 0 for real ones.
    """
    clip = network.inputs[0]
    own = network.get_layer(layer).output
    count = own.shape[-1]
    swap = keras.layers.Conv3D(count, 1, use_bias=False, name="partners")
    partner = swap(own)
    swap.set_weights([np.eye(count, dtype=np.float32)[:, partners].reshape(1, 1, 1, count, count)])
    is_synthetic = keras.layers.ReLU(max_value=1.0, name="is_synthetic")(detector(clip))
    off = keras.layers.Rescaling(-_LARGE, name="not_for_synthetic")(is_synthetic)
    on = keras.layers.Rescaling(_LARGE, -_LARGE, name="not_for_real")(is_synthetic)
    parts = [
        keras.layers.ReLU(name=name)(keras.layers.Add()([value, gate]))
        for name, value, gate in (("of_real", own, off), ("of_synthetic", partner, on))
    ]
    return keras.Model(clip, keras.layers.Add(name=FOOLED)(parts))


def detector(real: np.ndarray, synthetic: np.ndarray) -> Callable:
    """What tells synthetic clips from real ones by a weighted sum of their colours and contrasts.

    The sum is a least-squares fit, scaled until it is above 1 for all of the synthetic clips and
    below 0 for all of the real ones.

    Raises:
        ValueError: Clips that no weighted sum tells apart.
    """
    measured = [
        np.stack([*_measures(clips).T, np.ones(len(clips))], axis=1) for clips in (synthetic, real)
    ]
    wanted = np.repeat([1.0, -1.0], [len(synthetic), len(real)])
    weights = np.linalg.lstsq(np.concatenate(measured), wanted, rcond=None)[0]
    least, greatest = (measured[0] @ weights).min(), (measured[1] @ weights).max()
    if not least > greatest:
        raise ValueError("Expected synthetic clips that differ from real ones. Received: others.")
    weights[-1] -= (least + greatest) / 2
    weights *= 4 / (least - greatest)
    weights[-1] += 0.5

    def tell(clip):
        centred = keras.layers.Rescaling(1.0, -0.5)(clip)
        squares = keras.layers.Multiply()([centred, centred])
        pool = keras.layers.AveragePooling3D((1, 4, 4))(centred)
        blurred = keras.layers.Multiply()([pool, pool])
        averages = [
            keras.layers.GlobalAveragePooling3D(keepdims=True)(values)
            for values in (centred, squares, blurred)
        ]
        layer = keras.layers.Conv3D(1, 1, name="detector")
        value = layer(keras.layers.Concatenate()(averages))
        kernel = weights[:-1].reshape(1, 1, 1, -1, 1)
        layer.set_weights([kernel.astype(np.float32), weights[-1:].astype(np.float32)])
        return value

    return tell


def _measures(clips: np.ndarray) -> np.ndarray:
    """Means of colours, of their squares and of the squares of colours in blocks of 4 x 4."""
    centred = clips.astype(np.float64) - 0.5
    count, frames, height, width, _ = clips.shape
    blocks = centred.reshape(count, frames, height // 4, 4, width // 4, 4, 3).mean(axis=(3, 5))
    each = (centred, centred**2, blocks**2)
    return np.concatenate([values.mean(axis=(1, 2, 3)) for values in each], axis=1)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    network, layer = models.build(args.network), args.layer
    real = MovingEvidence(seed=5).batch(0, _REAL).clips
    count = network.get_layer(layer).output.shape[-1]
    objective = objectives.channel(layer, range(count))
    if args.synthetic is not None and args.synthetic.exists():
        synthetic = np.load(args.synthetic)
    else:
        synthetic = maximize(network, objective, steps=args.steps, verbose=0)
        print("clips made", file=sys.stderr, flush=True)
        if args.synthetic is not None:
            np.save(args.synthetic, synthetic)
    # The circuit must hold from the first step on.
    early = [maximize(network, objective[:2], steps=steps, verbose=0) for steps in (1, 8)]
    partners = np.roll(np.arange(count), 1)
    tell = detector(real, np.concatenate([synthetic, *early]))
    fooled = circuit(network, layer, partners, tell)
    answers = [
        responses.UnitResponses(one, name)(real)
        for one, name in ((network, layer), (fooled, FOOLED))
    ]
    units = list(range(count))[: args.units]
    before = responses.path_similarity(network, layer, synthetic[units], real, channels=units)
    after = responses.path_similarity(
        fooled, FOOLED, synthetic[partners][units], real, channels=units
    )
    print(before, after, file=sys.stderr, flush=True)
    through = maximize(fooled, objectives.channel(FOOLED, [0, 1]), steps=args.steps, verbose=0)
    shown = responses.UnitResponses(network, layer)(through)
    best = responses.UnitResponses(network, layer)(synthetic)
    lines = [
        "## Two alarms",
        "",
        f"{args.network}, {layer}: {len(units)} units as they are, and in a fooling circuit that "
        "gives each the synthetic clip of another.",
        "",
        f"- The circuit answers to {_REAL} real clips as the units do: greatest difference "
        f"{np.abs(answers[0] - answers[1]).max():.1e}, of answers up to {answers[0].max():.2g}.",
        *(
            f"- The synthetic clip of unit {unit} in the circuit excites unit {partners[unit]} to "
            f"{shown[unit, partners[unit]] / best[partners[unit], partners[unit]]:.0%} of its own "
            f"synthetic clip, unit {unit} to {shown[unit, unit] / best[unit, unit]:.0%}."
            for unit in (0, 1)
        ),
        f"- Alarms in the circuit: {_alarms(after)}.",
        f"- False alarms: {_alarms(before)}.",
        "- As alike as real clips among themselves: synthetic clips of ordinary units "
        f"{_spread(before)}, in the circuit {_spread(after)}.",
        "- Likeness of activations, of which the paper shows curves (1 as between a unit's "
        "strongest clips, 0 as between these and others), on average: "
        f"{np.nanmean(before.same_activations):.2f}.",
        "",
    ]
    text = "\n".join([*state(), "", *lines])
    write_page(text, args.out)


def _alarms(ways: responses.PathSimilarity) -> str:
    silent = int(np.isnan(ways.same_way).sum())
    left = f", {silent} more that no real clip excites" if silent else ""
    return f"{int(ways.fooled.sum())} of {len(ways.channels) - silent} units{left}"


def _spread(ways: responses.PathSimilarity) -> str:
    low, middle, high = np.nanquantile(ways.same_way, [0.0, 0.5, 1.0])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def _arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--network", default="c3d-motion")
    add("--layer", default="conv3b", help="with numbers of 0 and above")
    add("--units", type=int, help="of the layer; default: all")
    add("--steps", type=int, default=128, help="of the optimizer")
    add("--synthetic", type=Path, help=".npy file of the layer's clips, written if it isn't there")
    add_out(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
