"""Record what held-out clips score in the bundled networks, which galleries read.

`weights/held_out_scores.npz` holds, for each network and each layer that a gallery may show, the
best score of 512 held-out clips of `c3dvis.motion` for every channel, and which clip that was.
"""

import io

import numpy as np

from c3dvis import files, identity, models
from c3dvis.gallery import held_out
from c3dvis.gallery.make import Selection, plan_of
from c3dvis.gallery.settings import Settings
from c3dvis.models import layers


def of_network(name: str) -> dict[str, np.ndarray]:
    """The arrays of one network, by their name in the file."""
    network, settings = models.build(name), Settings(model=name, compare=held_out.RECORDED)
    shown = [info.name for info in layers.visualizable(network) if info.is_convolution]
    shown += models.entry(name).layers or ()
    chosen = Selection(layers=tuple(dict.fromkeys(shown)), filters="all", classes=("all",))
    sections = plan_of(network, chosen)
    arrays = {held_out.record_key(name, "weights"): np.array(identity.weights_sha256(network))}
    for section, scores in zip(sections, held_out.every(network, sections, settings), strict=True):
        best = np.stack([scores.max(axis=0), scores.argmax(axis=0)])
        arrays[held_out.record_key(name, section.layer)] = best.astype(np.float32)
    return arrays


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for entry in models.NETWORKS:
        if entry.knows_motion:
            arrays |= of_network(entry.name)
            print(f"{entry.name}: done", flush=True)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    files.write_bytes(held_out.record_file(), content.getvalue())


if __name__ == "__main__":
    main()
