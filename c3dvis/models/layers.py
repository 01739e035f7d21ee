"""The layers of a network: names, descriptions and activations."""

from collections.abc import Callable, Sequence

import keras
from keras import ops

from c3dvis import folding, graph, rewire
from c3dvis.held import Held
from c3dvis.models.activations import before_activation, class_scores
from c3dvis.models.activations import output_activation as output_activation
from c3dvis.models.description import LayerInfo as LayerInfo
from c3dvis.models.description import check
from c3dvis.models.description import describe as describe
from c3dvis.models.description import visualizable as visualizable
from c3dvis.models.naming import resolve
from c3dvis.objectives import BEFORE_ACTIVATION, CLIP, LOGITS, Objective


def tap(network: keras.Model, names: Sequence[str]) -> keras.Model:
    """The part of a network that ends at the named layers; weights are shared, not copied.

    Args:
        network: A functional or Sequential model that has been built; models inside it too.
        names: Layer names, those of a nested model as `model/layer` or, where unique, alone.
            Published names with slashes find layers whose names have dots in their place. With
            `objectives.BEFORE_ACTIVATION` appended, a layer is read before its own activation;
            `objectives.LOGITS`, alone or before the name of an output, is the class scores before a
            softmax. `objectives.CLIP` is the network's input; if transforms or preprocessing change
            the clip first, replace it by the clip itself.

    Returns:
        A model with one output per name, in their order. Where a layer sees frames folded into the
        batch, `(N * k, ...)`, its output is `(N, k, ...)`.

    Raises:
        ValueError: An unknown or unfit layer, with the nearest names.
    """
    check(network)
    outputs = [_read(network, name) for name in names]
    model = keras.Model(network.inputs, outputs, name="tap")
    flat = graph.flattened(model)
    _check_reached(network, names, flat)
    rows = folding.rows(flat, network.inputs)
    if all(rows[key] == 1 for key in flat.outputs):
        return model
    clips = network.inputs[0]
    # What a layer has of each clip, such as frames, gets an axis of its own.
    for i, (output, key) in enumerate(zip(outputs, flat.outputs, strict=True)):
        if rows[key] != 1:
            count = rows[key] if None not in clips.shape[1:] else None
            unfold = folding.Unfold(count, dtype=output.dtype)
            outputs[i] = graph.call_unrecorded(unfold, [output, clips])
    return keras.Model(network.inputs, outputs, name="tap")


def _check_reached(network: keras.Model, names: Sequence[str], flat: graph.Graph) -> None:
    """Refuses what depends on inputs alone that are held."""
    reached = graph.reached(flat)
    for name, key in zip(names, flat.outputs, strict=True):
        if key not in reached:
            held = [step.layer.name for step in flat.steps if isinstance(step.layer, Held)]
            if not held:
                raise ValueError(
                    "Expected a layer that the clip reaches. "
                    f"Received: {name!r}, which is the same for every clip."
                )
            raise ValueError(
                f"Expected a layer that the input {network.inputs[0].name!r} reaches, or input= "
                f"another of {', '.join(map(repr, held))}. Received: {name!r}."
            )


def find(network: keras.Model, name: str) -> LayerInfo:
    """The description of the layer with a name, as `tap` understands names.

    Raises:
        ValueError: An unknown or unfit layer, with the nearest names.
    """
    places: list[graph.Place] = []

    def note(call, place):
        places.append(place)
        return call.outputs[0]

    check(network)
    resolve(network, name, note)
    return next(info for info in describe(network) if info.place == places[0])


def with_targets(
    objective: Objective, network: keras.Model, *, preprocess: Callable | None = None
) -> Objective:
    """The objective for one network, with the activations of its reference clips, if any, there.

    Args:
        objective: Perhaps with terms such as `objectives.caricature`.
        network: Keras model that takes clips `(N, T, H, W, C)` in [0, 1].
        preprocess: Function from clips in [0, 1] to the network's input.

    Raises:
        ValueError: A given clip that the network can't take, or an unknown layer.
    """

    def read(clip, names):
        _check_takes(network, clip.shape, preprocess)
        inputs = clip[None] if preprocess is None else preprocess(clip[None])
        part = rewire.Shadow(tap(network, names))
        outputs = part([ops.convert_to_tensor(inputs)], training=False)
        return dict(zip(names, outputs if len(names) > 1 else [outputs], strict=True))

    return objective.with_targets(read)


def _check_takes(network: keras.Model, shape: tuple[int, ...], preprocess) -> None:
    own = tuple(network.inputs[0].shape[1:])
    fits = len(own) == 4 and all(n in (None, m) for n, m in zip(own, shape, strict=True))
    if preprocess is None and not fits:
        raise ValueError(
            f"Expected a given clip that the network takes, of shape {own}. Received: {shape}."
        )


def _read(network: keras.Model, name: str):
    if name == CLIP:
        return network.inputs[0]
    if name.startswith(LOGITS):
        return class_scores(network, name.removeprefix(LOGITS))
    if not name.endswith(BEFORE_ACTIVATION):
        return resolve(network, name, lambda call, place: call.outputs[0])
    name = name.removesuffix(BEFORE_ACTIVATION)
    return resolve(network, name, lambda call, place: before_activation(call))
