"""The commands of the package: `c3dvis gallery` is `python -m c3dvis.gallery`, and so on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import c3dvis
from c3dvis.command_line import run
from c3dvis.text import unknown

COMMANDS = {
    "gallery": "a page of clips that excite a network's filters and classes",
    "attribution": "which pixels and frames of a clip decided its class",
    "responses": "feature maps of a clip; the clips that excite each filter most",
    "audit": "whether a network relies on motion, the background or the actor, class by class",
    "bench": "score heatmaps, of your own method too, on clips with known evidence",
    "models": "list networks, check weight files, download published weights",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command named first, or lists the commands; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in COMMANDS:
        return importlib.import_module(f"c3dvis.{given[0]}.__main__").main(given[1:])
    return run(lambda: _run(given))


def _run(given: Sequence[str]) -> int:
    if given and given[0] not in ("-h", "--help", "--version"):
        raise unknown("a command", given[0], COMMANDS)
    print(f"c3dvis {c3dvis.__version__}" if given[:1] == ["--version"] else _usage())
    return 0


def _usage() -> str:
    lines = ["usage: c3dvis COMMAND ...    (or: python -m c3dvis COMMAND ...)", ""]
    lines += [f"  {name:12} {what}" for name, what in COMMANDS.items()]
    return "\n".join([*lines, "", "c3dvis COMMAND --help lists the options of a command."])


if __name__ == "__main__":
    sys.exit(main())
