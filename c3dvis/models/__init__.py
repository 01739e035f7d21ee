"""The networks by name, and the reading of weight files.

>>> from c3dvis import models
>>> models.names()
('c3d', 'c3d-motion', ...)

To add a network: a file with its builder, in the manner of `keras.applications`, and its entry in
`NETWORKS`. Nothing here imports Keras until a network is built.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from c3dvis import lazy
from c3dvis.text import nearest, unknown

if TYPE_CHECKING:
    from c3dvis.checkpoints.keras_models import load_keras_model
    from c3dvis.checkpoints.load import load_weights
    from c3dvis.checkpoints.stored import LoadReport
    from c3dvis.models.c3d import C3D, fold_batch_normalization
    from c3dvis.models.convlstm import ConvLSTM
    from c3dvis.models.i3d import I3D
    from c3dvis.models.inputs import preprocess_input
    from c3dvis.models.labels import decode_predictions
    from c3dvis.models.resnet3d import MC3, R3D, R2Plus1D
    from c3dvis.models.tsm import TSM

__all__ = [
    "C3D",
    "Entry",
    "ConvLSTM",
    "I3D",
    "LoadReport",
    "MC3",
    "NETWORKS",
    "R2Plus1D",
    "R3D",
    "TSM",
    "build",
    "class_names",
    "decode_predictions",
    "entry",
    "fold_batch_normalization",
    "load_keras_model",
    "load_weights",
    "names",
    "preprocess_input",
]


@dataclass(frozen=True)
class Entry:
    """What is known of a network before it is built.

    Attributes:
        name: As given to `build`.
        module: Module of its family.
        builder: Function of the module that builds it.
        kwargs: Arguments of the builder.
        weights: Name of its weights among those that come with the package; None if it has none.
        published: Name of its weights among those that `build` fetches, such as "kinetics400";
            None if there are none.
        classes: `module:attribute` of its class names; None if they are not known.
        input: What it takes, in words.
        paper: Where it was published.
        note: What else to know, in a sentence.
        parameters: Number of its values, running means and variances among them.
        source: Where published weights are to be had, in words; empty if none are known, or where
            weights come with the package.
        licence: Of the published weights, or of the code that they come with.
        layers: Those that a gallery shows where none are chosen; None for every convolution.
        shape: `(T, H, W, C)` of the clips that it was published for; `build` makes it so.
        command_shape: `(T, H, W)` that the gallery builds it for where none is asked for: what a
            laptop can do. Commands that read real clips take its T, and H and W as published. None
            is the published one.
        fixed_by: Layers that fit the published size only, in words; empty where there are none, so
            that the same weights also serve other sizes.
    """

    name: str
    module: str
    builder: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    published: str | None = None
    classes: str | None = None
    input: str = ""
    paper: str = ""
    note: str = ""
    parameters: int = 0
    source: str = ""
    licence: str = ""
    layers: tuple[str, ...] | None = None
    shape: tuple[int, int, int, int] = (16, 112, 112, 3)
    command_shape: tuple[int, int, int] | None = None
    fixed_by: str = ""


_SPORTS_1M = (
    "sports1M_weights_tf.h5, a conversion, https://github.com/adamcasson/c3d/releases (v0.1); "
    "the authors' Caffe code, https://github.com/facebookarchive/C3D"
)
_KINETICS_I3D = "data/checkpoints of https://github.com/google-deepmind/kinetics-i3d"
_KINETICS_400 = "c3dvis.models.labels:KINETICS_400"
_TORCHVISION = "torchvision, https://pytorch.org/vision/stable/models.html"
_MIT_HAN_LAB = "https://github.com/mit-han-lab/temporal-shift-module (ResNet50, shift8 blockres)"
_FULLY_CONNECTED = "fully connected layers"
_TORCHVISION_LICENCE = "BSD-3-Clause (the code); the terms of Kinetics-400 may bind the weights"
# Ends of units and blocks: what the papers call endpoints.
_I3D_LAYERS = (
    "Conv3d_1a_7x7",
    "Conv3d_2b_1x1",
    "Conv3d_2c_3x3",
    *(f"Mixed_{block}" for block in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")),
)
_RESNET18_LAYERS = ("stem", *(f"layer{s}.{block}" for s in (1, 2, 3, 4) for block in (0, 1)))
_RESNET50_LAYERS = (
    "relu",
    *(f"layer{s}.{b}" for s, blocks in enumerate((3, 4, 6, 3), 1) for b in range(blocks)),
)

NETWORKS = (
    Entry(
        name="c3d",
        module="c3dvis.models.c3d",
        builder="C3D",
        input="16 frames of 112 x 112, RGB in [0, 1]",
        paper="Tran et al. 2015, https://arxiv.org/abs/1412.0767",
        note="487 classes of Sports-1M; weights=PATH loads sports1M_weights_tf.h5.",
        parameters=79_991_015,
        source=_SPORTS_1M,
        licence="not confirmed",
        fixed_by=_FULLY_CONNECTED,
    ),
    Entry(
        name="c3d-motion",
        module="c3dvis.models.c3d",
        builder="C3D",
        kwargs={"input_shape": (16, 64, 64, 3), "classes": 10, "width": 0.125, "fc": 256},
        weights="c3d-motion",
        classes="c3dvis.motion:CLASSES",
        input="16 frames of 64 x 64, RGB in [0, 1]",
        paper="Tran et al. 2015, https://arxiv.org/abs/1412.0767",
        note="C3D at an eighth of its width, trained on the synthetic motion of c3dvis.motion.",
        parameters=567_146,
        shape=(16, 64, 64, 3),
        fixed_by=_FULLY_CONNECTED,
    ),
    Entry(
        name="i3d",
        module="c3dvis.models.i3d",
        builder="I3D",
        input="64 frames of 224 x 224, RGB in [0, 1]",
        paper="Carreira and Zisserman 2017, https://arxiv.org/abs/1705.07750",
        note='400 classes of Kinetics; weights="kinetics400" fetches the published weights once.',
        published="kinetics400",
        classes=_KINETICS_400,
        parameters=12_704_544,
        layers=_I3D_LAYERS,
        source=_KINETICS_I3D,
        licence="Apache-2.0",
        shape=(64, 224, 224, 3),
        command_shape=(16, 112, 112),
    ),
    Entry(
        name="i3d-flow",
        module="c3dvis.models.i3d",
        builder="I3D",
        kwargs={"modality": "flow"},
        input="64 frames of 224 x 224, optical flow in pixels a frame",
        paper="Carreira and Zisserman 2017, https://arxiv.org/abs/1705.07750",
        note="The flow stream of I3D; values beyond 20 pixels are clipped.",
        classes=_KINETICS_400,
        parameters=12_682_592,
        layers=_I3D_LAYERS,
        source=_KINETICS_I3D,
        licence="Apache-2.0",
        shape=(64, 224, 224, 2),
        command_shape=(16, 112, 112),
    ),
    Entry(
        name="i3d-motion",
        module="c3dvis.models.i3d",
        builder="I3D",
        kwargs={"input_shape": (16, 64, 64, 3), "classes": 10, "width": 0.2},
        weights="i3d-motion",
        classes="c3dvis.motion:CLASSES",
        input="16 frames of 64 x 64, RGB in [0, 1]",
        paper="Carreira and Zisserman 2017, https://arxiv.org/abs/1705.07750",
        note="I3D at a fifth of its width, trained on the synthetic motion of c3dvis.motion.",
        parameters=508_500,
        layers=_I3D_LAYERS,
        shape=(16, 64, 64, 3),
    ),
    Entry(
        name="convlstm",
        module="c3dvis.models.convlstm",
        builder="ConvLSTM",
        input="16 frames of 224 x 224, RGB in [0, 1]",
        paper="Mänttäri, Broomé et al. 2020, https://arxiv.org/abs/2002.00367",
        note="174 classes of Something-Something; no published weights are known.",
        parameters=878_894,
        shape=(16, 224, 224, 3),
    ),
    Entry(
        name="convlstm-kth",
        module="c3dvis.models.convlstm",
        builder="ConvLSTM",
        kwargs={
            "input_shape": (32, 120, 160, 3),
            "classes": 6,
            "filters": (32, 32),
            "kernel_size": (3, 5),
            "whole_sequence": False,
            "dropout": 0.5,
        },
        input="32 frames of 120 x 160, RGB in [0, 1]",
        paper="Mänttäri, Broomé et al. 2020, https://arxiv.org/abs/2002.00367",
        note="6 classes of KTH; no published weights are known.",
        parameters=202_694,
        shape=(32, 120, 160, 3),
    ),
    Entry(
        name="convlstm-motion",
        module="c3dvis.models.convlstm",
        builder="ConvLSTM",
        kwargs={
            "input_shape": (16, 64, 64, 3),
            "classes": 10,
            "filters": (16, 24, 32),
            "kernel_size": (3, 3),
            "padding": "same",
        },
        weights="convlstm-motion",
        classes="c3dvis.motion:CLASSES",
        input="16 frames of 64 x 64, RGB in [0, 1]",
        paper="Mänttäri, Broomé et al. 2020, https://arxiv.org/abs/2002.00367",
        note="A small ConvLSTM, trained on the synthetic motion of c3dvis.motion.",
        parameters=115_722,
        shape=(16, 64, 64, 3),
        fixed_by="dense layer",
    ),
    Entry(
        name="r3d",
        module="c3dvis.models.resnet3d",
        builder="R3D",
        input="16 frames of 112 x 112, RGB in [0, 1]",
        paper="Tran et al. 2018, https://arxiv.org/abs/1711.11248",
        note="400 classes of Kinetics; weights=PATH loads r3d_18-b3b3357e.pth.",
        classes=_KINETICS_400,
        parameters=33_381_072,
        layers=_RESNET18_LAYERS,
        source=_TORCHVISION,
        licence=_TORCHVISION_LICENCE,
    ),
    Entry(
        name="r3d-motion",
        module="c3dvis.models.resnet3d",
        builder="R3D",
        kwargs={"input_shape": (16, 64, 64, 3), "classes": 10, "width": 0.125},
        weights="r3d-motion",
        classes="c3dvis.motion:CLASSES",
        input="16 frames of 64 x 64, RGB in [0, 1]",
        paper="Tran et al. 2018, https://arxiv.org/abs/1711.11248",
        note="R3D at an eighth of its width, trained on the synthetic motion of c3dvis.motion.",
        parameters=524_210,
        layers=_RESNET18_LAYERS,
        shape=(16, 64, 64, 3),
    ),
    Entry(
        name="mc3",
        module="c3dvis.models.resnet3d",
        builder="MC3",
        input="16 frames of 112 x 112, RGB in [0, 1]",
        paper="Tran et al. 2018, https://arxiv.org/abs/1711.11248",
        note="400 classes of Kinetics; weights=PATH loads mc3_18-a90a0ba3.pth.",
        classes=_KINETICS_400,
        parameters=11_705_040,
        layers=_RESNET18_LAYERS,
        source=_TORCHVISION,
        licence=_TORCHVISION_LICENCE,
    ),
    Entry(
        name="mc3-motion",
        module="c3dvis.models.resnet3d",
        builder="MC3",
        kwargs={"input_shape": (16, 64, 64, 3), "classes": 10, "width": 0.125},
        weights="mc3-motion",
        classes="c3dvis.motion:CLASSES",
        input="16 frames of 64 x 64, RGB in [0, 1]",
        paper="Tran et al. 2018, https://arxiv.org/abs/1711.11248",
        note="MC3 at an eighth of its width, trained on the synthetic motion of c3dvis.motion.",
        parameters=185_522,
        layers=_RESNET18_LAYERS,
        shape=(16, 64, 64, 3),
    ),
    Entry(
        name="r2plus1d",
        module="c3dvis.models.resnet3d",
        builder="R2Plus1D",
        input="16 frames of 112 x 112, RGB in [0, 1]",
        paper="Tran et al. 2018, https://arxiv.org/abs/1711.11248",
        note="400 classes of Kinetics; weights=PATH loads r2plus1d_18-91a641e6.pth.",
        classes=_KINETICS_400,
        parameters=31_530_675,
        layers=_RESNET18_LAYERS,
        source=_TORCHVISION,
        licence=_TORCHVISION_LICENCE,
    ),
    Entry(
        name="r2plus1d-motion",
        module="c3dvis.models.resnet3d",
        builder="R2Plus1D",
        kwargs={"input_shape": (16, 64, 64, 3), "classes": 10, "width": 0.125},
        weights="r2plus1d-motion",
        classes="c3dvis.motion:CLASSES",
        input="16 frames of 64 x 64, RGB in [0, 1]",
        paper="Tran et al. 2018, https://arxiv.org/abs/1711.11248",
        note="R(2+1)D at an eighth of its width, trained on the synthetic motion of c3dvis.motion.",
        parameters=495_732,
        layers=_RESNET18_LAYERS,
        shape=(16, 64, 64, 3),
    ),
    Entry(
        name="tsm",
        module="c3dvis.models.tsm",
        builder="TSM",
        input="8 frames of 224 x 224, RGB in [0, 1]",
        paper="Lin et al. 2019, https://arxiv.org/abs/1811.08383",
        note="400 classes of Kinetics; weights=PATH loads a checkpoint of the authors' code.",
        parameters=24_380_752,
        layers=_RESNET50_LAYERS,
        source=_MIT_HAN_LAB,
        licence="MIT",
        shape=(8, 224, 224, 3),
        command_shape=(8, 112, 112),
    ),
    Entry(
        name="tsm-motion",
        module="c3dvis.models.tsm",
        builder="TSM",
        kwargs={"input_shape": (16, 64, 64, 3), "classes": 10, "width": 0.125},
        weights="tsm-motion",
        classes="c3dvis.motion:CLASSES",
        input="16 frames of 64 x 64, RGB in [0, 1]",
        paper="Lin et al. 2019, https://arxiv.org/abs/1811.08383",
        note="TSM at an eighth of its width, trained on the synthetic motion of c3dvis.motion.",
        parameters=383_362,
        layers=_RESNET50_LAYERS,
        shape=(16, 64, 64, 3),
    ),
)

_FILES = {
    "C3D": "c3d",
    "fold_batch_normalization": "c3d",
    "ConvLSTM": "convlstm",
    "I3D": "i3d",
    "R3D": "resnet3d",
    "MC3": "resnet3d",
    "R2Plus1D": "resnet3d",
    "TSM": "tsm",
    "load_weights": ".checkpoints.load",
    "load_keras_model": ".checkpoints.keras_models",
    "LoadReport": ".checkpoints.stored",
    "decode_predictions": "labels",
    "preprocess_input": "inputs",
}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)


def names() -> tuple[str, ...]:
    """The names that `build` knows.

    Example:
        >>> from c3dvis import models
        >>> "i3d" in models.names()
        True
    """
    return tuple(known.name for known in NETWORKS)


def entry(name: str) -> Entry:
    """The table's entry of a network.

    Args:
        name: One of `names()`.

    Raises:
        ValueError: If the name is unknown, with the nearest ones.

    Example:
        >>> from c3dvis import models
        >>> models.entry("i3d").licence
        'Apache-2.0'
    """
    for candidate in NETWORKS:
        if candidate.name == name:
            return candidate
    raise unknown("the name of a network", name, names())


def class_names(name: str) -> tuple[str, ...] | None:
    """The names of a network's classes.

    Args:
        name: One of `names()`.

    Returns:
        The names in the order of the outputs; None if they are not known.

    Raises:
        ValueError: If the network's name is unknown, with the nearest ones.

    Example:
        >>> from c3dvis import models
        >>> models.class_names("c3d-motion")[0]
        'moving left'
    """
    where = entry(name).classes
    if where is None:
        return None
    module, _, attribute = where.partition(":")
    return tuple(getattr(importlib.import_module(module), attribute))


def _bundled(weights: str) -> os.PathLike:
    from c3dvis.checkpoints.load import bundled_file

    return bundled_file(weights)


def _published(found: Entry, weights: str) -> str:
    """The full name of weights that are fetched: "i3d-kinetics400" for "kinetics400"."""
    if weights == found.published:
        return f"{found.name}-{weights}"
    having = [one.name for one in NETWORKS if one.published == weights]
    raise ValueError(
        f"Expected weights={weights!r} for a network with such weights to fetch, such as "
        f"{nearest(found.name, having)}. Received: {found.name!r}, which has "
        f"{'none' if found.published is None else repr(found.published)}."
    )


def build(name: str, *, weights: str | os.PathLike | None = "bundled", **kwargs):
    """Builds a network of the table.

    It takes clips of the published size, `Entry.shape`, unless `input_shape` says otherwise; the
    commands, where none is asked for, build large ones smaller, as `Entry.command_shape` says.
    Where the names of its classes are known and it has as many outputs, they become the tuple
    `network.class_names`.

    Args:
        name: One of `names()`.
        weights: "bundled" for the weights that come with the package, random initial weights if
            it has none for this network; "kinetics400", for "i3d", for the published ones, which
            are fetched once and kept (`c3dvis.models.published`); None for random ones; or a path
            to a weight file.
        **kwargs: Arguments of the builder, instead of those in the table.

    Returns:
        A `keras.Model` from clips `(N, T, H, W, C)`, RGB in [0, 1], to class scores.

    Raises:
        ValueError: If the name is unknown, with the nearest ones; or what the builder refuses.
        OSError: If published weights can't be fetched, with what to do instead.

    Example:
        >>> from c3dvis import models
        >>> network = models.build("c3d-motion", weights=None)
        >>> network.class_names[0]
        'moving left'
    """
    found = entry(name)
    if weights == "bundled":
        weights = None if found.weights is None else _bundled(found.weights)
    elif weights in {one.published for one in NETWORKS if one.published is not None}:
        weights = _published(found, str(weights))
    builder = getattr(importlib.import_module(found.module), found.builder)
    network = builder(**{"name": found.name, **found.kwargs, **kwargs}, weights=weights)
    known = class_names(name)
    if known is not None and network.output_shape[1:] == (len(known),):
        network.class_names = known
    return network
