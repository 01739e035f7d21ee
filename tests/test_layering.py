"""Who imports whom: one way only, one file names a backend, nothing heavy before it is needed."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import c3dvis

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "c3dvis"
BACKENDS = {"tensorflow", "jax", "torch"}

GROUND = {
    "autodiff",
    "clip_count",
    "checks",
    "clips",
    "weights_finder",
    "command_line",
    "convolution",
    "files",
    "folding",
    "graph",
    "held",
    "identity",
    "input_optimizer",
    "interrupts",
    "intervals",
    "keras_start",
    "lazy",
    "memory",
    "motion",
    "objectives",
    "opening",
    "output_folder",
    "pages",
    "pooling",
    "receptive_field",
    "rewire",
    "stored",
    "sums",
    "text",
    "variants",
}
MIDDLE = {"maximize", "attribution", "responses"}
# A room and the rooms it may import besides itself. `weights` is data and the scripts behind it.
MAY_IMPORT = {
    **{room: GROUND for room in GROUND},
    "checkpoints": GROUND,
    "models": GROUND | {"checkpoints", "weights"},
    **{room: GROUND | {"models"} for room in MIDDLE},
    "callbacks": GROUND | MIDDLE | {"models"},
    "audit": GROUND | MIDDLE | {"models"},
    "bench": GROUND | {"models", "attribution"},
    "gallery": GROUND | MIDDLE | {"models", "callbacks", "weights"},
    "__main__": GROUND | MIDDLE | {"models", "gallery"},
    "weights": GROUND | MIDDLE | {"models", "callbacks"},
}
# Files besides autodiff.py that may name a backend, each with its reason.
MAY_NAME_BACKEND = {
    "c3dvis/checkpoints/tf_checkpoint.py": "only TensorFlow reads the files of its own checkpoints",
}


def imports(source: str, module: str, is_package: bool = False) -> Iterator[str]:
    """Every module that a file imports, function-level and by importlib.import_module too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = module if is_package else module.rpartition(".")[0]
                anchor = ".".join(anchor.split(".")[: len(anchor.split(".")) - node.level + 1])
                base = f"{anchor}.{base}" if base else anchor
            # `from c3dvis import clips` imports c3dvis.clips.
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", None))
            first = node.args[0]
            if name in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield str(first.value)


def room(module: str) -> str | None:
    """`gallery` for `c3dvis.gallery.plan`; None for a module that is not of the package."""
    parts = module.split(".")
    return parts[1] if parts[0] == "c3dvis" and len(parts) > 1 else None


def files() -> list[tuple[str, Path]]:
    """The package's files as (module, path), the weights' scripts included."""
    modules = []
    for folder, prefix in ((PACKAGE, ("c3dvis",)), (ROOT / "weights", ("c3dvis", "weights"))):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            modules.append((".".join(prefix + parts), path))
    return [(module, path) for module, path in modules if module != "c3dvis"]


def upward(module: str, source: str, is_package: bool = False) -> list[str]:
    """The imports of one file that the table does not allow."""
    own = room(module)
    assert own in MAY_IMPORT, f"{module}: a new room needs its line in MAY_IMPORT"
    targets = {target for target in map(room, imports(source, module, is_package)) if target}
    return sorted(targets - MAY_IMPORT[own] - {own, "__version__"})


def test_imports_go_one_way():
    wrong = {
        module: upward(module, path.read_text(encoding="utf-8"), path.name == "__init__.py")
        for module, path in files()
    }
    assert len(wrong) > 100  # they were found
    assert {module: targets for module, targets in wrong.items() if targets} == {}


def at_run_time(source: str) -> str:
    """A file without what is imported for annotations alone."""

    class WithoutAnnotations(ast.NodeTransformer):
        def visit_If(self, node):
            is_checking = getattr(node.test, "id", None) == "TYPE_CHECKING"
            return None if is_checking else self.generic_visit(node)

    return ast.unparse(WithoutAnnotations().visit(ast.parse(source)))


def import_graph() -> dict[str, set[str]]:
    """The modules that each module imports, sooner or later, those of the benchmarks included."""
    benchmarks = [(path.stem, path) for path in sorted((ROOT / "benchmarks").glob("*.py"))]
    known = dict([*files(), *benchmarks])
    edges: dict[str, set[str]] = {}
    for module, path in known.items():
        source = at_run_time(path.read_text(encoding="utf-8"))
        targets = set()
        for target in imports(source, module, path.name == "__init__.py"):
            while target and target not in known:
                target = target.rpartition(".")[0]
            targets.add(target)
        edges[module] = targets - {"", module}
    return edges


def circle(edges: dict[str, set[str]]) -> list[str]:
    """What is left when modules that import nothing of the rest are taken away again and again."""
    left = dict(edges)
    while free := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in free:
            del left[module]
    return sorted(left)


def test_no_modules_import_each_other_in_a_circle():
    edges = import_graph()
    assert sum(map(len, edges.values())) > 500  # they were found
    assert circle(edges) == []


def test_the_search_finds_a_circle():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}
    assert circle(edges) == ["a", "b", "c"]


def test_no_module_is_long():
    lengths = {path: path.read_text(encoding="utf-8").count("\n") for _, path in files()}
    assert {path: n for path, n in lengths.items() if n > 400 and PACKAGE in path.parents} == {}


def test_only_autodiff_names_a_backend():
    named = {}
    for module, path in files():
        targets = imports(path.read_text(encoding="utf-8"), module)
        named[path.relative_to(ROOT).as_posix()] = {t.split(".")[0] for t in targets} & BACKENDS
    assert named["c3dvis/autodiff.py"]
    allowed = {"c3dvis/autodiff.py", *MAY_NAME_BACKEND}
    assert {name: ones for name, ones in named.items() if ones and name not in allowed} == {}


# What Keras keeps private and only graph.py and opening.py name.
PRIVATE_TO_KERAS = {
    "_functional",
    "_inbound_nodes",
    "_outbound_nodes",
    "_keras_history",
    "_layers",
    "_nodes",
    "_nodes_by_depth",
    "_tracker",
    "fill_in",
    "is_input",
    "node",
}


def names(source: str) -> Iterator[str]:
    """Every attribute that a file reads or sets, by getattr and the like too, and what of Keras's
    sources it imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
    yield from (name for name in imports(source, "c3dvis.x") if name.startswith("keras.src"))


def test_only_the_walks_of_networks_name_what_is_private_to_keras():
    named = {}
    for _, path in files():
        words = set(names(path.read_text(encoding="utf-8")))
        private = {n for n in words if n in PRIVATE_TO_KERAS or n.startswith("keras.src")}
        named[path.relative_to(ROOT).as_posix()] = private
    for name in ("graph", "opening"):
        assert "_nodes_by_depth" in named.pop(f"c3dvis/{name}.py")
    assert {name: ones for name, ones in named.items() if ones} == {}


@pytest.mark.parametrize(
    "source",
    ["x._keras_history.operation", "getattr(m, '_functional')", "from keras.src import ops"],
)
def test_the_reader_of_names_finds_private_ones(source):
    words = set(names(source))
    assert words & PRIVATE_TO_KERAS or any(name.startswith("keras.src") for name in words)


def test_every_exemption_is_still_needed():
    for name in MAY_NAME_BACKEND:
        targets = {
            target.split(".")[0] for target in imports((ROOT / name).read_text(), "c3dvis.x")
        }
        assert targets & BACKENDS, f"{name} names no backend any more: drop its exemption"


@pytest.mark.parametrize(
    "module, source, wrong",
    [
        ("c3dvis.clips", "def f():\n    from c3dvis import maximize", ["maximize"]),
        ("c3dvis.maximize.maximizer", "from c3dvis.attribution import attribute", ["attribution"]),
        ("c3dvis.models.c3d", "from .. import responses", ["responses"]),
        ("c3dvis.models.c3d", "from ..gallery.plan import plan", ["gallery"]),
        ("c3dvis.callbacks", "import c3dvis.gallery", ["gallery"]),
        ("c3dvis.responses.top", "import_module('c3dvis.gallery')", ["gallery"]),
        ("c3dvis.responses.top", "from c3dvis.audit import audit", ["audit"]),
        ("c3dvis.models.c3d", "from .layers import tap\nfrom c3dvis import clips", []),
        ("c3dvis.gallery.render", "from c3dvis.maximize import Maximizer", []),
    ],
)
def test_the_reader_of_imports_finds_upward_ones(module, source, wrong):
    assert upward(module, source) == wrong


def test_the_rooms_that_are_imported_by_others_exist():
    for name in c3dvis.__all__:
        if name != "__version__":
            assert importlib.util.find_spec(f"c3dvis.{name}") is not None, name


def test_setup_cfg_lists_every_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = set(config["options"]["packages"].split())
    present = {
        ".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")
    }
    assert listed == present | {"c3dvis.weights"}


def loaded_after(*arguments: str, expect: int) -> set[str]:
    """The top-level packages that a fresh interpreter has imported when it exits."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert run.returncode == expect, run.stderr[-2000:]
    lines = [line for line in run.stderr.splitlines() if line.startswith("import time:")]
    assert "Traceback" not in run.stderr
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}


HEAVY = {"keras", "tensorflow", "jax", "torch", "numpy", "PIL", "jinja2", "h5py", "av", "ray"}


def test_the_probe_sees_an_import():
    assert "numpy" in loaded_after("-c", "import numpy", expect=0)


def test_importing_c3dvis_loads_nothing_heavy():
    loaded = loaded_after("-c", "import c3dvis; dir(c3dvis)", expect=0)
    assert "c3dvis" in loaded
    assert not loaded & HEAVY


def test_the_weights_are_found_in_a_clone():
    """`python -m` in a clone takes the clone's package, whether or not one is installed."""
    code = "import importlib.resources as r; print(r.files('c3dvis.weights') / 'README.md')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert Path(run.stdout.strip()) == ROOT / "weights" / "README.md", run.stderr


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "docs", "notebooks"])
def test_other_folders_of_a_clone_are_no_part_of_the_package(folder):
    assert (ROOT / folder).is_dir()
    assert importlib.util.find_spec(f"c3dvis.{folder}") is None


def test_the_package_finds_its_weights_installed_too(tmp_path):
    """As a wheel lays it out: the weights in the package's folder, and no clone around it."""
    package = tmp_path / "c3dvis"
    package.mkdir()
    for name in ("__init__.py", "weights_finder.py", "interrupts.py"):
        shutil.copy(PACKAGE / name, package)
    shutil.copytree(ROOT / "weights", package / "weights", ignore=shutil.ignore_patterns("*.h5"))
    code = "import importlib.resources as r; print(r.files('c3dvis.weights') / 'README.md')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert Path(run.stdout.strip()) == package / "weights" / "README.md", run.stderr


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["--help"], 0),
        (["--no-such-option"], 2),
        (["--filters", "3-"], 2),
        (["--dry-run", "--steps", "-1"], 2),
        (["--list-layers", "--size", "64by64"], 2),
        (["--model", "c3d", "--keras-model", "mine.keras"], 2),
        (["--directions"], 2),
        (["--workers", "2"], 2),
        (["--parametrizations", "pixel"], 2),
        (["--model", "i3d"], 2),
    ],
)
def test_the_gallery_answers_help_and_bad_arguments_without_keras(arguments, code):
    assert not loaded_after("-m", "c3dvis.gallery", *arguments, expect=code) & HEAVY


@pytest.mark.parametrize("room", ["attribution", "audit", "bench", "responses"])
@pytest.mark.parametrize("arguments, code", [(["--help"], 0), (["--no-such"], 2), ([], 2)])
def test_the_other_commands_answer_help_and_bad_arguments_without_keras(room, arguments, code):
    assert not loaded_after("-m", f"c3dvis.{room}", *arguments, expect=code) & HEAVY


@pytest.mark.parametrize(
    "room, arguments",
    [
        ("attribution", [__file__, "--method", "grad_cm"]),
        ("audit", [".", "--source", "("]),
        ("bench", ["no-such-file.py"]),
        ("responses", ["--layer", "conv1", "--model", "c3e"]),
    ],
)
def test_names_and_patterns_are_refused_without_keras(room, arguments):
    loaded = loaded_after("-m", f"c3dvis.{room}", *arguments, expect=2)
    assert not loaded & {"keras", "tensorflow", "numpy"}


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["--help"], 0),
        ([], 0),
        (["--check", __file__], 2),
        (["--check", __file__, "--model", "i3b"], 2),
        (["--check", "no-such-file.h5", "--model", "i3d"], 2),
    ],
)
def test_the_table_of_networks_is_listed_without_keras(arguments, code):
    assert not loaded_after("-m", "c3dvis.models", *arguments, expect=code) & HEAVY
