"""`python -m c3dvis.gallery`: what it makes and refuses, and what interruptions leave behind."""

from __future__ import annotations

import html
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import filelock
import keras
import numpy as np
import pytest
from exit_code import exit_code
from gallery_folder import Instant, bytes_below
from PIL import Image

from c3dvis import clips, files, models
from c3dvis.gallery import held_out, make, rebuild, render
from c3dvis.gallery.__main__ import main
from c3dvis.gallery.make import Selection, Settings, dry_run
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.manifest import read as read_manifest

ROOT = Path(__file__).resolve().parent.parent
HOSTILE_LAYERS = ["CON", "Conv1", "conv1", "..", "<img onerror=alert(1)>", "n" * 300]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A file with a small network: two convolutions, three classes."""
    keras.utils.set_random_seed(7)
    x = inputs = keras.Input((6, 16, 16, 3))
    x = keras.layers.Conv3D(3, 3, activation="softplus", name="conv1")(x)
    x = keras.layers.Conv3D(2, 3, activation="softplus", name="conv2")(x)
    x = keras.layers.GlobalAveragePooling3D()(x)
    x = keras.layers.Dense(3, activation="softmax", name="fc")(x)
    path = tmp_path_factory.mktemp("model") / "small.keras"
    keras.Model(inputs, x).save(path)
    return path


@pytest.fixture
def instant(monkeypatch):
    monkeypatch.setattr(render, "Maximizer", Instant)
    monkeypatch.setattr(render.Renderer, "_predicted_class", lambda *_: None)  # asks the network
    monkeypatch.setattr(Instant, "rendered", [])
    monkeypatch.setattr(Instant, "status", "ok")
    return Instant


def gallery(model, out, *more):
    return main(["--keras-model", str(model), "--out", str(out), "--steps", "2", *more])


def check_whole(out):
    """No file is half written: every record has its files, every file can be read."""
    records = 0
    for path in out.rglob("*"):
        if path.suffix == ".json":
            content = json.loads(path.read_text())
            for name, size in content.get("files", {}).items():
                assert (path.parent / name).stat().st_size == size
                records += 1
        elif path.suffix in (".gif", ".jpg"):
            with Image.open(path) as image:
                image.seek(image.n_frames - 1) if path.suffix == ".gif" else image.load()
    return records


def leftovers(out):
    return [path.name for path in out.rglob("*.tmp")]


def times(out):
    paths = [*out.glob("*/*.json"), *out.glob("*/*.gif"), *out.glob("*/*.jpg")]
    return {path: path.stat().st_mtime_ns for path in paths}


def test_it_makes_all_files_and_then_nothing_more(model, tmp_path, capfd):
    out = tmp_path / "made"
    assert gallery(model, out) == 0
    told = capfd.readouterr()
    assert "8 clips to make, 0 already made" in told.out and "8 clips, 0 failed" in told.out
    address = (out / "index.html").resolve().as_uri()
    assert told.out.splitlines()[0] == f"open {address} now: it shows clips as they are made"
    page = (out / "index.html").read_text("utf-8")
    assert "reloads every" not in page
    assert "Receptive field 3 frames × 3 × 3 pixels" in page
    shown = read_manifest(out).overview
    assert [one.name for one in shown.layers][:2] == ["conv1", "conv2"]
    assert shown.summary in page
    assert told.err == ""
    names = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    expected = {
        f"{f}/{i}.{e}"
        for f, n in (("conv1", 3), ("conv2", 2), ("classes", 3))
        for i in range(n)
        for e in ("gif", "jpg", "json")
    } | {f"conv1/{i}-kernel.png" for i in range(3)}
    assert names - {".c3dvis.lock", ".c3dvis"} == expected | {
        "gallery.json",
        "index.html",
        "README.md",
    }
    before = times(out)
    assert gallery(model, out, "--batch-size", "1") == 0
    assert "0 clips to make, 8 already made" in capfd.readouterr().out
    assert times(out) == before


def test_the_python_on_the_page_makes_the_same_clip(model, tmp_path, monkeypatch):
    out = tmp_path / "made"
    chosen = ("--layers", "conv2", "--classes", "1", "--value-range", "-1", "1", "--seed", "3")
    chosen += ("--colours", "independent")
    assert gallery(model, out, *chosen) == 0
    text = (out / "index.html").read_text("utf-8")
    codes = [html.unescape(code) for code in re.findall(r'data-code="(.*?)"', text, re.DOTALL)]
    assert len(codes) == 2 and all("colours='independent'" in code for code in codes)
    monkeypatch.chdir(tmp_path)
    for code, name in zip(codes, ("classes-1", "conv2-1"), strict=True):
        exec(f"channel = 1\n{code}", {})
        gif = out / f"{name.replace('-', '/')}.gif"
        again, once = clips.read(tmp_path / f"{name}.gif"), clips.read(gif)
        # One unit alone is not rounded as among others.
        np.testing.assert_allclose(again, once, atol=2 / 255)


def test_the_page_reloads_itself_only_while_clips_are_made(model, tmp_path, instant, monkeypatch):
    filling = []
    monkeypatch.setattr(make, "_PAGE_INTERVAL", 0)
    monkeypatch.setattr(rebuild.page, "write", lambda *_, **options: filling.append(options))
    assert gallery(model, tmp_path / "a") == 0
    assert [one["filling"] for one in filling] == [True] * 8 + [False]
    filling.clear()
    assert gallery(model, tmp_path / "a") == 0
    assert [one["filling"] for one in filling] == [False]
    filling.clear()

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(render.Renderer, "_write", stopped)
    assert gallery(model, tmp_path / "b") == 130
    assert [one["filling"] for one in filling] == [True, False]


def test_the_page_shows_each_batch_as_soon_as_all_of_it_is_made(
    model, tmp_path, instant, monkeypatch
):
    counts = []
    monkeypatch.setattr(make, "_PAGE_INTERVAL", float("inf"))
    monkeypatch.setattr(
        make.page, "write", lambda _, __, records, **___: counts.append(len(records))
    )
    assert gallery(model, tmp_path, "--layers", "conv1", "--batch-size", "2") == 0
    assert counts == [0, 2, 3]


def test_it_makes_only_what_is_missing(model, tmp_path, instant, capsys):
    assert gallery(model, tmp_path) == 0
    (tmp_path / "conv1" / "1.gif").write_bytes(b"GIF89a")  # cut short
    other = bytearray((tmp_path / "conv1" / "2.gif").read_bytes())
    other[-2] ^= 1  # as long as it was
    (tmp_path / "conv1" / "2.gif").write_bytes(other)
    (tmp_path / "conv2" / "0.json").unlink()
    (tmp_path / "classes" / "2.jpg").unlink()
    (tmp_path / "classes" / "0.json").write_text("{")
    capsys.readouterr()
    assert gallery(model, tmp_path) == 0
    told = capsys.readouterr().out
    assert "5 clips to make, 3 already made" in told
    assert (
        "made again, as their records are invalid: classes/0.json (damaged), classes/2.json "
        "(2.jpg is incomplete), conv1/1.json (1.gif is incomplete), conv1/2.json (2.gif has "
        "changed)"
    ) in told
    assert check_whole(tmp_path) == 16


@pytest.mark.parametrize(
    "more, told",
    [
        (["--seed", "1"], "seed 0 there, 1 now"),
        (["--value-range", "0", "255"], "value_range null there, [0.0, 255.0] now"),
    ],
)
def test_other_options_in_the_same_folder_are_refused(model, tmp_path, instant, capsys, more, told):
    assert gallery(model, tmp_path) == 0
    before, instant.rendered[:] = times(tmp_path), []
    for option in ([], ["--dry-run"]):
        assert gallery(model, tmp_path, *more, *option) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1
    assert not instant.rendered and times(tmp_path) == before


def test_other_weights_in_the_same_folder_are_refused(model, tmp_path, instant, capsys):
    assert gallery(model, tmp_path / "out") == 0
    network = models.load_keras_model(model)
    network.get_layer("conv1").set_weights(
        [weight + 0.01 for weight in network.get_layer("conv1").get_weights()]
    )
    network.save(tmp_path / "small.keras")
    assert gallery(tmp_path / "small.keras", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "weights_sha256" in error and error.count("\n") == 1


def test_a_folder_in_which_nothing_is_made_yet_takes_other_options(model, tmp_path, instant):
    files.write_json(tmp_path / "gallery.json", Manifest({"seed": 9}, ()).to_json())
    files.write_json(tmp_path / "held-out.json", {"conv1": {"0": 99.0}})
    assert gallery(model, tmp_path) == 0
    assert not (tmp_path / "held-out.json").exists()


def test_a_folder_of_other_things_is_refused(model, tmp_path, instant, capsys):
    files.write_json(tmp_path / "thesis" / "notes.json", {})
    assert gallery(model, tmp_path) == 2
    assert "which contains thesis/notes.json from something else" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["README.md", "index.html", "gallery.json"])
@pytest.mark.parametrize("option", ["--layers", "--dry-run"])
def test_somebody_elses_files_are_never_overwritten(model, tmp_path, instant, capsys, name, option):
    (tmp_path / name).write_text('{"mine": 1}')
    more = ["--layers", "conv1"] if option == "--layers" else [option]
    assert gallery(model, tmp_path, *more) == 2
    error = capsys.readouterr().err
    assert f"which contains {name} from something else" in error and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {name}
    assert (tmp_path / name).read_text() == '{"mine": 1}'


def test_an_empty_folder_name_is_refused(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        gallery(model, "")
    assert stopped.value.code == 2 and "Received: an empty name" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_layers_folder_that_leads_elsewhere_is_refused(model, tmp_path, instant, capsys):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / ".0123456789abcdef.tmp").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "conv2").symlink_to(tmp_path / "elsewhere")
    assert gallery(model, tmp_path / "out") == 2
    assert "is a symbolic link" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [".0123456789abcdef.tmp"]


@pytest.mark.parametrize(
    "damage",
    ['{"identity": null}', "[" * 100_000, '{"identity": {"se', '{"schema": 1, "identity": {}}'],
)
def test_a_damaged_manifest_is_written_anew_where_the_records_agree(
    model, tmp_path, instant, capsys, damage
):
    chosen = ("--layers", "conv2")
    assert gallery(model, tmp_path, *chosen) == 0
    whole, instant.rendered[:] = bytes_below(tmp_path), []
    (tmp_path / "gallery.json").write_text(damage)
    assert gallery(model, tmp_path, *chosen, "--seed", "1") == 2
    assert "a damaged gallery.json" in capsys.readouterr().err
    assert gallery(model, tmp_path, *chosen) == 0
    assert not instant.rendered and bytes_below(tmp_path) == whole


def test_a_manifest_of_another_schema_is_refused(model, tmp_path, instant, capsys):
    files.write_json(tmp_path / "gallery.json", {"schema": 2, "identity": {}})
    assert gallery(model, tmp_path) == 2
    assert "whose gallery.json is of schema 2" in capsys.readouterr().err


def test_labels_can_change(model, tmp_path, instant):
    for names in (["a", "b", "c"], ["a", "c", "b"]):
        (tmp_path / "labels.txt").write_text("\n".join(names))
        labels = ["--labels", str(tmp_path / "labels.txt"), "--classes", "all"]
        assert gallery(model, tmp_path / "out", *labels) == 0
        page = (tmp_path / "out" / "README.md").read_text("utf-8")
        assert page.index(f"**1** {names[1]}") < page.index(f"**2** {names[2]}")
    assert len(instant.rendered) == 3


def test_the_gallery_grows(model, tmp_path, instant, capsys):
    assert gallery(model, tmp_path, "--layers", "conv1", "--filters", "0") == 0
    first = bytes_below(tmp_path)
    assert gallery(model, tmp_path, "--layers", "conv1", "conv2", "--filters", "0-1") == 0
    assert "3 clips to make, 1 already made" in capsys.readouterr().out
    assert gallery(model, tmp_path, "--classes", "2") == 0
    assert [channel for _, channel in instant.rendered] == [0, 0, 1, 1, 2]
    page = (tmp_path / "README.md").read_text("utf-8")
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Classes",
        "## conv2",
        "## conv1",
    ]
    shown = re.findall(r'<img src="(conv.)/\d\.gif', page)
    assert shown == ["conv2", "conv2", "conv1", "conv1"]
    kept = {name: content for name, content in first.items() if name.startswith("conv1")}
    assert kept.items() <= bytes_below(tmp_path).items()


def test_units_keep_their_group_when_the_gallery_grows(model, tmp_path, instant):
    for filters in ("0-1", "0-2"):
        assert gallery(model, tmp_path, "--layers", "conv1", "--filters", filters) == 0
    batches = [json.loads((tmp_path / f"conv1/{i}.json").read_text())["batch"] for i in range(3)]
    assert batches == [[0, 1], [0, 1], [2]]
    (tmp_path / "conv1/1.json").unlink()
    instant.rendered.clear()
    assert gallery(model, tmp_path, "--layers", "conv1", "--filters", "0-2") == 0
    # Its neighbour is computed with it, as some processors round otherwise, but not written.
    assert instant.rendered == [("conv1", 0), ("conv1", 1)]
    assert json.loads((tmp_path / "conv1/1.json").read_text())["batch"] == [0, 1]


def test_a_network_with_other_layers_and_equal_weights_is_refused(model, tmp_path, instant, capsys):
    assert gallery(model, tmp_path / "out", "--layers", "conv2") == 0
    network = models.load_keras_model(model)
    network.get_layer("conv1").activation = keras.activations.tanh
    network.save(tmp_path / "small.keras")
    assert gallery(tmp_path / "small.keras", tmp_path / "out", "--layers", "conv2") == 2
    assert "architecture_sha256" in capsys.readouterr().err


def test_a_second_run_in_the_same_folder_is_refused(model, tmp_path, instant, capsys):
    with filelock.FileLock(tmp_path / ".c3dvis.lock"):
        assert gallery(model, tmp_path) == 2
    assert "no other run is writing" in capsys.readouterr().err
    assert gallery(model, tmp_path) == 0


@pytest.mark.parametrize(
    "more, told",
    [
        (["--layers", "conv3"], "such as 'conv2', 'conv1'. Received: 'conv3'"),
        (["--filters", "3"], "'conv1' has 3 filters. Expected filters from 0 to 2. Received: 3"),
        (["--colours", "gray"], "'grey'. Received: 'gray'"),
        (["--classes", "3"], "Expected classes from 0 to 2. Received: 3"),
        (["--size", "32"], "Received: 32"),
        (["--frames", "5"], "Received: 5"),
        (["--parametrization", "furier"], "Received: 'furier'"),
        (["--labels", "/nowhere"], "/nowhere"),
        (["--engine", "slurm"], "slurm"),
        (["--filters", "-1"], "Received: '-1'"),
        (["--fps", "0"], "Received: '0'"),
        (["--steps", "few"], "Received: 'few'"),
        (["--steps", "1000001"], "from 1 to 1000000. Received: '1000001'"),
        (["--compare", "-5"], "Received: '-5'"),
        (["--directions"], "Received: directions alone"),
        (["--shard", "3/2"], "from 1/2 to 2/2. Received: '3/2'"),
        (["--shard", "1/2", "--cards"], "add them when all shards are finished"),
        (["--workers", "2"], "Received: --workers 2 with the engine serial"),
        (["--address", "h:1", "--engine", "processes"], "Received: --address h:1 with"),
        (["--parametrizations", "pixel"], "Received: 'pixel'"),
        (["--real", "nowhere"], "argument --real: Expected a folder. Received: 'nowhere'"),
        (["--tasks", "3"], "Expected an even number. Received: '3'"),
        (["--diff", "a", "b", "--sheets"], "Received: --diff and --sheets"),
        (["--again", "0.json", "--rebuild-page"], "Received: --again and --rebuild-page"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(model, tmp_path, capfd, more, told):
    out = tmp_path / "out"
    code = exit_code(lambda given: gallery(model, out, *given), more)
    error = capfd.readouterr().err
    assert code == 2 and told in error and error.startswith("error: ") and error.count("\n") == 1
    assert not out.exists()


def test_unknown_networks_and_files_are_refused(tmp_path, capsys):
    (tmp_path / "page.keras").write_text("<!doctype html>")
    for arguments, told in (
        (["--model", "c3d-moton"], "c3d-motion"),
        (["--keras-model", str(tmp_path / "none.keras")], "none.keras"),
        (["--keras-model", str(tmp_path / "page.keras")], "page.keras"),
    ):
        assert exit_code(main, [*arguments, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert told in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_failed_unit_is_exit_code_1_also_when_nothing_is_left_to_do(
    model, tmp_path, instant, capsys
):
    instant.status = "failed"
    for _ in range(2):
        assert gallery(model, tmp_path, "--layers", "conv2") == 1
        told = capsys.readouterr().out
        assert "2 clips, 2 failed" in told and "--retry-failed" in told
        assert "conv2 1 failed at step 2" in told
    assert len(instant.rendered) == 2
    instant.status = "ok"
    assert gallery(model, tmp_path, "--layers", "conv2", "--retry-failed") == 0
    assert len(instant.rendered) == 4
    instant.status = "failed"
    instant.rendered.clear()
    (tmp_path / "conv2" / "1.json").unlink()
    assert gallery(model, tmp_path, "--layers", "conv2") == 1
    assert json.loads((tmp_path / "conv2" / "1.json").read_text())["failed_step"] == 2


def test_an_unexpected_error_is_told_and_its_units_are_made_when_asked_for(
    model, tmp_path, instant, monkeypatch, capsys
):
    def broken(*_, **__):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(render.clips, "write", broken)
        assert gallery(model, tmp_path, "--layers", "conv2") == 1
    told = capsys.readouterr().out
    assert told.count("not made: RuntimeError: out of memory") == 4  # as it happens, and at the end
    assert gallery(model, tmp_path, "--layers", "conv2") == 1
    assert gallery(model, tmp_path, "--layers", "conv2", "--retry-failed") == 0
    assert check_whole(tmp_path) == 4


def test_hostile_layer_names_and_labels_get_safe_files_and_keep_their_names(tmp_path, instant):
    x = inputs = keras.Input((4, 8, 8, 3))
    for name in HOSTILE_LAYERS:
        x = keras.layers.Conv3D(2, 1, name=name)(x)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling3D()(x))
    keras.Model(inputs, outputs).save(tmp_path / "net.keras")
    labels = ["<b>", "a|b", "\u202eevil"]
    (tmp_path / "labels.txt").write_text("\n".join(labels), encoding="utf-8")
    out = tmp_path / "out"
    more = ["--filters", "0", "--labels", str(tmp_path / "labels.txt")]
    assert gallery(tmp_path / "net.keras", out, *more) == 0
    records = [json.loads(path.read_text()) for path in out.glob("*/*.json")]
    true_names = {record["layer"] for record in records} - {"classes/"}
    assert true_names == set(HOSTILE_LAYERS)
    assert sorted(r["label"] for r in records if r["label"]) == sorted(labels)
    folders = [path.name.lower() for path in out.iterdir() if path.is_dir()]
    assert len(set(folders)) == len(HOSTILE_LAYERS) + 1 and max(map(len, folders)) < 80
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.txt", "net.keras", "out"]
    assert "<img onerror" not in (out / "index.html").read_text(encoding="utf-8")


def test_a_comparison_stands_in_records_and_pages_and_is_made_once(
    tmp_path, instant, monkeypatch, capsys
):
    inputs = keras.Input((6, 16, 16, 3))
    outputs = keras.layers.Conv3D(2, 3, name="conv1")(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "net.keras")
    arguments = (tmp_path / "net.keras", tmp_path / "out", "--compare", "3")
    monkeypatch.setattr(held_out, "_computed", lambda *_: {"conv1": {0: 0.5, 1: -1.0}})
    assert gallery(*arguments) == 0
    assert "scoring 3 held-out clips" in capsys.readouterr().out
    records = [json.loads((tmp_path / "out" / "conv1" / f"{i}.json").read_text()) for i in (0, 1)]
    assert [(r["best_held_out"], r["ratio"]) for r in records] == [(0.5, 2.0), (-1.0, None)]
    assert "× best of 3 held-out | 2 | – |" in (tmp_path / "out" / "README.md").read_text("utf-8")
    (tmp_path / "out" / "conv1" / "1.json").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(held_out, "best", None)  # the scores are read, not made again
        assert gallery(*arguments) == 0
    for damage in ("[1, 2]", '{"conv1": {"0": "high"}}', '{"conv1": 3}'):
        (tmp_path / "out" / "held-out.json").write_text(damage)
        (tmp_path / "out" / "conv1" / "1.json").unlink()
        assert gallery(*arguments) == 0
        assert "scoring 3 held-out clips" in capsys.readouterr().out


def test_list_layers_and_dry_run_write_nothing(model, tmp_path, capsys):
    assert gallery(model, tmp_path / "out", "--list-layers") == 0
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert "conv2 Conv3D 2 x 12 x 12 x 2 2".split() in listed
    assert any(line[1:] == ["GlobalAveragePooling3D", "2", "2"] for line in listed)
    assert gallery(model, tmp_path / "out", "--dry-run", "--filters", "1") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["conv2", "1", "1", "0"] in lines and ["together", "5", "0"] in lines
    assert not (tmp_path / "out").exists()


def test_layers_without_weights_are_made_where_they_are_named(model, tmp_path, instant):
    assert gallery(model, tmp_path / "out", "--layers", "global_average*") == 0
    (layer,) = {layer for layer, _ in instant.rendered}
    assert layer.startswith("global_average_pooling3d") and len(instant.rendered) == 2


def test_a_network_of_the_table_shows_the_layers_that_its_entry_names(tmp_path, monkeypatch):
    small = models.I3D(input_shape=(16, 32, 32, 3), classes=2, width=0.05)
    monkeypatch.setattr("c3dvis.models.chosen.load", lambda settings: small)
    told: list[str] = []
    arguments = (Settings(model="i3d"), tmp_path / "out")
    dry_run(*arguments, report=told.append)
    first = [line.split()[0] for line in told[0].splitlines()[2:]]
    assert first == ["classes", *reversed(models.entry("i3d").layers), "together"]
    dry_run(*arguments, report=told.append, selection=Selection(layers=("Mixed_4d", "*5c")))
    assert [line.split()[0] for line in told[2].splitlines()[2:-1]] == ["Mixed_5c", "Mixed_4d"]


def test_a_full_disk_stops_cleanly_and_tells_how_to_go_on(model, tmp_path, instant, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))  # a GIF is larger
    try:
        assert gallery(model, tmp_path / "a b", "--layers", "conv1") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert "File too large" in error and f"--out '{tmp_path}/a b'" in error
    assert check_whole(tmp_path) == 0 and not leftovers(tmp_path)
    assert gallery(model, tmp_path / "a b", "--layers", "conv1") == 0


def test_a_folder_that_cannot_be_written_is_told(model, tmp_path, instant, capsys):
    assert gallery(model, tmp_path / ("n" * 300)) == 1  # no file system takes this name
    error = capsys.readouterr().err
    assert "too long" in error and "Resume with:\n  python -m c3dvis.gallery" in error


@pytest.mark.parametrize("below", ["", "out"])
def test_a_file_in_the_place_of_the_folder_is_a_wrong_argument(model, tmp_path, capsys, below):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stopped:
        gallery(model, tmp_path / "file" / below)
    assert stopped.value.code == 2
    assert "Expected a folder" in capsys.readouterr().err


def test_a_value_range_that_is_none_is_a_wrong_argument(model, tmp_path, capsys):
    for low, high in (("1", "1"), ("nan", "1")):
        with pytest.raises(SystemExit) as stopped:
            gallery(model, tmp_path / "out", "--value-range", low, high)
        assert stopped.value.code == 2
    assert "LOW below HIGH" in capsys.readouterr().err


@pytest.mark.parametrize("moment", range(1, 14))
def test_ctrl_c_at_any_moment_leaves_whole_files(
    model, tmp_path, instant, monkeypatch, capsys, moment
):
    """The n-th file that comes into being is where the run is stopped, before or after its move."""
    calls, move = [], os.replace

    def stopped(source, target):
        calls.append(target)
        if len(calls) == moment:
            if moment % 2:
                move(source, target)
            raise KeyboardInterrupt
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stopped)
        assert gallery(model, tmp_path, "--layers", "conv2", "conv1", "--filters", "0-1") == 130
    told = capsys.readouterr().err
    assert "Resume with:\n  python -m c3dvis.gallery --keras-model" in told
    done = check_whole(tmp_path) // 2
    assert not leftovers(tmp_path)
    assert gallery(model, tmp_path, "--layers", "conv2", "conv1", "--filters", "0-1") == 0
    assert f"{4 - done} clips to make, {done} already made" in capsys.readouterr().out
    assert check_whole(tmp_path) == 8


def run(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *code, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background may have it ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_kill_9_leaves_no_half_file_and_costs_at_most_what_was_in_flight(model, tmp_path, capsys):
    out = tmp_path / "out"
    # Killed when the second unit's GIF is written but not yet in its place.
    code = (
        "import os, sys, signal\n"
        "move, gifs = os.replace, []\n"
        "def killed(source, target):\n"
        "    gifs.extend([target] * str(target).endswith('.gif'))\n"
        "    if len(gifs) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    move(source, target)\n"
        "os.replace = killed\n"
        "from c3dvis.gallery.__main__ import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ("--keras-model", model, "--out", out, "--steps", "2", "--layers", "conv1")
    process = run(["-c", code], *arguments)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert len(leftovers(out)) == 1 and check_whole(out) == 2
    before = times(out)
    capsys.readouterr()
    assert gallery(model, out, "--layers", "conv1") == 0
    assert "2 clips to make, 1 already made" in capsys.readouterr().out
    assert check_whole(out) == 6 and not leftovers(out)
    assert {path: at for path, at in times(out).items() if path in before} == before


def test_a_real_ctrl_c_is_exit_code_130_and_no_traceback(model, tmp_path):
    out = tmp_path / "out"
    arguments = ("--keras-model", model, "--out", out, "--steps", "1000", "--batch-size", "1")
    process = run(["-m", "c3dvis.gallery"], *arguments)
    deadline = time.monotonic() + 120
    while not list(out.glob("*/0.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert "Traceback" not in error and f"--out {out} --steps 1000" in error
    assert 2 <= check_whole(out) < 16
