"""Writes what the pages here would otherwise repeat by hand: `python docs/generate.py`.

`commands.md` is what the commands' --help prints; the table of `weights.md` is that of
`c3dvis.models`. A test fails where they no longer agree.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
from pathlib import Path

from c3dvis import models

FOLDER = Path(__file__).parent
COMMANDS = ("gallery", "attribution", "responses", "audit", "bench", "models")
_WIDTH = "100"  # columns
_HEAD = """# Commands

What `python -m c3dvis.COMMAND --help` prints. All say what is wrong in one line and write
nothing then. Nothing is downloaded but the published weights of I3D, once, where `--get` or
`--weights kinetics400` asks for them.

| command | what it makes |
| --- | --- |
| [gallery](#gallery) | a clip for each filter and class of a network |
| [attribution](#attribution) | which pixels and frames of a clip decided the answer |
| [responses](#responses) | what each filter makes of a clip |
| [audit](#audit) | whether a network relies on motion, the background or the actor |
| [bench](#bench) | how well heatmaps find known evidence, a method of one's own too |
| [models](#models) | the list of networks, and whether a weight file fits one |
"""


def commands() -> str:
    """The text of `commands.md`."""
    parts = [f"## {name}\n\n```text\n{printed_help(name)}\n```\n" for name in COMMANDS]
    return "\n".join([_HEAD, *parts])


def printed_help(name: str) -> str:
    """What a command prints on --help, at a fixed width."""
    main = importlib.import_module(f"c3dvis.{name}.__main__").main
    printed, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    try:
        # argparse exits when it has printed its help.
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main(["--help"])
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


def weights(page: str) -> str:
    """The text of `weights.md` with its table made anew."""
    rows = [("name", "published at", "licence", "paper"), ("---",) * 4]
    rows += [
        (one.name, _linked(one.source), one.licence, _linked(one.paper))
        for one in models.NETWORKS
        if one.source and one.weights is None
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    block = f"<!-- published -->\n{table}\n<!-- /published -->"
    return re.sub("<!-- published -->.*<!-- /published -->", lambda _: block, page, flags=re.S)


def _linked(text: str) -> str:
    return re.sub(r"https://[^\s;)]+[^\s;),.]", lambda found: f"<{found[0]}>", text)


def main() -> None:
    (FOLDER / "commands.md").write_text(commands(), encoding="utf-8")
    page = FOLDER / "weights.md"
    page.write_text(weights(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
