"""Whether methods for transformers find the evidence, on a small ViViT trained here in minutes.

python benchmarks/vivit.py [--clips 48] [--weights FILE]

Trains a video transformer (Arnab et al. 2021) to tell the four directions in small clips of
`MovingEvidence`, or loads one that an earlier run saved as FILE, and prints a table for
`docs/attribution-vivit.md`.
"""

import argparse
import time
from pathlib import Path

import attribution
import keras
import machine
import numpy as np
from keras import layers

from c3dvis import objectives
from c3dvis.attribution import attribute
from c3dvis.motion import HELD_OUT_SEED, Evidence, MovingEvidence
from c3dvis.weights.train import AugmentedClips

FRAMES, SIDE, DISTRACTORS = 8, 32, 2
DIRECTIONS = 4  # the first classes of `MovingEvidence`: left, right, up and down
PATCH, WIDTH, DEPTH, HEADS = (2, 8, 8), 48, 2, 4
GRID = tuple(n // p for n, p in zip((FRAMES, SIDE, SIDE), PATCH, strict=True))
# Clips, distractors and epochs: a first lesson without distractors, then what counts.
LESSONS = ((2000, 0, 14), (2000, DISTRACTORS, 8))
BATCH_SIZE, LEARNING_RATE, WARMUP_STEPS = 32, 1e-3, 100
HELD_OUT_CLIPS = 400
METHODS = (
    "attention_rollout",
    "attention_gradient",
    "attention_lrp",
    "grad_cam",
    "integrated_gradients",
)


class Positions(layers.Layer):
    """Adds a learned vector to each token."""

    def build(self, shape):
        draw = keras.initializers.RandomNormal(stddev=0.02)
        self.embedding = self.add_weight(shape=shape[1:], initializer=draw, name="embedding")

    def call(self, tokens):
        return tokens + self.embedding


def build() -> tuple[keras.Model, keras.Model]:
    """The network; and the same with a head that tells the class at each token half way up.

    The class alone teaches it nothing for many epochs; the head, which is asked where the marked
    disc is, is thrown away after.
    """
    clip = keras.Input((FRAMES, SIDE, SIDE, 3))
    x = layers.Conv3D(WIDTH, PATCH, PATCH, name="tubelets")(clip)
    x = Positions()(layers.Reshape((-1, WIDTH))(x))
    for i in range(DEPTH):
        x = _block(x, f"block_{i}")
        if i == DEPTH // 2 - 1:
            half = layers.Reshape((*GRID, WIDTH), name="half")(x)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    answer = layers.Dense(DIRECTIONS, activation="softmax", name="classes")(x)
    head = layers.Dense(DIRECTIONS, activation="softmax", name="head")(half)
    return keras.Model(clip, answer, name="vivit"), keras.Model(
        clip, {"class": answer, "half": head}
    )


def _block(x, name: str):
    """Pre-norm attention and perceptron, each on a shortcut."""
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"{name}_attention")(y, y)
    x = layers.add([x, y])
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.Dense(4 * WIDTH, activation="gelu", name=f"{name}_up")(y)
    return layers.add([x, layers.Dense(WIDTH, name=f"{name}_down")(y)])


def train(seed: int = 0) -> keras.Model:
    """The network, trained."""
    keras.utils.set_random_seed(seed)
    network, taught = build()
    lessons = [(_lesson(seed, count, others), epochs) for count, others, epochs in LESSONS]
    steps = sum(len(lesson) * epochs for lesson, epochs in lessons)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=LEARNING_RATE, warmup_steps=WARMUP_STEPS, alpha=1e-2
    )
    taught.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=1.0),
        loss=dict.fromkeys(("class", "half"), "sparse_categorical_crossentropy"),
        weighted_metrics=dict.fromkeys(("class", "half"), ["accuracy"]),
    )
    for lesson, epochs in lessons:
        taught.fit(lesson, epochs=epochs, verbose=2)
    return network


def _lesson(seed: int, count: int, others: int) -> AugmentedClips:
    made = _directions(seed, others, count)
    clips = np.rint(255 * made.clips).astype(np.uint8)
    heads = {"half": GRID}
    return AugmentedClips(
        clips, made.labels, made.masks, heads=heads, batch_size=BATCH_SIZE, seed=seed
    )


def _directions(seed: int, others: int, count: int) -> Evidence:
    """Clips of the four directions; clip `i` of a world is of class `i % 10`."""
    world = MovingEvidence(seed=seed, frames=FRAMES, size=(SIDE, SIDE), distractors=others)
    parts = [world.batch(i, DIRECTIONS) for i in range(0, 10 * count // DIRECTIONS, 10)]
    return Evidence(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("clips", "labels", "masks", "windows")
        )
    )


def measured(network: keras.Model, count: int) -> dict[str, list[attribution.Scores]]:
    """Metrics of each method on the first held-out clips whose class the network tells."""
    made = _directions(HELD_OUT_SEED, DISTRACTORS, HELD_OUT_CLIPS)
    right = network.predict(made.clips, verbose=0).argmax(axis=-1) == made.labels
    print(f"{right.mean():.1%} of {len(right)} held-out clips are told right", flush=True)
    scores: dict[str, list[attribution.Scores]] = {name: [] for name in (*METHODS, "random map")}
    for i in np.flatnonzero(right)[:count]:
        first, end = map(int, made.windows[i])
        known = attribution.Known(made.clips[i], int(made.labels[i]), made.masks[i], (first, end))
        for name in METHODS:
            found = attribute(network, known.clip, objectives.logit(known.label), method=name)
            scores[name].append(attribution.measure(found, known))
        scores["random map"].append(attribution.by_chance(known, int(i))[0])
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=48, help="explained (default 48)")
    parser.add_argument("--weights", type=Path, help="of an earlier run; made where there are none")
    chosen = parser.parse_args()
    print("\n".join(machine.state()), flush=True)
    if chosen.weights is not None and chosen.weights.is_file():
        network, _ = build()
        network.load_weights(chosen.weights)
    else:
        began = time.process_time()
        network = train()
        print(f"trained in {time.process_time() - began:.0f} s of processor time", flush=True)
        if chosen.weights is not None:
            network.save_weights(chosen.weights)
    print(attribution.table(measured(network, chosen.clips)))


if __name__ == "__main__":
    main()
