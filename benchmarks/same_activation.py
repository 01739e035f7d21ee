"""Time until a clip activates its unit as much as tf-keras-vis' clip does after all its steps.

Each side is a process of its own, timed from its start: imports, building, tracing. Run as
`python benchmarks/same_activation.py SIDE SETTINGS.json OUT.npz` by benchmarks/maximize.py.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_START = time.perf_counter()

EXPLANATION = (
    "Seconds a filter until its clip activates it as much as tf-keras-vis' clip does after its "
    "steps: a process of its own for each side, from its start, imports and tracing shared out "
    "among its filters. tf-keras-vis runs with its defaults, but for total variation; c3dvis with "
    "its own. Both clips are scored by the same function, without transforms. Looking at the "
    "score, after every run of the compiled graph, counts as ours. Not reached: no filter is "
    "left out, and its time is that of all its steps."
)


def theirs(network, layer: str, *, quick: bool = False):
    """tf-keras-vis for one layer: a function of a score and steps that gives a clip in [0, 1].

    Args:
        network: Takes clips in [0, 1].
        layer: Whose output is given to the score; of the last one, the logits.
        quick: Whether the network's values and gradient are computed as c3dvis computes them,
            compiled: the same clips in less time.
    """
    import keras
    from tf_keras_vis.activation_maximization import ActivationMaximization
    from tf_keras_vis.activation_maximization.regularizers import Norm

    from c3dvis import autodiff, rewire
    from c3dvis.models import layers
    from c3dvis.objectives import LOGITS

    # It draws pixels from 0 to 255; the network takes 0 to 1.
    clip = keras.Input(network.inputs[0].shape[1:])
    is_last = layer == network.layers[-1].name
    tap = layers.tap(network, [LOGITS if is_last else layer])
    run = tap
    if quick:
        same = rewire.Shadow(tap)
        compiled = autodiff.compiled(lambda x: same(x, training=False), variables=tap.variables)
        run = keras.layers.Lambda(compiled, output_shape=tap.output_shape[1:])
    model = keras.Model(clip, run(keras.layers.Rescaling(1 / 255)(clip)))
    visualization = ActivationMaximization(model, clone=False)

    def make(score, steps: int):
        settings = {"regularizers": [Norm(weight=0.3, p=1)], "callbacks": None}
        images = visualization(score, steps=steps, **settings)
        return images.numpy() / 255 if hasattr(images, "numpy") else images / 255

    return make


def their_score(unit: int, position=None):
    """The score for tf-keras-vis: a filter's mean or, at a position, a neuron."""
    from tf_keras_vis.utils.scores import CategoricalScore

    if position is None:
        return CategoricalScore(unit)
    return lambda output: output[(slice(None), *position, unit)]


def table(name: str, options) -> list[str]:
    """Runs both sides for every layer, in turns."""
    rows = [
        "| layer | dtype | tf-keras-vis | c3dvis | times less, median | least | not reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for layer in options.time_layers:
        with tempfile.TemporaryDirectory() as folder:
            settings = {
                "network": name,
                "layer": layer,
                "size": options.size,
                "filters": options.filters,
                "their_steps": options.their_steps,
                "their_scale": options.their_scale,
                "steps": options.steps,
            }
            other = _run("theirs", settings, Path(folder))
            for dtype in options.dtype:
                matched = {**settings, "dtype": dtype, "targets": other["scores"]}
                ours = _run("ours", matched, Path(folder))
                ratios = [a / b for a, b in zip(other["seconds"], ours["seconds"], strict=True)]
                rows.append(
                    f"| {name} {layer} | {dtype} | {statistics.median(other['seconds']):.1f} "
                    f"| {statistics.median(ours['seconds']):.1f} | {statistics.median(ratios):.1f} "
                    f"| {min(ratios):.1f} | {ours['missed']} of {len(ratios)} |"
                )
                print(rows[-1], flush=True)
    return rows


def _run(side: str, settings: dict, folder: Path) -> dict:
    source, target = folder / "settings.json", folder / "out.json"
    source.write_text(json.dumps(settings), encoding="utf-8")
    subprocess.run([sys.executable, __file__, side, str(source), str(target)], check=True)
    return json.loads(target.read_text(encoding="utf-8"))


def _objective(network, layer: str, count: int):
    from c3dvis import objectives

    if layer == network.layers[-1].name:
        return objectives.logit(range(min(count, network.output_shape[-1])))
    channels = network.get_layer(layer).output.shape[-1]
    return objectives.channel(layer, range(min(count, channels)))


def run_theirs(settings: dict) -> dict:
    """Seconds and final score of every filter."""
    import numpy as np
    from networks import build

    from c3dvis.maximize import scores

    network = build(settings["network"], settings["size"])
    objective = _objective(network, settings["layer"], settings["filters"])
    make = theirs(network, settings["layer"])
    begun = time.perf_counter() - _START
    seconds, reached = [], []
    for unit in range(len(objective)):
        start = time.perf_counter()
        output = make(
            scaled_score(their_score(unit), settings["their_scale"]), settings["their_steps"]
        )
        seconds.append(begun / len(objective) + time.perf_counter() - start)
        clip = np.clip(np.asarray(output, np.float32), 0, 1)
        reached.append(float(scores(network, objective[unit], clip)[0, 0]))
    return {"seconds": seconds, "scores": reached}


def scaled_score(score, scale: float):
    """A score times a number: with Keras 3, RMSprop hardly moves where gradients are small."""
    return lambda output: scale * score(output)


def run_ours(settings: dict) -> dict:
    """Seconds of every filter until its target, or of all steps."""
    from networks import build

    from c3dvis import autodiff
    from c3dvis.maximize import Maximizer

    network = build(settings["network"], settings["size"])
    targets = settings["targets"]
    objective = _objective(network, settings["layer"], len(targets))
    dtype = None if settings["dtype"] == "float32" else settings["dtype"]
    maximizer = Maximizer(network, objective, dtype=dtype)
    begun = time.perf_counter() - _START
    taken, missed = [], 0
    for first in range(0, len(objective), maximizer.batch_size):
        part = objective[first : first + maximizer.batch_size]
        watch = _until(network, part, targets[first : first + len(part)])
        unit_indices = maximizer.restart(part)
        watch.start = time.perf_counter()
        autodiff.fit(
            maximizer,
            maximizer.steps_of(unit_indices, settings["steps"]),
            batch_size=maximizer.batch_size,
            callbacks=[watch],
            verbose=0,
        )
        end = time.perf_counter() - watch.start
        missed += sum(one is None for one in watch.reached)
        # Clips of a group are made together: each has its share of the group's time.
        taken += [(end if one is None else one) / len(part) for one in watch.reached]
    return {"seconds": [begun / len(taken) + one for one in taken], "missed": missed}


def _until(network, objective, targets):
    """A callback that records when each clip reaches its target; the fit ends when all have."""
    import keras
    import numpy as np
    from keras import ops

    from c3dvis.models import layers

    tap = layers.tap(network, objective.layers)
    shapes = {objective.layers[0]: tuple(tap.outputs[0].shape[1:])}
    unit_indices = objective.unit_indices(shapes)

    class Until(keras.callbacks.Callback):
        start = 0.0

        def on_train_begin(self, logs=None):
            self.reached = [None] * len(targets)

        def on_train_batch_end(self, batch, logs=None):
            clips = self.model.parametrization.decode()[: len(targets)]
            read = {objective.layers[0]: tap(clips, training=False)}
            scores = ops.convert_to_numpy(objective.score(read, unit_indices))
            now = time.perf_counter() - self.start
            for i in np.flatnonzero(scores >= np.array(targets)):
                self.reached[i] = self.reached[i] or now
            if None not in self.reached:
                self.model.stop_training = True

    return Until()


if __name__ == "__main__":
    side, source, target = sys.argv[1:]
    settings = json.loads(Path(source).read_text(encoding="utf-8"))
    result = {"theirs": run_theirs, "ours": run_ours}[side](settings)
    Path(target).write_text(json.dumps(result), encoding="utf-8")
