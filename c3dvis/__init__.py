"""See what a video network has learned.

The public modules are imported on first use, so that `import c3dvis` loads neither Keras nor NumPy.

>>> import c3dvis
>>> c3dvis.clips.__name__
'c3dvis.clips'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from c3dvis import interrupts
from c3dvis.weights_finder import find_weights

if TYPE_CHECKING:
    from c3dvis import (
        attribution,
        audit,
        callbacks,
        clips,
        maximize,
        models,
        motion,
        objectives,
        receptive_field,
        responses,
    )

    __version__: str

__all__ = [
    "__version__",
    "attribution",
    "audit",
    "callbacks",
    "clips",
    "maximize",
    "models",
    "motion",
    "objectives",
    "receptive_field",
    "responses",
]

# The modules of functions that are looked for here.
_FUNCTIONS = {
    "attribute": "c3dvis.attribution",
    "Maximizer": "c3dvis.maximize",
    "slow_to_fast": "c3dvis.maximize",
    "load_weights": "c3dvis.models",
    "build": "c3dvis.models",
    "logit": "c3dvis.objectives",
    "channel": "c3dvis.objectives",
    "feature_maps": "c3dvis.responses",
}

interrupts.end_at_once_while_starting()
find_weights()


def __getattr__(name: str) -> Any:
    """Imports a public module, or looks up the version, on first use (PEP 562)."""
    if name == "__version__":
        from importlib import metadata

        try:
            return metadata.version(__name__)
        except metadata.PackageNotFoundError:
            return "0+not.installed"  # run from a folder on PYTHONPATH: no metadata to ask
    if name in __all__:
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    hint = f"; it is {_FUNCTIONS[name]}.{name}" if name in _FUNCTIONS else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
