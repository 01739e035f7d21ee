"""The clips that excite chosen units of a network, after each epoch of its training."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras

from c3dvis import clips, objectives
from c3dvis.callbacks.epochs import EpochCallback, first_line
from c3dvis.callbacks.history import EpochResult, named
from c3dvis.maximize import MaximizedClip, Maximizer, arguments, parametrizations, run
from c3dvis.maximize.defaults import STEPS
from c3dvis.objectives import Objective
from c3dvis.objectives.describe import describe

_ABOUT = (
    "Each clip was optimized from noise, always the same noise for a unit, until the unit "
    "responded strongly in the network after that epoch of training. The score is the response "
    "reached."
)

Units = Objective | str | int | Sequence[Objective | str | int] | Mapping[str, int | Sequence[int]]


class GalleryCallback(EpochCallback):
    """Makes clips that excite chosen units while a network is trained.

    After every `every` epochs, and after the last, it writes to `folder` a GIF of each unit, a film
    of its changes over the epochs, and a page of everything (`index.html`, and `README.md` for
    GitHub). All clips of a unit start from the same noise.

    Training is bit-for-bit the same as without the callback: clips are made with a copy of the
    network (which takes the memory of its weights, plus that of making a clip), and nothing is done
    in other epochs. If a unit can't be made, because of NaN in the network or too little memory,
    there is a warning and the training continues. Training that is resumed in the same folder
    (`initial_epoch`) continues its page and films. If it restarts at an earlier epoch, results of
    later epochs are moved to a folder `set-aside-...`.

    Args:
        units: An objective or several, which can be given as text or class indices, such as
            "conv3b:0-7"; or channels by layer: `{"conv3b": [0, 7]}`.
        folder: Output folder; created if missing.
        every: Number of epochs between results.
        steps: Number of optimization steps per clip.
        seed: Seed of the initial noise.
        fps: Frames per second, up to 50.
        log_dir: Folder for TensorBoard, as given to `keras.callbacks.TensorBoard`: the GIFs are
            shown there too, under "Images" of the run "gallery", with a slider over the epochs.
        **options: Options of `Maximizer`: parametrization, size, preprocess, batch_size, ...

    Raises:
        ValueError: Settings out of range; when training begins, a layer, channel or size that the
            network doesn't have, or a folder that was created with other settings.

    Example:
        >>> import keras, tempfile
        >>> import numpy as np
        >>> from c3dvis.callbacks import GalleryCallback
        >>> network = keras.Sequential([keras.Input((4, 16, 16, 3)),
        ...     keras.layers.Conv3D(2, 3, name="conv"), keras.layers.GlobalAveragePooling3D()])
        >>> network.compile("sgd", "mse")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     follow = GalleryCallback({"conv": [0, 1]}, folder, steps=4)
        ...     clips, targets = np.zeros((2, 4, 16, 16, 3)), np.zeros((2, 2))
        ...     history = network.fit(clips, targets, callbacks=[follow], verbose=0)
        ...     sorted(file.name for file in follow.folder.glob("*/*.gif"))
        ['epoch-0001.gif', 'epoch-0001.gif', 'film.gif', 'film.gif']
    """

    def __init__(
        self,
        units: Units,
        folder: str | os.PathLike[str],
        *,
        every: int = 1,
        steps: int = STEPS,
        seed: int = 0,
        fps: float = 8,
        log_dir: str | os.PathLike[str] | None = None,
        **options: Any,
    ):
        run.check(steps, seed)
        arguments.check_options(options, Maximizer.__init__)
        self._steps, self._seed, self._options = steps, seed, options
        self._maximizers: list[Maximizer] = []
        listed = _objectives(units)
        super().__init__(
            listed,
            named([describe(one[i]) for one in listed for i in range(len(one))]),
            folder,
            kind="gallery",
            settings={"steps": steps, "seed": seed, "options": options},
            about=_ABOUT,
            every=every,
            fps=fps,
            log_dir=log_dir,
        )

    def prepare(self, network: keras.Model) -> None:
        self._maximizers = [Maximizer(network, one, **self._options) for one in self.objectives]
        for one, maximizer in zip(self.objectives, self._maximizers, strict=True):
            shapes = dict(zip(one.layers, maximizer.shapes, strict=True))
            one.unit_indices(shapes, maximizer.class_names)  # refuses units that aren't there

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._maximizers = []

    def results(self, network: keras.Model, interrupted: threading.Event) -> Iterator[EpochResult]:
        for objective, maximizer in zip(self.objectives, self._maximizers, strict=True):
            left = len(objective)
            interrupt = _Interrupt(interrupted)
            try:
                for one in maximizer.make(
                    steps=self._steps, seed=self._seed, callbacks=[interrupt]
                ):
                    yield _result(one, maximizer.clip_shape[-1])
                    left -= 1
            except Exception as error:
                yield from [EpochResult(error_message=first_line(error))] * left


class _Interrupt(keras.callbacks.Callback):
    """Ends a fit when the training that waits for it is interrupted."""

    def __init__(self, interrupted: threading.Event):
        super().__init__()
        self._interrupted = interrupted

    def on_train_batch_end(self, batch, logs=None):
        if self._interrupted.is_set():
            raise KeyboardInterrupt


def _objectives(units: Units) -> list[Objective]:
    listed: list[Objective | str | int]
    if isinstance(units, Mapping):
        listed = [objectives.channel(layer, channels) for layer, channels in units.items()]
    elif isinstance(units, str) or not isinstance(units, Iterable):
        listed = [units]
    else:
        listed = list(units)
    if not listed:
        raise ValueError(
            "Expected objectives, or channels by layer as {'conv3b': [0, 7]}. Received: none."
        )
    return [objectives.of(one, None) for one in listed]


def _result(maximized: MaximizedClip, channels: int) -> EpochResult:
    """A clip with its score, or why there is none to show."""
    if maximized.status == "no gradient":
        return EpochResult(error_message="nothing in the clip changed its score")
    if maximized.status == "failed":
        return EpochResult(
            error_message=f"its score was NaN or infinite at step {maximized.failed_step}"
        )
    clip = maximized.clip
    if clip.shape[-1] != channels:
        clip = parametrizations.rgba(clip)
    return EpochResult(maximized.score, clips.to_rgb(clip))
