"""Galleries that are killed, and units that end their process, in real processes.

The environment's `C3DVIS_KILLS` is the number of kills of each engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from gallery_folder import bytes_below

from c3dvis.gallery.__main__ import main as gallery

ROOT = Path(__file__).resolve().parent.parent

# Python reads this when it starts: the gallery's processes then end at one unit.
POISON = """
import importlib.abc, importlib.machinery, os, sys

class Poisoned(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "c3dvis.gallery.render":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            maximize = module.Renderer._maximize

            def deadly(self, maximizer, units):
                if any(unit.channel == 1 for unit in units):
                    os.kill(os.getpid(), 9)
                return maximize(self, maximizer, units)

            module.Renderer._maximize = deadly

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Poisoned())
"""


def run(*arguments, path=()):
    paths = os.pathsep.join(map(str, (*path, ROOT)))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, "RAY_worker_niceness": "0"},
        capture_output=True,
        text=True,
        timeout=1200,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "kills, engines, noise",
    [(6, ["serial", "shards"], ["--noise"]), (1, ["serial", "processes", "sweep"], [])],
)
def test_killed_runs_end_with_the_same_bytes(kills, engines, noise):
    kills = os.environ.get("C3DVIS_KILLS", kills)
    done = run(ROOT / "benchmarks" / "kills.py", "--kills", kills, *noise, "--engine", *engines)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if "the same bytes" in line]
    assert list(dict.fromkeys(line.partition(":")[0] for line in told)) == engines


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_a_unit_that_ends_its_process_is_set_aside(tmp_path, engine):
    if engine == "ray":
        pytest.importorskip("ray", reason="the ray engine is optional: extra ray")
    keras.utils.set_random_seed(7)
    inputs = keras.Input((6, 16, 16, 3))
    outputs = keras.layers.Conv3D(4, 3, activation="softplus", name="conv1")(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "net.keras")
    (tmp_path / "poison").mkdir()
    (tmp_path / "poison" / "sitecustomize.py").write_text(POISON)
    command = ["--keras-model", str(tmp_path / "net.keras"), "--steps", "2"]
    command += ["--batch-size", "1", "--out"]
    workers = ["--engine", engine, "--workers", "2"]
    poisoned = ["-m", "c3dvis.gallery", *command, tmp_path / "out", *workers]
    done = run(*poisoned, path=[tmp_path / "poison"])
    assert done.returncode == 1, done.stderr
    assert "conv1/1.json: conv1 1 not made: given up after 2 tries" in done.stdout
    assert "Traceback" not in done.stderr
    record = json.loads((tmp_path / "out" / "conv1" / "1.json").read_text())
    assert record["status"] == "error" and record["cause"] == record["error"]
    # Neither needs workers, each of which takes seconds to begin.
    assert gallery([*command, str(tmp_path / "out"), "--retry-failed"]) == 0
    assert gallery([*command, str(tmp_path / "whole")]) == 0
    assert bytes_below(tmp_path / "out") == bytes_below(tmp_path / "whole")
