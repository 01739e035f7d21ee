"""What the commands share: exit codes, one line for what goes wrong, streams that are closed."""

import contextlib
import re
import signal
import subprocess
import sys
import warnings
import weakref

import keras
import numpy as np
import pytest
from keras import ops

from c3dvis import autodiff, command_line, output_folder
from c3dvis.maximize import maximize


def raises(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    "error, code, told",
    [
        (ValueError("no\nsuch \x1b[2Jlayer"), 2, "error: no such ⟨U+001B⟩[2Jlayer\n"),
        (OSError(28, "No space left", "a"), 1, "finished files are kept. Resume with:\n  again\n"),
        (KeyboardInterrupt(), 130, "Stopped; finished files are kept. Resume with:\n  again\n"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(capsys, error, code, told):
    assert command_line.run(raises(error), resume="again") == code
    shown = capsys.readouterr()
    assert told in shown.err and "Traceback" not in shown.err and not shown.out


def test_without_a_command_that_goes_on_none_is_told(capsys):
    assert command_line.run(raises(KeyboardInterrupt())) == 130
    assert command_line.run(raises(OSError(28, "No space left", "a"))) == 1
    assert "Go on" not in capsys.readouterr().err


@pytest.fixture
def raising_ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_that_a_callback_swallows_stops_the_command(capsys, monkeypatch, raising_ctrl_c):
    class Thing:
        pass

    def work():
        thing = Thing()
        reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing  # Python prints what the callback raises, and continues
        assert reference() is None
        autodiff.compiled(ops.square)(2.0)
        return 0

    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    assert command_line.run(work) == 130
    assert capsys.readouterr().err == "\nStopped.\n"
    assert sys.unraisablehook is sys.__unraisablehook__
    assert float(autodiff.compiled(ops.square)(2.0)) == 4.0  # only the command was to stop


def test_ctrl_c_that_becomes_another_error_stops_the_command(raising_ctrl_c):
    def work():
        try:
            signal.raise_signal(signal.SIGINT)
        except BaseException as error:
            raise ImportError("as compiled code does") from error

    assert command_line.run(work) == 130


def test_what_keras_makes_on_import_is_left_out_of_garbage_collections():
    code = (
        "import gc; from c3dvis.keras_start import load_keras; load_keras();"
        "print(gc.isenabled(), gc.get_freeze_count() > 100_000, len(gc.get_objects()) < 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True True\n"


class LosesCtrlC(keras.callbacks.Callback):
    steps = 0

    def on_train_begin(self, logs=None):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1


def test_ctrl_c_that_is_lost_stops_a_fit_before_its_next_step(raising_ctrl_c):
    network = keras.Sequential([keras.Input((2, 4, 4, 3)), keras.layers.Conv3D(1, 2, name="conv")])
    loses = LosesCtrlC()

    def work():
        maximize(network, "conv:0", steps=4, callbacks=[loses], verbose=0)
        return 0

    assert (command_line.run(work), loses.steps) == (130, 0)


def test_ctrl_c_that_is_lost_stops_a_prediction(raising_ctrl_c):
    network = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])

    def work():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        autodiff.predict(network, np.zeros((4, 1), np.float32), verbose=0)
        return 0

    assert command_line.run(work) == 130


def test_other_errors_are_not_hidden():
    with pytest.raises(RuntimeError):
        command_line.run(raises(RuntimeError("a bug")))


def test_a_warning_is_one_line_without_source(capsys):
    def work():
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("a short\nclip", stacklevel=1)
        return 0

    assert command_line.run(work) == 0
    assert capsys.readouterr().err == "warning: a short clip\n"


@pytest.mark.parametrize(
    "streams, out",
    [(">&- 2>&-", ""), ("2>&-", "caf\\xe9 ready\n"), (">&-", "")],
)
def test_closed_streams_and_terminals_without_letters_stop_nothing(tmp_path, streams, out):
    code = (
        "import sys; from c3dvis import command_line as c\n"
        "def work():\n"
        "    with open('file', 'w') as file:\n"
        "        c.say('caf\\u00e9 ready'); c.print_error('no'); file.write('whole')\n"
        "    return 3\n"
        "sys.exit(c.run(work))\n"
    )
    (tmp_path / "code.py").write_text(code)
    ran = subprocess.run(
        ["sh", "-c", f"PYTHONIOENCODING=ascii {sys.executable} code.py {streams}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(command_line.__file__).rsplit("/", 2)[0]},
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("Traceback")) == (3, out, 0)
    assert (tmp_path / "file").read_text() == "whole"


def test_what_stops_reading_does_not_stop_the_work(tmp_path):
    code = (
        "import sys; from c3dvis import command_line as c\n"
        "def work():\n"
        "    [c.say('line') for _ in range(20000)]\n"
        "    open('done', 'w').close()\n"
        "    return 0\n"
        "sys.exit(c.run(work))\n"
    )
    (tmp_path / "code.py").write_text(code)
    path = str(command_line.__file__).rsplit("/", 2)[0]
    command = f"PYTHONPATH={path} {sys.executable} code.py | head -1"
    ran = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout == "line\n" and ran.stderr == ""
    assert (tmp_path / "done").exists()


def test_a_folder_belongs_to_the_command_that_began_it(tmp_path):
    with output_folder.locked(tmp_path / "a", "responses"):
        (tmp_path / "a" / "README.md").write_text("ours")
        with pytest.raises(output_folder.InUse, match="no other run is writing"):
            with output_folder.locked(tmp_path / "a", "responses"):
                pass
    output_folder.check(tmp_path / "a", "responses")
    with pytest.raises(ValueError, match="which contains README.md from something else"):
        output_folder.check(tmp_path / "a", "attribution")


@pytest.mark.parametrize("name", ["film.mp4", "clip.npy", "0001.png", "a/film.webm"])
def test_nothing_is_written_among_clips_that_are_read(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"new or was begun by this command.*{name}"):
        output_folder.check(tmp_path, "gallery")


def test_a_new_folder_in_which_nothing_was_written_is_removed(tmp_path):
    for name in ("new", "there"):
        (tmp_path / "there").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match="wrong"):
            with output_folder.locked(tmp_path / name, "gallery"):
                raise ValueError("wrong")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_what_a_killed_run_left_is_removed_but_not_behind_a_link(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a" / "link").symlink_to(tmp_path / "elsewhere")
    name = ".0123456789abcdef.tmp"
    for folder in ("a", "elsewhere"):
        (tmp_path / folder / name).write_text("half")
    output_folder.tidy(tmp_path / "a")
    assert not (tmp_path / "a" / name).exists() and (tmp_path / "elsewhere" / name).exists()


def test_a_folder_with_a_link_to_another_is_refused(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for link in (tmp_path / "a" / "link", tmp_path / "a" / "b" / "link"):
        link.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match=f"Received: {link}, which is a symbolic link"):
            with output_folder.locked(tmp_path / "a", "responses"):
                pass
        link.unlink()
    (tmp_path / "file").write_text("")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "file")  # it is replaced where it is written
    with output_folder.locked(tmp_path / "a", "responses"):
        pass


def test_an_unknown_option_is_told_with_the_nearest(capsys):
    parser = command_line.Parser(prog="x")
    parser.add_argument("--model")
    with pytest.raises(SystemExit):
        parser.parse_args(["--modle", "c3d"])
    assert capsys.readouterr().err.startswith(
        "error: unrecognized arguments: --modle c3d; did you mean --model?"
    )


def test_one_word_too_many_is_told_what_it_may_be(capsys):
    parser = command_line.Parser(prog="x")
    parser.add_argument("clip", metavar="CLIP")
    with pytest.raises(SystemExit):
        parser.parse_args(["wave.mp4", "two.mp4"])
    assert "two.mp4; names with spaces need quotation marks, and only one CLIP is allowed" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["x", "--short", "wait"], "argument --short: Expected one of .*loop.*. Received: 'wait'."),
        (["x", "--short"], "argument --short: Expected a value after it. Received: none."),
        (["x", "--pair", "1"], "argument --pair: Expected 2 values after it. Received: fewer."),
        (["x", "--pair", "1", "b"], r"argument --pair: Expected a number \(int\). Received: 'b'."),
        (["x", "--some"], "argument --some: Expected one or more values after it."),
        ([], "Expected clip in the command."),
        (["x"], "Expected one of --number --all in the command."),
    ],
)
def test_what_argparse_refuses_is_said_in_the_words_of_the_package(arguments, told, capsys):
    parser = command_line.Parser(prog="x")
    parser.add_argument("clip")
    parser.add_argument("--short", choices=("loop", "hold"))
    parser.add_argument("--pair", nargs=2, type=int)
    parser.add_argument("--some", nargs="+")
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("--number")
    one.add_argument("--all")
    with pytest.raises(SystemExit):
        parser.parse_args(arguments)
    assert re.match(f"error: {told}", capsys.readouterr().err)


@pytest.mark.parametrize("text", ["3", "1.5s", "0s"])
def test_a_start_is_a_frame_or_a_time(text):
    parser = command_line.Parser(prog="x")
    command_line.add_time_arguments(parser)
    chosen = parser.parse_args(["--start", text])
    assert chosen.start == (3 if text == "3" else text)
    with pytest.raises(SystemExit):
        parser.parse_args(["--start", "1.5"])
