"""Train a bundled network on synthetic motion: `python -m c3dvis.weights.train c3d-motion`.

Writes the weight file and beside it a record (JSON) of the seed, the time, the SHA-256 and the
accuracy on held-out clips.
"""

import argparse
import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

import keras
import numpy as np

from c3dvis import models
from c3dvis.motion import CLASSES, HELD_OUT_SEED, MovingEvidence

# What each class becomes when a clip is mirrored or played backwards. The generator is symmetric
# under all three, so mirrored and reversed clips are as good as new ones.
_SWAPS = {
    "columns": [(0, 1), (4, 5), (6, 7), (8, 9)],
    "rows": [(2, 3), (4, 5), (6, 7)],
    "time": [(0, 1), (2, 3), (4, 5), (6, 7)],
}
_AXES = {"time": 1, "rows": 2, "columns": 3}
_HELD_OUT_CLIPS = 2000
_CLASS = "class"


def _swap_table(pairs) -> np.ndarray:
    table = np.arange(len(CLASSES))
    for a, b in pairs:
        table[[a, b]] = b, a
    return table


class AugmentedClips(keras.utils.PyDataset):
    """Batches from a pool of clips, mirrored, reversed and rolled around at random.

    A batch is `(clips, labels, weights)`; labels and weights have a key for each output of
    `with_heads`. Heads are trained at the positions of the marked disc only.

    Args:
        clips: uint8 `(N, T, H, W, 3)`.
        labels: int64 `(N,)`.
        masks: bool `(N, T, H, W)`, where the marked disc is.
        heads: Name to grid `(T', h, w)` of each head.
        batch_size: Clips per batch.
        seed: Batch `i` of epoch `e` depends on `seed`, `e` and `i` alone.
    """

    def __init__(self, clips, labels, masks, *, heads: dict, batch_size: int, seed: int):
        super().__init__(workers=2)
        self.clips, self.labels, self.masks, self.heads = clips, labels, masks, heads
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self.tables = {axis: _swap_table(pairs) for axis, pairs in _SWAPS.items()}

    def __len__(self) -> int:
        return len(self.labels) // self.batch_size

    def __getitem__(self, index: int):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.labels))
        indices = order[index * self.batch_size : (index + 1) * self.batch_size]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        augmented = [self._augment(i, rng) for i in indices]
        clips, labels, masks = (np.stack(parts) for parts in zip(*augmented, strict=True))
        targets = {_CLASS: labels}
        weights = {_CLASS: np.ones(len(labels), np.float32)}
        for name, grid in self.heads.items():
            share = _means(masks, grid)
            targets[name] = np.broadcast_to(labels[:, None, None, None], share.shape).copy()
            weights[name] = share / share.mean()
        return clips.astype(np.float32) / 255, targets, weights

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def _augment(self, index, rng):
        clip, label, mask = self.clips[index], self.labels[index], self.masks[index]
        for axis, table in self.tables.items():
            if rng.random() < 0.5:
                clip, mask = (np.flip(x, _AXES[axis] - 1) for x in (clip, mask))
                label = table[label]
        shift = [rng.integers(0, n) for n in clip.shape[1:3]]
        return np.roll(clip, shift, axis=(1, 2)), label, np.roll(mask, shift, axis=(1, 2))


def _means(masks: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray:
    """The share of each cell of a grid that is masked: `(N, T, H, W)` to `(N, *grid)`."""
    blocks = [(n, whole // n) for n, whole in zip(grid, masks.shape[1:], strict=True)]
    cells = masks.reshape(len(masks), *(side for block in blocks for side in block))
    return cells.mean(axis=(2, 4, 6), dtype=np.float32)


def make_pool(seed: int, count: int, distractors: int) -> tuple[np.ndarray, ...]:
    """`count` training clips as uint8 `(N, T, H, W, 3)`, their labels, and their masks."""
    clips, labels, masks = [], [], []
    bar = keras.utils.Progbar(count, unit_name="clip")
    for batch in MovingEvidence(seed=seed, distractors=distractors).batches(0, count, 200):
        clips.append(np.rint(batch.clips * 255).astype(np.uint8))
        labels.append(batch.labels)
        masks.append(batch.masks)
        bar.add(len(batch))
    return np.concatenate(clips), np.concatenate(labels), np.concatenate(masks)


def with_heads(network: keras.Model, names: tuple[str, ...]) -> keras.Model:
    """The network, and at each named layer a head that predicts the class at every position."""
    outputs = {_CLASS: network.output}
    for name in names:
        head = keras.layers.Dense(len(CLASSES), activation="softmax", name=f"{name}.head")
        outputs[name] = head(network.get_layer(name).output)
    return keras.Model(network.input, outputs)


def train(
    name: str,
    *,
    seed: int,
    clips: int,
    epochs: int,
    lesson_epochs: int,
    learning_rate: float,
    batch_size: int,
    dtype_policy: str,
):
    """Trains network `name` of the table in `c3dvis.models`; returns it ready to be used."""
    if seed == HELD_OUT_SEED:
        raise SystemExit(f"error: seed {seed} is kept for the held-out clips; take another.")
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(dtype_policy)
    # With distractors from the first step, the loss stays at chance for many epochs: what moves
    # is learned first where nothing else does.
    network = models.build(name, weights=None, **_TRAINING_KWARGS.get(name, {}))
    model = with_heads(network, _AUXILIARY.get(name, ()))
    heads = {key: network.get_layer(key).output.shape[1:4] for key in _AUXILIARY.get(name, ())}
    outputs = (_CLASS, *heads)
    lesson, pool = (
        AugmentedClips(
            *make_pool(seed, count, distractors), heads=heads, batch_size=batch_size, seed=seed
        )
        for count, distractors in ((clips // 3, 0), (clips, 4))
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate, len(pool) * epochs + len(lesson) * lesson_epochs, alpha=1e-3
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss={key: keras.losses.SparseCategoricalCrossentropy() for key in outputs},
        weighted_metrics={key: ["accuracy"] for key in outputs},
    )
    for part, times in ((lesson, lesson_epochs), (pool, epochs)):
        history = model.fit(
            part, epochs=times, verbose=2, callbacks=[keras.callbacks.TerminateOnNaN()]
        )
        if not np.isfinite(history.history["loss"][-1]):
            raise SystemExit("error: the loss became NaN; try another --dtype-policy or seed.")
    keras.config.set_dtype_policy("float32")
    plain = models.build(name, weights=None)
    if name in _FOLDED:
        models.fold_batch_normalization(network, plain)
    else:
        plain.set_weights(network.get_weights())
    return plain


def evaluate(network) -> dict:
    """Accuracy on held-out clips: overall, per class, and with each clip's frames shuffled."""
    hits, shuffled_hits = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    rng = np.random.default_rng(0)
    for batch in MovingEvidence(seed=HELD_OUT_SEED).batches(0, _HELD_OUT_CLIPS, 100):
        shuffled = np.stack([clip[rng.permutation(len(clip))] for clip in batch.clips])
        for counts, clips in ((hits, batch.clips), (shuffled_hits, shuffled)):
            right = network.predict(clips, verbose=0).argmax(-1) == batch.labels
            np.add.at(counts, batch.labels, right)
    per_class = _HELD_OUT_CLIPS / len(CLASSES)
    return {
        "clips": _HELD_OUT_CLIPS,
        "accuracy": hits.sum() / _HELD_OUT_CLIPS,
        "per_class": dict(zip(CLASSES, hits / per_class, strict=True)),
        "per_class_frames_shuffled": dict(zip(CLASSES, shuffled_hits / per_class, strict=True)),
    }


# How a network is built for training where that differs from how it ships.
_TRAINING_KWARGS = {
    "c3d-motion": {"batch_normalization": True, "dropout": 0.0},
    "i3d-motion": {"dropout": 0.0},
    "tsm-motion": {"dropout": 0.0},
}
_FOLDED = ("c3d-motion",)
# Networks that learned nothing from the class label in many epochs: auxiliary heads on these layers
# predict the class at the positions of the marked disc. They are discarded after training.
_AUXILIARY = {"tsm-motion": ("layer1", "layer2", "layer3")}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m c3dvis.weights.train", description=__doc__)
    parser.add_argument("name", help="name of a bundled network, such as c3d-motion")
    parser.add_argument("--seed", type=int, default=0, help="of clips, weights and order")
    parser.add_argument("--clips", type=int, default=6000, help="training clips (default 6000)")
    parser.add_argument("--epochs", type=int, default=12, help="after the lesson (default 12)")
    parser.add_argument(
        "--lesson-epochs", type=int, default=4, help="on clips without distractors (default 4)"
    )
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument(
        "--dtype-policy", default="float32", help="mixed_bfloat16 is faster where a CPU has it"
    )
    parser.add_argument(
        "--out", type=Path, help="default: NAME.weights.h5 in the folder where you are"
    )
    settings = vars(parser.parse_args())
    out = settings.pop("out") or Path(f"{settings['name']}.weights.h5")
    try:
        models.entry(settings["name"])
    except ValueError as error:
        parser.error(str(error))
    if not out.name.endswith(".weights.h5") or not out.parent.is_dir():
        parser.error(f"Expected --out FOLDER/NAME.weights.h5. Received: {out}.")
    begun = time.time()
    network = train(**settings)
    seconds = time.time() - begun
    with _whole(out) as partial:
        network.save_weights(partial)
    record = {
        **settings,
        "parameters": network.count_params(),
        "seconds": round(seconds),
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "bytes": out.stat().st_size,
        "held_out": evaluate(network),
    }
    text = json.dumps(record, indent=1) + "\n"
    with _whole(out.with_name(out.name.removesuffix(".weights.h5") + ".json")) as partial:
        partial.write_text(text)
    print(text)


@contextlib.contextmanager
def _whole(path: Path):
    """A path to write to, which becomes `path` once all is written."""
    partial = path.with_name("partial-" + path.name)
    yield partial
    os.replace(partial, path)


if __name__ == "__main__":
    main()
