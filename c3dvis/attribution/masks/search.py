"""The search for masks that keep or remove the class, as `fit` of a Keras model."""

import keras
import numpy as np
from keras import ops

from c3dvis import autodiff
from c3dvis.attribution.masks import energies, perturbations
from c3dvis.attribution.masks.generators import MaskGenerator
from c3dvis.input_optimizer import InputOptimizer

# Steps over which the energy is averaged before it is compared, and by what share it has to fall.
_WINDOW, _PROGRESS = 10, 0.005


class Plateau(keras.callbacks.Callback):
    """Ends a search whose mean energy of ten steps is no lower than that of the ten before."""

    def on_train_begin(self, logs=None):
        self.steps, self.total, self.last = 0, 0.0, None

    def on_train_batch_end(self, batch, logs=None):
        """Compares the energies; the loss that Keras reports is their mean since the first step."""
        self.steps = batch + 1
        if self.steps % _WINDOW:
            return
        total = logs["loss"] * self.steps
        mean, self.total = (total - self.total) / _WINDOW, total
        if self.last is not None and mean > self.last - _PROGRESS * abs(self.last):
            self.model.stop_training = True
        self.last = mean


class MaskSearch(InputOptimizer):
    """Masks of one clip, one per area, whose grids are the only trainable weights.

    One compiled step serves every clip and every class.

    Args:
        shared: The shared part of a `Scorer`.
        shape: `(T, H, W, C)` of the clips.
        areas: Share of ones of each mask, in (0, 1).
        variant: "preserve", "delete" or "dual".
        energy: What the masks minimise.
        masks: Generator of masks from grids.
        exact: Sort the mask's values instead of dividing them by a histogram.
        optimizer: A Keras optimizer that no other model uses.
    """

    def __init__(
        self,
        shared,
        shape: tuple[int, ...],
        *,
        areas: tuple[float, ...],
        variant: str,
        energy: energies.Energy,
        masks: MaskGenerator,
        exact: bool,
        optimizer: keras.optimizers.Optimizer,
    ):
        super().__init__(name="mask_search", dtype="float32")
        # Attributes, so that Keras tracks their variables.
        self.shared, self.tap = shared, shared.tap
        self.reference_scores = shared.reference_scores
        self.areas, self.variant, self.energy = areas, variant, energy
        self.masks, self.exact = masks, exact
        frames, height, width, channels = shape
        grid = (len(areas), frames, *masks.grid)
        self.grid = self.add_weight(
            shape=grid, constraint=lambda grid: ops.clip(grid, 0, 1), name="grid"
        )
        rows = (perturbations.LEVELS - 1) * frames * height * width
        self.table = self.add_weight(shape=(rows, 2 * channels), trainable=False, name="table")
        self.compile(optimizer=optimizer)
        self._with_gradient = autodiff.value_and_gradient(
            lambda grid, unit_indices: self.rewards(
                self.masks.crop(self.masks(grid)), unit_indices
            ),
            variables=self.variables,
        )

    @property
    def latents(self) -> list[keras.Variable]:
        """The grids."""
        return [self.grid]

    def load(self, levels: np.ndarray) -> None:
        """Sets the clip, given as its pyramid `(L, T, H, W, C)`."""
        self.table.assign(perturbations.level_table(levels))

    def sensitivity(self, unit_indices: np.ndarray, points: int) -> np.ndarray:
        """Mean gradient of R along the straight path from a mask of zeros to one of ones.

        Args:
            unit_indices: The class, as `Scorer.unit_indices`, `(1, k)`.
            points: Number of points of the path, rounded up to a multiple of the number of areas,
                which are computed together.

        Returns:
            float32 `(T, rows, columns)`, for the cells of a grid.
        """
        batch = len(self.areas)
        points = -(-points // batch) * batch
        alphas = ((np.arange(points) + 0.5) / points).astype(np.float32)
        total = np.zeros(self.grid.shape[1:], np.float32)
        for first in range(0, points, batch):
            part = alphas[first : first + batch].reshape(-1, 1, 1, 1)
            _, gradient = self._with_gradient(np.broadcast_to(part, self.grid.shape), unit_indices)
            total += ops.convert_to_numpy(gradient).sum(axis=0)
        return total / points

    def run(
        self,
        grid: np.ndarray,
        unit_indices: np.ndarray,
        iterations: np.ndarray,
        callbacks: list | None = None,
    ) -> np.ndarray:
        """Searches the masks of the clip.

        Args:
            grid: The initial grid, `(areas, T, rows, columns)` in [0, 1].
            unit_indices: The class, as `Scorer.unit_indices`, `(1, k)`.
            iterations: One for each step; the weights of the energy depend on them.
            callbacks: Keras callbacks of `fit`.

        Returns:
            float32 `(areas, T, H, W)` in [0, 1].
        """
        self.grid.assign(grid)
        self.restart_optimizer()
        steps = len(iterations)
        rows = (
            np.reshape(iterations, (steps, 1)).astype(np.float32),
            np.repeat(unit_indices, steps, 0),
        )
        autodiff.fit(self, rows, batch_size=1, verbose=0, callbacks=callbacks)
        return ops.convert_to_numpy(self.masks.crop(self.masks(self.grid)))

    def call(self, inputs, training=None):
        """Energies `(areas,)`; inputs are `(iterations, unit_indices)` of one row."""
        return self.energies(self.grid, *inputs)

    def energies(self, grid, iterations, unit_indices):
        """Energies `(areas,)` of the masks of a grid `(areas, T, rows, columns)`."""
        wide, energy, iteration = self.masks(grid), self.energy, iterations[0, 0]
        total = energy.area * energy.growth**iteration * self._area_loss(wide)
        if energy.core:
            # On frames so small that a disc of the mask is smaller than a core, a disc is one.
            across = 2 * self.masks.sigma + 1
            core = tuple(map(min, energies.CORE, (wide.shape[1], across, across)))
            started = ops.cast(iteration > energy.core_from, "float32")
            loss = energies.core_loss(wide, self.areas, core=core)
            total = total + energy.core * started * loss
        return total - energy.reward * self.rewards(self.masks.crop(wide), unit_indices)

    def rewards(self, masks, unit_indices):
        """R of the energy, `(areas,)`, for masks `(areas, T, H, W)`."""
        shown = {"preserve": [masks], "delete": [1 - masks], "dual": [masks, 1 - masks]}
        clips = perturbations.blend(self.table, ops.concatenate(shown[self.variant]))
        rows = ops.broadcast_to(unit_indices, (clips.shape[0], unit_indices.shape[-1]))
        present, absent = self.shared.log_probabilities(clips, rows)
        count = len(self.areas)
        return energies.reward(present[:count], absent[-count:], self.variant)

    def _area_loss(self, wide):
        if not self.energy.per_frame:
            flat = ops.reshape(wide, (len(self.areas), -1))
            return energies.area_loss(flat, self.areas, exact=self.exact)
        frames = wide.shape[1]
        flat = ops.reshape(wide, (len(self.areas) * frames, -1))
        losses = energies.area_loss(flat, np.repeat(self.areas, frames), exact=self.exact)
        return ops.mean(ops.reshape(losses, (-1, frames)), axis=-1)
