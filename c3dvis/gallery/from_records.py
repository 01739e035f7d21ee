"""The command's options that work on finished galleries, without a network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from c3dvis.command_line import say, whole
from c3dvis.text import counted


def add_arguments(group: Any) -> None:
    """Adds these options to an argument group."""
    group.add_argument(
        "--rebuild-page",
        action="store_true",
        help="rewrite the pages from the records, and exit",
    )
    group.add_argument(
        "--sheets",
        action="store_true",
        help="write a contact sheet of each layer's clips, sheets/LAYER.png, and exit",
    )
    group.add_argument(
        "--export",
        metavar="FILE",
        help="write all records to one table, .npz or .parquet (needs pyarrow), and exit",
    )
    group.add_argument(
        "--diff",
        nargs=2,
        metavar=("BEFORE", "AFTER"),
        help=(
            "compare two galleries (two networks or two checkpoints) unit by unit, write the page "
            "to --out (default differences), and exit"
        ),
    )
    group.add_argument(
        "--questions",
        metavar="GALLERY",
        help=(
            "write a forced-choice test for people to --out (default questions), and exit: which "
            "of two clips from --real activates a unit of GALLERY more, given its synthetic clip "
            "or its strongest real clips"
        ),
    )
    group.add_argument(
        "--tasks",
        type=_even,
        default=40,
        metavar="N",
        help="number of questions, an even number (default 40)",
    )


def given(args: argparse.Namespace) -> list[str]:
    """Those of these options that are given."""
    names = ("diff", "questions", "export", "sheets", "rebuild_page")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(args, name)]


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the program with an error for several pages of their own, or --questions alone."""
    alone = [f"--{name}" for name in ("again", "diff", "questions") if getattr(args, name)]
    if alone and len({*alone, *given(args)}) > 1:
        both = " and ".join(dict.fromkeys([*alone, *given(args)]))
        parser.error(f"Expected {alone[0]} without other options that exit. Received: {both}.")
    if args.questions is not None and args.real is None:
        parser.error(
            "Expected --real FOLDER, of the gallery's real clips. Received: --questions alone."
        )


def _even(text: str) -> int:
    number = whole(2)(text)
    if number % 2:
        raise argparse.ArgumentTypeError(f"Expected an even number. Received: {text!r}.")
    return number


def run(args: argparse.Namespace) -> bool:
    """Runs the options that are given; returns whether there was one."""
    if args.diff is not None:
        _diff(args)
    elif args.questions is not None:
        _ask(args)
    elif args.rebuild_page or args.sheets or args.export is not None:
        _write_from_records(args)
    else:
        return False
    return True


def _write_from_records(args: argparse.Namespace) -> None:
    """Writes a table of the records, contact sheets, or the pages."""
    from c3dvis.gallery import export, folder, rebuild, sheets

    if args.export is not None:
        count = export.export(args.out, args.export, report=say)
        say(f"{args.export}: {counted(count, 'record')} of {args.out}")
    if args.sheets:
        for sheet in sheets.write(args.out, report=say):
            say(str(sheet))
    if args.rebuild_page:
        rebuild.read(Path(args.out))  # raises an error if there is no gallery
        with folder.locked(Path(args.out)):
            _, records = rebuild.rebuild(Path(args.out), report=say)
        say(f"{args.out}/index.html: {len(records)} records")


def _diff(args: argparse.Namespace) -> None:
    """Writes the differences between two galleries."""
    from c3dvis.gallery import differences_page

    before, after = args.diff
    compared = differences_page.write(before, after, args.out, report=say)
    say(f"{args.out}/index.html: {compared.summary}")


def _ask(args: argparse.Namespace) -> None:
    """Writes a test for people about a gallery's units."""
    from c3dvis.gallery import questions_page

    drawn = questions_page.write(
        args.questions, args.real, args.out, tasks=args.tasks, seed=args.seed
    )
    questions, units = len(drawn.questions), len(drawn.units)
    say(f"{args.out}/index.html: {questions} questions about {units} units")
