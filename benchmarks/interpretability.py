"""Whether explanations of units tell which of two unseen clips excites them more (Video-MIS).

python benchmarks/interpretability.py [--sections planted moving real] [--real FOLDER ...]
    [--gallery FOLDER] [--units N] [--steps N] [--keep FOLDER] [--out docs/interpretability.md]

planted: 32 units of one feature each, beside 32 units of each of two kinds of mixtures.
words: the same units, described (`responses.describe`): whether the words name what was planted and
are taken back for mixtures.
moving: units of networks that come with the package, asked about clips of `c3dvis.motion`.
real: units of I3D with the weights of Kinetics, asked about windows of the films in folders. With
--gallery, synthetic clips are those of a gallery of it, read back from their GIFs, and those of
other units stand against each.

Explained by synthetic clips of this package, by strong and weak real clips, both, real clips at
random, and, where tf-keras-vis is installed, its synthetic clips. With Keras 3, by its defaults
these stay grey noise: --their-scale 1e6 lets its optimizer move.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import planted_mixtures
import same_activation
from machine import add_out, state, write_page

from c3dvis import intervals, models, objectives, responses
from c3dvis.clips import read as read_clip
from c3dvis.maximize import maximize
from c3dvis.motion import MovingEvidence
from c3dvis.responses import clip_sources

THEIRS = "tf-keras-vis"
EXPLANATIONS = ("synthetic", "top", "both", "random")
# A layer in the middle of each network that comes with the package.
MOVING = {
    "c3d-motion": ("conv3b",),
    "i3d-motion": ("Mixed_3c",),
    "r3d-motion": ("layer2.1",),
    "r2plus1d-motion": ("layer2.1",),
    "mc3-motion": ("layer2.1",),
    "tsm-motion": ("layer2.1",),
    "convlstm-motion": ("convlstm1",),
}
REAL = ("Conv3d_2c_3x3", "Mixed_3c", "Mixed_4d")
_CLIPS = 200


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    lines = ["# Whether explanations of units explain them", "", _ABOUT, "", *state(), ""]
    sections = {"planted": planted, "words": words, "moving": moving, "real": real}
    for name, section in sections.items():
        if name in args.sections:
            lines += section(args)
    write_page("\n".join(lines).rstrip() + "\n", args.out)


_ABOUT = (
    "Written by `benchmarks/interpretability.py`, which says what is measured. A score is the "
    "share of tasks in which what explains a unit points to the one of two unseen clips that "
    "excites it more (`responses.video_mis`, after Zimmermann, Klindt and Brendel 2024): 1 is "
    "always, 0.5 is guessing. Clips are compared by a fixed bank of features of motion, form and "
    "colour."
)


# Planted units


def planted(args: argparse.Namespace) -> list[str]:
    """Whether units of one feature score higher than mixtures, and scores are the same again."""
    network = planted_mixtures.network()
    clips = np.stack(list(planted_mixtures.clips(args.clips)))
    kinds = (planted_mixtures.SINGLE, planted_mixtures.ANY, planted_mixtures.EITHER)
    swept = responses.sweep(network, clips, layers=kinds, batch_size=8, verbose=0)
    space = responses.FeatureSpace(clips)

    def scores(layer: str, which=slice(None), space=space, order=None) -> np.ndarray:
        own = np.asarray(swept[layer].scores[which], np.float32)
        own = own if order is None else own[order]
        names = tuple(map(str, range(len(own))))
        one = responses.Sweep(names, names, {}, {layer: replace(swept[layer], scores=own)})
        return responses.video_mis(one, layer, clips[which], similarity=space).scores

    whole = {kind: scores(kind) for kind in kinds}
    halves = []
    for first in (0, 1):
        which = slice(first, None, 2)
        part = responses.FeatureSpace(clips[which])
        halves.append({kind: scores(kind, which, part) for kind in kinds})
    rows = ["| units | score, mean (least to greatest) | AUC of single features against these |"]
    rows += ["|---|---|---|"]
    for kind, own in whole.items():
        against = "" if kind == kinds[0] else f"{auc(whole[kinds[0]], own):.2f}"
        spread = f"{own.mean():.2f} ({own.min():.2f} to {own.max():.2f})"
        rows.append(f"| {_PLANTED[kind]} | {spread} | {against} |")
    apart = [np.concatenate([half[kind] for kind in kinds]) for half in halves]
    same = float(np.corrcoef(*apart)[0, 1])
    shuffled = [
        scores(kinds[0], order=np.random.default_rng(seed).permutation(len(clips))).mean()
        for seed in range(10)
    ]
    return [
        "## Planted units",
        "",
        f"{args.clips} textured clips with one thing that moves, in any direction, speed, scale "
        "and colour. 32 units of each kind.",
        "",
        *rows,
        "",
        f"- Split-half reliability: the scores by one half of the clips correlate with those by "
        f"the other with {same:.2f}, which is {2 * same / (1 + same):.2f} for all clips "
        "(Spearman and Brown).",
        f"- Shuffled scores: {np.mean(shuffled):.3f} (10 shuffles, {min(shuffled):.2f} to "
        f"{max(shuffled):.2f}).",
        "- What the score is not: a count of the things that a unit answers to. Where any of six "
        "will do, clips that show one of them are still more alike than others, so that such units "
        "score about as high as those of one feature.",
        "",
    ]


_PLANTED = {
    planted_mixtures.SINGLE: "one feature: a direction, speed and colour",
    planted_mixtures.ANY: "any of six features: the strongest counts",
    planted_mixtures.EITHER: "one pair of features or another pair, never one of each",
}


def auc(ones: np.ndarray, others: np.ndarray) -> float:
    """How often one of the ones is above one of the others; equal ones count half."""
    difference = ones[:, None] - others
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def words(args: argparse.Namespace) -> list[str]:
    """Whether descriptions name what was planted, and say where they can't tell."""
    network = planted_mixtures.network()
    clips = np.stack(list(planted_mixtures.clips(_CLIPS)))
    units = list(range(0, len(planted_mixtures.waves()), 2))
    rows = ["| units | told | right words | AUC, mean (least to greatest) |", "|---|---|---|---|"]
    examples = []
    for kind, in_words in _PLANTED.items():
        described = responses.describe(network, kind, clips, channels=units)
        scores = np.array([one.auc for one in described])
        told = sum(one.tells for one in described)
        right = ""
        if kind == planted_mixtures.SINGLE:
            waves = [list(planted_mixtures.waves().values())[unit] for unit in units]
            right = f"{sum(map(_names, described, waves))} of {len(described)}"
        spread = f"{scores.mean():.2f} ({scores.min():.2f} to {scores.max():.2f})"
        rows.append(f"| {in_words} | {told} of {len(described)} | {right} | {spread} |")
        examples += [f"- {in_words}: {described[0]}", f"- {in_words}: {described[-1]}"]
        print(rows[-1], file=sys.stderr, flush=True)
    return [
        "## Planted units in words",
        "",
        "Words are said where they agree with the unit over all clips (rank correlation of 0.5 or "
        "more, nine of ten of its strongest clips before others) and clips generated from them "
        "excite it more than contrary ones; else the description says that it can't tell. Right "
        "are words with the planted direction, colours, and speed within 20 %. AUC is how often "
        "words put one of the strongest tenth of the clips before another.",
        "",
        *rows,
        "",
        *examples,
        "",
    ]


def _names(described: responses.Description, wave) -> bool:
    """Whether words name the direction, colours and speed of a wave."""
    way = ("rightward", "rightward and upward", "upward", "leftward and upward", "leftward")
    way += ("leftward and downward", "downward", "rightward and downward")
    colours = {
        (1.0, 1.0, 1.0): "light against dark",
        planted_mixtures.RED_GREEN: "red against green",
        planted_mixtures.BLUE_YELLOW: "blue against yellow",
    }
    start = f"{way[round(wave.direction / 45)]} motion at "
    if not described.words.startswith(start) or colours[wave.colour] not in described.words:
        return False
    speed = float(described.words.removeprefix(start).split()[0])
    return abs(speed - wave.speed) <= 0.2 * wave.speed


# Trained networks


def moving(args: argparse.Namespace) -> list[str]:
    clips = MovingEvidence(seed=7).batch(0, _CLIPS).clips
    lines = ["## Networks that come with the package", ""]
    lines += [f"{_CLIPS} clips of `c3dvis.motion` that no network was trained on.", ""]
    space = responses.FeatureSpace(clips)
    for name in args.networks:
        layers = args.moving_layers or MOVING[name]
        lines += table(models.build(name), name, layers, clips, None, space, args)
    return lines


def real(args: argparse.Namespace) -> list[str]:
    network = models.build("i3d", weights="kinetics400", input_shape=(16, 112, 112, 3))
    read = [one for folder in args.real for one in _read(folder, args.windows)]
    clips, films = np.stack([one.clip for one in read]), [one.source for one in read]
    space = responses.FeatureSpace(clips)
    lines = ["## I3D with the weights of Kinetics", ""]
    lines += [f"{len(clips)} clips of {len(set(films))} films, of 16 frames of 112 x 112.", ""]
    if args.gallery is not None:
        about = (
            "Synthetic clips are read from GIFs of a gallery; against a unit stand those of others."
        )
        lines += [about, ""]
    return lines + table(network, "i3d", args.layers, clips, films, space, args)


def _read(folder: Path, windows: int) -> Iterator[clip_sources.NamedClip]:
    given = clip_sources.of(folder, frames=16, size=(112, 112), windows=windows)
    for one in given.start_at(0):
        if one.clip is not None and one.clip.shape[-1] == 3:
            yield one


def table(network, name, layers, clips, films, space, args) -> list[str]:
    """A row a layer, a column for each explanation."""
    swept = responses.sweep(network, clips, layers=layers, verbose=0)
    theirs = [THEIRS] if _has_theirs() and args.gallery is None else []
    columns = [*EXPLANATIONS, *theirs]
    rows = [f"### {name}", "", f"| layer | units | {' | '.join(columns)} |"]
    rows += ["|---" * (len(columns) + 2) + "|"]
    every: dict[str, list[np.ndarray]] = {column: [] for column in columns}
    for layer in layers:
        scores = layer_scores(network, swept, layer, clips, films, space, args)
        print(f"{name} {layer}: {_cells(scores)}", file=sys.stderr, flush=True)
        for column in columns:
            every[column].append(scores[column])
        rows.append(f"| {layer} | {len(scores['top'])} | {' | '.join(_cells(scores).values())} |")
    joined = {column: np.concatenate(each) for column, each in every.items()}
    bounds = {column: intervals.bootstrap(each) for column, each in joined.items()}
    cells = [f"{b.mean:.2f} ({b.low:.2f} to {b.high:.2f})" for b in bounds.values()]
    rows.append(f"| all | {len(joined['top'])} | {' | '.join(cells)} |")
    return [*rows, "", *_verdict(joined), ""]


def layer_scores(network, swept, layer, clips, films, space, args) -> dict[str, np.ndarray]:
    """Scores of the first units of a layer that answer to the clips, by explanation."""
    own = np.asarray(swept[layer].scores, np.float32)
    strong, weak = np.quantile(own, [0.9, 0.1], axis=0)
    units = np.flatnonzero(strong > weak)
    if args.gallery is not None:
        units = np.intersect1d(units, [int(gif.stem) for gif in _gifs(args.gallery, layer)])
    units = units[: args.units].tolist()
    ours = _ours(network, layer, units, args)
    options = {"channels": units, "films": films, "similarity": space}
    scores = {}
    for kind in EXPLANATIONS:
        synthetic = ours if kind in ("synthetic", "both") else {}
        mis = responses.video_mis(swept, layer, clips, explanation=kind, **synthetic, **options)
        scores[kind] = mis.scores
    if _has_theirs() and args.gallery is None:
        synthetic = _theirs(network, layer, units, args)
        mis = responses.video_mis(
            swept, layer, clips, explanation="synthetic", **synthetic, **options
        )
        scores[THEIRS] = mis.scores
    return scores


def _gifs(gallery: Path, layer: str) -> list[Path]:
    return [gif for gif in (gallery / layer).glob("*.gif") if gif.stem.isdigit()]


def _ours(network, layer, units, args) -> dict[str, np.ndarray]:
    """Synthetic clips for the units, and against them unless those of others stand against each."""
    if args.gallery is not None:
        gifs = [args.gallery / layer / f"{unit}.gif" for unit in units]
        # A GIF holds equal frames that follow each other once.
        return {"synthetic": np.stack([read_clip(gif, frames=16, short="hold") for gif in gifs])}
    steps = {} if args.steps is None else {"steps": args.steps}

    def make(some: list[int], sign: int) -> np.ndarray:
        return maximize(network, sign * objectives.channel(layer, some), verbose=0, **steps)

    return _each(f"{network.name}-{layer}", units, make, args, together=True)


def _each(
    name: str, units: list[int], make: Callable, args, *, together: bool = False
) -> dict[str, np.ndarray]:
    """Clips for the units and against them, kept as soon as they are made."""
    synthetic = {}
    for kind, sign in {"synthetic": 1, "against": -1}.items():
        if kind == "against" and args.others:
            continue
        path = None if args.keep is None else args.keep / f"{name}-{kind}.npz"
        clips = {}
        if path is not None and path.is_file():
            with np.load(path) as stored:
                clips = dict(stored)
        missing = [unit for unit in units if str(unit) not in clips]
        for some in [missing] if together and missing else [[unit] for unit in missing]:
            clips |= dict(zip(map(str, some), make(some, sign), strict=True))
            if path is not None:
                args.keep.mkdir(parents=True, exist_ok=True)
                np.savez(path, **clips)
        synthetic[kind] = np.stack([clips[str(unit)] for unit in units])
    return synthetic


def _has_theirs() -> bool:
    return importlib.util.find_spec("tf_keras_vis") is not None


def _theirs(network, layer, units, args) -> dict[str, np.ndarray]:
    """Clips of tf-keras-vis for and against each unit, by its defaults but for a scale."""
    synthetic = same_activation.theirs(network, layer, quick=True)

    def make(one: list[int], sign: int) -> np.ndarray:
        own = same_activation.their_score(one[0])
        score = same_activation.scaled_score(own, sign * args.their_scale)
        clip = synthetic(score, args.their_steps)
        return np.clip(np.asarray(clip), 0, 1)

    scaled = "" if args.their_scale == 1 else f"-{args.their_scale:g}"
    return _each(f"{network.name}-{layer}-{THEIRS}{scaled}", units, make, args)


def _cells(scores: Mapping[str, np.ndarray]) -> dict[str, str]:
    return {name: f"{each.mean():.2f}" for name, each in scores.items()}


def _verdict(scores: Mapping[str, np.ndarray]) -> list[str]:
    """What wins, in words, unit by unit."""
    pairs = [("top", "synthetic", "strong and weak real clips", "synthetic clips")]
    if THEIRS in scores:
        pairs.append(("synthetic", THEIRS, "synthetic clips of the package", f"those of {THEIRS}"))
    lines = []
    for one, other, one_words, other_words in pairs:
        gain = intervals.bootstrap(scores[one] - scores[other])
        if gain.low > 0:
            verdict = f"explain units better than {other_words}"
        elif gain.high < 0:
            verdict = f"explain units worse than {other_words}"
        else:
            verdict = f"and {other_words} can't be told apart"
        numbers = f"{gain.mean:+.2f}, 95 % interval {gain.low:+.2f} to {gain.high:+.2f}"
        lines.append(f"- {one_words.capitalize()} {verdict} ({numbers}).")
    return lines


def _arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = ("planted", "words", "moving", "real")
    add = parser.add_argument
    add("--sections", nargs="+", choices=sections, default=sections[:3])
    add("--clips", type=int, default=800, help="of the planted section")
    add("--networks", nargs="+", choices=MOVING, default=list(MOVING))
    add("--real", nargs="+", type=Path, default=[], metavar="FOLDER", help="of films")
    add("--layers", nargs="+", default=REAL, help="of I3D")
    add("--windows", type=int, default=2, help="clips of each film")
    add("--gallery", type=Path, help="of I3D, with the synthetic clips")
    add("--keep", type=Path, help="folder that keeps synthetic clips, so that a run can go on")
    add("--others", action="store_true", help="synthetic clips of other units stand against each")
    add("--moving-layers", nargs="+", help="of networks that come with the package")
    add("--units", type=int, default=8, help="of each layer")
    add("--steps", type=int, help="of the optimizer; default: Maximizer's")
    add("--their-steps", type=int, default=200, help="of tf-keras-vis")
    add("--their-scale", type=float, default=1.0, help="its score is multiplied by this")
    add_out(parser)
    args = parser.parse_args(arguments)
    if "real" in args.sections and not args.real:
        parser.error("the section real needs --real FOLDER")
    return args


if __name__ == "__main__":
    keras.utils.disable_interactive_logging()
    main()
