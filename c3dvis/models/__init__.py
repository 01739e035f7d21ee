"""The networks by name, and the reading of weight files.

>>> from c3dvis import models
>>> models.names()
('c3d', 'c3d-motion', ...)

Keras is imported when a network is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c3dvis import lazy
from c3dvis.models.building import build
from c3dvis.models.table import DEFAULT, NETWORKS, Entry, class_names, entry, names

if TYPE_CHECKING:
    from c3dvis.checkpoints.keras2_configs import keras2_hard_sigmoid
    from c3dvis.checkpoints.match import LoadReport
    from c3dvis.models.c3d import C3D, fold_batch_normalization
    from c3dvis.models.channels import channels_last
    from c3dvis.models.convlstm import ConvLSTM
    from c3dvis.models.held_inputs import one_input
    from c3dvis.models.i3d import I3D
    from c3dvis.models.labels import decode_predictions
    from c3dvis.models.loading import load_keras_model, load_weights
    from c3dvis.models.preprocessing import preprocess_input
    from c3dvis.models.resnet3d import MC3, R3D, R2Plus1D
    from c3dvis.models.tsm import TSM

__all__ = [
    "C3D",
    "DEFAULT",
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
    "channels_last",
    "class_names",
    "decode_predictions",
    "entry",
    "fold_batch_normalization",
    "keras2_hard_sigmoid",
    "load_keras_model",
    "load_weights",
    "names",
    "one_input",
    "preprocess_input",
]

_FILES = {
    "C3D": "c3d",
    "channels_last": "channels",
    "fold_batch_normalization": "c3d",
    "ConvLSTM": "convlstm",
    "I3D": "i3d",
    "R3D": "resnet3d",
    "MC3": "resnet3d",
    "R2Plus1D": "resnet3d",
    "TSM": "tsm",
    "load_weights": "loading",
    "load_keras_model": "loading",
    "LoadReport": ".checkpoints.match",
    "keras2_hard_sigmoid": ".checkpoints.keras2_configs",
    "decode_predictions": "labels",
    "preprocess_input": "preprocessing",
    "one_input": "held_inputs",
}

__getattr__, __dir__ = lazy.exports(__name__, _FILES)
