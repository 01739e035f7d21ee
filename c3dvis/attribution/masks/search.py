"""The search for masks that keep or remove what decides, as `fit` of a Keras model."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from c3dvis import autodiff
from c3dvis.attribution.masks import energies, perturbations
from c3dvis.attribution.masks.generators import MaskGenerator
from c3dvis.input_optimizer import InputOptimizer

VARIANTS = ("preserve", "delete", "dual")

# Steps over which the energy is averaged before it is compared, and by what share it has to fall.
_WINDOW, _PROGRESS = 10, 0.005


@dataclass(frozen=True)
class Energy:
    """What a mask is searched by, the lower the better.

    `area * growth ** iteration * area_loss + core * core_loss - reward * R`, where R is log p of
    the class where only the mask's pixels are kept (preserve), log(1 - p) where they are removed
    (delete), or the sum of both (dual).

    Attributes:
        reward: Weight of R.
        area: Weight of the distance from the wanted area.
        growth: Factor of that weight an iteration.
        core: Weight of the core loss.
        core_from: The core loss counts after this iteration.
        per_frame: Whether each frame has the wanted area, rather than the volume.
    """

    reward: float
    area: float = 300.0
    growth: float = 1.0
    core: float = 0.0
    core_from: int = 0
    per_frame: bool = False


@keras.saving.register_keras_serializable("c3dvis")
class Clipped(keras.constraints.Constraint):
    """Keeps weights in [0, 1]."""

    def __call__(self, w):
        return ops.clip(w, 0, 1)


class Plateau(keras.callbacks.Callback):
    """Ends a search whose energy has stopped falling from one stretch of ten steps to the next."""

    def on_train_begin(self, logs=None):
        self.steps, self.total, self.last = 0, 0.0, None

    def on_train_batch_end(self, batch, logs=None):
        """Compares the energies; Keras reports their mean from the first step on."""
        self.steps = batch + 1
        if self.steps % _WINDOW:
            return
        total = logs["loss"] * self.steps
        mean, self.total = (total - self.total) / _WINDOW, total
        if self.last is not None and mean > self.last - _PROGRESS * abs(self.last):
            self.model.stop_training = True
        self.last = mean


class MaskSearch(InputOptimizer):
    """Masks of one clip, one an area, whose grids are the only trainable weights.

    One compiled step serves every clip and every class.

    Args:
        shared: That of a `Scorer` about one class.
        shape: `(T, H, W, C)` of the clips.
        areas: Share of ones of each mask, in (0, 1).
        variant: "preserve", "delete" or "dual".
        energy: What is made small.
        masks: Generator of masks from grids.
        exact: Sort the mask's values instead of dividing them by a histogram.
        optimizer: A Keras optimizer of its own.
    """

    def __init__(
        self,
        shared,
        shape: tuple[int, ...],
        *,
        areas: tuple[float, ...],
        variant: str,
        energy: Energy,
        masks: MaskGenerator,
        exact: bool,
        optimizer: keras.optimizers.Optimizer,
    ):
        super().__init__(name="mask_search", dtype="float32")
        self.shared, self.tap = shared, shared.tap
        self.areas, self.variant, self.energy = areas, variant, energy
        self.masks, self.exact = masks, exact
        frames, height, width, channels = shape
        grid = (len(areas), frames, *masks.grid)
        self.grid = self.add_weight(shape=grid, constraint=Clipped(), name="grid")
        rows = (perturbations.LEVELS - 1) * frames * height * width
        self.table = self.add_weight(shape=(rows, 2 * channels), trainable=False, name="table")
        self.compile(optimizer=optimizer)
        self._with_gradient = autodiff.value_and_gradient(
            lambda grid, columns: self.rewards(self.masks.crop(self.masks(grid)), columns),
            variables=self.variables,
        )

    @property
    def latents(self) -> list[keras.Variable]:
        """The grids."""
        return [self.grid]

    def load(self, levels: np.ndarray) -> None:
        """Takes a clip, as its pyramid `(L, T, H, W, C)`."""
        self.table.assign(perturbations.ladder(levels))

    def sensitivity(self, columns: np.ndarray, points: int) -> np.ndarray:
        """Mean gradient of R on the way from a mask of zeros to one of ones.

        Args:
            columns: Which class, as a `Scorer` gives it, `(1, k)`.
            points: At least how many masks on the way are looked at; as many at once as there are
                areas.

        Returns:
            float32 `(T, rows, columns)`, for the cells of a grid.
        """
        batch = len(self.areas)
        points = -(-points // batch) * batch
        ways = ((np.arange(points) + 0.5) / points).astype(np.float32)
        total = np.zeros(self.grid.shape[1:], np.float32)
        for first in range(0, points, batch):
            part = ways[first : first + batch].reshape(-1, 1, 1, 1)
            _, gradient = self._with_gradient(np.broadcast_to(part, self.grid.shape), columns)
            total += ops.convert_to_numpy(gradient).sum(axis=0)
        return total / points

    def run(
        self,
        grid: np.ndarray,
        columns: np.ndarray,
        iterations: np.ndarray,
        callbacks: list | None = None,
    ) -> np.ndarray:
        """Searches the masks of the clip.

        Args:
            grid: Where to begin, `(areas, T, rows, columns)` in [0, 1].
            columns: Which class, as a `Scorer` gives it, `(1, k)`.
            iterations: One a step; the energy's weights depend on them.
            callbacks: Keras callbacks of `fit`.

        Returns:
            float32 `(areas, T, H, W)` in [0, 1].
        """
        self.grid.assign(grid)
        self.restart_optimizer()
        steps = len(iterations)
        rows = (np.reshape(iterations, (steps, 1)).astype(np.float32), np.repeat(columns, steps, 0))
        autodiff.fit(self, rows, batch_size=1, verbose=0, callbacks=callbacks)
        return ops.convert_to_numpy(self.masks.crop(self.masks(self.grid)))

    def call(self, inputs, training=None):
        """Energies `(areas,)`, by `(iterations, columns)` of one row: when, and of which class."""
        return self.energies(self.grid, *inputs)

    def energies(self, grid, iterations, columns):
        """Energies `(areas,)` of masks given by their grid, `(areas, T, rows, columns)`."""
        wide, energy, iteration = self.masks(grid), self.energy, iterations[0, 0]
        total = energy.area * energy.growth**iteration * self._area_loss(wide)
        if energy.core:
            # On frames so small that a disc of the mask is smaller than a core, a disc is one.
            across = 2 * self.masks.sigma + 1
            core = tuple(map(min, energies.CORE, (wide.shape[1], across, across)))
            started = ops.cast(iteration > energy.core_from, "float32")
            loss = energies.core_loss(wide, self.areas, core=core)
            total = total + energy.core * started * loss
        return total - energy.reward * self.rewards(self.masks.crop(wide), columns)

    def rewards(self, masks, columns):
        """What the energy calls R, `(areas,)`, of masks `(areas, T, H, W)`."""
        shown = {"preserve": [masks], "delete": [1 - masks], "dual": [masks, 1 - masks]}
        clips = perturbations.blend(self.table, ops.concatenate(shown[self.variant]))
        rows = ops.broadcast_to(columns, (clips.shape[0], columns.shape[-1]))
        present, absent = self.shared.log_probabilities(clips, rows)
        if self.variant == "dual":
            return present[: len(self.areas)] + absent[len(self.areas) :]
        return present if self.variant == "preserve" else absent

    def _area_loss(self, wide):
        if not self.energy.per_frame:
            flat = ops.reshape(wide, (len(self.areas), -1))
            return energies.area_loss(flat, self.areas, exact=self.exact)
        frames = wide.shape[1]
        flat = ops.reshape(wide, (len(self.areas) * frames, -1))
        losses = energies.area_loss(flat, np.repeat(self.areas, frames), exact=self.exact)
        return ops.mean(ops.reshape(losses, (-1, frames)), axis=-1)
