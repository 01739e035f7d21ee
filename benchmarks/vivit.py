"""Whether methods for transformers find the evidence, on a small ViViT trained here in minutes.

python benchmarks/vivit.py [--clips 48] [--weights FILE]

Trains a video transformer (Arnab et al. 2021) to tell the four directions in small clips of
`MovingEvidence`, or loads one that an earlier run saved as FILE, and prints a table for
`docs/attribution-vivit.md`.
"""

import argparse
import itertools
import math
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
# Clips, distractors and epochs of each stage of training.
STAGES = ((2000, 0, 12), (2000, DISTRACTORS, 6))
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


def build() -> keras.Model:
    """The network."""
    clip = keras.Input((FRAMES, SIDE, SIDE, 3))
    patches = layers.Conv3D(WIDTH, PATCH, PATCH, name="tubelets")(clip)
    answer, _ = _transformer(layers.Reshape((-1, WIDTH))(patches))
    return keras.Model(clip, answer, name="vivit")


def _in_training() -> tuple[keras.Model, keras.Model]:
    """The network on patches, from which a dense layer learns faster; and the same with a head.

    The head predicts the class at each token after half of the blocks; its loss counts the tokens
    of the marked disc only. With the clip's class alone, the loss does not fall for many epochs.
    The head is dropped after training.
    """
    patches = keras.Input((math.prod(GRID), 3 * math.prod(PATCH)))
    answer, half = _transformer(layers.Dense(WIDTH, name="tubelets")(patches))
    head = layers.Dense(DIRECTIONS, activation="softmax", name="head")
    located = layers.Reshape((*GRID, DIRECTIONS))(head(half))
    return keras.Model(patches, answer), keras.Model(patches, {"class": answer, "half": located})


def _transformer(tokens):
    """Class probabilities, and the tokens after half of the blocks."""
    x = Positions()(tokens)
    half = x
    for i in range(DEPTH):
        x = _block(x, f"block_{i}")
        half = x if i == DEPTH // 2 - 1 else half
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return layers.Dense(DIRECTIONS, activation="softmax", name="classes")(x), half


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
    network, (same, taught) = build(), _in_training()
    stages = [(_patches(seed, count, others), epochs) for count, others, epochs in STAGES]
    steps = sum(len(patches) * epochs for patches, epochs in stages)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=LEARNING_RATE, warmup_steps=WARMUP_STEPS, alpha=1e-2
    )
    taught.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=1.0),
        loss=dict.fromkeys(("class", "half"), "sparse_categorical_crossentropy"),
        weighted_metrics=dict.fromkeys(("class", "half"), ["accuracy"]),
    )
    for patches, epochs in stages:
        taught.fit(patches, epochs=epochs, verbose=2)
    pairs = zip(network.weights, same.weights, strict=True)
    network.set_weights([np.reshape(weight, own.shape) for own, weight in pairs])
    return network


class Patches(AugmentedClips):
    """Batches of clips cut into the patches that the network's convolution reads."""

    def __getitem__(self, index):
        clips, *targets = super().__getitem__(index)
        sides = itertools.chain(*zip(GRID, PATCH, strict=True))
        patches = clips.reshape(len(clips), *sides, 3).transpose(0, 1, 3, 5, 2, 4, 6, 7)
        return patches.reshape(len(clips), math.prod(GRID), -1), *targets


def _patches(seed: int, count: int, others: int) -> Patches:
    batch = _directions(seed, others, count)
    clips = np.rint(255 * batch.clips).astype(np.uint8)
    heads = {"half": GRID}
    return Patches(clips, batch.labels, batch.masks, heads=heads, batch_size=BATCH_SIZE, seed=seed)


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
    batch = _directions(HELD_OUT_SEED, DISTRACTORS, HELD_OUT_CLIPS)
    right = network.predict(batch.clips, verbose=0).argmax(axis=-1) == batch.labels
    print(f"{right.mean():.1%} of {len(right)} held-out clips are classified correctly", flush=True)
    scores: dict[str, list[attribution.Scores]] = {name: [] for name in (*METHODS, "random map")}
    for i in np.flatnonzero(right)[:count]:
        first, end = map(int, batch.windows[i])
        known = attribution.Known(
            batch.clips[i], int(batch.labels[i]), batch.masks[i], (first, end)
        )
        for name in METHODS:
            result = attribute(network, known.clip, objectives.logit(known.label), method=name)
            scores[name].append(attribution.measure(result, known))
        scores["random map"].append(attribution.by_chance(known, int(i))[0])
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=48, help="explained (default 48)")
    parser.add_argument("--weights", type=Path, help="of an earlier run; made where there are none")
    args = parser.parse_args()
    print("\n".join(machine.state()), flush=True)
    if args.weights is not None and args.weights.is_file():
        network = build()
        network.load_weights(args.weights)
    else:
        began = time.process_time()
        network = train()
        print(f"trained in {time.process_time() - began:.0f} s of processor time", flush=True)
        if args.weights is not None:
            network.save_weights(args.weights)
    print(attribution.scores_table(measured(network, args.clips)))


if __name__ == "__main__":
    main()
