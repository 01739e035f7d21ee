"""The table of networks, readable without building them.

To add a network, write a file with its builder, in the manner of `keras.applications`, and add its
entry to `NETWORKS`. Nothing here imports Keras.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from c3dvis.text import unknown

if TYPE_CHECKING:
    from c3dvis.checkpoints.match import Family

DEFAULT = "c3d-motion"  # where no network is chosen: small, and its weights come with the package

_MOTION = "c3dvis.motion:CLASSES"
_MOTION_SHAPE = (16, 64, 64, 3)
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


@dataclass(frozen=True)
class Entry:
    """Facts about a network that can be built.

    Attributes:
        name: As given to `build`.
        module: Module of its family.
        builder: Function of the module that builds it.
        kwargs: Arguments of the builder.
        weights: Name of its weights among those that come with the package; None if it has none.
        published: Name of its weights among those that `build` fetches, such as "kinetics400";
            None if there are none.
        classes: `module:attribute` of its class names; None if they are not known.
        input: Its input, in words.
        paper: Where it was published.
        note: Another fact, in a sentence.
        parameters: Number of its parameters, including running means and variances.
        source: Where to get published weights, in words; empty if there are none, or if weights
            come with the package.
        licence: Licence of the published weights, or of the code that they come with.
        layers: Default layers of a gallery; None for every convolution.
        shape: Published `(T, H, W, C)` of its clips, the default of `build`.
        command_shape: Default `(T, H, W)` of the gallery, small enough for a laptop. Commands that
            read real clips use its T with the published H and W. None means the published one.
        fixed_by: Layers that fit the published size only, in words; empty if the weights serve
            other sizes too.
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

    @property
    def knows_motion(self) -> bool:
        """Whether its classes are those of the synthetic clips of `c3dvis.motion`."""
        return self.classes == _MOTION


def _trained_on_motion(
    family: Entry,
    what: str,
    parameters: int,
    kwargs: Mapping[str, Any],
    *,
    fixed_by: str | None = None,
) -> Entry:
    """The entry of a small network of a family, whose weights come with the package."""
    name = f"{family.name}-motion"
    return replace(
        family,
        name=name,
        kwargs={"input_shape": _MOTION_SHAPE, "classes": 10, **kwargs},
        weights=name,
        published=None,
        classes=_MOTION,
        input="16 frames of 64 x 64, RGB in [0, 1]",
        note=f"{what}, trained on the synthetic motion of c3dvis.motion.",
        parameters=parameters,
        source="",
        licence="",
        shape=_MOTION_SHAPE,
        command_shape=None,
        fixed_by=family.fixed_by if fixed_by is None else fixed_by,
    )


_C3D = Entry(
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
)

_I3D = Entry(
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
)

_CONVLSTM = Entry(
    name="convlstm",
    module="c3dvis.models.convlstm",
    builder="ConvLSTM",
    input="16 frames of 224 x 224, RGB in [0, 1]",
    paper="Mänttäri, Broomé et al. 2020, https://arxiv.org/abs/2002.00367",
    note="174 classes of Something-Something; no published weights are known.",
    parameters=878_894,
    shape=(16, 224, 224, 3),
)

_R3D = Entry(
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
)

_MC3 = replace(
    _R3D,
    name="mc3",
    builder="MC3",
    note="400 classes of Kinetics; weights=PATH loads mc3_18-a90a0ba3.pth.",
    parameters=11_705_040,
)

_R2PLUS1D = replace(
    _R3D,
    name="r2plus1d",
    builder="R2Plus1D",
    note="400 classes of Kinetics; weights=PATH loads r2plus1d_18-91a641e6.pth.",
    parameters=31_530_675,
)

_TSM = Entry(
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
)

NETWORKS = (
    _C3D,
    _trained_on_motion(_C3D, "C3D at an eighth of its width", 567_146, {"width": 0.125, "fc": 256}),
    _I3D,
    replace(
        _I3D,
        name="i3d-flow",
        kwargs={"modality": "flow"},
        input="64 frames of 224 x 224, optical flow in pixels per frame",
        note="The flow stream of I3D; values beyond 20 pixels are clipped.",
        published=None,
        parameters=12_682_592,
        shape=(64, 224, 224, 2),
    ),
    _trained_on_motion(_I3D, "I3D at a fifth of its width", 508_500, {"width": 0.2}),
    _CONVLSTM,
    replace(
        _CONVLSTM,
        name="convlstm-kth",
        kwargs={
            "input_shape": (32, 120, 160, 3),
            "classes": 6,
            "filters": (32, 32),
            "kernel_size": (3, 5),
            "whole_sequence": False,
            "dropout": 0.5,
        },
        input="32 frames of 120 x 160, RGB in [0, 1]",
        note="6 classes of KTH; no published weights are known.",
        parameters=202_694,
        shape=(32, 120, 160, 3),
    ),
    _trained_on_motion(
        _CONVLSTM,
        "A small ConvLSTM",
        115_722,
        {"filters": (16, 24, 32), "kernel_size": (3, 3), "padding": "same"},
        fixed_by="dense layer",
    ),
    _R3D,
    _trained_on_motion(_R3D, "R3D at an eighth of its width", 524_210, {"width": 0.125}),
    _MC3,
    _trained_on_motion(_MC3, "MC3 at an eighth of its width", 185_522, {"width": 0.125}),
    _R2PLUS1D,
    _trained_on_motion(_R2PLUS1D, "R(2+1)D at an eighth of its width", 495_732, {"width": 0.125}),
    _TSM,
    _trained_on_motion(_TSM, "TSM at an eighth of its width", 383_362, {"width": 0.125}),
)


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


def families() -> tuple[Family, ...]:
    """How each family of the table names its weights in the files of other libraries.

    A family's module may have `CLASSIFIER`, `from_pytorch` and `from_flax`, as `Family` describes
    them. Importing it also registers its layers with Keras.
    """
    from c3dvis.checkpoints.match import Family

    names = dict.fromkeys(known.module for known in NETWORKS)
    return tuple(
        Family(
            classifier=getattr(module, "CLASSIFIER", ""),
            from_pytorch=getattr(module, "from_pytorch", None),
            from_flax=getattr(module, "from_flax", None),
        )
        for module in map(importlib.import_module, names)
    )
