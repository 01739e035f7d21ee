"""The commands of the package: `c3dvis gallery` is `python -m c3dvis.gallery`, and so on."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from c3dvis.text import nearest

COMMANDS = {
    "gallery": "clips that excite a network's filters and classes, as a page",
    "attribution": "the pixels and frames of a clip that decided its class",
    "responses": "what each filter of a layer makes of a clip",
    "models": "the networks there are; what fits a weight file; published weights",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command named first, or lists the commands; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_usage())
        return 0
    command, *rest = given
    if command == "--version":
        import c3dvis

        print(f"c3dvis {c3dvis.__version__}")
        return 0
    if command not in COMMANDS:
        print(
            f"error: Expected a command, such as {nearest(command, COMMANDS)}. "
            f"Received: {command!r}.",
            file=sys.stderr,
        )
        return 2
    return importlib.import_module(f"c3dvis.{command}.__main__").main(rest)


def _usage() -> str:
    lines = ["usage: c3dvis COMMAND ...    (or: python -m c3dvis COMMAND ...)", ""]
    lines += [f"  {name:12} {what}" for name, what in COMMANDS.items()]
    return "\n".join([*lines, "", "c3dvis COMMAND --help tells the options of each."])


if __name__ == "__main__":
    sys.exit(main())
