"""`python -m c3dvis.models`: the table of networks, and what it says of weight files."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from c3dvis import models
from c3dvis.models.__main__ import main

SMALL = "convlstm-motion"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file that fits SMALL."""
    network = models.build(SMALL, weights=None)
    draw = np.random.default_rng(0)
    network.set_weights([draw.normal(0, 0.1, value.shape) for value in network.get_weights()])
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    network.save_weights(path)
    return path


def lines(capsys) -> dict[str, str]:
    """What was printed, by the word that begins each line."""
    printed = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in printed}


def test_every_network_is_listed_with_its_source_and_licence(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    blocks = {block.splitlines()[0]: block for block in text.split("\n\n")}
    assert tuple(blocks) == models.names()
    assert "12,704,544" in blocks["i3d"] and "Apache-2.0" in blocks["i3d"]
    assert "sports1M_weights_tf.h5" in blocks["c3d"] and "not confirmed" in blocks["c3d"]
    assert "come with c3dvis" in blocks["c3d-motion"]
    assert "none published" in blocks["convlstm"]
    for name, block in blocks.items():
        assert models.entry(name).input in block and "https://" in block
        assert max(map(len, block.splitlines())) <= 100


def test_a_file_that_fits(weights, capsys):
    assert main(["--check", str(weights), "--model", SMALL]) == 0
    told = lines(capsys)
    total = len(models.build(SMALL, weights=None).weights)
    assert told["file"] == str(weights)
    assert told["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert told["format"].startswith("HDF5")
    assert told["assigned"] == f"{total} of the network's {total} weights"
    assert (told["missing"], told["unused"], told["fits"]) == ("none", "none", "yes")


def test_a_file_without_the_last_layer_is_told_to_miss_it(tmp_path, capsys):
    shape = {"input_shape": (16, 64, 64, 3), "width": 0.125, "fc": 256}
    trunk = models.C3D(**shape, include_top=False)
    draw = np.random.default_rng(0)
    trunk.set_weights([draw.normal(0, 0.1, value.shape) for value in trunk.get_weights()])
    trunk.save(tmp_path / "trunk.keras")
    assert main(["--check", str(tmp_path / "trunk.keras"), "--model", "c3d-motion"]) == 0
    told = lines(capsys)
    assert told["missing"] == "3: fc6, fc7, fc8"
    assert told["assigned"].startswith("16 of")
    assert told["fits"] == "yes, except for the missing layers"


def test_a_file_that_does_not_fit_is_one_line_with_the_reason(weights, tmp_path, capsys):
    for file, model, more, reason in (
        (weights, SMALL, ("--classes", "3"), "no: Expected shape"),
        (weights, "c3d-motion", (), "no: Expected"),
    ):
        assert main(["--check", str(file), "--model", model, *more]) == 1
        out, err = capsys.readouterr()
        assert out.splitlines()[-1].split(maxsplit=1)[1].startswith(reason) and not err
        assert out.count("fits") == 1 and hashlib.sha256(file.read_bytes()).hexdigest() in out


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"<!doctype html>", "is it a web page?"),
        (b"", "is empty"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 20, "is it cut short"),
    ],
)
def test_files_that_are_no_weights_say_so(tmp_path, capsys, content, reason):
    path = tmp_path / "bad\x1b[31m.h5"
    path.write_bytes(content)
    assert main(["--check", str(path), "--model", SMALL]) == 1
    out, err = capsys.readouterr()
    assert reason in out.splitlines()[-1] and not err
    assert "\x1b" not in out and "bad⟨U+001B⟩[31m.h5" in out


def test_the_files_of_a_checkpoint_are_listed_each_with_its_hash(tmp_path, capsys):
    for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001", "model.ckpt.meta"):
        (tmp_path / name).write_bytes(name.encode())
    assert main(["--check", str(tmp_path / "model.ckpt"), "--model", SMALL]) == 1
    out = capsys.readouterr().out
    assert out.count("sha256") == 2 and "TensorFlow 1 checkpoint" in out
    assert hashlib.sha256(b"model.ckpt.data-00000-of-00001").hexdigest() in out


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--check", "x.h5"], "together. Received: --check alone"),
        (["--model", "i3d"], "together. Received: --model alone"),
        (["--check", "x.h5", "--model", "i3d"], "'x.h5', which does not exist"),
        (["--check", __file__, "--model", "i3b"], "such as 'i3d'"),
        (["--classes", "3"], "--model NAME. Received: --classes 3 without them"),
        (
            ["--check", __file__, "--model", "i3d", "--classes", "0"],
            "a whole number from 1. Received: '0'",
        ),
        (["more"], "unrecognized"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(arguments, reason, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    out, err = capsys.readouterr()
    assert exit.value.code == 2 and reason in err and err.count("\n") == 1 and not out
