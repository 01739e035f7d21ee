"""What files, folders, terminals and memory do to the commands: each fault is a real one.

A row of `REFUSED` is a command, its exit code, and words of the one line that tells what is wrong.
Nothing is printed by Python itself, nothing is made, and nothing takes long or much memory.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

import c3dvis
from c3dvis import clips, command_line, models
from c3dvis.__main__ import main

SHAPE = (8, 16, 16, 3)
_MOST_SECONDS, _MOST_BYTES = 100, 600 * 2**20
_TERMINALS = "\x1b[2J\x1b]0;owned\x07"


def network(shape=SHAPE, names=("conv1", "conv2")):
    clip = keras.Input(shape)
    x = clip
    for name in names:
        x = keras.layers.Conv3D(2, 3, padding="same", activation="relu", name=name)(x)
    x = keras.layers.GlobalAveragePooling3D()(x)
    return keras.Model(clip, keras.layers.Dense(3, name="classes")(x))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with every damaged file; the commands run in it."""
    place = tmp_path_factory.mktemp("faults")
    with contextlib.chdir(place):
        for write in (_networks, _weights, _clips, _labels, _folders):
            write()
    return place


def _networks():
    keras.utils.set_random_seed(0)
    network().save("tiny.keras")
    network((None, None, None, 3)).save("any.keras")
    network((10**6, 10**5, 10**5, 3)).save("absurd.keras")
    network(names=("première", f"conv2{_TERMINALS}")).save("names.keras")
    broken = network()
    broken.layers[1].kernel.assign(np.full(broken.layers[1].kernel.shape, np.nan))
    broken.save("nan.keras")
    whole = Path("tiny.keras").read_bytes()
    Path("cut.keras").write_bytes(whole[: len(whole) // 2])
    Path("empty.keras").touch()
    Path("page.keras").write_text("<!doctype html><p>not found")
    clip = keras.Input(SHAPE)
    keras.Model(clip, keras.layers.Lambda(lambda x: x)(clip)).save("lambda.keras")
    _edit_config("list.keras", lambda text: text.replace('"Conv3D"', '["Conv3D"]'))
    _edit_config("deep.keras", lambda text: "[" * 100_000)
    _edit_config("none.keras", lambda text: "null")


def _edit_config(name, edit):
    with zipfile.ZipFile("tiny.keras") as source, zipfile.ZipFile(name, "w") as changed:
        for item in source.namelist():
            content = source.read(item)
            is_config = item == "config.json"
            changed.writestr(item, edit(content.decode()).encode() if is_config else content)


def _weights():
    own = models.build("c3d-motion")
    own.save_weights("whole.weights.h5")
    whole = Path("whole.weights.h5").read_bytes()
    Path("cut.weights.h5").write_bytes(whole[: len(whole) // 2])
    Path("empty.weights.h5").touch()
    for name, dtype in (("complex", "c8"), ("text", "S5"), ("bomb", "S300000000")):
        Path(f"{name}.weights.h5").write_bytes(whole)
        with h5py.File(f"{name}.weights.h5", "r+") as file:
            bias = file["layers/conv1/vars/1"] if "layers/conv1/vars/1" in file else None
            if bias is None:
                bias = file[next(p for p in _datasets(file) if file[p].ndim == 1)]
            path, shape = bias.name, bias.shape
            del file[path]
            file.create_dataset(path, shape, dtype, chunks=(1,), compression="gzip")
    for name, link in (("outside", h5py.ExternalLink("/etc/passwd", "/")), ("loop", "/layers")):
        Path(f"{name}.weights.h5").write_bytes(whole)
        with h5py.File(f"{name}.weights.h5", "r+") as file:
            del file["layers"]
            file["layers"] = link if name == "outside" else h5py.SoftLink(link)
    Path("code.pth").write_bytes(b"\x80\x02cposix\nsystem\nX\x0d\x00\x00\x00touch was-run\x85R.")
    header = b'{"x":{"dtype":"F32","shape":[10000000000],"data_offsets":[0,40000000000]}}'
    with open("sparse.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 40_000_000_000)


def _datasets(file):
    names = []
    file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
    return names


def _clips():
    frames = np.random.default_rng(0).random(SHAPE, np.float32)
    clips.write("clip.gif", frames)
    clips.write("short.gif", frames[:3])
    clips.write(f"a{_TERMINALS}b.gif", frames[:3])
    clips.write(os.fsdecode(b"a\xffb.gif"), frames[:3])
    clips.write("whole.mp4", frames)
    Path("cut.gif").write_bytes(Path("clip.gif").read_bytes()[:300])
    Path("cut.mp4").write_bytes(Path("whole.mp4").read_bytes()[:300])
    for name, content in {
        "empty.mp4": b"",
        "page.mp4": b"<!doctype html><p>not found",
        "text.gif": b"GIF89a and no more",
        "bomb.gif": _huge_gif(),
        "grows.gif": _growing_gif(),
    }.items():
        Path(name).write_bytes(content)
    os.mkfifo("pipe.gif")
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n{} loop\n"
    folders = {
        "no-frames": {"read.me": b"text"},
        "program": {"0.png": postscript},
        "damaged": {"0.png": _png((16, 16)), "1.png": b"\x89PNG\r\n\x1a\n"},
        "sizes": {"0.png": _png((16, 16)), "1.png": _png((18, 16))},
        "twice": {"1.png": _png((16, 16)), "01.png": _png((16, 16))},
        "huge": {"0.png": _png((9000, 9000), "1")},
    }
    for name, inside in folders.items():
        Path(name).mkdir()
        for file, content in inside.items():
            (Path(name) / file).write_bytes(content)
    Path("pipes").mkdir()
    os.mkfifo("pipes/0.png")


def _png(size, mode="RGB"):
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


def _huge_gif():
    """A screen of 9400 x 9400 pixels in 480 bytes, twenty frames of one pixel."""
    file = io.BytesIO()
    frames = [Image.new("P", (1, 1), i) for i in range(20)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    content = bytearray(file.getvalue())
    content[6:10] = (9400).to_bytes(2, "little") * 2
    return bytes(content)


def _growing_gif():
    """A small screen, and a second frame that is larger than it."""
    file = io.BytesIO()
    frames = [Image.new("L", (16, 16), shade) for shade in (0, 250) * 4]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    content = bytearray(file.getvalue())
    frame = b"," + bytes(4) + (16).to_bytes(2, "little") * 2
    second = content.index(frame, content.index(frame) + 1)
    content[second + 5 : second + 9] = (9400).to_bytes(2, "little") * 2
    return bytes(content)


def _labels():
    for name, content in {
        "four.txt": b"a\nb\nc\nd\n",
        "binary.txt": bytes(range(256)),
        "utf-16.txt": "wave\nclap\njump\n".encode("utf-16"),
        "endless.txt": b"a" * (2**20 + 1),
        "none.txt": b"",
    }.items():
        Path(name).write_bytes(content)
    os.mkfifo("pipe.txt")


def _folders():
    Path("file").write_text("mine")
    os.symlink("nowhere", "dangling")
    os.symlink("circle", "circle")
    for name in ("README.md", "index.html", "gallery.json", "clip.gif"):
        Path(f"of-{name}").mkdir()
        Path(f"of-{name}", name).write_text("mine")
    Path("of-layers/conv1").mkdir(parents=True)
    Path("of-layers/conv1/0.gif").write_text("mine")
    Path("elsewhere").mkdir()
    Path("linked-lock").mkdir()
    os.symlink("../elsewhere/lock", "linked-lock/.c3dvis.lock")


def into(command, folder):
    return command.replace("--out out", f"--out {folder}")


GALLERY = "gallery --keras-model tiny.keras --layers conv1 --filters 0 --steps 1 --out out"
EXPLAIN = "attribution clip.gif --keras-model tiny.keras --method gradient --out out"
RESPOND = "responses clip.gif --keras-model tiny.keras --layer conv1 --out out"
KERNEL = "responses {} --random-kernel 3 --frames 8 --size 16 --out out"
LABELS = "gallery --keras-model tiny.keras --list-layers --labels {}"
MODEL = "gallery --list-layers --keras-model {}"
CHECK = "models --model c3d-motion --check {}"
COMMANDS = (GALLERY, EXPLAIN, RESPOND)
IN_THE_WAY = {
    "file": "is a file",
    "file/inside": "is a file",
    "pipe.gif": "is not a folder",
    "/dev/null": "is not a folder",
    "dangling": "is a broken link",
    "circle": "is a broken link",
}
CLIPS = {
    "short.gif": "Expected at least 8 frames",
    f"a{_TERMINALS}b.gif": "Expected at least 8 frames",
    os.fsdecode(b"a\xffb.gif"): "Expected at least 8 frames",
    "cut.gif": "'cut.gif'",
    "cut.mp4": "'cut.mp4'",
    "empty.mp4": "'empty.mp4': the file is empty",
    "page.mp4": "'page.mp4'",
    "text.gif": "'text.gif'",
    "bomb.gif": "9400x9400 pixels, more than",
    "grows.gif": "frame 1 is 9400x9400 pixels, the first 16x16",
    "pipe.gif": "neither a file nor a folder",
    "/dev/zero": "neither a file nor a folder",
    "no-frames": "'no-frames'",
    "program": "'program",
    "damaged": "'damaged",
    "sizes": "'sizes",
    "twice": "'twice",
    "huge": "9000x9000 pixels, more than",
    "pipes": "'pipes",
}
TEXTS = {
    "four.txt": "Expected 3 labels, one per line",
    "binary.txt": "text file of labels. Received: 'binary.txt', which is not UTF-8 text",
    "utf-16.txt": "text file of labels. Received: 'utf-16.txt', which is not UTF-8 text",
    "endless.txt": "more than 1,048,576 characters",
    "none.txt": "Received: 0 in none.txt",
    "missing.txt": "Expected a text file of labels. Received: 'missing.txt', which does not exist",
    "pipe.txt": "not a file",
    "/dev/zero": "not a file",
    "elsewhere": "not a file",
}
MODELS = {
    "missing.keras": "missing.keras",
    "cut.keras": "cut.keras",
    "empty.keras": "empty.keras",
    "page.keras": "page.keras",
    "lambda.keras": "which is code that opening the file would run",
    "list.keras": "list.keras",
    "deep.keras": "deep.keras",
    "none.keras": "none.keras",
    "nan.keras": "NaN or infinite",
    "elsewhere": "elsewhere",
    "pipe.gif": "pipe.gif",
    "/dev/zero": "/dev/zero",
}
WEIGHTS = dict.fromkeys(
    ("cut", "empty", "complex", "text", "bomb", "outside", "loop"), "fits       no: "
)
TOO_LARGE = (
    "gallery --keras-model any.keras --frames 10000000 --size 16 --out out",
    "gallery --keras-model any.keras --frames 16 --size 100000 --out out",
    "gallery --keras-model absurd.keras --out out",
    "gallery --keras-model absurd.keras --dry-run",
    "attribution clip.gif --keras-model absurd.keras --out out",
    "responses clip.gif --keras-model any.keras --layer conv1 --size 9000 --frames 64 --out out",
    "responses --random-kernel 3 --size 9000 --frames 64 --out out",
)
REFUSED = [
    # Words
    ("nonsense", 2, "Expected a command, such as"),
    (f"x{_TERMINALS}", 2, "Expected a command, such as"),
    (f"{GALLERY} --x{_TERMINALS}", 2, "⟨U+001B⟩[2J"),
    (GALLERY.replace("conv1", "conv9"), 2, "such as 'conv"),
    (GALLERY.replace("--filters 0", "--filters 2"), 2, "Expected filters from 0 to 1. Received: 2"),
    (f"{GALLERY} --classes 3", 2, "Received: "),
    (f"{GALLERY} --parametrization fourrier", 2, "'fourier'"),
    (f"{GALLERY} --steps 0", 2, "Expected a whole number from 1 to 1000000. Received: '0'"),
    (f"{GALLERY} --steps ٣", 2, "Expected a whole number from 1 to 1000000. Received: '٣'"),
    (f"{GALLERY} --fps nan", 2, "Expected frames per second from 0.1 to 50. Received: 'nan'"),
    (f"{GALLERY} --size 10x10x10", 2, "Expected pixels as 64, or height x width"),
    (
        f"{GALLERY} --size 20",
        2,
        "as the network is built for: leave size out, or build it for another. Received: 20",
    ),
    (f"{GALLERY} --value-range 1 0", 2, "Expected LOW below HIGH. Received: 1 0"),
    (f"{EXPLAIN} --method grad_cm", 2, "'grad_cam'"),
    (f"{EXPLAIN} --target up", 2, "Received: 'up'"),
    (f"{EXPLAIN} --target 3", 2, "Received: 3"),
    (f'{EXPLAIN} --method integrated_gradients --option steps="x"', 2, "steps"),
    (f"{EXPLAIN} --method integrated_gradients --option steps=[1]", 2, "steps"),
    (f"{EXPLAIN} --option nonsense=1", 2, "nonsense"),
    # Whose folder it is
    *((into(GALLERY, name), 2, f"which {what}") for name, what in IN_THE_WAY.items()),
    (into(EXPLAIN, "dangling"), 2, "Expected a folder. Received: dangling, which is a broken link"),
    (into(RESPOND, "circle"), 2, "Expected a folder. Received: circle, which is a broken link"),
    *((into(command, "''"), 2, "Received: an empty name") for command in COMMANDS),
    *(
        (into(command, f"of-{name}"), 2, f"which contains {name} from something else")
        for command in COMMANDS
        for name in ("README.md", "index.html", "gallery.json", "clip.gif")
    ),
    (into(GALLERY, "of-layers"), 2, "which contains conv1/0.gif from something else"),
    *((into(command, "linked-lock"), 2, "which is a symbolic link") for command in COMMANDS),
    (into(GALLERY, "a" * 300), 1, "File name too long"),
    # Clips
    (KERNEL.format("none.gif"), 2, "Expected a file or folder. Received: 'none.gif'"),
    (KERNEL.format("clip.gif").replace("--size 16", "--start 9"), 2, "Received: "),
    *((KERNEL.format(name), 2, told) for name, told in CLIPS.items()),
    (EXPLAIN.replace("clip.gif", "pipe.gif"), 2, "neither a file nor a folder"),
    # Labels
    *((LABELS.format(name), 2, told) for name, told in TEXTS.items()),
    # Models and weights
    *((MODEL.format(name), 2, told) for name, told in MODELS.items()),
    *((CHECK.format(f"{name}.weights.h5"), 1, told) for name, told in WEIGHTS.items()),
    (CHECK.format("code.pth"), 1, "calls for 'posix.system'"),
    (
        f"{MODEL} --model c3d-motion --weights sparse.safetensors".replace("--keras-model {}", ""),
        2,
        "'sparse.safetensors'",
    ),
    (CHECK.format("/dev/zero"), 1, "fits"),
    (CHECK.format("pipe.gif"), 1, "fits"),
    # More than any memory
    *((line, 2, "Expected clips of at most 4 GiB") for line in TOO_LARGE),
    ("responses --random-kernel 999 --out out", 2, "Expected a random kernel that fits into"),
]


@pytest.fixture
def bounded():
    """Fails what hangs, or takes memory that the file is not worth."""

    def stop(*_):
        pytest.fail(f"Expected an end within {_MOST_SECONDS} seconds.")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_MOST_SECONDS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
    assert grown < _MOST_BYTES


def ran(line, capfd):
    """The exit code of a command, and what it printed."""
    try:
        code = main(["" if word == "''" else word for word in line.split()])
    except SystemExit as left:
        code = left.code
    shown = capfd.readouterr()
    return code, shown.out + shown.err


def everything(folder):
    """What is in a folder, links as such."""
    return sorted((path, path.lstat().st_mtime_ns) for path in Path(folder).rglob("*"))


@pytest.mark.parametrize(("line", "code", "told"), REFUSED, ids=lambda value: ascii(value)[:80])
def test_it_is_told_in_one_line_and_nothing_is_made(
    place, monkeypatch, capfd, bounded, line, code, told
):
    monkeypatch.chdir(place)
    before = everything(place)
    got, text = ran(line, capfd)
    assert (got, told in text) == (code, True), text
    assert "Traceback" not in text and not any(c in text for c in "\x1b\x07")
    assert text.count("error: ") == (0 if code == 1 and "fits" in text else 1)
    assert everything(place) == before


# What works in spite of it


def test_odd_layer_names_are_explained_and_printed_harmlessly(place, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(place)
    odd = ["--keras-model", "names.keras"]
    assert main(["gallery", *odd, "--list-layers"]) == 0
    shown = capfd.readouterr().out
    assert "première" in shown and "\x1b" not in shown
    out = str(tmp_path / "out")
    assert main(["attribution", "clip.gif", *odd, "--method", "gradient", "--out", out]) == 0


def test_odd_layer_names_are_maximized(place, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(place)
    line = "gallery --keras-model names.keras --layers conv2* --filters 0 --steps 1 --out"
    assert main([*line.split(), str(tmp_path / "out")]) == 0
    assert "\x1b" not in capfd.readouterr().out


def test_pages_of_several_runs_show_all_their_clips(place, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(place)
    other = os.fsdecode(b"\xff<b>.gif")  # no UTF-8
    Path(other).write_bytes(Path("clip.gif").read_bytes())
    arguments = ["--keras-model", "tiny.keras", "--out", str(tmp_path / "out")]
    for clip, method in (("clip.gif", "gradient"), (other, "gradient"), ("clip.gif", "grad_cam")):
        assert main(["attribution", clip, *arguments, "--method", method]) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    gifs = [path.name for path in (tmp_path / "out").glob("*.gif")]
    assert len(gifs) == 3 and all(gif in page for gif in gifs)
    assert "⟨U+DCFF⟩&lt;b&gt;.gif" in page and "<b>" not in page
    capfd.readouterr()
    arguments += ["--method", "gradient", "--target"]
    for target in ("0", "1"):
        assert main(["attribution", "clip.gif", *arguments, target]) == 0
    assert "logit of 1" in (told := capfd.readouterr().out) and "replacing logit of 0" in told
    os.unlink(other)


def test_nothing_is_written_through_a_link(place, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(place)
    command = [*into(RESPOND, tmp_path / "out").split()]
    assert main(command) == 0
    victims = tmp_path / "victims"
    victims.mkdir()
    for path in (tmp_path / "out").iterdir():
        if path.name != ".c3dvis.lock":
            path.rename(victims / path.name)
            path.symlink_to(victims / path.name)
    before = everything(victims)
    assert main(command) == 0
    assert everything(victims) == before
    links = [path for path in (tmp_path / "out").iterdir() if path.is_symlink()]
    assert links == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("of 64 GiB"),
        type("ResourceExhaustedError", (Exception,), {})("OOM"),
        type("InvalidArgumentError", (Exception,), {})("Cannot parse tensor from proto: dtype: 1"),
    ],
)
def test_memory_that_is_not_enough_is_told_in_one_line(capsys, error):
    def work():
        raise error

    assert command_line.run(work, resume="again") == 1
    shown = capsys.readouterr().err
    assert (
        shown.startswith("error: Expected more memory. Use a smaller --size") and "again" in shown
    )


def test_the_reason_of_a_failed_layer_is_told(capsys):
    def work():
        raise ValueError(
            "Exception encountered when calling Block.call().\n\n\x1b[1mno such scope\x1b[0m\n\n"
            "Arguments received by Block.call():\n  - x=tf.Tensor(shape=(1, 8))"
        )

    assert command_line.run(work) == 2
    assert capsys.readouterr().err == "error: no such scope\n"


@pytest.mark.parametrize("floatx", ["float16", "float64"])
def test_a_clip_is_the_same_whatever_keras_json_says_of_numbers(floatx):
    from c3dvis.maximize import maximize

    own = network()
    usual = maximize(own, "conv1:1", steps=2)
    keras.config.set_floatx(floatx)
    try:
        clip = maximize(own, "conv1:1", steps=2)
    finally:
        keras.config.set_floatx("float32")
    # The learning rate is a number of that kind.
    np.testing.assert_allclose(clip, usual, atol=1e-3)
    assert clip.dtype == np.float32 and usual.std() > 0.01


# Processes


def process(code, **environment):
    path = str(Path(c3dvis.__file__).parents[1])
    return subprocess.run(
        ["sh", "-c", f"PYTHONPATH={path} {code.replace('python', sys.executable, 1)}"],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=_MOST_SECONDS,
    )


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("python -m c3dvis > /dev/full", 1, "error: [Errno 28] No space left on device\n"),
        ("python -m c3dvis >&-", 0, ""),
        ("python -m c3dvis nonsense 2>&-", 2, ""),
        ("python -m c3dvis | head -1 > /dev/null", 0, ""),
        ("python -m c3dvis.models --help > /dev/full", 0, ""),
        ("python -m c3dvis.models > /dev/full", 1, "error: [Errno 28] No space left on device\n"),
        ("python -m c3dvis.attribution --list-methods | head -1 > /dev/null", 0, ""),
    ],
)
def test_streams_that_are_closed_or_full(line, code, told):
    done = process(line)
    assert (done.returncode, done.stderr) == (code, told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "backend", "told"),
    [
        ("{}", "jax-of-none", "Received: KERAS_BACKEND=jax-of-none, and Unable to import"),
        ("[1]", "tensorflow", "Expected Keras with a backend that is installed"),
        ('{"floatx": "float99"}', "tensorflow", "Received: KERAS_BACKEND=tensorflow, and Invalid"),
    ],
)
def test_a_keras_that_can_not_start_is_told_in_one_line(tmp_path, content, backend, told):
    (tmp_path / "keras.json").write_text(content)
    done = process(
        "python -m c3dvis.gallery --list-layers", KERAS_HOME=str(tmp_path), KERAS_BACKEND=backend
    )
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 0.5, 1, 2, 4])
def test_ctrl_c_while_a_command_starts(tmp_path, seconds):
    path = str(Path(c3dvis.__file__).parents[1])
    run = subprocess.Popen(
        [sys.executable, "-m", "c3dvis.gallery", "--out", str(tmp_path / "out")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        text=True,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(seconds)
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=_MOST_SECONDS)
    assert run.returncode in (-signal.SIGINT, 130) and "Traceback" not in told


@pytest.mark.parametrize("name", ["-m", "/usr/bin/c3dvis", "c3dvis.exe"])
def test_ctrl_c_ends_a_command_that_starts_and_no_other_program(monkeypatch, name):
    from c3dvis import interrupts

    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest"])
        interrupts.end_at_once_while_starting()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        monkeypatch.setattr(sys, "argv", [name, "gallery"])
        interrupts.end_at_once_while_starting()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        with interrupts.raised():
            with interrupts.ending_at_once():
                assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup does: it stays so
        interrupts.end_at_once_while_starting()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows blocks no signals")
def test_ctrl_c_waits_and_is_not_seen_by_processes_that_are_started():
    from c3dvis import interrupts

    reached = []
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts.raised(), pytest.raises(KeyboardInterrupt), interrupts.deferred():
            signal.raise_signal(signal.SIGINT)
            started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
            reached.append(started.stdout)
    finally:
        signal.signal(signal.SIGINT, before)
    assert reached == ["True\n"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
