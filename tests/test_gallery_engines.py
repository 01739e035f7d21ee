"""Engines: who gets which task, what becomes of one whose worker dies, shares of one folder."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import filelock
import keras
import numpy as np
import pytest
from exit_code import exit_code
from gallery_folder import Instant, bytes_below, stripes, write_folder

from c3dvis.gallery import engines, groups, render, shards
from c3dvis.gallery.__main__ import main
from c3dvis.gallery.engines import pool, ray
from c3dvis.gallery.engines.worker import Answer
from c3dvis.gallery.groups import Group, Task
from c3dvis.gallery.plan import Section, Unit
from c3dvis.gallery.record import Record
from c3dvis.gallery.settings import Settings
from c3dvis.gallery.shards import Shard
from c3dvis.output_folder import InUse


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A file with a network of one convolution."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input((6, 16, 16, 3))
    outputs = keras.layers.Conv3D(3, 3, activation="softplus", name="conv1")(inputs)
    path = tmp_path_factory.mktemp("model") / "small.keras"
    keras.Model(inputs, outputs).save(path)
    return str(path)


@pytest.fixture
def instant(monkeypatch):
    monkeypatch.setattr(render, "Maximizer", Instant)
    monkeypatch.setattr(Instant, "rendered", [])
    monkeypatch.setattr(Instant, "status", "ok")
    return Instant


def units(layer, count, first=0):
    return tuple(Unit(layer, channel, None, layer) for channel in range(first, first + count))


def record(unit):
    return Record(layer=unit.layer, channel=unit.channel, status="ok")


@dataclass
class Renderer:
    """What a pool needs of one: what says which records are valid, and records of errors."""

    out: Path
    identity: dict = field(default_factory=dict)
    settings: Settings = Settings()

    def write_error(self, unit, reason, *, cause):
        return Record(layer=unit.layer, channel=unit.channel, status="error", error=reason)


class Workers:
    """Workers that answer at once, each in turn; units named in `deadly` end them."""

    def __init__(self, count, deadly=(), starts=True):
        self.count, self.deadly, self.starts = count, set(deadly), starts
        self.answers, self.given, self.started, self.closed = [], [], [], False

    def start(self, number):
        self.started.append(number)
        self.answers.append((number, Answer("ready" if self.starts else "died", message="no TF")))

    def send(self, number, task, best):
        self.given.append((number, task.group.layer, [unit.channel for unit in task.missing]))
        for unit in task.missing:
            if unit.channel in self.deadly:
                self.answers.append((number, Answer("died", message="signal 9")))
                return
            self.answers.append((number, Answer("made", record(unit))))
        self.answers.append((number, Answer("done")))

    def wait(self):
        return self.answers.pop(0)

    def close(self):
        self.closed = True


def run(workers, tasks, tmp_path):
    return list(pool.run(workers, Renderer(tmp_path), tasks, {}))


def tasks_of(layer, count, size):
    return [Task(group, group.units) for group in groups.split(units(layer, count), size)]


def test_workers_find_files_from_any_folder_and_weights_by_their_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def given(weights):
        return Settings(weights=weights).absolute().weights

    assert given("kept/model.ckpt") == str(tmp_path.resolve() / "kept/model.ckpt")
    for name in (None, "c3d-motion", "kinetics400"):
        assert given(name) == name
    (tmp_path / "c3d-motion").touch()
    assert given("c3d-motion") == str(tmp_path.resolve() / "c3d-motion")


def test_a_worker_stays_with_its_layer(tmp_path):
    workers = Workers(2)
    tasks = [*tasks_of("a", 6, 2), *tasks_of("b", 4, 2)]
    records = run(workers, tasks, tmp_path)
    assert len({(one.layer, one.channel) for one in records}) == len(records) == 10
    by_worker = {n: [layer for who, layer, _ in workers.given if who == n] for n in (0, 1)}
    assert by_worker == {0: ["a", "a", "a"], 1: ["b", "b"]}
    assert workers.closed


def test_a_unit_whose_worker_dies_is_set_aside_after_two_tries(tmp_path):
    workers = Workers(2, deadly=[1])
    records = {one.channel: one for one in run(workers, tasks_of("a", 4, 1), tmp_path)}
    assert [records[i].status for i in range(4)] == ["ok", "error", "ok", "ok"]
    assert records[1].error == "given up after 2 tries: signal 9"
    assert [channels for _, _, channels in workers.given].count([1]) == 2


def test_its_neighbours_are_tried_without_it(tmp_path):
    workers = Workers(1, deadly=[2])
    records = {one.channel: one for one in run(workers, tasks_of("a", 4, 4), tmp_path)}
    assert [records[i].status for i in range(4)] == ["ok", "ok", "error", "ok"]
    # What a worker made before it died is not made again.
    assert [given[2] for given in workers.given] == [[0, 1, 2, 3], [2, 3], [2], [3]]


def test_a_worker_that_dies_once_costs_no_unit(tmp_path):
    workers = Workers(1, deadly=[2])
    send = workers.send

    def once(number, task, best):
        send(number, task, best)
        workers.deadly.clear()

    workers.send = once
    records = run(workers, tasks_of("a", 4, 4), tmp_path)
    assert sorted(one.channel for one in records) == [0, 1, 2, 3]
    assert {one.status for one in records} == {"ok"} and workers.started == [0, 0]


def test_workers_that_cannot_start_end_the_run(tmp_path):
    workers = Workers(2, starts=False)
    with pytest.raises(OSError, match="workers die before they are ready: no TF"):
        run(workers, tasks_of("a", 4, 1), tmp_path)
    assert workers.closed


@pytest.mark.parametrize("kind, error", [("refused", ValueError), ("failed", OSError)])
def test_a_workers_error_ends_the_run(tmp_path, kind, error):
    workers = Workers(1)
    workers.send = lambda number, *_: workers.answers.append((number, Answer(kind, message="why")))
    with pytest.raises(error, match="why"):
        run(workers, tasks_of("a", 2, 1), tmp_path)
    assert workers.closed


def test_engines_are_found_by_name(monkeypatch):
    assert type(engines.build("serial")).__name__ == "Serial"
    assert engines.build("processes", workers=3).workers == 3
    with pytest.raises(ValueError, match="such as 'serial'.*Received: 'seriall'"):
        engines.build("seriall")
    with pytest.raises(ValueError, match="Received: --workers 2 with the engine serial"):
        engines.build("serial", workers=2)
    with pytest.raises(ValueError, match="Received: --address h:1 with the engine processes"):
        engines.build("processes", address="h:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'c3dvis\[ray\]'"):
        engines.build("ray")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:port", "h:999999"])
def test_an_address_at_which_nobody_answers_is_told_at_once(monkeypatch, address):
    monkeypatch.setitem(sys.modules, "ray", object())
    monkeypatch.setattr(ray, "_TIMEOUT", 0.2)
    with pytest.raises(ValueError, match=f"Received: '{address}', which does not respond"):
        engines.build("ray", address=address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ValueError, match="which does not respond"):
        engines.build("ray")


class EndedRay:
    """A Ray whose process on this machine has ended: what was asked is never answered."""

    exceptions = SimpleNamespace(RayError=RuntimeError)

    def __init__(self, nodes):
        self.nodes, self.looks = nodes, 0

    def wait(self, asked, **_):
        self.looks += 1
        return [], asked

    def cluster_resources(self):
        return {}

    def remote(self, **_):
        return lambda actor: actor

    def get_runtime_context(self):
        return SimpleNamespace(get_node_id=lambda: "this")


def raises():
    raise RuntimeError("no answer")


@pytest.mark.parametrize(
    "nodes", [lambda: [{"NodeID": "this", "Alive": False}, {"NodeID": "b", "Alive": True}], raises]
)
def test_a_ray_that_has_ended_here_ends_the_run(nodes):
    ended = EndedRay(nodes)
    workers = ray._Actors(ended, recipe=None, count=2, address=None)
    with pytest.raises(OSError, match="cluster on this machine no longer responds"):
        workers.wait()
    assert ended.looks == 3


def test_a_ray_that_does_not_start_is_told_in_a_sentence(monkeypatch):
    def init(**_):
        raise Exception("The current node timed out during startup.\nMore lines of advice.")

    ended = EndedRay(raises)
    ended.init, ended.is_initialized = init, lambda: False
    monkeypatch.setitem(sys.modules, "ray", ended)
    with pytest.raises(OSError, match=r"^Ray did not start on this machine: .* startup\."):
        list(engines.build("ray").run(None, [object()], {}))


def test_groups_are_shared_out_evenly_and_stay():
    assert [(len(g.units), g.size) for g in groups.split(units("a", 20), 16)] == [(10, 10)] * 2
    assert [(len(g.units), g.size) for g in groups.split(units("a", 5), 2)] == [
        (2, 2),
        (2, 2),
        (1, 2),
    ]
    assert groups.split((), 4) == []

    def section(count):
        return Section("a", "Conv3D", (1,), 9, units("a", count))

    few = groups.extend({}, [section(3)], 2)
    more = groups.extend(few, [section(6)], 2)
    assert more["a"][:2] == few["a"]
    assert [[u.channel for u in group.units] for group in more["a"]] == [[0, 1], [2], [3, 4], [5]]
    (task,) = groups.tasks(more, units("a", 1, first=1))
    assert task == Task(Group(units("a", 2), 2), units("a", 1, first=1))


def test_shards_share_out_all():
    items = list(range(11))
    shares = [shards.parse(f"{k}/4").share(items) for k in (1, 2, 3, 4)]
    assert sorted(sum(shares, [])) == items
    assert max(map(len, shares)) - min(map(len, shares)) == 1


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "a/b", "1/0", "-1/4", "²/4", "1/4/4"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ValueError, match="Expected a shard .*Received: "):
        shards.parse(text)


@pytest.mark.parametrize(
    "task, lowest, count, step, expected",
    [(0, 0, 16, None, "1/16"), (3, 1, 16, None, "3/16"), (6, 2, 3, 2, "3/3")],
)
def test_a_slurm_array_says_the_shard(monkeypatch, task, lowest, count, step, expected):
    names = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT")
    for name, value in zip(names, (task, lowest, count), strict=True):
        monkeypatch.setenv(name, str(value))
    if step is not None:
        monkeypatch.setenv("SLURM_ARRAY_TASK_STEP", str(step))
    assert str(shards.parse("slurm")) == expected


def test_outside_of_slurm_slurm_is_refused(monkeypatch):
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    with pytest.raises(ValueError, match="which Slurm sets in an array.*=None"):
        shards.parse("slurm")
    for name, value in (("ID", "9"), ("MIN", "1"), ("COUNT", "3")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    with pytest.raises(ValueError, match="Received: task 9 of 3 from 1"):
        shards.parse("slurm")


def test_the_same_shard_twice_is_refused(tmp_path):
    with shards.held(tmp_path, Shard(2, 3)), shards.held(tmp_path, Shard(1, 3)):
        with pytest.raises(InUse, match="Received: 2/3, which is running"):
            with shards.held(tmp_path, Shard(2, 3)):
                pass
        with pytest.raises(InUse, match="Expected one of 3 shards, as 1/3 is running"):
            with shards.held(tmp_path, Shard(4, 5)):
                pass
        with pytest.raises(InUse, match="where the shards 1/3, 2/3 are running"):
            shards.refuse_running(tmp_path)
    assert shards.running(tmp_path) == []
    with shards.held(tmp_path, Shard(4, 5)):
        pass


def test_a_shards_lock_that_a_killed_run_left_is_nobodys(tmp_path):
    (tmp_path / ".shard-1-of-2.lock").touch()
    assert shards.running(tmp_path) == []
    with filelock.FileLock(tmp_path / ".shard-1-of-2.lock"):
        assert shards.running(tmp_path) == [Shard(1, 2)]


SMALL = ("--layers", "conv1", "--steps", "2", "--batch-size", "1", "--out")


def test_slurm_shards_of_one_folder_make_it_whole(model, tmp_path, instant, monkeypatch, capsys):
    assert main(["--keras-model", model, *SMALL, str(tmp_path / "whole")]) == 0
    out = str(tmp_path / "out")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    for number in (2, 1):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(number))
        assert main(["--keras-model", model, *SMALL, out, "--shard", "slurm"]) == 0
    assert bytes_below(tmp_path / "whole") == bytes_below(tmp_path / "out")
    assert "2 clips to make, 0 already made" in capsys.readouterr().out
    assert exit_code(main, ["--keras-model", model, *SMALL, out, "--shard", "3/2"]) == 2
    with shards.held(tmp_path / "out", Shard(1, 2)):
        assert main(["--keras-model", model, *SMALL, out, "--shard", "1/2"]) == 2
        assert main(["--keras-model", model, *SMALL, out]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 3
    assert "where the shards 1/2 are running" in error and "1/2, which is running" in error


def test_a_shard_does_not_touch_what_others_are_writing(model, tmp_path, instant):
    out = tmp_path / "out"
    assert main(["--keras-model", model, *SMALL, str(out), "--shard", "1/2"]) == 0
    other = out / "conv1" / ".0123456789abcdef.tmp"
    other.touch()
    assert main(["--keras-model", model, *SMALL, str(out), "--shard", "2/2"]) == 0
    assert other.exists()
    assert main(["--keras-model", model, *SMALL, str(out)]) == 0
    assert not other.exists()


def test_pages_and_a_table_come_from_records_alone(model, tmp_path, instant, monkeypatch, capsys):
    out = tmp_path / "out"
    assert main(["--keras-model", model, *SMALL, str(out)]) == 0
    whole = bytes_below(out)
    (out / "index.html").write_text("")
    (out / "README.md").unlink()
    monkeypatch.setattr("c3dvis.gallery.__main__.load_keras", None)  # nothing is computed
    assert main(["--rebuild-page", "--out", str(out)]) == 0
    assert bytes_below(out) == whole
    table = tmp_path / "tables" / "units.npz"
    assert main(["--export", str(table), "--out", str(out)]) == 0
    assert "units.npz: 3 records" in capsys.readouterr().out
    with np.load(table, allow_pickle=False) as read:
        assert read["layer"].tolist() == ["conv1"] * 3 and read["channel"].tolist() == [0, 1, 2]
        assert read["score"].tolist() == [1.0, 2.0, 3.0] and np.isnan(read["ratio"]).all()
        assert read["gif"][1] == "conv1/1.gif" and read["frames"][0] == 6
        assert json.loads(str(read["about"]))["settings"]["steps"] == 2
    for wrong, told in (
        (["--export", "units.csv", "--out", str(out)], "ends in .npz or .parquet"),
        (["--export", str(table), "--out", str(tmp_path)], "Expected the folder of a gallery"),
        (["--rebuild-page", "--out", str(tmp_path / "none")], "Expected the folder of a gallery"),
    ):
        assert main(wrong) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_parquet_holds_what_records_do(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write_folder(tmp_path / "g", {"conv1": [stripes(0), None], "conv2": [stripes(90)]})
    assert main(["--export", str(tmp_path / "u.parquet"), "--out", str(tmp_path / "g")]) == 0
    table = parquet.read_table(tmp_path / "u.parquet")
    assert table["layer"].to_pylist() == ["conv1", "conv1", "conv2"]
    assert table["score"].to_pylist() == [1.0, None, 1.0]
    assert table["gif"].to_pylist() == ["conv1/0.gif", None, "conv2/0.gif"]
    assert json.loads(table.schema.metadata[b"c3dvis"])["network"]["name"] == "small"


def test_parquet_needs_pyarrow(model, tmp_path, instant, monkeypatch, capsys):
    out = tmp_path / "out"
    assert main(["--keras-model", model, *SMALL, str(out)]) == 0
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["--export", str(tmp_path / "u.parquet"), "--out", str(out)]) == 2
    assert "pip install pyarrow" in capsys.readouterr().err


def test_a_clip_is_made_again_from_its_record(model, tmp_path, capsys):
    out, other = tmp_path / "out", tmp_path / "again"
    chosen = ("--layers", "conv1", "--filters", "0-2", "--steps", "3", "--batch-size", "2")
    assert main(["--keras-model", model, *chosen, "--out", str(out)]) == 0
    record = out / "conv1" / "1.json"
    assert json.loads(record.read_text())["batch"] == [0, 1]
    assert main(["--again", str(record), "--out", str(other)]) == 0
    assert "1.gif, 1.jpg: identical to" in capsys.readouterr().out
    names = sorted(path.name for path in (other / "conv1").iterdir())
    assert names == ["1.gif", "1.jpg", "1.json"]
    assert (other / "conv1" / "1.gif").read_bytes() == record.with_suffix(".gif").read_bytes()

    values = json.loads(record.read_text())
    record.write_text(json.dumps(values | {"settings": values["settings"] | {"seed": 9}}))
    assert main(["--again", str(record), "--out", str(other)]) == 1
    assert "1.gif, 1.jpg: different from" in capsys.readouterr().out
    values["network"]["weights_sha256"] = "0" * 64
    for damaged, told in (
        (values, "Expected the network of the record, with weights_sha256 0000"),
        (values | {"settings": {"step": 3}}, "Expected a record that holds its settings"),
        (values | {"batch": []}, "Expected the record of a clip"),
        ([], "Expected the record of a clip, such as gallery/conv3b/7.json. Received: '"),
    ):
        record.write_text(json.dumps(damaged))
        assert main(["--again", str(record), "--out", str(other)]) == 2
        assert told in capsys.readouterr().err
    record.write_text("{")
    for path, told in ((record, "not JSON"), (other, "Is a directory"), ("7.jso", "not exist")):
        assert main(["--again", str(path), "--out", str(other)]) == 2
        assert told in capsys.readouterr().err
