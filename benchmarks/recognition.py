"""Whether a network still recognises its class clips when they are changed, and how real they are.

python benchmarks/recognition.py GALLERY --real FOLDER [--model i3d] [--weights kinetics400]
    [--peer CLASSES --peer-steps N --peer-scale X --peer-folder FOLDER] [--known PART=CLASS ...]
    [--out docs/recognition.md]

Clips are read back from the GIFs of a gallery, as somebody who was sent them would see them.
Changes: moved by 8 of 112 pixels each way, scaled by 0.9 and 1.1, cut to the first 12 frames,
slowed to 24 and 32. Other sizes: 64, 96, 160 and 224 pixels, and the mirror image. Real clips are
windows of 16 frames, every second of the file, of each file's middle square. With --peer,
tf-keras-vis makes clips of some of the classes with its defaults, but for total variation, which
does not take video, and they are measured alike; clips that are in its folder are not made again,
so that a run can go on. --peer-scale multiplies its score, as its optimizer hardly moves with
Keras 3 where gradients are small. With --known, real films are, too: windows of
those whose name has the part, where the network takes them for the class.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from machine import add_out, state, write_page

from c3dvis import autodiff, clips, files, models, objectives, rewire
from c3dvis.gallery.plan import CLASSES
from c3dvis.maximize import scores

FRAMES, SIZE = 16, 112
_WINDOWS = (0, 16, 40)  # first frames of the windows of a file
_KNOWN_WINDOWS = (0, 8, 16, 24, 40, 60, 80)
_STEP = 2  # frames of the file from one of a window to the next
# Edges of bands of spatial frequency, in waves over the clip's height.
_BANDS = np.array([1, 2, 4, 8, 16, 32, 56]) / SIZE


class Networks:
    """One network built for clips of any size, on the same weights."""

    def __init__(self, model: str, weights: str):
        self._model = model
        # For the clips of the gallery.
        self.network = models.build(model, weights=weights, **_shape(FRAMES, SIZE))
        self._runs: dict[tuple[int, int], Callable] = {}

    def classes(self, shown: np.ndarray) -> np.ndarray:
        """The predicted class of each of the clips `(N, T, H, W, C)`."""
        key = shown.shape[1:3]
        if key not in self._runs:
            network = models.build(self._model, weights=None, **_shape(*key))
            for own, weight in zip(network.weights, self.network.weights, strict=True):
                own.assign(weight)
            quick = rewire.Shadow(network)
            self._runs[key] = autodiff.compiled(
                lambda clip: quick(clip, training=False), variables=network.variables
            )
        one_by_one = [self._runs[key](clip[None].astype(np.float32)) for clip in shown]
        return np.array([int(np.argmax(keras.ops.convert_to_numpy(p))) for p in one_by_one])


def _shape(frames: int, size: int) -> dict:
    return {"input_shape": (frames, size, size, 3)}


def changes(shown: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The clips, changed a little in each of several ways."""
    yield "unchanged", shown
    for down, right in ((8, 0), (-8, 0), (0, 8), (0, -8)):
        yield f"moved by {down} down, {right} right", moved(shown, down, right)
    for factor in (0.9, 1.1):
        yield f"scaled by {factor}", scaled(shown, factor)
    yield "first 12 frames", shown[:, :12]
    for frames in (24, 32):
        yield f"slowed to {frames} frames", slowed(shown, frames)


def sizes(shown: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The clips in other sizes, and mirrored."""
    yield "mirror image", shown[:, :, :, ::-1]
    for size in (64, 96, 160, 224):
        yield f"{size} x {size}", resized(shown, size)


def resized(shown: np.ndarray, size: int) -> np.ndarray:
    frames = shown.reshape(-1, *shown.shape[2:])
    small = keras.ops.image.resize(frames, (size, size), antialias=True)
    return np.clip(keras.ops.convert_to_numpy(small), 0, 1).reshape(*shown.shape[:2], size, size, 3)


def moved(shown: np.ndarray, down: int, right: int) -> np.ndarray:
    """Moved by some pixels; the edges are repeated."""
    rows = np.clip(np.arange(shown.shape[2]) - down, 0, shown.shape[2] - 1)
    columns = np.clip(np.arange(shown.shape[3]) - right, 0, shown.shape[3] - 1)
    return shown[:, :, rows][:, :, :, columns]


def scaled(shown: np.ndarray, factor: float) -> np.ndarray:
    """Clips scaled about their centre; edges are cropped or repeated."""
    size = shown.shape[2]
    scaled = resized(shown, round(size * factor))
    index = np.arange(size) - (size - scaled.shape[2]) // 2
    index = np.clip(index, 0, scaled.shape[2] - 1)
    return scaled[:, :, index][:, :, :, index]


def slowed(shown: np.ndarray, frames: int) -> np.ndarray:
    """Clips slowed down to more frames, with linear interpolation."""
    times = np.linspace(0, shown.shape[1] - 1, frames)
    before = np.floor(times).astype(int)
    after = np.minimum(before + 1, shown.shape[1] - 1)
    share = (times - before)[:, None, None, None]
    return (shown[:, before] * (1 - share) + shown[:, after] * share).astype(np.float32)


def recognised(networks: Networks, shown: np.ndarray, labels: np.ndarray, changed) -> dict:
    """Whether each clip is classified correctly, by change; "all of these" is under all changes."""
    kept = {name: networks.classes(clip) == labels for name, clip in changed(shown)}
    return kept | {"all of these": np.all(list(kept.values()), axis=0)}


def variation(shown: np.ndarray) -> tuple[float, float]:
    """Mean absolute differences of adjacent frames, and of adjacent rows."""
    return tuple(float(np.abs(np.diff(shown, axis=axis)).mean()) for axis in (1, 2))


def spectrum(shown: np.ndarray) -> np.ndarray:
    """Decimal logarithm of the mean amplitude of grey by frequency in time and band in space."""
    grey = shown.mean(axis=-1)
    grey = grey - grey.mean(axis=(1, 2, 3), keepdims=True)
    window = np.hanning(grey.shape[2])
    power = np.abs(np.fft.fftn(grey * np.outer(window, window), axes=(1, 2, 3))) ** 2
    along = np.fft.fftfreq(grey.shape[2])
    space = np.hypot(along[:, None], along[None])
    bands = [(space >= low) & (space < high) for low, high in zip(_BANDS, _BANDS[1:], strict=False)]
    means = [[power[:, t][:, band].mean() for band in bands] for t in range(FRAMES // 2 + 1)]
    return np.log10(np.sqrt(means))


def of_gallery(folder: Path) -> dict[str, dict[int, tuple[str | None, np.ndarray]]]:
    """Labels and clips of a gallery, by layer and channel."""
    units: dict[str, dict[int, tuple[str | None, np.ndarray]]] = {}
    for path in sorted(folder.glob("*/*.json")):
        record = files.read_json(path)
        if isinstance(record, dict) and record.get("status") == "ok":
            clip = clips.read(path.with_suffix(".gif"), frames=FRAMES, short="hold")
            units.setdefault(record["layer"], {})[record["channel"]] = (record["label"], clip)
    return units


def real_clips(folder: Path) -> np.ndarray:
    """Windows of all files and folders of frames in a folder, and in its folders."""
    windows = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".avi", ".mp4", ".gif", ".webm"):
            continue
        for first in _WINDOWS:
            try:
                window = clips.read(path, frames=FRAMES, size=(SIZE, SIZE), start=first, step=_STEP)
            except ValueError:  # the file is shorter than that
                break
            windows.append(window)
    if not windows:
        raise SystemExit(f"Expected videos in {folder}. Received: none.")
    return np.stack(windows)


def known_clips(networks: Networks, folder: Path, known: Mapping[str, str]) -> tuple:
    """Windows of films that are classified correctly, their classes, and the number of films."""
    names = networks.network.class_names
    shown, labels, films = [], [], set()
    for path in sorted(folder.iterdir()):
        label = next((name for part, name in known.items() if part in path.name), None)
        for first in _KNOWN_WINDOWS if label is not None else ():
            try:
                window = clips.read(path, frames=FRAMES, size=(SIZE, SIZE), start=first, step=_STEP)
            except ValueError:  # the file is shorter than that
                break
            (predicted,) = networks.classes(window[None])
            if names[predicted] == label:
                shown.append(window)
                labels.append(predicted)
                films.add(path)
    if not shown:
        raise SystemExit("Expected real clips that the network knows. Received: none.")
    return np.stack(shown), np.array(labels), len(films)


def ratios(network: keras.Model, units: Mapping, real: np.ndarray) -> dict[str, list[float]]:
    """Scores of each layer's units, relative to the best real clip."""
    objectives_by_layer = {
        layer: objectives.logit(list(own))
        if layer == CLASSES
        else objectives.channel(layer, list(own))
        for layer, own in units.items()
    }
    of_real = scores(network, list(objectives_by_layer.values()), real, batch_size=4)
    ratios = {}
    for (layer, objective), best in zip(objectives_by_layer.items(), of_real, strict=True):
        shown = np.stack([clip for _, clip in units[layer].values()])
        own = np.diag(scores(network, objective, shown, batch_size=4))
        ratios[layer] = [
            float(a / b) if b > 0 else float("inf")
            for a, b in zip(own, best.max(axis=0), strict=True)
        ]
    return ratios


def peer_clips(
    network: keras.Model, labels: Sequence[int], steps: int, scale: float, folder: Path
) -> np.ndarray:
    """Class clips of tf-keras-vis, read from GIFs; those in the folder are reused."""
    from same_activation import scaled_score, their_score, theirs

    make = theirs(network, network.layers[-1].name, quick=True)
    folder.mkdir(parents=True, exist_ok=True)
    scaled_name = "" if scale == 1 else f"-{scale:g}"
    shown = []
    for label in labels:
        path = folder / f"{label}-{steps}{scaled_name}.gif"
        if not path.exists():
            score = scaled_score(their_score(int(label)), scale)
            clip = np.asarray(make(score, steps), np.float32)[0]
            clips.write(path, np.clip(clip, 0, 1), fps=8)
            print(f"tf-keras-vis made class {label}", flush=True)
        shown.append(clips.read(path, frames=FRAMES, short="hold"))
    return np.stack(shown)


def beside(network: keras.Model, own: Mapping, labels, synthetic, real) -> list[str]:
    """Each class's score over the best real clip, by both packages."""
    ours = {label: own[label] for label in labels}
    theirs = {label: (own[label][0], clip) for label, clip in zip(labels, synthetic, strict=True)}
    scores_over_real = [ratios(network, {CLASSES: one}, real)[CLASSES] for one in (ours, theirs)]
    rows = ["| class | score over the best real clip, c3dvis | tf-keras-vis |", "|---|---|---|"]
    for label, our, their in zip(labels, *scores_over_real, strict=True):
        rows.append(f"| {own[label][0]} | {our:.1f} | {their:.1f} |")
    return [*rows, ""]


def rows_of(name: str, networks: Networks, shown, labels, real) -> list[str]:
    """A section of the page on class clips."""
    text = [f"## {name}", "", "| change | classified correctly |", "|---|---|"]
    for changed in (changes, sizes):
        for change, kept in recognised(networks, shown, labels, changed).items():
            text.append(f"| {change} | {int(kept.sum())} of {len(kept)} |")
            print(text[-1], flush=True)
    distance = float(np.sqrt(np.mean((spectrum(shown) - spectrum(real)) ** 2)))
    own, theirs = variation(shown), variation(real)
    return [
        *text,
        "",
        f"Mean difference of adjacent frames {own[0]:.3f}, of adjacent rows {own[1]:.3f}; of real "
        f"clips {theirs[0]:.3f} and {theirs[1]:.3f}. Distance of the spectra in time and space "
        f"{distance:.2f} decades.",
        "",
    ]


def main() -> None:
    args = _arguments()
    machine = state()
    networks = Networks(args.model, args.weights)
    units, real = of_gallery(args.gallery), real_clips(args.real)
    labels = np.array(list(units[CLASSES]))
    shown = np.stack([clip for _, clip in units[CLASSES].values()])
    text = ["# Classification of synthetic class clips, and of real clips", ""]
    text += [
        "Written by `benchmarks/recognition.py`, which describes the measures.",
        "",
        *machine,
        "",
    ]
    text += rows_of("c3dvis", networks, shown, labels, real)
    if args.peer:
        some = labels[: args.peer]
        synthetic = peer_clips(
            networks.network, some, args.peer_steps, args.peer_scale, args.peer_folder
        )
        scaled_name = "" if args.peer_scale == 1 else f", score times {args.peer_scale:g}"
        name = f"tf-keras-vis, {args.peer_steps} steps{scaled_name}, {len(some)} classes"
        text += rows_of(name, networks, synthetic, some, real)
        text += beside(networks.network, units[CLASSES], some, synthetic, real)
    if args.known:
        known = dict(pair.split("=", 1) for pair in args.known)
        synthetic, some, films = known_clips(networks, args.real, known)
        name = (
            f"Real clips that are classified correctly, {len(synthetic)} windows of {films} films"
        )
        text += rows_of(name, networks, synthetic, some, real)
    text += [f"## Score over the best of {len(real)} real clips", ""]
    text += ["| layer | lowest | median | above 1 |", "|---|---|---|---|"]
    for layer, own in ratios(networks.network, units, real).items():
        shown_layer = "classes (logit)" if layer == CLASSES else layer
        above = sum(value > 1 for value in own)
        text.append(
            f"| {shown_layer} | {min(own):.2f} | {np.median(own):.2f} | {above} of {len(own)} |"
        )
    page = "\n".join([*text, ""])
    write_page(page, args.out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gallery", type=Path, help="made with --frames 16 --size 112")
    parser.add_argument("--real", type=Path, required=True, help="folder of videos")
    parser.add_argument("--model", default="i3d")
    parser.add_argument("--weights", default="kinetics400")
    parser.add_argument("--peer", type=int, default=0, metavar="CLASSES", help="for tf-keras-vis")
    parser.add_argument("--peer-steps", type=int, default=200, metavar="N")
    parser.add_argument("--peer-scale", type=float, default=1.0, help="of its score")
    parser.add_argument("--peer-folder", type=Path, default=Path("peer"), help="of its GIFs")
    parser.add_argument("--known", nargs="+", default=(), metavar="PART=CLASS", help="real films")
    add_out(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
