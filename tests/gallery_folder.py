"""What tests of galleries share: clips made at once, and the content of a folder."""

import numpy as np

from c3dvis.maximize import MaximizedClip


class Instant:
    """A Maximizer that makes its clips at once: for tests of everything around it."""

    made: list[tuple[str, int]] = []
    status = "ok"

    def __init__(self, network, objective, **options):
        self.layer = objective.layers[0]
        self.batch_size = len(objective)

    def make(self, objective, *, steps, seed):
        _, term = objective.terms[0]
        for channel in term.units:
            Instant.made.append((self.layer, channel))
            noise = np.random.default_rng([seed, channel]).random((6, 16, 16, 3), np.float32)
            failed = 2 if Instant.status == "failed" else None
            yield MaximizedClip(noise, 1.0 + channel, Instant.status, failed)


def bytes_below(out):
    names = (path for path in out.rglob("*") if path.is_file() and path.name[0] != ".")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in names}
