"""How the networks of the table name their weights in the files of other libraries."""

from __future__ import annotations

import importlib

from c3dvis.checkpoints.match import Family
from c3dvis.models import table


def families() -> tuple[Family, ...]:
    """One of each family of the table.

    A family's module may have `CLASSIFIER`, `from_pytorch` and `from_flax`, as `Family` describes
    them. Importing it also registers its layers with Keras.
    """
    names = dict.fromkeys(entry.module for entry in table.NETWORKS)
    return tuple(
        Family(
            classifier=getattr(module, "CLASSIFIER", ""),
            from_pytorch=getattr(module, "from_pytorch", None),
            from_flax=getattr(module, "from_flax", None),
        )
        for module in map(importlib.import_module, names)
    )
