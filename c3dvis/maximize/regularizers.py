"""Penalties that make clips smoother. Each is a function of clips that gives one number a clip."""

from keras import ops

__all__ = ["TotalVariation"]


class TotalVariation:
    """Mean absolute difference between neighbours in space and in time, weighted apart.

    The weights are in units of activation: with `spatial=1`, a checkerboard of black and white
    costs as much as 2 units of activation earn (Mahendran and Vedaldi 2015,
    https://arxiv.org/abs/1412.0035; separate weights as in Feichtenhofer et al. 2018,
    https://arxiv.org/abs/1801.01415).

    Args:
        spatial: Weight of differences down and to the right.
        temporal: Weight of differences to the next frame; larger shows slower motion.
    """

    def __init__(self, *, spatial: float = 0.0, temporal: float = 0.0):
        if spatial < 0 or temporal < 0:
            raise ValueError(
                f"Expected weights of 0 or more. Received: spatial={spatial}, temporal={temporal}."
            )
        self.spatial, self.temporal = spatial, temporal

    def __call__(self, clips):
        """Clips `(N, T, H, W, C)` to penalties `(N,)`."""
        total = ops.zeros(clips.shape[:1], "float32")
        for weight, axis in ((self.temporal, 1), (self.spatial, 2), (self.spatial, 3)):
            if weight and clips.shape[axis] > 1:
                total = total + weight * ops.mean(ops.abs(_difference(clips, axis)), (1, 2, 3, 4))
        return total


def _difference(clips, axis: int):
    length = clips.shape[axis]
    before = [slice(None)] * axis
    return clips[(*before, slice(1, length))] - clips[(*before, slice(0, length - 1))]
