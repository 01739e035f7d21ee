"""Pickled trees of arrays and Flax's msgpack: nothing of them runs, every array in its place."""

from __future__ import annotations

import os
import pickle

import ml_dtypes
import msgpack
import numpy as np
import pytest
from residual_reference import randomize
from test_pytorch_files import Payload, global_op, op, payloads, pickled, refused
from weight_loading import assert_same, refusal

from c3dvis import models
from c3dvis.checkpoints import flax_msgpack, numpy_pickles
from c3dvis.models.i3d import from_flax

SMALL = {"width": 0.02, "input_shape": (16, 16, 16, 3), "classes": 4, "fc": 3}
WORDS = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}
STATISTICS = ("mean", "var")


def in_flax(network):
    """A network's weights as Flax holds them: in two collections, with its words."""
    tree = {"params": {}, "batch_stats": {}}
    for layer in network.layers:
        for weight, value in zip(layer.weights, layer.get_weights(), strict=True):
            word = WORDS.get(weight.name, weight.name)
            part = tree["batch_stats" if word in STATISTICS else "params"]
            part.setdefault(layer.name, {})[word] = value
    return tree


def write_pickle(path, tree, protocol=4):
    path.write_bytes(pickle.dumps(tree, protocol))
    return path


def packed(value, code=1, **changes):
    """An array as Flax packs it; `changes` replace what is true."""
    one = {"shape": value.shape, "dtype": value.dtype.name, "raw": value.tobytes()} | changes
    return msgpack.ExtType(code, msgpack.packb((one["shape"], one["dtype"], one["raw"])))


def write_msgpack(path, tree):
    path.write_bytes(msgpack.packb(tree, default=packed, strict_types=True))
    return path


WRITERS = {"pickle": write_pickle, "msgpack": write_msgpack}
READERS = {"pickle": numpy_pickles.read_tree, "msgpack": flax_msgpack.read_tree}
both = pytest.mark.parametrize("kind", WRITERS)


@pytest.fixture(scope="module")
def networks():
    small = {**SMALL, "batch_normalization": True}
    return models.C3D(**small), models.C3D(**small)


@pytest.fixture
def source(networks):
    return randomize(networks[0], seed=0)


@pytest.fixture
def target(networks):
    return randomize(networks[1], seed=1)


def message_of(kind, path):
    text = refusal(lambda: READERS[kind](path))
    assert f"Received: '{path}'" in text
    return text


# What is read.


@both
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_arrays_of_every_type_come_back(tmp_path, kind, dtype):
    value = np.arange(6).reshape(2, 3).astype(getattr(ml_dtypes, dtype, dtype))
    path = WRITERS[kind](tmp_path / "x", {"a": {"b": value}, "n": np.float32(3)})
    tree = READERS[kind](path)
    assert tree["a"]["b"].dtype == value.dtype and not tree["a"]["b"].flags.writeable
    np.testing.assert_array_equal(tree["a"]["b"], value)
    assert tree["n"] == 3


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_binary_protocol_of_pickles_is_read(tmp_path, protocol):
    values = {
        "c": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">f4"),
        "empty": np.zeros((0, 2), np.float32),
        "list": [np.ones(2), (np.zeros(1), 3, 4.5, True)],
    }
    tree = numpy_pickles.read_tree(write_pickle(tmp_path / "x", values, protocol))
    for name in ("c", "fortran", "big", "empty"):
        np.testing.assert_array_equal(tree[name], values[name])
    assert list(tree["list"]) == ["0", "1"] and tree["list"]["1"]["2"] == 4.5


def test_pickles_of_numpy_1_are_read(tmp_path):
    raw = pickle.dumps({"a": np.arange(3.0)}, 2).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "x").write_bytes(raw)
    np.testing.assert_array_equal(numpy_pickles.read_tree(tmp_path / "x")["a"], [0, 1, 2])


def chunked(value, pieces=2, **changes):
    flat = np.array_split(value.reshape(-1), pieces)
    return {
        "__msgpack_chunked_array__": True,
        "shape": {str(n): length for n, length in enumerate(value.shape)},
        "chunks": {str(n): piece for n, piece in enumerate(flat)},
    } | changes


def test_an_array_in_pieces_is_joined(tmp_path):
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    tree = flax_msgpack.read_tree(write_msgpack(tmp_path / "x", {"a": {"b": chunked(value)}}))
    np.testing.assert_array_equal(tree["a"]["b"], value)


# Into a network.


@both
def test_every_weight_finds_its_place(tmp_path, source, target, kind):
    tree = in_flax(source) | {"step": np.int32(7), "opt_state": {"0": {"count": np.int32(7)}}}
    report = models.load_weights(target, WRITERS[kind](tmp_path / "x", tree))
    assert report.assigned == report.total and report.notes == ("left out: opt_state, step",)
    assert_same(source, target)


@both
def test_statistics_may_lie_over_a_clip(tmp_path, source, target, kind):
    tree = in_flax(source)
    for part in tree["batch_stats"].values():
        for name in STATISTICS:
            part[name] = part[name].reshape(1, 1, 1, 1, -1)
    models.load_weights(target, WRITERS[kind](tmp_path / "x", tree))
    assert_same(source, target)


CHANGES = {
    "one missing": (lambda p: p["fc8"].pop("bias"), "without fc8/bias, and"),
    "one more": (lambda p: p.update(more={"kernel": np.ones(2)}), "with more/kernel besides"),
    "another name": (
        lambda p: p.update(x=p.pop("conv1")),
        "without conv1/kernel, and with x/kernel",
    ),
    "another shape": (
        lambda p: p["fc8"].update(kernel=np.ones((9, 4))),
        r"Expected shape \(3, 4\) for the kernel of layer 'fc8'",
    ),
    "NaN": (lambda p: p["fc8"]["bias"].__setitem__(1, np.nan), "1 NaN or infinite of 4"),
    "whole numbers": (
        lambda p: p["fc8"].update(bias=np.ones(4, np.int32)),
        "'fc8/bias' of '.*', of the type int32",
    ),
}


@both
@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path, source, target, kind, change):
    tree = in_flax(source)
    how, message = CHANGES[change]
    how(tree["params"])
    path, before = WRITERS[kind](tmp_path / "x", tree), target.get_weights()
    with pytest.raises(ValueError, match=message):
        models.load_weights(target, path)
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "path, place",
    [
        ("Conv3d_1a_7x7/Conv_0/kernel", ("Conv3d_1a_7x7.conv_3d", "kernel")),
        ("Logits/Conv3d_0c_1x1/Conv_0/bias", ("Logits.Conv3d_0c_1x1.conv_3d", "bias")),
        (
            "Mixed_5b/Branch_2/Conv3d_0b_3x3/BatchNorm_0/mean",  # mended there, not here
            ("Mixed_5b.Branch_2.Conv3d_0a_3x3.batch_norm", "mean"),
        ),
        (
            "Mixed_5c/Branch_2/Conv3d_0b_3x3/Conv_0/kernel",
            ("Mixed_5c.Branch_2.Conv3d_0b_3x3.conv_3d", "kernel"),
        ),
        (
            "RGB/inception_i3d/Mixed_5b/Branch_2/Conv3d_0a_3x3/batch_norm/beta",
            ("Mixed_5b.Branch_2.Conv3d_0a_3x3.batch_norm", "beta"),
        ),
        ("fc8/kernel", None),
    ],
)
def test_names_of_i3d(path, place):
    assert from_flax(path) == place


# Pickles that would run something.


@pytest.mark.parametrize("name", payloads("nowhere"))
@pytest.mark.parametrize("place", ["alone", "beside arrays"])
def test_a_pickle_that_calls_for_code_is_refused_by_name(tmp_path, target, name, place):
    opcodes = payloads(tmp_path / "ran")[name]
    if place == "beside arrays":
        opcodes = op({"a": np.ones(2)}) + b"(" + op("b") + opcodes + b"u"
    else:
        opcodes = op("numpy") + b"0" + opcodes
    path = tmp_path / "evil.pickle"
    path.write_bytes(pickled(opcodes))
    text = refused(path, f"which calls for '{name}', which is not part of an array", target)
    assert "nothing of it was run" in text and not (tmp_path / "ran").exists()


def test_objects_in_an_array_are_refused(tmp_path):
    path = write_pickle(tmp_path / "x", {"a": np.array([Payload(tmp_path / "ran")], object)})
    assert "of the type 'O8'" in message_of("pickle", path) or os.name == "nt"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["_reconstruct", "scalar"])
def test_what_a_pickle_may_name_it_cannot_alter(tmp_path, name):
    opcodes = global_op("numpy.core.multiarray", name) + op({"function": 1}) + b"b"
    (tmp_path / "x").write_bytes(pickled(opcodes))
    assert "damaged" in message_of("pickle", tmp_path / "x")
    test_pickles_of_numpy_1_are_read(tmp_path)


def array_op(shape=(2,), kind="f4", raw=bytes(8), subtype=None):
    """The opcodes of an array, of which anything may be wrong."""
    subtype = global_op("numpy", "ndarray") if subtype is None else subtype
    dtype = global_op("numpy", "dtype") + op((kind, False, True)) + b"R"
    dtype += op((3, "<", None, None, None, -1, -1, 0)) + b"b"
    start = global_op("numpy.core.multiarray", "_reconstruct") + b"(" + subtype
    return start + op((0,)) + op("b") + b"tR(" + op(1) + op(shape) + dtype + op(False) + raw + b"tb"


def bytes_op(raw):
    return b"B" + len(raw).to_bytes(4, "little") + raw


ARRAYS = {
    "more values": ({"raw": bytes_op(bytes(12))}, "an array of 12 bytes, not 8"),
    "terabytes": ({"shape": (2**40,), "raw": bytes_op(bytes(8))}, "of 8 bytes, not 4398046511104"),
    "a negative length": ({"shape": (-2,), "raw": bytes_op(bytes(8))}, "of the shape a tuple"),
    "no shape": ({"shape": 2, "raw": bytes_op(bytes(8))}, "of the shape 2"),
    "no bytes": ({"raw": op([1, 2])}, "an array of .* and a list"),
    "objects": ({"kind": "O8", "raw": op([1, 2])}, "arrays of the type 'O8'"),
    "texts": ({"kind": "U1", "raw": bytes_op(bytes(8))}, "arrays of the type 'U1'"),
    "another class": ({"subtype": op("matrix"), "raw": bytes_op(bytes(8))}, "that is 'matrix'"),
}


@pytest.mark.parametrize("fault", ARRAYS)
def test_arrays_that_are_none_are_refused(tmp_path, fault):
    changes, message = ARRAYS[fault]
    good = b"}(" + op("a") + array_op(raw=bytes_op(bytes(8))) + b"u"
    (tmp_path / "good").write_bytes(pickled(good))
    np.testing.assert_array_equal(numpy_pickles.read_tree(tmp_path / "good")["a"], [0, 0])
    (tmp_path / "bad").write_bytes(pickled(b"}(" + op("a") + array_op(**changes) + b"u"))
    with pytest.raises(ValueError, match=message):
        numpy_pickles.read_tree(tmp_path / "bad")


def test_small_files_cannot_claim_much(tmp_path):
    """The same bytes in many arrays, the same dictionary in many places, or in itself."""
    shared = bytes(10**5)
    frombuffer = global_op("numpy.core.numeric", "_frombuffer")
    dtype = global_op("numpy", "dtype") + op(("f4", False, True)) + b"R"
    once = op("numpy") + b"0" + bytes_op(shared) + b"q\xc80}("
    arrays = b"".join(
        op(str(n)) + frombuffer + b"(h\xc8" + dtype + op((25_000,)) + op("C") + b"tR"
        for n in range(100)
    )
    (tmp_path / "x").write_bytes(pickled(once + arrays + b"u"))
    assert "arrays that share their bytes" in message_of("pickle", tmp_path / "x")

    tree = {"a": np.ones(1)}
    for _ in range(40):
        tree = {"left": tree, "right": tree}
    assert "a part of itself twice" in message_of("pickle", write_pickle(tmp_path / "x", tree))
    tree["left"] = tree
    assert "a part of itself twice" in message_of("pickle", write_pickle(tmp_path / "x", tree))
    deep = {"a": np.ones(1)}
    for _ in range(100):
        deep = {"a": deep}
    assert "too deep" in message_of("pickle", write_pickle(tmp_path / "x", deep))


@pytest.mark.parametrize(
    "tree, message",
    [
        ([np.ones(2)], "which holds a list, not a dictionary"),
        ({"a": "text", "b": np.ones(2)}, "with 'text' among its arrays"),
        ({"a\n": np.ones(2)}, "a name that is"),
        ({(1, 2): np.ones(2)}, "no name"),
        ({"a": np.ones(2, "f4,f4")}, "of the type 'V8'"),
        ({"a": np.ones(2, complex)}, "of the type 'c16'"),
    ],
)
def test_other_pickles_are_refused(tmp_path, tree, message):
    assert message in message_of("pickle", write_pickle(tmp_path / "x", tree))


def test_something_after_a_pickle_is_refused(tmp_path):
    path = write_pickle(tmp_path / "x", {"a": np.ones(2)})
    path.write_bytes(path.read_bytes() + b"more")
    assert "ends 4 bytes before its file" in message_of("pickle", path)


# msgpack that claims what it does not hold.

ONES = np.ones((2, 2), np.float32)
PACKED = {
    "more values": (packed(ONES, raw=bytes(20)), "an array of 20 bytes, not 16"),
    "terabytes": (packed(ONES, shape=(2**40,)), "of 16 bytes, not 4398046511104"),
    "a negative length": (packed(ONES, shape=(-4,)), "of the shape"),
    "a shape that is none": (packed(ONES, shape=4), "of the shape 4"),
    "objects": (packed(ONES, dtype="object"), "of the type 'object'"),
    "an unknown type": (packed(ONES, dtype="int4"), "of the type 'int4'"),
    "a number with a shape": (packed(ONES, code=3), "a number of the shape"),
    "complex": (msgpack.ExtType(2, msgpack.packb((1.0, 2.0))), "a complex number"),
    "an unknown kind": (msgpack.ExtType(9, b""), "of the unknown kind 9"),
    "text": ("text", "'text' among its arrays"),
    "bytes": (b"raw", "no array"),
    "pieces missing": (chunked(ONES, chunks={"1": ONES.reshape(-1)}), "not numbered"),
    "too few pieces": (chunked(ONES, chunks={"0": np.ones(3)}), "an array of 3 values in pieces"),
    "pieces of several types": (
        chunked(ONES, chunks={"0": np.ones(2), "1": np.ones(2, np.float32)}),
        "pieces of several types",
    ),
    "pieces that are none": (chunked(ONES, chunks={"0": 3}), "pieces that are none"),
}


@pytest.mark.parametrize("fault", PACKED)
def test_msgpack_of_something_else_is_refused(tmp_path, fault):
    value, message = PACKED[fault]
    text = message_of("msgpack", write_msgpack(tmp_path / "x", {"a": {"b": value}}))
    assert message in text


def test_a_list_that_claims_a_length_is_refused_before_it_is_made(tmp_path):
    claim = b"\xdd" + (10**6).to_bytes(4, "big")
    (tmp_path / "x").write_bytes(b"\x81\xa1a" + claim * 1000 + bytes(10**6))
    assert "exceeds max_array_len" in message_of("msgpack", tmp_path / "x")


@both
@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_refused(tmp_path, source, target, kind, part):
    raw = WRITERS[kind](tmp_path / "whole", in_flax(source)).read_bytes()
    (tmp_path / "short").write_bytes(raw[: int(len(raw) * part)])
    refused(tmp_path / "short", "cut short|damaged", target)


@both
def test_files_are_told_apart(tmp_path, kind):
    path = WRITERS[kind](tmp_path / "x", {"a": {"b": np.ones(2)}})
    recognisers = {"pickle": numpy_pickles.is_numpy_pickle, "msgpack": flax_msgpack.is_flax_msgpack}
    assert [name for name, recognises in recognisers.items() if recognises(path)] == [kind]
    for content in (b"", b"\x80", b"\x89HDF\r\n\x1a\n", b"<html>", b"PK\x03\x04", b"\xdf\0\0"):
        path.write_bytes(content)
        assert not any(recognises(path) for recognises in recognisers.values())
