"""Whether heatmaps lie on the evidence, where it is known and the network is shown to use it.

python benchmarks/attribution.py [--networks c3d-motion ...] [--methods step ...] [--clips N]
                                 [--slow-methods-clips M] [--candidates N]
                                 [--out docs/attribution.md]

The page is written anew with every answer: a run that is cut short leaves what it has.
"""

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import keras
import machine
import numpy as np
from keras import layers, ops

from c3dvis import models, objectives
from c3dvis.attribution import attribute, baselines, methods, metrics, temporal
from c3dvis.attribution.result import Attribution
from c3dvis.attribution.scorer import Scorer
from c3dvis.attribution.temporal import windows
from c3dvis.attribution.temporal.report import TemporalReport, temporal_report
from c3dvis.bench.evidence import (
    ABOVE_CHANCE,
    DILATION,
    FILL,
    Known,
    Verdict,
    dilated,
    known_clip,
    verify,
)
from c3dvis.bench.names import OF_FRAMES
from c3dvis.command_line import whole
from c3dvis.motion import HELD_OUT_SEED, MovingEvidence
from c3dvis.text import table

NETWORKS = tuple(entry.name for entry in models.NETWORKS if entry.knows_motion)
# Hundreds of forward passes a clip, or a search.
SLOW = frozenset(
    ("extremal_2d", "extremal_3d", "step", "occlusion", "rise", "score_cam", "freeze", "reverse")
)
# Signs that change from pixel to pixel: also read as `Attribution.smoothed` does.
OF_GRADIENTS = ("gradient", "gradient_x_input", "integrated_gradients", "smooth_grad")
_SMOOTHED = "_smoothed"
# None of the networks measured here attends.
OF_ATTENTION = ("attention_gradient", "attention_lrp", "attention_rollout")
METHODS = (
    *(method for method in methods.names() if method not in OF_ATTENTION),
    *(method + _SMOOTHED for method in OF_GRADIENTS),
)
# Their heat is the same all over a frame.
TEMPORAL = frozenset(OF_FRAMES)
# Run before the other slow ones, for a run that is cut short.
FIRST = frozenset(("step", "extremal_3d"))
RIVALS = ("extremal_3d", "grad_cam", "integrated_gradients")
SPATIAL_METRICS = {
    "pointing": metrics.pointing_game,
    "pointing, clip": partial(metrics.pointing_game, per="clip"),
    "tube IoU": metrics.tube_iou,
    "mass": metrics.relevance_mass,
}
TIMING_METRICS = {"temporal hit": metrics.temporal_hit, "temporal IoU": metrics.temporal_iou}
METRICS = (*SPATIAL_METRICS, *TIMING_METRICS)
COMPARED = ("I3D", "i3d-motion"), ("ConvLSTM", "convlstm-motion")

_RANDOM_MAPS = 20
# Two networks whose mean drops differ by less are not told apart, however sure the difference.
_SMALLEST_DROP = 0.01

Scores = dict[str, float]


@dataclass
class NetworkResult:
    """The results of one network.

    Attributes:
        name: Of the network.
        verdicts: On all the clips that were looked at.
        scores: For each method the metrics of verified clips, the same clips first for all.
        freezing: Loss of the exact window, and of the optimised mask, for each clip.
    """

    name: str
    verdicts: list[Verdict]
    scores: dict[str, list[Scores]] = field(default_factory=dict)
    freezing: list[tuple[float, float]] = field(default_factory=list)

    @property
    def verified(self) -> list[int]:
        """Numbers of the clips whose evidence this network is shown to use."""
        return [i for i, verdict in enumerate(self.verdicts) if verdict.verified]


# The evidence


@lru_cache(maxsize=256)
def _held_out(index: int) -> Known:
    return known_clip(MovingEvidence(seed=HELD_OUT_SEED), index)


# The measures


def measure(attribution: Attribution, known: Known) -> Scores:
    """All metrics that say something of this method's answer."""
    if attribution.method in TEMPORAL:
        return _timing(attribution.frame_mask, known, threshold=0.5)
    spatial = {
        name: metric(attribution.heatmap, known.mask) for name, metric in SPATIAL_METRICS.items()
    }
    return spatial | _timing(metrics.frame_profile(attribution.heatmap), known, threshold=None)


def _timing(profile, known: Known, threshold: float | None) -> Scores:
    return {
        "temporal hit": metrics.temporal_hit(profile, known.window),
        "temporal IoU": metrics.temporal_iou(profile, known.window, threshold=threshold),
    }


def by_chance(known: Known, seed: int) -> tuple[Scores, Scores]:
    """Mean metrics of random maps, and of masks whose frames are on by the toss of a coin."""
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for _ in range(_RANDOM_MAPS):
        heat = rng.random(known.mask.shape)
        spatial = {name: metric(heat, known.mask) for name, metric in SPATIAL_METRICS.items()}
        maps.append(spatial | _timing(metrics.frame_profile(heat), known, threshold=None))
        frames = (rng.random(len(heat)) > 0.5).astype(float)
        masks.append(_timing(frames, known, threshold=0.5))
    return _means(maps), _means(masks)


def _means(several: Sequence[Scores]) -> Scores:
    return {name: float(np.mean([one[name] for one in several])) for name in several[0]}


def freezing(network: keras.Model, known: Known) -> tuple[float, float]:
    """The freeze loss of the exact best window, and of a published search's mask, snapped."""
    scorer = Scorer(network, objectives.logit(known.label))
    exact = windows.best_window(scorer, known.clip, "freeze").loss
    objective = objectives.logit(known.label)
    options = {"method": "freeze", "settings": "published PyTorch"}
    attribution = attribute(network, known.clip, objective, **options)
    mask = temporal.binarize(attribution.frame_mask)[None].astype(np.float32)
    cost = float(ops.convert_to_numpy(temporal.penalty(ops.convert_to_tensor(mask)))[0])
    return exact, cost + float(temporal.probabilities(scorer, known.clip, mask, "freeze")[0])


def measured(name: str, method: str, clips: Sequence[int]) -> list[Scores]:
    """Metrics of a method on a network, for each of the held-out clips with these numbers."""
    return [_measured(_network_of(name), _held_out(i), method) for i in clips]


def frozen(name: str, clips: Sequence[int]) -> list[tuple[float, float]]:
    """Both freeze losses on a network, for each of the held-out clips with these numbers."""
    return [freezing(_network_of(name), _held_out(i)) for i in clips]


def examined(name: str, candidates: int) -> NetworkResult:
    """The verdict of a network on the first held-out clips, and what chance makes of the good."""
    result = NetworkResult(
        name, [verify(_network_of(name), _held_out(i)) for i in range(candidates)]
    )
    chance = [by_chance(_held_out(i), i) for i in result.verified]
    result.scores["random map"] = [maps for maps, _ in chance]
    result.scores["random frames"] = [frames for _, frames in chance]
    return result


_network_of = lru_cache(maxsize=None)(models.build)


def _measured(network: keras.Model, known: Known, method: str) -> Scores:
    plain = method.removesuffix(_SMOOTHED)
    attribution = attribute(network, known.clip, objectives.logit(known.label), method=plain)
    return measure(attribution if method == plain else attribution.smoothed(), known)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# The white box


def white_box() -> tuple[keras.Model, Known]:
    """A network whose score is linear in a tube and blind to all else, and a clip for it.

    Ten classes. The logit of class 0 rises with the mean of the tube; the others stay at 0. The
    tube is that of a bright square that moves through texture, and where it is blurred away the
    ten are all but even.
    """
    known = _bright_square()
    tube = dilated(known.mask, 0)[..., None].astype(np.float32)
    inputs = layers.Input(known.clip.shape)
    seen = layers.Rescaling(tube / tube.mean(), name="tube")(inputs)
    seen = layers.Conv3D(1, 1, use_bias=False, name="grey")(seen)
    mean = layers.GlobalAveragePooling3D()(seen)
    network = keras.Model(inputs, layers.Dense(10, activation="softmax", name="class")(mean))
    network.get_layer("grey").set_weights([np.full((1, 1, 1, 3, 1), 1 / 3, np.float32)])
    hidden = baselines.baseline(FILL, known.clip)
    there, gone = (float(clip[known.mask].mean()) for clip in (known.clip, hidden))
    gain = np.zeros((1, 10), np.float32)
    gain[0, 0] = 8 / (there - gone)
    network.get_layer("class").set_weights([gain, -gain[0] * np.float32(gone)])
    return network, known


def _bright_square() -> Known:
    rng = np.random.default_rng(0)
    clip = np.repeat(rng.uniform(0.1, 0.3, (1, 32, 32, 3)), 8, axis=0).astype(np.float32)
    mask = np.zeros(clip.shape[:3], bool)
    for frame in range(2, 6):
        mask[frame, 12:20, 4 + 3 * frame : 12 + 3 * frame] = True
    clip[mask] = rng.uniform(0.8, 1.0, (int(mask.sum()), 3))
    return Known(clip, 0, mask, (2, 6))


def white_box_scores(names: Sequence[str]) -> dict[str, list[Scores]]:
    """Metrics of each method on the white box; those of frames have no motion to find in it."""
    network, known = white_box()
    spatial = [method for method in names if method not in TEMPORAL]
    return {m: [_measured(network, known, m)] for m in spatial} | {
        "random map": [by_chance(known, 0)[0]]
    }


# The page

_HEAD = """\
# Attribution: do heatmaps lie on the evidence?

Written by `python benchmarks/attribution.py{options}`.

{state}

Clips are those of `MovingEvidence(seed={seed})`, on which no network was trained and no method
tuned. One marked disc's motion is the class; its pixels while it moves are the tube. A clip
counts for a network only if the network is **right**, **keeps** at least 90 % of the class's
probability when all but the tube (made wider by {dilation} pixels) is blurred away, and **falls**
to chance + 10 points ({limit:.0%}) when the tube is. Blurring is the package's "blur" baseline. (It
left more verified clips than the clip's median over time on another seed, 1234. It is akin to what
occlusion, RISE, STEP and extremal perturbation put in place of pixels, so they may be favoured.)
The first {candidates} clips were looked at.

All methods run with their defaults and explain the logit of the right class. **Pointing** is the
share of the tube's frames whose hottest pixel lies on it, **pointing, clip** whether the hottest
of the clip does, without tolerance; **tube IoU** cuts the map at the tube's volume; **mass** is the
share of positive heat on the tube. **Temporal hit** and **temporal IoU** are of frames: of the mask
for methods that find one (cut at 0.5; nothing is said of pixels), else of each frame's positive
heat (as many frames as the window has). **Smoothed** is `Attribution.smoothed()`: absolute values,
slightly blurred; how much was chosen on seed 1234. In brackets 95 % intervals by bootstrap over
clips; with so few clips they are rough. Methods that need hundreds of passes ({slow_methods}) had
{slow} clips at most, others {clips}; where a row is missing, it was not run.
"""


def page(
    results: Sequence[NetworkResult],
    white: Mapping[str, Sequence[Scores]] | None,
    report: TemporalReport | None,
    settings: Mapping,
) -> str:
    """The whole page, as Markdown."""
    limit = 0.1 + ABOVE_CHANCE
    text = _HEAD.format(seed=HELD_OUT_SEED, dilation=DILATION, limit=limit, **settings)
    parts = [_targets(results), _shares(results), *map(_network, results), _rivals(results)]
    parts += ["" if white is None else _white(white), _freezing(results)]
    parts += ["" if report is None else _order(report)]
    return "\n\n".join([text.rstrip(), *filter(None, parts)]) + "\n"


def _interval(values: Sequence[float], form: str = ".2f") -> str:
    if not len(values):
        return ""
    if len(values) == 1:
        return f"{values[0]:{form}}"
    mean, low, high = metrics.bootstrap(values)
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def _shares(results: Sequence[NetworkResult]) -> str:
    rows = []
    for one in results:
        shares = [np.mean([getattr(v, name) for v in one.verdicts]) for name in _VERDICT]
        rows.append([one.name, str(len(one.verdicts)), *(f"{share:.0%}" for share in shares)])
    return "## Verified clips\n\n" + table(("network", "looked at", *_VERDICT), rows)


_VERDICT = ("right", "keeps", "falls", "verified")


def _network(one: NetworkResult) -> str:
    return f"## {one.name}\n\n" + scores_table(one.scores)


def scores_table(scores: Mapping[str, Sequence[Scores]]) -> str:
    """A row a method, in Markdown."""
    rows = []
    for method in sorted(scores, key=lambda name: (name.startswith("random"), name)):
        some = scores[method]
        named = [[row[name] for row in some if name in row] for name in METRICS]
        rows.append([method, str(len(some)), *map(_interval, named)])
    return table(("method", "clips", *METRICS), rows)


def best(one: NetworkResult, metric: str) -> tuple[str, float]:
    """The method with the highest mean, and that."""
    means = {
        method: _means(some)[metric]
        for method, some in one.scores.items()
        if some and metric in some[0] and not method.startswith("random")
    }
    return max(means.items(), key=lambda pair: pair[1], default=("none", float("nan")))


def _targets(results: Sequence[NetworkResult]) -> str:
    rows = []
    for one in results:
        cells = [f"{best(one, m)[1]:.2f} ({best(one, m)[0]})" for m in list(SPATIAL_METRICS)[:3]]
        kept = [row["temporal IoU"] for row in one.scores.get("window", ())]
        rows.append([one.name, *cells, _interval(kept)])
    head = ("network", *(f"best {m}" for m in list(SPATIAL_METRICS)[:3]), "window, temporal IoU")
    wanted = (
        "Aimed at: 0.90 pointing and 0.5 tube IoU by the best method, 0.8 temporal IoU by the "
        "exact window. The best of many methods on few clips is flattered by the choice."
    )
    return f"## Beside the targets\n\n{wanted}\n\n" + table(head, rows)


def _rivals(results: Sequence[NetworkResult]) -> str:
    rows = []
    for one in results:
        mine = one.scores.get("step", [])
        for rival in RIVALS:
            theirs = one.scores.get(rival, [])[: len(mine)]
            if len(theirs) < 2 or len(theirs) != len(mine):
                continue
            gains = [
                [a[name] - b[name] for a, b in zip(mine, theirs, strict=True)]
                for name in SPATIAL_METRICS
            ]
            shown = [_interval(gain, "+.2f") for gain in gains]
            rows.append([one.name, rival, str(len(mine)), *shown, _verdict(gains[2])])
    if not rows:
        return ""
    head = ("network", "STEP less", "clips", *SPATIAL_METRICS, "by tube IoU, STEP is")
    text = "Differences clip by clip, on the clips that both had."
    return f"## STEP beside others\n\n{text}\n\n" + table(head, rows)


def _verdict(gains: Sequence[float]) -> str:
    _, low, high = metrics.bootstrap(gains)
    return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def _white(scores: Mapping[str, Sequence[Scores]]) -> str:
    text = (
        "A network whose score is a constant plus the mean over a known tube: the exact answer is "
        "the tube, and gradients have to be perfect. Its only map with places is of full "
        "resolution and blind outside the tube, so the CAMs have to be perfect too, though other "
        "networks will not be so kind to them. One clip."
    )
    return f"## White box\n\n{text}\n\n" + scores_table(scores)


def _freezing(results: Sequence[NetworkResult]) -> str:
    rows = []
    for one in results:
        if one.freezing:
            exact, searched = np.array(one.freezing).T
            never = int((exact <= searched + 1e-6).sum())
            losses = [_interval(exact, ".3f"), _interval(searched, ".3f")]
            rows.append([one.name, str(len(exact)), *losses, f"{never} of {len(exact)}"])
    if not rows:
        return ""
    text = (
        "The loss of freezing, of the exact best window and of the mask that the published search "
        "(settings of the authors' PyTorch half) finds, snapped to zeros and ones. The default of "
        "`freeze` begins with the exact window, so it is never worse by construction."
    )
    head = ("network", "clips", "exact window", "searched", "window at least as good")
    return f"## Freezing: exact and searched\n\n{text}\n\n" + table(head, rows)


def _order(report: TemporalReport) -> str:
    rows = [
        [
            s.network,
            *(f"{value:.2f}" for value in (s.original, s.frozen, s.reversed)),
            *(f"{value:.1%}" for value in (s.freeze_drop, s.reverse_drop)),
            f"{s.frames:.1f}",
        ]
        for s in report.summary()
    ]
    head = ("network", "OS", "FS", "RS", "freeze drop, median", "reverse drop, median", "frames")
    count = len(report.rows) // len(report.networks)
    text = (
        f"The first {count} clips, verified or not. The mask is the exact window by the loss of "
        "freezing, for the class that the network guesses; OS, FS and RS are mean probabilities "
        "of the clip, frozen and reversed under it, drops the share of OS that is lost."
    )
    sentence = order_sentence(report)
    return f"## I3D and ConvLSTM\n\n{text}\n\n{table(head, rows)}\n\n{sentence}"


def order_sentence(report: TemporalReport) -> str:
    """Which of two networks leans more on order in time, by what reversal takes from each."""
    one, other = report.networks
    drops = [
        np.array([row.reverse_drop for row in report.rows if row.network == name])
        for name in (one, other)
    ]
    mean, low, high = metrics.bootstrap(drops[0] - drops[1])
    medians = " and ".join(
        f"{name} {np.median(d):.1%}" for name, d in zip((one, other), drops, strict=True)
    )
    if low <= 0 <= high or abs(mean) < _SMALLEST_DROP:
        said = "these clips do not tell which of the two leans more on order in time"
    else:
        said = f"{one if mean > 0 else other} leans more on order in time"
    return (
        f"By the share of its score that reversal takes (medians: {medians}; mean difference "
        f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]), {said}."
    )


def compare_order(count: int) -> TemporalReport:
    """The I3D and the ConvLSTM on the first held-out clips."""
    networks = {name: _network_of(built) for name, built in COMPARED}
    clips = [_held_out(i) for i in range(count)]
    array, labels = np.stack([known.clip for known in clips]), [known.label for known in clips]
    return temporal_report(networks, array, labels, method="window", by="freeze")


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    typed = sys.argv[1:] if arguments is None else arguments
    settings = {
        "options": "".join(f" {shlex.quote(str(word))}" for word in typed),
        "state": "\n".join(machine.state()),
        "candidates": args.candidates,
        "clips": args.clips,
        "slow": args.slow_methods_clips,
        "slow_methods": ", ".join(sorted(SLOW)),
    }
    results = [examined(name, args.candidates) for name in args.networks]
    for one in results:
        _progress(f"{one.name}: {len(one.verified)} of {args.candidates} clips verified")
    white, report = None, None
    for what, one, answer in _answers(results, args):
        if one is None:
            white, report = (answer, report) if what == "white box" else (white, answer)
        elif what == "freezing":
            one.freezing = answer
        else:
            one.scores[what] = answer
        _progress(f"{what} done" if one is None else f"{one.name}: {what} done")
        if args.out is not None:
            args.out.write_text(page(results, white, report, settings), encoding="utf-8")
    if args.out is None:
        print(page(results, white, report, settings))


def _answers(
    results: Sequence[NetworkResult], args: argparse.Namespace
) -> Iterator[tuple[str, NetworkResult | None, Any]]:
    """What is measured, of which network, and the answer; the quick ones first."""

    def of_methods(some: Sequence[str], most: int):
        for method in some:
            for one in results:
                yield method, one, measured(one.name, method, one.verified[:most])

    slow = [method for method in args.methods if method in SLOW]
    yield from of_methods([method for method in args.methods if method not in SLOW], args.clips)
    yield "white box", None, white_box_scores(args.methods)
    yield from of_methods([method for method in slow if method in FIRST], args.slow_methods_clips)
    yield "order", None, compare_order(args.clips)
    for one in results if "freeze" in args.methods else ():
        yield "freezing", one, frozen(one.name, one.verified[: args.slow_methods_clips])
    rest = [method for method in slow if method not in FIRST]
    yield from of_methods(rest, args.slow_methods_clips)


def _arguments(arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--clips", type=whole(2), default=30, help="verified clips for each method")
    parser.add_argument("--slow-methods-clips", type=whole(2), default=10)
    parser.add_argument("--candidates", type=whole(2), default=100, help="clips to verify")
    machine.add_out(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
