"""How far a heatmap of the verified evidence itself overlaps the object, and where heat lies.

python benchmarks/attribution_limit.py [--networks c3d-motion ...] [--world discs] [--clips N]
    [--out page.md]

Clips are verified with the object made wider by 2 pixels, and tube IoU cuts a heatmap at the
object's own volume. For each network this prints:

- how often the class keeps 90 % of its probability with only the object made wider by 0 to 3
  pixels, or narrower, shown (of clips whose class is predicted);
- the tube IoU of a heatmap that is the same all over the verified evidence, its ties broken at
  random, and of one that falls with the distance from the object's middle;
- where the hottest pixels of smoothed integrated gradients lie, as many as the object has: on it,
  within 2 pixels of it, elsewhere.
"""

import argparse
import sys
from collections.abc import Sequence

import keras
import numpy as np
from machine import add_out, state, write_page

from c3dvis import models, objectives
from c3dvis.attribution import attribute, baselines, metrics
from c3dvis.attribution.scorer import Scorer
from c3dvis.bench import Known, evidence, scores
from c3dvis.command_line import whole
from c3dvis.intervals import bootstrap
from c3dvis.motion import HELD_OUT_SEED
from c3dvis.text import table

RADII = (-3, -2, -1, 0, 1, 2, 3)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    rows_kept, rows_limit = [], []
    for name in args.networks:
        network = models.build(name)
        world = scores.WORLDS[args.world](seed=HELD_OUT_SEED)
        evident = evidence.verified_clips(network, world, args.clips)
        clips = [evidence.known_clip(world, i) for i in range(len(evident.verdicts))]
        right = [c for c, v in zip(clips, evident.verdicts, strict=True) if v.right]
        kept = np.mean([_kept(network, known) for known in right], axis=0)
        rows_kept.append([name, str(len(right)), *(f"{share:.0%}" for share in kept)])
        limits = np.array([_limits(network, known) for known in evident.clips])
        means = [bootstrap(column) for column in limits.T]
        cells = [f"{m.mean:.2f} [{m.low:.2f}, {m.high:.2f}]" for m in means]
        rows_limit.append([name, str(len(limits)), *cells])
        print(rows_kept[-1], rows_limit[-1], file=sys.stderr, flush=True)
    header = ("network", "clips", *(f"{radius:+d} px" if radius else "object" for radius in RADII))
    limit_header = (
        "network",
        "verified clips",
        "IoU of the verified evidence",
        "IoU, falling from the middle",
        "IoU of integrated gradients, smoothed",
        "of its hottest pixels: on the object",
        "within 2 px",
        "elsewhere",
    )
    lines = [*state(), "", table(header, rows_kept), "", table(limit_header, rows_limit), ""]
    write_page("\n".join(lines), args.out)


def _kept(network: keras.Model, known: Known) -> list[bool]:
    """For each radius, whether the class keeps 90 % with only the object so much wider shown."""
    hidden = baselines.baseline(evidence.FILL, known.clip)
    shown = [known.clip]
    shown += [np.where(_wider(known.mask, r)[..., None], known.clip, hidden) for r in RADII]
    scorer = Scorer(network, objectives.logit(known.label), batch_size=len(shown))
    whole, *kept = scorer.probabilities(np.stack(shown))
    return [bool(one >= evidence.KEPT_SHARE * whole) for one in kept]


def _wider(mask: np.ndarray, radius: int) -> np.ndarray:
    if radius >= 0:
        return evidence.dilated(mask, radius)
    return ~evidence.dilated(~mask, -radius)


def _limits(network: keras.Model, known: Known) -> list[float]:
    ring = evidence.dilated(known.mask)
    noise = np.random.default_rng(0).random(known.mask.shape)
    falling = sum(_wider(known.mask, r).astype(np.float64) for r in range(-6, 3)) + 1e-3 * noise
    heat = attribute(network, known.clip, objectives.logit(known.label)).smoothed().heatmap
    hottest = np.zeros(heat.size, bool)
    hottest[np.argsort(heat, axis=None)[-int(known.mask.sum()) :]] = True
    hottest = hottest.reshape(heat.shape)
    on = float((hottest & known.mask).sum() / hottest.sum())
    near = float((hottest & ring & ~known.mask).sum() / hottest.sum())
    return [
        metrics.tube_iou(ring + 1e-3 * noise, known.mask),
        metrics.tube_iou(falling, known.mask),
        metrics.tube_iou(heat, known.mask),
        on,
        near,
        1 - on - near,
    ]


def _arguments(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--networks", nargs="+", default=["c3d-motion", "i3d-motion", "tsm-motion"])
    add("--world", choices=tuple(scores.WORLDS), default="discs")
    add("--clips", type=whole(2), default=8, help="verified ones of each network")
    add_out(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
