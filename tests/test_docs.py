"""The pages agree with the package, and every public name says what it is, takes and gives."""

from __future__ import annotations

import dataclasses
import enum
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import c3dvis

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def generator():
    """docs/generate.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(text: str) -> list[str]:
    """Versions of Python break the lines of a usage at other places."""
    return text.split()


def test_the_page_of_commands_is_what_they_print():
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert words(page) == words(generator().commands()), "run python docs/generate.py"


def test_the_table_of_published_weights_is_that_of_the_package():
    page = (DOCS / "weights.md").read_text(encoding="utf-8")
    assert page == generator().weights(page), "run python docs/generate.py"
    assert "| i3d |" in page and "Apache-2.0" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = page.parent / path if path else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.M)
            assert anchor in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in heads]


def test_every_page_is_linked_from_the_readme():
    """Or named by the benchmarks', whose scripts write some of them."""
    readmes = [ROOT / "README.md", ROOT / "benchmarks" / "README.md"]
    text = "".join(readme.read_text(encoding="utf-8") for readme in readmes)
    assert [page.name for page in DOCS.glob("*.md") if f"docs/{page.name}" not in text] == []


def test_figures_in_the_page_of_limits_are_those_of_the_measured_pages():
    measured = (DOCS / "planted.md").read_text(encoding="utf-8")
    quoted = re.findall(r"\d+ of \d+", (DOCS / "limits.md").read_text(encoding="utf-8"))
    assert quoted
    assert [one for one in quoted if one not in measured] == []


# Docstrings. Public is what a module's __all__ names; of the rooms without one, what they define.


def public_modules() -> Iterator:
    for info in pkgutil.walk_packages(c3dvis.__path__, "c3dvis."):
        name = info.name
        if name.split(".")[1] not in c3dvis.__all__ or name.endswith("__main__"):
            continue  # the package's own tools, and commands
        module = importlib.import_module(name)
        if hasattr(module, "__all__") or name.removeprefix("c3dvis.") in c3dvis.__all__:
            yield module


def public() -> dict[str, object]:
    """Functions and classes by the shortest path to each; constants explain themselves."""
    shortest: dict[int, tuple[str, object]] = {}
    for module in public_modules():
        here = [
            n for n, x in vars(module).items() if getattr(x, "__module__", 0) == module.__name__
        ]
        for name in getattr(module, "__all__", [n for n in here if not n.startswith("_")]):
            value, path = getattr(module, name), f"{module.__name__}.{name}"
            if not (inspect.isfunction(value) or inspect.isclass(value)):
                continue
            if id(value) not in shortest or len(path) < len(shortest[id(value)][0]):
                shortest[id(value)] = (path, value)
    return dict(sorted(shortest.values()))


def methods(kind: type) -> Iterator[tuple[str, object]]:
    """Public methods and properties that a class adds; overridden ones have their base's words."""
    for name, value in vars(kind).items():
        inherited = any(hasattr(base, name) for base in kind.__mro__[1:])
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(value) and not inherited:
            yield name, value


def arguments(function) -> list[str]:
    names = [p for p in inspect.signature(function).parameters if p not in ("self", "cls")]
    return names


def described(doc: str, *heads: str) -> set[str]:
    """Names that a section describes: `name:`, `one, other:` or `**options:`."""
    names: set[str] = set()
    for head in heads:
        section = re.search(rf"^( *){head}:\n((?:\1 +.*\n|\s*\n)+)", doc + "\n", flags=re.M)
        for line in (section[2] if section else "").splitlines():
            entry = re.match(rf"{section[1]}    (\*{{0,2}}\w[\w*, ]*): ", f"{line} ")
            names |= {n.strip().lstrip("*") for n in entry[1].split(",")} if entry else set()
    return names


def gives_something(function) -> bool:
    """By its annotation. A documented class, or a bare value, needs no more words."""
    annotation = inspect.signature(function).return_annotation
    if annotation in (inspect.Signature.empty, None, "None"):
        return False
    name = str(getattr(annotation, "__name__", annotation))
    return name not in CLASSES and name not in ("str", "bool", "int", "float")


PUBLIC = public()
CLASSES = {name.rpartition(".")[2] for name, x in PUBLIC.items() if inspect.isclass(x)}
FUNCTIONS = [name for name, x in PUBLIC.items() if inspect.isfunction(x)]


def is_data(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or issubclass(kind, (tuple, enum.Enum))


def is_base(kind: type) -> bool:
    """A class that others of the package build upon, and nobody makes."""
    return any(kind in other.__mro__[1:] for other in PUBLIC.values() if inspect.isclass(other))


MADE = [
    name
    for name, x in PUBLIC.items()
    if inspect.isclass(x) and not is_data(x) and not is_base(x) and not inspect.isabstract(x)
]


def test_the_walk_finds_what_is_known_to_be_public():
    for name in ("c3dvis.maximize.maximize", "c3dvis.clips.read", "c3dvis.motion.MovingEvidence"):
        assert name in PUBLIC
    assert len(FUNCTIONS) > 40 and len(MADE) > 20


def test_every_public_module_says_what_it_is_for():
    assert [module.__name__ for module in public_modules() if not module.__doc__] == []


def wrong_with_its_words(thing) -> list[str]:
    """The thing, or the names of its methods, if it does not say what it is."""
    wrong = [] if (thing.__doc__ or "").strip() else ["no docstring"]
    if inspect.isclass(thing):
        wrong += [n for n, method in methods(thing) if not (method.__doc__ or "").strip()]
    return wrong


def test_each_says_what_it_is():
    wrong = {name: wrong_with_its_words(thing) for name, thing in PUBLIC.items()}
    assert {name: what for name, what in wrong.items() if what} == {}


def wrong_with_its_arguments(thing) -> set[str]:
    """Arguments that are not described, and described ones that it does not take."""
    doc = thing.__doc__ or ""
    if inspect.isclass(thing) and is_data(thing):
        if not dataclasses.is_dataclass(thing):
            return set()
        own = vars(thing).get("__annotations__", {})  # inherited ones have their base's words
        fields = {f.name for f in dataclasses.fields(thing) if f.name in own and f.init}
        fields = {name for name in fields if not name.startswith("_")}
        return fields - described(doc, "Attributes", "Args")
    if inspect.isfunction(thing) or "__init__" in vars(thing):
        given = set(arguments(thing if inspect.isfunction(thing) else thing.__init__))
        told = described(doc, "Args")
        return (given - told - {"kwargs"}) | (told - given)
    return set()


def test_every_argument_is_described_and_nothing_that_is_none():
    wrong = {name: wrong_with_its_arguments(thing) for name, thing in PUBLIC.items()}
    assert {name: what for name, what in wrong.items() if what} == {}


def test_what_each_gives_is_described():
    giving = [n for n in FUNCTIONS if gives_something(PUBLIC[n]) and arguments(PUBLIC[n])]
    section = re.compile(r"^ *(Returns|Yields):$", flags=re.M)
    assert [name for name in giving if not section.search(PUBLIC[name].__doc__)] == []


def test_each_has_an_example():
    """Doctests run with the others; data is made by functions, and a base class by nobody."""
    assert [name for name in [*FUNCTIONS, *MADE] if ">>> " not in PUBLIC[name].__doc__] == []
