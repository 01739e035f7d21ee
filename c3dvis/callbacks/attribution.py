"""Heatmaps of the same clips after each epoch of a network's training."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import keras
import numpy as np
from numpy.typing import ArrayLike

from c3dvis import clips as clip_values
from c3dvis import objectives
from c3dvis.attribution import Attribution, attribute
from c3dvis.attribution.explain import axes_of, methods_with_options
from c3dvis.attribution.scorer import Scorer
from c3dvis.callbacks.epochs import EpochCallback, first_line
from c3dvis.callbacks.history import EpochResult, named
from c3dvis.models.held_inputs import one_input
from c3dvis.objectives import Objective
from c3dvis.objectives.describe import describe

_ABOUT = (
    "The clip, and next to it its heatmap for the network after an epoch of training: vermilion is "
    "evidence for what is explained, blue against it; the bar below has one mark per frame. The "
    "method is {}."
)


class AttributionCallback(EpochCallback):
    """Explains the same clips again and again while a network is trained.

    After every `every` epochs, and after the last, it writes to `folder` a GIF of each clip's
    attribution, a film of its changes over the epochs, and a page of everything. Training is
    bit-for-bit the same as without the callback; failures, memory and resumed training are handled
    as in `GalleryCallback`.

    Args:
        clips: `(N, T, H, W, C)` in [0, 1], such as a few of the validation data.
        targets: What to explain: a class (its index or name) or an objective for each clip, or one
            for all.
        folder: Output folder; created if missing.
        method: One of `c3dvis.attribution.methods.names()`.
        every: Number of epochs between results.
        fps: Frames per second, up to 50.
        log_dir: Folder for TensorBoard, as given to `keras.callbacks.TensorBoard`: the GIFs are
            shown there too, under "Images" of the run "attribution".
        preprocess: Function from clips in [0, 1] to the network's input.
        input: Name of the input for the clips, if several could take them; None finds the only one.
        inputs: Values of the other inputs by name; None uses neutral values. See
            `models.one_input`.
        **options: Options of the method.

    Raises:
        ValueError: Invalid clips, an unknown method or option; when training begins, an objective
            or clips that do not fit the network, or a folder that was created with other settings.

    Example:
        >>> import keras, tempfile
        >>> import numpy as np
        >>> from c3dvis.callbacks import AttributionCallback
        >>> network = keras.Sequential([keras.Input((4, 16, 16, 3)),
        ...     keras.layers.Conv3D(2, 3), keras.layers.GlobalAveragePooling3D()])
        >>> network.compile("sgd", "mse")
        >>> clips, targets = np.random.default_rng(0).random((2, 4, 16, 16, 3)), np.zeros((2, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     follow = AttributionCallback(clips[:1], [1], folder, method="gradient_x_input")
        ...     history = network.fit(clips, targets, callbacks=[follow], verbose=0)
        ...     sorted(file.name for file in follow.folder.glob("*/*.gif"))
        ['epoch-0001.gif', 'film.gif']
    """

    def __init__(
        self,
        clips: ArrayLike,
        targets: Objective | Sequence[int | str | Objective],
        folder: str | os.PathLike[str],
        *,
        method: str = "integrated_gradients",
        every: int = 1,
        fps: float = 8,
        log_dir: str | os.PathLike[str] | None = None,
        preprocess: Callable | None = None,
        input: str | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        **options: Any,
    ):
        ((method, (_, options)),) = methods_with_options([method], options).items()
        self.clips = _clips(clips)
        listed = _objectives(targets, len(self.clips))
        self._method, self._preprocess = method, preprocess
        self._options = options | {"input": input, "inputs": inputs}
        super().__init__(
            listed,
            named([f"clip {i}, {describe(one)}" for i, one in enumerate(listed)]),
            folder,
            kind="attribution",
            settings={"method": method, "options": options, "clip": self.clips.shape[1:]},
            about=_ABOUT.format(method.replace("_", " ")),
            every=every,
            fps=fps,
            log_dir=log_dir,
        )

    def prepare(self, network: keras.Model) -> None:
        self._makes_layers = True  # methods that search for masks, the first time
        one = one_input(
            network,
            self._options["input"],
            self._options["inputs"],
            scaled=self._preprocess is None,
        )
        for clip, objective in zip(self.clips, self.objectives, strict=True):
            Scorer(one, objective, preprocess=self._preprocess)
            clip_values.check(clip, tuple(one.inputs[0].shape[1:]))

    def results(self, network: keras.Model, interrupted: threading.Event) -> Iterator[EpochResult]:
        for clip, objective in zip(self.clips, self.objectives, strict=True):
            if interrupted.is_set():
                raise KeyboardInterrupt
            try:
                attributions = attribute(
                    network,
                    clip,
                    objective,
                    method=self._method,
                    preprocess=self._preprocess,
                    **self._options,
                )
                answer = cast(Attribution, attributions)  # of one clip
                result = EpochResult(answer.score, answer.animation())
            except Exception as error:
                result = EpochResult(error_message=first_line(error))
            yield result

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self._makes_layers = self._makes_layers and self._shown is None


def _clips(clips: ArrayLike) -> np.ndarray:
    if axes_of(clips) != 5 or not len(np.asarray(clips)):
        raise ValueError(f"Expected clips (N, T, H, W, C). Received: shape {np.shape(clips)}.")
    return np.stack([clip_values.check(one) for one in np.asarray(clips)])


def _objectives(targets, count: int) -> list[Objective]:
    """One objective of one unit for each clip."""
    one_for_all = isinstance(targets, (Objective, str)) or np.ndim(targets) == 0
    several = [targets] * count if one_for_all else list(targets)
    if len(several) != count:
        raise ValueError(
            f"Expected {count} classes or objectives, one per clip, or one for all. "
            f"Received: {len(several)}."
        )
    listed = [objectives.of(one, None) for one in several]
    wrong = next((one for one in listed if len(one) != 1), None)
    if wrong is not None:
        raise ValueError(f"Expected objectives of one unit. Received: one of {len(wrong)}.")
    return listed
