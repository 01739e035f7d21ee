"""What the command does with a gallery that is made, without its network."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from c3dvis.command_line import whole

Report = Callable[[str], None]
OUT = "gallery"
_OUT_DIFF = "differences"
_OUT_QUESTIONS = "questions"


def add_arguments(group: Any) -> None:
    """Adds the options of all of it to a group."""
    group.add_argument(
        "--rebuild-page",
        action="store_true",
        help="write the pages again from the records, and exit",
    )
    group.add_argument(
        "--sheets",
        action="store_true",
        help="write a contact sheet of each layer's clips, sheets/LAYER.png, and exit",
    )
    group.add_argument(
        "--export",
        metavar="FILE",
        help="write all records as one table, .npz or .parquet (needs pyarrow), and exit",
    )
    group.add_argument(
        "--diff",
        nargs=2,
        metavar=("BEFORE", "AFTER"),
        help="compare two galleries, of two networks or two checkpoints, unit by unit: which units "
        f"died, were born, turned or moved; page in --out (default {_OUT_DIFF}), and exit",
    )
    group.add_argument(
        "--questions",
        metavar="GALLERY",
        help="write a forced-choice test into --out (default questions): which of two clips of "
        "--real activates a unit of GALLERY more, given its synthetic clip or its strongest real "
        "clips; and exit",
    )
    group.add_argument(
        "--tasks",
        type=whole(2),
        default=40,
        metavar="N",
        help="number of questions, even (default 40)",
    )


def check_arguments(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> None:
    """Refuses questions without the clips that are asked about."""
    if chosen.questions is not None and chosen.real is None:
        parser.error(
            "Expected --real FOLDER, of the gallery's real clips. Received: --questions alone."
        )


def is_asked(chosen: argparse.Namespace) -> bool:
    """Whether one of these options is given."""
    given = (chosen.diff, chosen.questions, chosen.export)
    return chosen.rebuild_page or chosen.sheets or any(one is not None for one in given)


def run(chosen: argparse.Namespace, say: Report) -> int:
    """Does what is asked; returns the exit code."""
    if chosen.diff is not None:
        return _diff(chosen, say)
    if chosen.questions is not None:
        return _ask(chosen, say)
    return _read(chosen, say)


def _read(chosen: argparse.Namespace, say: Report) -> int:
    """What needs no network: pages and a table of what is there."""
    from c3dvis.gallery import export, folder, rebuild, sheets

    if chosen.export is not None:
        count = export.export(chosen.out, chosen.export, report=say)
        say(f"{chosen.export}: {count} records of {chosen.out}")
    if chosen.sheets:
        for sheet in sheets.write(chosen.out, report=say):
            say(str(sheet))
    if chosen.rebuild_page:
        rebuild.read(Path(chosen.out))  # nothing is written beside what is no gallery
        with folder.locked(Path(chosen.out)):
            _, records = rebuild.rebuild(Path(chosen.out), report=say)
        say(f"{chosen.out}/index.html: {len(records)} records")
    return 0


def _diff(chosen: argparse.Namespace, say: Report) -> int:
    """What differs between two galleries, from what is there."""
    from c3dvis.gallery import differences_page

    out = _OUT_DIFF if chosen.out == OUT else chosen.out
    before, after = chosen.diff
    compared = differences_page.write(before, after, out, report=say)
    say(f"{out}/index.html: {compared.summary}")
    return 0


def _ask(chosen: argparse.Namespace, say: Report) -> int:
    """Questions to people about a gallery, from what is there."""
    from c3dvis.gallery import questions_page

    out = _OUT_QUESTIONS if chosen.out == OUT else chosen.out
    options = {"tasks": chosen.tasks, "seed": chosen.seed}
    drawn = questions_page.write(chosen.questions, chosen.real, out, **options)
    say(f"{out}/index.html: {len(drawn.questions)} questions about {len(drawn.units)} units")
    return 0
