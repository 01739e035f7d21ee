"""The index of a TensorFlow checkpoint is gone through before TensorFlow sees it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from c3dvis import models
from c3dvis.checkpoints import tf_index

VALUES = {"fc/b": np.arange(3, dtype=np.float32), "fc/w": np.ones((2, 3), np.float32)}


def write(prefix, values):
    names = sorted(values)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(values[name]) for name in names],
    )
    return prefix.with_name(f"{prefix.name}.index")


def number(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def block(entries, restarts=(0,)) -> bytes:
    body = b"".join(
        number(0) + number(len(key)) + number(len(value)) + key + value for key, value in entries
    )
    return body + b"".join(n.to_bytes(4, "little") for n in (*restarts, len(restarts)))


def table(*blocks: bytes, handles=None) -> bytes:
    """A table of these blocks; their checksums are zeros, which are not compared here."""
    raw, listed = b"", []
    for number_of_block, content in enumerate(blocks):
        handle = number(len(raw)) + number(len(content))
        listed.append((b"%c" % (97 + number_of_block), handle))
        raw += content + bytes(5)
    index = block(listed if handles is None else handles)
    footer = number(0) + number(0) + number(len(raw)) + number(len(index))
    return raw + index + bytes(5) + footer.ljust(40, b"\0") + tf_index._MAGIC


def compressed(table: bytes) -> bytes:
    """The table with its first block, of 13 bytes, marked as compressed."""
    return table[:13] + b"\1" + table[14:]


def record(*sizes: int, dtype: int = 1) -> bytes:
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto

    entry = BundleEntryProto(dtype=dtype)
    for size in sizes:
        entry.shape.dim.add(size=size)
    return entry.SerializeToString()


def test_the_records_are_those_that_tensorflow_wrote(tmp_path):
    many = {f"layer{n:03}/kernel": np.zeros(n, np.float32) for n in range(300)}  # several blocks
    raw = write(tmp_path / "model", many).read_bytes()
    assert [name.decode() for name, _ in tf_index.records(raw)] == ["", *sorted(many)]


@pytest.mark.parametrize(
    "damaged, message",
    [
        (b"", "no footer"),
        (table(block([(b"a", b"1")]))[:-1], "no footer"),
        (table(block([(b"b", b"1"), (b"a", b"2")])), "names that are not in order"),
        (table(block([(b"a", b"1")], restarts=(1,))), "wrong positions"),
        (table(block([(b"a", b"1")], restarts=())), "without entries"),
        (table(block([(b"a", b"1")]) + b"\1"), "entr"),
        (table(b"\0\5\1" + block([])), "outside its block"),
        (table(b"\1\1\1ab" + block([])), "outside its block"),
        (table(b"\xff" * 10 + block([])), "a number without an end"),
        (table(block([(b"a", b"1")]), handles=[(b"a", b"\0\x40")]), "outside the index"),
        (table(block([(b"a", b"1")]), handles=[(b"a", b"\0\x0d"), (b"b", b"\0\x0d")]), "overlap"),
        (compressed(table(block([(b"a", b"1")]))), "compressed"),
    ],
)
def test_a_damaged_table_is_refused(damaged, message):
    with pytest.raises(ValueError, match=message):
        list(tf_index.records(damaged))


def test_whatever_byte_is_changed_nothing_else_is_raised(tmp_path):
    raw = bytearray(write(tmp_path / "model", VALUES).read_bytes())
    refused = 0
    for position in range(len(raw)):
        for value in (0x00, 0x7F, 0xFF):
            changed = raw[:position] + bytes([value]) + raw[position + 1 :]
            try:
                list(tf_index.records(bytes(changed)))
            except ValueError:
                refused += 1
    assert refused


@pytest.fixture(scope="module")
def network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="fc")])


@pytest.mark.parametrize(
    "entry, message",
    [
        (b"\xff\xff", "damaged"),
        (record(-1), r"of shape \[-1\]"),
        (record(*[1] * 255), "of shape"),
        (record(2**40, 2**40), "of shape"),
        (record(2**63 - 1, 0, 2**62), "of shape"),
        (record(3, dtype=101), "of the type 101"),
        (record(3, dtype=127), "of the type 127"),
    ],
)
def test_a_record_on_which_tensorflow_would_end_the_process_is_refused(
    tmp_path, monkeypatch, network, entry, message
):
    index = write(tmp_path / "model", VALUES)
    index.write_bytes(table(block([(b"", b""), (b"fc/b", entry)])))
    monkeypatch.setattr(tf.train, "load_checkpoint", lambda path: pytest.fail("was asked"))
    with pytest.raises(ValueError, match=f"damaged .*{message}" if "of" in message else message):
        models.load_weights(network, tmp_path / "model")


def test_a_whole_checkpoint_loads(tmp_path, network):
    write(tmp_path / "model", VALUES)
    report = models.load_weights(network, tmp_path / "model")
    assert report.assigned == 2
    np.testing.assert_array_equal(network.get_layer("fc").bias.numpy(), VALUES["fc/b"])


def test_variables_of_text_are_refused(tmp_path, network):
    write(tmp_path / "model", {**VALUES, "fc/b": np.array([b"x", b"y", b"z"])})
    with pytest.raises(ValueError, match="that are numbers. Received: .*fc/b, of the type string"):
        models.load_weights(network, tmp_path / "model")


def test_a_folder_of_the_same_name_is_refused(tmp_path, network):
    write(tmp_path / "model", VALUES)
    (tmp_path / "model").mkdir()
    with pytest.raises(ValueError, match="without a folder of the same name. Received: both"):
        models.load_weights(network, tmp_path / "model")
