"""PyTorch's files: read without PyTorch, nothing of them run, every tensor in its place."""

import hashlib
import json
import os
import pickle
import zipfile

import keras
import ml_dtypes
import numpy as np
import pytest
import weight_loading
from residual_reference import DATA, clips_for, pytorch, randomize
from weight_loading import assert_same, refusal

from c3dvis import models
from c3dvis.checkpoints import safetensors_files
from c3dvis.checkpoints.pytorch_files import is_pytorch, read_tensors

MAGIC = 0x1950A86A20F9469CFC6C
KINDS = {"float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long"}
SMALL = {"width": 0.02, "input_shape": (3, 8, 8, 3), "classes": 4}


# PyTorch's files written without PyTorch: the opcodes of a pickle, put together by hand.


def op(value):
    """The opcodes that leave a plain value on the stack."""
    return pickle.dumps(value, 2)[2:-1]


def global_op(module, name):
    return f"c{module}\n{name}\n".encode()


def tensor_op(key, value, *, offset=0, size=None, stride=None, count=None, kind=None, view=b""):
    """The opcodes of a tensor in a storage; whatever is given replaces what is true."""
    stride = [step // value.itemsize for step in value.strides] if stride is None else stride
    storage = [
        op("storage"),
        global_op("torch", f"{kind or KINDS[str(value.dtype)]}Storage"),
        op(key),
        op("cpu"),
        op(value.size if count is None else count),
        view,
    ]
    return b"".join(
        [
            global_op("torch._utils", "_rebuild_tensor_v2"),
            b"(",
            b"(" + b"".join(storage) + b"tQ",
            op(offset),
            op(tuple(value.shape if size is None else size)),
            op(tuple(stride)),
            op(False),
            global_op("collections", "OrderedDict") + b")R",
            b"tR",
        ]
    )


def state_dict_op(tensors, extra=b"", view=b"", **changes):
    """The opcodes of a state dict; `changes` are made to its last tensor."""
    items = list(tensors.items())
    opcodes = global_op("collections", "OrderedDict") + b")R("
    for number, (name, value) in enumerate(items):
        own = changes if number == len(items) - 1 else {}
        opcodes += op(name) + tensor_op(str(number), value, view=view, **own)
    return opcodes + b"u" + extra


def pickled(opcodes):
    return b"\x80\x02" + opcodes + b"."


def write_zip(path, tensors, *, opcodes=None, parts=None, compression=0, **changes):
    """A file as torch.save writes it since 1.6; `parts` replace or, being None, remove entries."""
    opcodes = state_dict_op(tensors, **changes) if opcodes is None else opcodes
    entries = {"data.pkl": pickled(opcodes), "byteorder": b"little", "version": b"3\n"}
    for number, value in enumerate(tensors.values()):
        entries[f"data/{number}"] = value.tobytes()
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (entries | (parts or {})).items():
            if content is not None:
                archive.writestr(f"{path.stem}/{name}", content)
    return path


def write_legacy(path, tensors, *, opcodes=None, little_endian=True, keys=None, **changes):
    """A file as torch.save wrote it before 1.6, when storages could be views."""
    changes.setdefault("view", op(None))
    opcodes = state_dict_op(tensors, **changes) if opcodes is None else opcodes
    system = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {}}
    content = b"".join(pickle.dumps(value, 2) for value in (MAGIC, 1001, system))
    keys = [str(number) for number in range(len(tensors))] if keys is None else keys
    content += pickled(opcodes) + pickle.dumps(keys, 2)
    for value in tensors.values():
        content += value.size.to_bytes(8, "little") + value.tobytes()
    path.write_bytes(content)
    return path


def write_safetensors(path, tensors, **changes):
    """A safetensors file; `changes` are made to the header's entry of its last tensor."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in tensors.items():
        offsets = [len(data), len(data) + value.nbytes]
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": offsets}
        data += value.tobytes()
    header[name] |= changes
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


WRITERS = {"zip": write_zip, "legacy": write_legacy, "safetensors": write_safetensors}
pickles = pytest.mark.parametrize("write", [write_zip, write_legacy])


@pytest.fixture
def tensors():
    draw = np.random.default_rng(0)
    return {
        "layer.weight": draw.normal(size=(2, 3)).astype(np.float32),
        "layer.bias": draw.normal(size=2).astype(np.float32),
    }


def in_pytorch(network):
    """A network's weights as PyTorch would hold them: other names, other order of axes."""
    names = {"gamma": "weight", "beta": "bias", "kernel": "weight"}
    names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    state = {}
    for layer in network.layers:
        for weight, value in zip(layer.weights, layer.get_weights(), strict=True):
            if weight.name == "kernel":
                value = value.transpose(-1, -2, *range(value.ndim - 2))
            name = names.get(weight.name, weight.name)
            state[f"{layer.name}.{name}"] = np.ascontiguousarray(value)
        if isinstance(layer, keras.layers.BatchNormalization):
            state[f"{layer.name}.num_batches_tracked"] = np.array(7, np.int64)
    return state


@pytest.fixture(scope="module")
def networks():
    return models.R3D(**SMALL), models.R3D(**SMALL)


@pytest.fixture
def source(networks):
    return randomize(networks[0], seed=0)


@pytest.fixture
def target(networks):
    return randomize(networks[1], seed=1)


def refused(path, message, network=None):
    """Reading, or loading into a network, is refused in one line, and changes nothing."""
    if network is None:
        text = refusal(lambda: read_tensors(path), message)
    else:
        text = weight_loading.refused(network, path, message)
    assert f"Received: '{path}'" in text
    return text


# Files that PyTorch has written.


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "protocol4.pth", "all.safetensors"])
def test_files_of_pytorch_read_as_pytorch_holds_them(name):
    """Views with strides and offsets, no values, and every type, bfloat16 among them."""
    expected = np.load(DATA / "formats.npz")
    if "safe" in name:
        stored = safetensors_files.stored_tensors(DATA / name)
        assert {key: tensor.shape for key, tensor in stored.items()} == {
            key: value.shape for key, value in expected.items()
        }
        tensors = {key: tensor.read() for key, tensor in stored.items()}
    else:
        tensors = read_tensors(DATA / name)
    assert sorted(tensors) == sorted(expected)
    for key, value in tensors.items():
        wanted = ml_dtypes.bfloat16 if key == "bfloat16" else expected[key].dtype
        assert value.dtype == wanted and value.shape == expected[key].shape, key
        np.testing.assert_array_equal(value.astype(expected[key].dtype), expected[key], key)
        assert "safe" in name or not value.flags.writeable


@pytest.mark.parametrize("name", ["checkpoint_zip.pth", "checkpoint_legacy.pth"])
def test_the_state_dict_of_a_training_checkpoint_is_found(name):
    tensors = read_tensors(DATA / name)
    assert {key: value.shape for key, value in tensors.items()} == {
        "module.weight": (2, 3),
        "module.bias": (2,),
    }


def test_a_whole_pickled_module_is_refused_with_advice():
    text = refused(DATA / "whole_module.pth", "'torch.nn.modules.linear.Linear'")
    assert "torch.save(model.state_dict(), 'tensors.pth')" in text


@pickles
def test_our_hand_written_files_are_pytorchs(tmp_path, tensors, write):
    path = write(tmp_path / "mine.pth", tensors)
    torch = pytorch()
    theirs = torch.load(path, weights_only=True)
    for name, value in read_tensors(path).items():
        np.testing.assert_array_equal(value, tensors[name])
        np.testing.assert_array_equal(value, theirs[name].numpy())


# Files that would run something.


class Payload:
    """Unpickled by anything that runs pickles, it makes a file."""

    def __init__(self, path, call=os.system):
        self.path, self.call = path, call

    def __reduce__(self):
        return self.call, (f"echo ran > {self.path}",)


def payloads(path):
    """Opcodes of pickles that run something, and the name that they have to ask for."""
    command = f"echo ran > {path}"
    system = global_op("os", "system") + b"(" + op(command) + b"tR"
    # By protocol 4's opcode, whose names come from the stack, with a dot in the second.
    stacked = op("collections") + op("abc.sys.modules.get") + b"\x93(" + op("os") + b"tR"
    return {
        "os.system": system,
        f"{os.name if os.name == 'nt' else 'posix'}.system": op_of(Payload(path)),
        "__builtin__.exec": op_of(Payload(path, exec)),
        "torch.load": global_op("torch", "load") + b"(" + op(str(path)) + b"tR",
        "torch.storage._load_from_bytes": (
            global_op("torch.storage", "_load_from_bytes")
            + b"("
            + op(pickle.dumps(Payload(path)))
            + b"tR"
        ),
        "collections.abc.sys.modules.get": stacked,
        "collections.OrderedDict.fromkeys": global_op("collections", "OrderedDict.fromkeys"),
        "c3dvis.checkpoints.pytorch_files.Refused": (
            global_op("c3dvis.checkpoints.pytorch_files", "Refused") + b")R"
        ),
        # The opcode INST names and calls at once.
        "subprocess.getoutput": b"(" + op(command) + b"isubprocess\ngetoutput\n",
    }


def op_of(payload):
    return pickle.dumps(payload, 2)[2:-1]


def test_the_payload_runs_where_pickles_run(tmp_path):
    """Else the tests below would pass whatever the reader did."""
    for name, opcodes in payloads(tmp_path / "ran").items():
        if name.endswith((".system", "getoutput")):
            pickle.loads(pickled(opcodes))
            assert (tmp_path / "ran").exists(), name
            (tmp_path / "ran").unlink()


@pytest.mark.parametrize("name", payloads("nowhere"))
@pytest.mark.parametrize("layout", ["zip", "legacy", "bare"])
@pytest.mark.parametrize("place", ["alone", "beside tensors"])
def test_a_malicious_file_is_refused_by_name_and_runs_nothing(
    tmp_path, tensors, target, name, layout, place
):
    opcodes = payloads(tmp_path / "ran")[name]
    if place == "beside tensors":
        opcodes = state_dict_op(tensors, extra=b"(" + op("layer.more") + opcodes + b"u")
    path = tmp_path / "evil.pth"
    if layout == "bare":
        path.write_bytes(pickled(opcodes))
    else:
        WRITERS[layout](path, tensors, opcodes=opcodes)
    text = refused(path, f"which calls for '{name}', which is not part of a tensor", target)
    assert "nothing of it was run" in text
    refused(path, "nothing of it was run")
    assert not (tmp_path / "ran").exists()


def test_a_name_with_control_characters_stays_on_one_line(tmp_path, tensors):
    named = op("os\n\x1b[2J") + op("system") + b"\x93)R"
    path = write_zip(tmp_path / "evil.pth", tensors, opcodes=named)
    assert "\x1b" not in refused(path, r"which calls for 'os\\n\\x1b\[2J.system'")
    text = refused(
        write_zip(tmp_path / "evil.pth", {"a\nb.weight": tensors["layer.bias"]}), "holds 'a"
    )
    assert "'a\\nb.weight', which is not a tensor" in text


@pytest.mark.parametrize(
    "module, name",
    [
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch", "FloatStorage"),
        ("collections", "OrderedDict"),
    ],
)
@pytest.mark.parametrize("state", [{"function": 1}, (None, {"function": 1, "__defaults__": (1,)})])
def test_what_a_pickle_may_name_it_cannot_alter(tmp_path, tensors, module, name, state):
    """The opcode BUILD sets attributes of whatever it is given, were it the reader itself."""
    opcodes = global_op(module, name) + op(state) + b"b"
    before = write_zip(tmp_path / "good.pth", tensors)
    refused(write_zip(tmp_path / "evil.pth", tensors, opcodes=opcodes), "cut short or damaged")
    assert list(read_tensors(before)) == list(tensors)


def test_attributes_given_by_a_pickle_are_dropped(tmp_path, tensors):
    """`items` of a dictionary could be replaced; PyTorch itself sets `_metadata`."""
    changes = op({"items": 3, "_metadata": {}}) + b"b"
    path = write_zip(tmp_path / "odd.pth", tensors, extra=changes)
    assert list(read_tensors(path)) == list(tensors)


# Files that are damaged, or claim what they do not hold.

FAULTS = {
    "past the end": ({"offset": 1}, "'layer.bias' that reaches past its 2 values"),
    "too long": ({"size": (3,)}, "'layer.bias' that reaches past its 2 values"),
    "far strides": ({"stride": (2,)}, "'layer.bias' that reaches past its 2 values"),
    "repeated values": ({"size": (2**40, 2), "stride": (0, 1)}, "reaches past its 2 values"),
    "negative offset": ({"offset": -1}, "'layer.bias' of a size or stride that is none"),
    "negative size": ({"size": (-2,)}, "'layer.bias' of a size or stride that is none"),
    "negative stride": ({"stride": (-1,)}, "'layer.bias' of a size or stride that is none"),
    "strides of another rank": ({"stride": (1, 1)}, "'layer.bias' of a size or stride"),
    "sizes that are no numbers": ({"size": ("2",)}, "'layer.bias' of a size or stride"),
    "huge numbers": ({"offset": 2**70}, "'layer.bias' of a size or stride that is none"),
    "more values": ({"count": 3}, "storage '1' (of|that claims) "),
    "fewer values": ({"count": 1}, "storage '1' (of|that claims) "),
    "terabytes": ({"count": 2**40}, "storage '1' (of|that claims) "),
    "a negative count": ({"count": -1}, "a storage '1' of -1 values"),
    "another type": ({"kind": "Double"}, "storage '1' of |cut short"),
    "an unknown type": ({"kind": "QInt8"}, "which calls for 'torch.QInt8Storage'"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pickles
def test_tensors_outside_their_values_are_refused(tmp_path, tensors, write, fault):
    changes, message = FAULTS[fault]
    refused(write(tmp_path / "bad.pth", tensors, **changes), message)


@pytest.mark.parametrize(
    "opcodes, message",
    [
        (b"", "cut short or damaged"),
        (b"}", "which holds no state dict"),
        (op([1, 2]), "which holds no state dict"),
        (op({"a": 1, (1, 2): 2}), "holds 'a', a tuple, which is not a tensor"),
        (op({"a": 1, "b": [2]}), "whose state dict holds 'a', 'b', which is not a tensor"),
        (op({1: 2}), "whose state dict holds 1, which is not a tensor"),
        (op({"model": {"a": 1}}), "holds 'a', which is not a tensor"),
        (op({"model": {"a": 1}, "state_dict": {}}), "several state dicts: state_dict, model"),
        (b"}q\x01" + op("model") + b"h\x01s", "which holds no state dict"),  # holds itself
        (b"Nr\xff\xff\xff\xffN0", "value number 4294967295"),
        (b"t", "cut short or damaged"),
        (global_op("torch", "FloatStorage") + b")R", "cut short or damaged"),
        (op(("module", 1, 2, 3, 4)) + b"Q", "that is not a storage"),
        (op(3) + b"Q", "cut short or damaged"),
        (b"\x8e" + (2**62).to_bytes(8, "little"), "cut short or damaged"),
        (b"\x82\x01", "cut short or damaged"),
    ],
)
@pickles
def test_pickles_of_something_else_are_refused(tmp_path, write, opcodes, message):
    refused(write(tmp_path / "bad.pth", {}, opcodes=opcodes), message)


@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("layout", WRITERS)
def test_a_truncated_file_is_refused(tmp_path, tensors, target, layout, part):
    raw = WRITERS[layout](tmp_path / "whole.pth", tensors).read_bytes()
    path = tmp_path / "short.pth"
    path.write_bytes(raw[: max(3, int(len(raw) * part))])
    refused(path, "cut short|is not an HDF5 file or any other of these", target)


@pytest.mark.parametrize(
    "parts, message",
    [
        ({"data/1": None}, "damaged .*data/1"),
        ({"data/1": b"1234"}, "storage '1' of 4 bytes, not 8"),
        ({"byteorder": b"big"}, "written on a big-endian machine"),
        ({"data.pkl": b""}, "cut short or damaged"),
        ({"data.pkl": bytes(17 * 2**20)}, "a pickle of 17,825,792 bytes"),
    ],
)
def test_archives_that_lack_something_are_refused(tmp_path, tensors, parts, message):
    refused(write_zip(tmp_path / "bad.pth", tensors, parts=parts), message)


def test_compressed_archives_are_refused(tmp_path, tensors):
    """A few kilobytes could unpack to gigabytes; torch.save compresses nothing."""
    tensors["layer.bias"] = np.zeros(10**6, np.float32)
    path = write_zip(tmp_path / "bomb.pth", tensors, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**4
    refused(path, "with compressed parts")


def test_parts_that_overlap_are_refused(tmp_path, tensors):
    """One value can be listed any number of times, and be as long as the file each time."""
    tensors["layer.bias"] = np.ones(10**5, np.float32)
    path = write_zip(tmp_path / "bomb.pth", tensors)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("bomb/more", b"")  # only then is the list of parts written anew
        archive.filelist += [archive.getinfo("bomb/data/1")] * 100
    refused(path, "with parts of 40,400,")


def test_a_damaged_list_of_parts_is_refused(tmp_path, tensors, target):
    path = write_zip(tmp_path / "bad.pth", tensors)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"PK\x01\x02", b"PK\x01\x03"))
    refused(path, "is a zip archive of something else, or cut short", target)


def test_a_flipped_bit_is_noticed(tmp_path, tensors):
    path = write_zip(tmp_path / "flipped.pth", tensors)
    raw = bytearray(path.read_bytes())
    raw[raw.index(tensors["layer.bias"].tobytes())] ^= 1
    path.write_bytes(raw)
    refused(path, "damaged .*CRC-32")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"view": op(("0", 0, 1))}, "a storage '0' that is a part of another"),
        ({"little_endian": False}, "big-endian"),
        ({"keys": ["0", "2"]}, "cut short or damaged"),
        ({"keys": ["1", "0"]}, "storage '1' that claims 6 values"),
        ({"keys": ["0"]}, "cut short or damaged"),
        ({"keys": 3}, "cut short or damaged"),
    ],
)
def test_legacy_files_that_contradict_themselves_are_refused(tmp_path, tensors, changes, message):
    refused(write_legacy(tmp_path / "bad.pth", tensors, **changes), message)


def test_a_pickle_that_is_not_pytorchs_is_refused(tmp_path):
    (tmp_path / "mine.pth").write_bytes(pickle.dumps({"a": [1.0]}))
    refused(tmp_path / "mine.pth", "a pickle that torch.save did not write")
    content = pickle.dumps(MAGIC, 2) + pickle.dumps(1002, 2)
    (tmp_path / "new.pth").write_bytes(content)
    refused(tmp_path / "new.pth", "of an unknown version")


SAFETENSORS_FAULTS = [
    ({"data_offsets": [24, 40]}, "invalid shape, data type, or offset"),
    ({"data_offsets": [20, 32]}, "invalid offset for tensor"),
    ({"data_offsets": [28, 32]}, "invalid offset for tensor"),
    ({"data_offsets": [28, 36]}, "invalid offset for tensor"),
    ({"data_offsets": [-8, 0]}, "invalid value: integer `-8`"),
    ({"data_offsets": [0, 2**60], "shape": [2**58]}, "invalid offset for tensor"),
    ({"data_offsets": [16, 24]}, "invalid offset for tensor"),
    ({"shape": [-1, -2]}, "invalid value: integer `-1`"),
    ({"shape": 2}, "damaged"),
    ({"shape": [True, 2]}, "invalid type: boolean"),
    ({"dtype": "F8_E4M3", "shape": [8]}, "'layer.bias' of type 'F8_E4M3'"),
    ({"dtype": ["F32"]}, "damaged"),
]


@pytest.mark.parametrize("changes, message", SAFETENSORS_FAULTS)
def test_safetensors_that_claim_what_they_do_not_hold_are_refused(
    tmp_path, tensors, target, changes, message
):
    path = write_safetensors(tmp_path / "bad.safetensors", tensors, **changes)
    if changes == {"data_offsets": [16, 24]}:  # overlapping, all of the file covered
        path.write_bytes(path.read_bytes()[:-8])
    refused(path, message, target)


@pytest.mark.parametrize(
    "header, message",
    [
        (b"{}", "not fully covered"),
        (b'{"a": 1}', "damaged"),
        (b'{"a": {}, "a": {}}', "missing field"),
        (b'{"a": ' * 100_000, "damaged"),
        (b'{"a\\n": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}', r"'a\\n' of type"),
    ],
)
def test_headers_that_are_none_are_refused(tmp_path, target, header, message):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    refused(path, message, target)


def test_a_sparse_safetensors_file_is_refused_unread(tmp_path, source, target):
    """40 GB that take no room on the disk: the shape alone shows that they are no weights."""
    state = {name: v for name, v in in_pytorch(source).items() if v.dtype == np.float32}
    count, start = 10**10, sum(value.nbytes for value in list(state.values())[:-1])
    changes = {"shape": [count], "data_offsets": [start, start + 4 * count]}
    path = write_safetensors(tmp_path / "sparse.safetensors", state, **changes)
    header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    os.truncate(path, header + start + 4 * count)
    with pytest.raises(ValueError, match=rf"bias of layer 'fc'. Received: \({count},\)"):
        models.load_weights(target, path)
    os.truncate(path, 1000)
    refused(path, "cut short or damaged", target)


def test_a_file_without_tensors_is_refused(tmp_path, target):
    path = tmp_path / "empty.safetensors"
    path.write_bytes((2).to_bytes(8, "little") + b"{}")
    refused(path, "no tensors", target)


def test_formats_are_told_apart_by_content(tmp_path, tensors, source, target):
    for layout, write in WRITERS.items():
        path = write(tmp_path / layout, tensors)
        assert is_pytorch(path) == (layout != "safetensors")
        assert safetensors_files.is_safetensors(path) == (layout == "safetensors")
    source.save(tmp_path / "whole.keras")
    (tmp_path / "text.pth").write_text("<!DOCTYPE html>")
    for name in ("whole.keras", "text.pth", "missing", "."):
        assert not is_pytorch(tmp_path / name)
        assert not safetensors_files.is_safetensors(tmp_path / name)
    refused(tmp_path / "text.pth", "is it a web page", target)
    refused(tmp_path / "missing", "does not exist", target)


# Into a network.


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("prefix", ["", "module.", "model.module.", "_orig_mod."])
def test_every_tensor_finds_its_place(tmp_path, source, target, layout, prefix):
    state = in_pytorch(source)
    if layout == "safetensors":
        state = {name: value for name, value in state.items() if value.dtype == np.float32}
    state = {prefix + name: value for name, value in state.items()}
    path = WRITERS[layout](tmp_path / "weights.pth", state)
    report = models.load_weights(target, path)
    assert report.assigned == report.total == 102
    assert report.unused == report.missing == ()
    assert report.format == ("safetensors" if layout == "safetensors" else "PyTorch")
    assert_same(source, target)


@pytest.mark.parametrize("builder", [models.MC3, models.R2Plus1D])
def test_the_other_families_load_too(tmp_path, builder):
    source, loaded = (randomize(builder(**SMALL), seed) for seed in (0, 1))
    path = write_zip(tmp_path / "weights.pth", in_pytorch(source))
    models.load_weights(loaded, path)
    assert_same(source, loaded)


@pytest.mark.parametrize("ours", [True, False])
def test_a_checkpoint_of_tsm_loads_by_its_names(tmp_path, ours):
    """2-D kernels under the authors' names, or under those of a ResNet50 with the shift put in."""
    small = {"input_shape": (2, 16, 16, 3), "classes": 3, "width": 0.125}
    source, loaded = (randomize(models.TSM(**small), seed) for seed in (0, 1))
    state = {}
    for name, value in in_pytorch(source).items():
        if not ours:
            top = "module." if name.startswith("new_fc") else "module.base_model."
            shifted = ".conv1.weight" in name and name.startswith("layer")
            name = top + (name.replace("conv1.", "conv1.net.") if shifted else name)
        else:
            name = name.replace("new_fc", "fc")
        state[name] = value[:, :, 0] if value.ndim == 5 else value
    report = models.load_weights(loaded, write_legacy(tmp_path / "tsm.pth", state))
    assert report.assigned == report.total
    assert_same(source, loaded)


def test_a_kernel_is_transposed_axis_by_axis(tmp_path):
    inputs = keras.Input((5, 6, 7, 2))
    network = keras.Model(inputs, keras.layers.Conv3D(3, (2, 4, 5), name="conv")(inputs))
    kernel = np.arange(3 * 2 * 2 * 4 * 5, dtype=np.float32).reshape(3, 2, 2, 4, 5)
    state = {"conv.weight": kernel, "conv.bias": np.arange(3, dtype=np.float32)}
    models.load_weights(network, write_zip(tmp_path / "conv.pth", state))
    ours = network.get_weights()[0]
    for out, entering, t, y, x in [(0, 1, 1, 2, 4), (2, 0, 0, 3, 1)]:
        assert ours[t, y, x, entering, out] == kernel[out, entering, t, y, x]


def test_a_dense_layer_after_flattening_is_permuted(tmp_path):
    """PyTorch flattens (C, T, H, W), Keras (T, H, W, C); a dropout between makes no difference."""
    inputs = keras.Input((2, 3, 4, 5))
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(inputs))
    network = keras.Model(inputs, keras.layers.Dense(6, name="fc")(x))
    weight = np.random.default_rng(0).normal(size=(6, 120)).astype(np.float32)
    state = {"fc.weight": weight, "fc.bias": np.ones(6, np.float32)}
    models.load_weights(network, write_zip(tmp_path / "fc.pth", state))
    clips = clips_for((2, 2, 3, 4, 5))
    channels_first = np.moveaxis(clips, -1, 1).reshape(2, -1)
    np.testing.assert_allclose(network(clips), channels_first @ weight.T + 1, rtol=1e-4, atol=1e-5)


def test_half_precision_loads(tmp_path, source, target):
    state = {name: value.astype(np.float16) for name, value in in_pytorch(source).items()}
    models.load_weights(target, write_zip(tmp_path / "half.pth", state))
    kernel = source.get_layer("layer3.0.conv1.0").get_weights()[0]
    np.testing.assert_array_equal(
        target.get_layer("layer3.0.conv1.0").get_weights()[0], kernel.astype(np.float16)
    )


def test_the_classifier_may_be_left_over_by_a_network_without_top(tmp_path, source):
    bottom = randomize(models.R3D(**SMALL, include_top=False), 1)
    path = write_zip(tmp_path / "weights.pth", in_pytorch(source))
    report = models.load_weights(bottom, path)
    assert (report.assigned, report.total, report.unused) == (100, 100, ("fc",))
    np.testing.assert_array_equal(
        bottom.get_layer("stem.0").get_weights()[0], source.get_layer("stem.0").get_weights()[0]
    )


@pytest.mark.parametrize(
    "missing, more, message",
    [
        ("layer2.1.conv1.0.weight", {}, r"without layer2.1.conv1.0/kernel, and with \(none\)"),
        ("fc.bias", {}, "without fc/bias, and"),
        ("stem.1.running_var", {}, "without stem.1/moving_variance, and"),
        (None, {"fc2.weight": 3}, r"without \(none\), and with fc2.weight besides"),
        (None, {"fc.scale": 3}, r"without \(none\), and with fc.scale besides"),
        (None, {"stem.0.bias": 3}, r"without \(none\), and with stem.0.bias besides"),
        ("fc.weight", {"head.weight": 3}, "without fc/kernel, and with head.weight besides"),
    ],
)
def test_every_tensor_and_every_weight_is_accounted_for(
    tmp_path, source, target, missing, more, message
):
    state = in_pytorch(source)
    state.pop(missing, None)
    state |= {name: np.ones(size, np.float32) for name, size in more.items()}
    refused(write_zip(tmp_path / "odd.pth", state), message, target)


def test_names_of_which_none_matches_are_refused_with_both_lists(tmp_path, tensors, target):
    path = write_zip(tmp_path / "other.pth", tensors)
    text = refused(path, "with layer.weight, layer.bias besides", target)
    assert "without stem.0/kernel, " in text and "(102 in all)" in text


def test_two_tensors_for_one_weight_are_refused(tmp_path):
    network = randomize(models.TSM(width=0.1, input_shape=(2, 8, 8, 3), classes=3))
    state = in_pytorch(network)
    state["layer1.0.conv1.net.weight"] = state["layer1.0.conv1.weight"]
    path = write_zip(tmp_path / "twice.pth", state)
    refused(path, "layer1.0.conv1.net.weight besides", network)


@pytest.mark.parametrize("name, size", [("fc.weight", (5, 10)), ("stem.0.weight", (1, 3, 3, 7))])
def test_another_shape_is_refused(tmp_path, source, target, name, size):
    state = in_pytorch(source) | {name: np.ones(size, np.float32)}
    layer = name.removesuffix(".weight")
    message = f"Expected shape .* for the kernel of layer '{layer}'"
    with pytest.raises(ValueError, match=message):
        models.load_weights(target, write_zip(tmp_path / "odd.pth", state))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("layout", WRITERS)
def test_values_that_are_not_finite_are_refused_naming_the_layer(
    tmp_path, source, target, layout, value
):
    state = in_pytorch(source)
    state = {name: array for name, array in state.items() if array.dtype == np.float32}
    state["layer3.0.conv2.1.running_mean"][1] = value
    path = WRITERS[layout](tmp_path / "odd.pth", state)
    before = target.get_weights()
    with pytest.raises(ValueError, match="1 NaN or infinite of 5 .* layer 'layer3.0.conv2.1'"):
        models.load_weights(target, path)
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_factors_of_one_may_be_missing_in_the_network(tmp_path):
    inputs = keras.Input((2,))
    normalization = keras.layers.BatchNormalization(scale=False, name="bn")
    network = keras.Model(inputs, normalization(inputs))
    state = {
        f"bn.{name}": np.array([0.5, 2], np.float32)
        for name in ("bias", "running_mean", "running_var")
    }
    path = tmp_path / "bn.pth"
    write_zip(path, state | {"bn.weight": np.ones(2, np.float32)})
    assert models.load_weights(network, path).assigned == 3
    write_zip(path, state | {"bn.weight": np.array([1, 1.01], np.float32)})
    refused_text = "Expected a gamma of ones for layer 'bn'"
    with pytest.raises(ValueError, match=refused_text):
        models.load_weights(network, path)


# The hash in a published file's name.


@pytest.mark.parametrize("name", ["r3d_18-{}.pth", "a-b-{}.safetensors", "x-{}.pth.tar"])
@pytest.mark.parametrize("digits", [8, 12, 64])
def test_a_hash_in_the_name_is_compared(tmp_path, source, target, name, digits):
    path = write_zip(tmp_path / "weights.pth", in_pytorch(source))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    right = path.rename(tmp_path / name.format(digest[:digits]))
    models.load_weights(target, right)
    assert_same(source, target)
    other = ("0" if digest[0] != "0" else "1") + digest[1:digits]
    wrong = right.rename(tmp_path / name.format(other))
    randomize(target, 1)
    text = refused(wrong, f"whose SHA-256 begins with {other}", target)
    assert digest in text


@pytest.mark.parametrize("name", ["x-20200614.pth", "x-abc.pth", "x_b3b3357e.pth", "x-b3g.pth"])
def test_other_names_carry_no_hash(tmp_path, source, target, name):
    path = write_zip(tmp_path / "weights.pth", in_pytorch(source)).rename(tmp_path / name)
    models.load_weights(target, path)
    assert_same(source, target)


def test_a_builder_takes_the_file(tmp_path, source):
    path = write_legacy(tmp_path / "weights.pth", in_pytorch(source))
    assert_same(models.R3D(**SMALL, weights=path), source)


def test_files_of_pytorch_load_in_reverse(tmp_path, source, target):
    """The whole way through PyTorch itself: what it saves of what it read is the same."""
    torch = pytorch()
    path = write_zip(tmp_path / "ours.pth", in_pytorch(source))
    state = torch.load(path, weights_only=True)
    torch.save({"model_state_dict": state}, tmp_path / "theirs.pth")
    models.load_weights(target, tmp_path / "theirs.pth")
    assert_same(source, target)
