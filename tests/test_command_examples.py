"""Every example that a command's --help shows is one that the command takes."""

from __future__ import annotations

import importlib
import shlex

import pytest

from c3dvis.attribution.explain import methods_with_options

COMMANDS = ("gallery", "attribution", "responses", "audit", "bench", "models")
# Those that need no file.
CHEAP = (
    "python -m c3dvis.gallery --list-layers --model c3d-motion",
    "python -m c3dvis.attribution --list-methods",
    "python -m c3dvis.models",
)


def command(name):
    return importlib.import_module(f"c3dvis.{name}.__main__")


def parser_of(name):
    """The module with a command's examples and the function that reads its arguments."""
    if name == "gallery":
        module = importlib.import_module("c3dvis.gallery.arguments")
        return module._EXAMPLES, module.parse
    return command(name)._EXAMPLES, command(name)._parse


def examples() -> list[str]:
    texts = [parser_of(name)[0] for name in COMMANDS]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return [line for line in lines if line.startswith("python -m ")]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with every file that an example names."""
    there = tmp_path_factory.mktemp("examples")
    for example in examples():
        for word in shlex.split(example):
            if word.endswith("/"):
                (there / word).mkdir(exist_ok=True)
            elif "." in word and not word.startswith("c3dvis."):
                (there / word).touch()
    return there


@pytest.fixture
def folder(files, monkeypatch):
    """The same as the working directory."""
    monkeypatch.chdir(files)


def test_the_examples_are_there():
    assert len(examples()) > 12
    assert set(CHEAP) <= set(examples())


@pytest.mark.parametrize("example", examples())
def test_every_example_parses(folder, example):
    _, _, module, *arguments = shlex.split(example)
    name = module.removeprefix("c3dvis.")
    parsed = parser_of(name)[1](arguments)
    if name == "attribution" and not parsed.list_methods:
        methods_with_options(parsed.method, parsed.options)


@pytest.mark.parametrize("example", CHEAP)
def test_cheap_examples_work(folder, example, capsys):
    _, _, module, *arguments = shlex.split(example)
    assert command(module.removeprefix("c3dvis.")).main(arguments) == 0
    assert capsys.readouterr().out
