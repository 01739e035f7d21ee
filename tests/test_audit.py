"""Motion or background: planted networks told apart, actors, scores, the rule, the command."""

from __future__ import annotations

import csv
import json

import audit_networks as planted
import keras
import numpy as np
import pytest
from keras import layers

from c3dvis import clips as clips_room
from c3dvis.audit import Audit, ClipScores, Score, audit, find_actor
from c3dvis.audit import __main__ as command
from c3dvis.audit.actor import NoActor
from c3dvis.audit.changes import CHANGES, SAME, SWAPPED, versions
from c3dvis.audit.labels import class_numbers, read_table
from c3dvis.clips.frame_orders import frame_orders
from c3dvis.intervals import bootstrap_ratio

FRAMES, SIDE = 8, 48


# Networks that were trained to read one thing


@pytest.fixture(scope="module", params=planted.CUES)
def reader(request):
    return request.param, planted.train(request.param)


def test_networks_that_read_motion_background_and_appearance_are_told_apart(reader):
    """In the clips asked about, all three are of the class: only changing them tells."""
    cue, network = reader
    clips, labels = planted.agreeing(6)
    audited = audit(network, clips, labels, draws=3, verbose=0)
    assert audited.summary("original").accuracy.mean > 0.9
    verdict = audited.verdict()
    assert getattr(verdict, cue) == "yes", audited.summaries()
    # A blur takes motion from the actor, too: of what reads motion it can't tell the looks.
    others = [getattr(verdict, one) for one in planted.CUES if one != cue]
    assert others == (["no", "can't tell"] if cue == "motion" else ["no", "no"])
    by_class = [audited.verdict(label) for label in audited.labels]
    assert all(
        getattr(one, other) != "yes" for one in by_class for other in planted.CUES if other != cue
    )


# Actors


def textured(rng, *, pan=0):
    """A disc of 8 pixels that crosses a textured wall; the camera may pan by pixels per frame."""
    wall = clips_room.resize(0.25 + 0.5 * rng.random((1, 24, 40, 3)), (SIDE, 80))[0]
    y, x = np.mgrid[:SIDE, :SIDE]
    frames, masks = [], []
    for frame in range(FRAMES):
        shown = np.roll(wall, -pan * frame, axis=1)[:, :SIDE].copy()
        mask = np.hypot(y - 24, x - 6 - 5 * frame) < 4
        shown[mask] = (1, 0, 0)
        frames.append(shown)
        masks.append(mask)
    return np.stack(frames).astype(np.float32), np.stack(masks)


def test_what_moves_before_a_standing_camera_is_found():
    clip, mask = textured(np.random.default_rng(0))
    actor = find_actor(clip)
    is_actor = actor.mask > 0.5
    assert is_actor[mask].mean() > 0.98  # nothing of it is left out
    away = np.abs(np.arange(SIDE) - 24) > 8  # rows that its edges are 4 pixels from
    assert not is_actor[:, away].any()
    np.testing.assert_allclose(actor.background[away], clip[0][away], atol=1e-6)
    red = np.abs(actor.background - np.float32([1, 0, 0])).max(axis=-1)
    assert red.min() > 0.24  # as the wall: the disc is nowhere in it


def test_an_actor_who_rests_and_goes_is_masked_in_both_places():
    """In five frames here, in three there: where he rests longer, he is the median."""
    film, _ = textured(np.random.default_rng(0))
    wall = np.median(film, axis=0)
    clip = np.repeat(wall[None], FRAMES, axis=0)
    for frame in range(FRAMES):
        column = 8 if frame < 5 else 32
        clip[frame, 4:12, column : column + 8] = (1, 0, 0)
    mask = find_actor(clip).mask[:, 4:12]
    assert (mask[:, :, 8:16] > 0.5).mean() > 0.95 and (mask[:, :, 32:40] > 0.5).mean() > 0.95


def test_a_film_of_a_moving_camera_has_no_actor():
    clip, _ = textured(np.random.default_rng(0), pan=3)
    with pytest.raises(NoActor, match="camera moves"):
        find_actor(clip)


def test_a_still_film_has_no_actor():
    clip, _ = textured(np.random.default_rng(0))
    with pytest.raises(NoActor, match="nothing moves"):
        find_actor(np.repeat(clip[:1], FRAMES, axis=0))


def test_a_mask_that_is_given_is_taken():
    clip, mask = textured(np.random.default_rng(0), pan=3)
    assert (find_actor(clip, mask.astype(np.float32)).mask > 0.5)[mask].mean() > 0.9
    with pytest.raises(ValueError, match=r"mask of shape \(8, 48, 48\)"):
        find_actor(clip, mask[:4].astype(np.float32))
    with pytest.raises(NoActor, match="leaves no background"):
        find_actor(clip, np.ones_like(mask, np.float32))


def test_the_actor_stays_and_the_background_changes():
    clip, mask = textured(np.random.default_rng(0))
    other = np.full((SIDE, SIDE, 3), 0.25, np.float32)
    actor = find_actor(clip)
    changed = dict(versions(clip, actor, {SWAPPED: other}, draws=1, seed=0))
    assert set(changed) == set(CHANGES) - {"one_frame", SAME}
    far = ~(actor.mask > 0.001)
    inner = actor.mask > 0.999
    assert inner.any() and far.any()
    np.testing.assert_allclose(changed[SWAPPED][inner], clip[inner], atol=0.01)
    np.testing.assert_allclose(changed[SWAPPED][far], 0.25, atol=0.01)
    blurred = changed["blurred_background"]
    np.testing.assert_allclose(blurred[inner], clip[inner], atol=0.01)
    assert blurred[far].std(axis=0).mean() < 0.7 * clip[far].std(axis=0).mean()
    np.testing.assert_allclose(changed["blurred_actor"][far], clip[far], atol=0.01)
    red = changed["blurred_actor"][mask][:, 0] - changed["blurred_actor"][mask][:, 1]
    assert red.mean() < 0.5 < (clip[mask][:, 0] - clip[mask][:, 1]).mean()


# Orders and intervals


def test_orders_of_frames():
    assert [o.tolist() for o in frame_orders("freeze", 6, draws=3)] == [[1] * 6, [3] * 6, [5] * 6]
    assert frame_orders("reverse", 3)[0].tolist() == [2, 1, 0]
    shuffled = frame_orders("shuffle", 4, draws=5, seed=1)
    assert all(sorted(o) == [0, 1, 2, 3] and list(o) != [0, 1, 2, 3] for o in shuffled)
    with pytest.raises(ValueError, match="'freeze'"):
        frame_orders("frieze", 4)
    with pytest.raises(ValueError, match="two frames or more"):
        frame_orders("reverse", 1)


def test_a_ratio_is_resampled_by_films():
    """Films of 0 and of 1: half the draws of two films are of both, a quarter of one alone."""
    wide = bootstrap_ratio([0] * 50 + [1] * 50, np.ones(100), ["a"] * 50 + ["b"] * 50)
    assert wide == (0.5, 0, 1)
    each = bootstrap_ratio([0] * 50 + [1] * 50, np.ones(100), list(range(100)))
    assert each.mean == 0.5 and 0.35 < each.low < 0.45 and 0.55 < each.high < 0.65
    assert bootstrap_ratio([1, 3], [2, 2], ["a", "a"]) == (1, -np.inf, np.inf)


@pytest.mark.parametrize(
    "arguments", [([1], [1], ["a", "b"]), ([1], [0], ["a"]), ([np.nan], [1], ["a"]), ([], [], [])]
)
def test_no_ratio_of_unfit_values(arguments):
    with pytest.raises(ValueError, match="Expected"):
        bootstrap_ratio(*arguments)


# The rule, on scores made up


def scored(count=8, noise=0.02, original=0.9, no_actor=None, **changed):
    """An audit of two classes' clips whose probabilities under each change are as given."""
    rng = np.random.default_rng(0)
    clips: list[ClipScores] = []
    for i in range(count):
        levels = {"original": original, "freeze": 0.9, "one_frame": 0.9, **changed}
        scores = {
            name: Score(float(level + rng.uniform(-noise, noise)), 0.0, float(level > 0.5), 0)
            for name, level in levels.items()
        }
        clips.append(ClipScores(f"{i}", f"{i}", i % 2, scores, no_actor))
    return Audit("made up", ("a", "b"), tuple(clips))


GONE = 0.52  # of 0.9, where chance is 0.5
BOTH = {"swapped_background": GONE, "freeze": GONE, "one_frame": GONE}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"freeze": GONE, "one_frame": GONE}, ("yes", "can't tell", "can't tell")),
        ({"freeze": GONE}, ("no", "can't tell", "can't tell")),  # one frame alone tells the class
        ({"swapped_background": GONE}, ("no", "yes", "can't tell")),
        ({"swapped_background": GONE, "same_background": 0.9}, ("no", "yes", "can't tell")),
        ({"swapped_background": GONE, "same_background": GONE}, ("no",) + ("can't tell",) * 2),
        ({"swapped_background": 0.88}, ("no", "no", "can't tell")),
        ({"blurred_background": GONE}, ("no", "yes", "can't tell")),
        ({"blurred_actor": GONE}, ("no", "can't tell", "yes")),
        ({"blurred_actor": 0.88}, ("no", "can't tell", "no")),
        ({**BOTH, "blurred_actor": GONE}, ("yes", "yes", "can't tell")),
        ({"freeze": 0.7, "one_frame": 0.7}, ("can't tell",) * 3),  # about a half is lost
    ],
)
def test_the_rule(changed, expected):
    verdict = scored(**changed).verdict()
    assert (verdict.motion, verdict.background, verdict.appearance) == expected
    assert verdict.why is None


def test_few_films_or_unrecognised_clips_give_no_verdict():
    assert scored(4, **BOTH).verdict().text == "can't tell: 4 films, fewer than 5"
    assert "does not recognise" in scored(original=0.55, **BOTH).verdict().text
    one_film = scored(**BOTH)
    clips = tuple(ClipScores(c.name, "film", c.label, c.scores) for c in one_film.clips)
    assert Audit("n", ("a", "b"), clips).verdict().text == "can't tell: 1 film, fewer than 5"
    assert scored(**BOTH).verdict().text == "relies on motion and the background"
    assert scored(4, **BOTH).verdict(7).why == "no clip could be read"


def test_the_loss_by_hand():
    audited = scored(noise=0, freeze=0.6)
    assert audited.summary("freeze").loss == pytest.approx((0.75, 0.75, 0.75))
    assert audited.summary("freeze") is audited.summary("freeze")  # resampled once
    assert audited.summary("freeze", 0).clips == 4
    assert audited.summary("shuffle") is None
    assert scored(original=0.4).summary("freeze").loss is None
    with pytest.raises(ValueError, match="'freeze'"):
        audited.summary("frieze")


# Labels

NAMES = ["hand_shake/1.avi", "hand_shake/2.avi", "hug/1.avi"]
KNOWN = ("hugging", "Hand Shake", "kicking")


def test_classes_by_folder_table_number_and_list():
    assert class_numbers(NAMES[:2], None, KNOWN, 3) == [1, 1]
    assert class_numbers(NAMES, {"hug": "hugging"}, KNOWN, 3) == [1, 1, 0]
    table = {"hug": 0, "hand_shake/2.avi": "kicking"}
    assert class_numbers(NAMES, table, KNOWN, 3) == [1, 2, 0]
    assert class_numbers(NAMES, [2, "1", "hugging"], KNOWN, 3) == [2, 1, 0]
    assert class_numbers(["1/a.gif"], None, None, 3) == [1]


@pytest.mark.parametrize(
    ("names", "labels", "known", "message"),
    [
        (NAMES, None, KNOWN, "a class of the network, such as 'hugging'.*Received: 'hug'"),
        (NAMES, {"hag": "hugging"}, KNOWN, "a clip or folder, such as 'hug'.*Received: 'hag'"),
        (NAMES, [0, 1], KNOWN, "a class for each of 3 clips. Received: 2"),
        (["1.avi"], None, KNOWN, "folders that are named as classes.*'1.avi', which is in none"),
        (NAMES, None, None, "a class from 0 to 2.*no names of classes"),
        (["3/a.gif"], None, None, "a class from 0 to 2.*Received: '3'"),
    ],
)
def test_classes_that_are_not_there_are_refused(names, labels, known, message):
    with pytest.raises(ValueError, match=message):
        class_numbers(names, labels, known, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n", "two columns.*'a,b,c'"),
        ("", "two columns.*none"),
        ("a,b\na,c\n", "once. Received: a in"),
    ],
)
def test_a_table_of_classes_is_checked(tmp_path, text, message):
    path = tmp_path / "classes.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(path)
    with pytest.raises(ValueError, match="CSV file of classes"):
        read_table(tmp_path / "none.csv")


# A folder, with a network that sees how red and how blue clips are


@pytest.fixture(scope="module")
def network():
    clip = keras.Input((FRAMES, SIDE, SIDE, 3))
    mean = layers.GlobalAveragePooling3D()(clip)
    dense = layers.Dense(2, activation="softmax", name="dense")
    built = keras.Model(clip, dense(mean), name="colours")
    weights = np.array([[30, 0], [0, 0], [0, 30]], np.float32)
    dense.set_weights([weights, np.zeros(2, np.float32)])
    built.class_names = ("red", "blue")
    return built


@pytest.fixture
def folder(tmp_path):
    """Three clips a class: a disc before a wall in the class's colour; one file is no clip."""
    rng = np.random.default_rng(3)
    for channel, name in ((0, "red"), (2, "blue")):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for number in range(3):
            clip, _ = textured(rng)
            clip[..., channel] = np.minimum(1, clip[..., channel] + 0.3 + 0.1 * number)
            clips_room.write(tmp_path / "clips" / name / f"{name}_{number}_x.gif", clip, fps=8)
    (tmp_path / "clips" / "red" / "torn.mp4").write_bytes(b"no film")
    return tmp_path / "clips"


def test_a_folder_is_audited_and_resumed(network, folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    audited = audit(network, folder, out=out, draws=2, shown=1, verbose=0)
    assert [name for name, _ in audited.failed] == ["red/torn.mp4"]
    assert len(audited.clips) == 6 and audited.labels == [0, 1]
    assert audited.summary("swapped_background").clips == 6
    assert audited.summary("freeze").loss.mean == pytest.approx(0, abs=0.05)  # colours stay
    with (out / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * len(CHANGES)
    first = next(r for r in rows if (r["clip"], r["change"]) == (audited.clips[0].name, "reverse"))
    assert float(first["probability"]) == audited.clips[0].scores["reverse"].probability
    record = json.loads((out / "audit.json").read_text())
    assert record["classes"][0]["changes"]["original"]["accuracy"][0] == 1
    for page in ("index.html", "README.md"):
        text = (out / page).read_text()
        assert "red/torn.mp4" in text and "swapped background" in text
    assert (out / "swapped_background-0.gif").is_file()
    # The same again computes nothing, and writes the same.
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    monkeypatch.setattr("c3dvis.audit.run._Scores.of", None)
    assert repr(audit(network, folder, out=out, draws=2, shown=1, verbose=0)) == repr(audited)
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before
    (part,) = out.glob("*/000000.json")
    kept = json.loads(part.read_text())
    for damage in ({"clips": []}, {"totals": 3}, {"clips": [{"scores": 1}] * len(kept["clips"])}):
        part.write_text(json.dumps(kept | damage))
        with pytest.raises(TypeError):  # what does not count is made again
            audit(network, folder, out=out, draws=2, shown=1, verbose=0)
    with pytest.raises(TypeError):  # other draws are other scores
        audit(network, folder, out=out, draws=1, verbose=0)


def test_masks_and_films_can_be_given(network, folder, tmp_path):
    _, mask = textured(np.random.default_rng(3))
    masks = tmp_path / "masks"
    for path in folder.rglob("*.gif"):
        (masks / path.parent.name).mkdir(parents=True, exist_ok=True)
        name = masks / path.parent.name / f"{path.stem}.gif"
        if "_2_" not in path.name:
            clips_room.write(name, np.repeat(mask[..., None], 3, -1).astype(np.float32), fps=8)
    audited = audit(
        network, folder, masks=masks, source=r"_(\d)_|torn", draws=1, verbose=0, shown=0
    )
    assert {clip.source for clip in audited.clips} == {"0", "1", "2"}
    missing = [clip.no_actor for clip in audited.clips if clip.source == "2"]
    assert len(missing) == 2 and all("no mask" in why for why in missing)
    assert audited.summary("swapped_background").clips == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws to be a whole number from 1"),
        ({"draws": "4"}, "draws to be a whole number from 1"),
        ({"source": "("}, "a regular expression"),
        ({"source": "zzz"}, "in each clip's name. Received: 'zzz'"),
        ({"masks": "no-such-folder"}, "a folder of masks. Received: 'no-such-folder'"),
        ({"labels": {"rod": "red"}}, "a clip or folder, such as 'red'"),
        ({"labels": {"red": "rad"}}, "a class of the network, such as 'red'"),
        ({"frames": 4}, "Expected frames 8"),
    ],
)
def test_wrong_arguments_are_refused(network, folder, options, message):
    with pytest.raises(ValueError, match=message):
        audit(network, folder, **options)


def test_wrong_clips_networks_and_folders_are_refused(network, tmp_path):
    clips = np.zeros((2, FRAMES, SIDE, SIDE, 3), np.float32)
    with pytest.raises(ValueError, match="labels, one for each clip"):
        audit(network, clips)
    with pytest.raises(ValueError, match="a mask for each of 2 clips. Received: 1"):
        audit(network, clips, [0, 1], masks=[np.zeros((FRAMES, SIDE, SIDE))])
    with pytest.raises(ValueError, match="a folder with videos"):
        audit(network, tmp_path)
    clip = keras.Input((FRAMES, SIDE, SIDE, 3))
    headless = keras.Model(clip, layers.AveragePooling3D(2)(clip))
    with pytest.raises(ValueError, match="a score for each of two classes"):
        audit(headless, clips, [0, 1])
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(ValueError, match=r"index\.html from something else"):
        audit(network, clips, [0, 1], out=tmp_path)


def test_a_network_of_two_inputs_is_audited_with_the_other_held(network):
    clips = np.random.default_rng(0).random((2, FRAMES, SIDE, SIDE, 3), np.float32)
    alone = audit(network, clips, [0, 1], draws=1, verbose=0)
    clip, shift = keras.Input((FRAMES, SIDE, SIDE, 3)), keras.Input((2,), name="shift")
    dense = layers.Dense(2)
    shifted = layers.Add()([dense(layers.GlobalAveragePooling3D()(clip)), shift])
    dense.set_weights(network.get_layer("dense").get_weights())
    both = keras.Model([clip, shift], layers.Activation("softmax")(shifted))
    audited = audit(both, clips, [0, 1], draws=1, verbose=0)
    assert audited.summary("freeze").clips == 2
    logits = [[clip.scores["freeze"].logit for clip in one.clips] for one in (alone, audited)]
    np.testing.assert_allclose(*logits, atol=1e-4)  # the shift is held at 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-folder"], "argument FOLDER: Expected a folder"),
        (["."] + ["--masks", "no-such-folder"], "argument --masks: Expected a folder"),
        (["."] + ["--clip-classes", "no-such.csv"], "argument --clip-classes: Expected a file"),
        (["."] + ["--source", "("], "Expected a regular expression"),
        (["."] + ["--draws", "0"], "Expected a whole number from 1"),
    ],
)
def test_the_command_refuses_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as left:
        command.main(arguments)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_command(network, folder, tmp_path, capsys):
    network.save(tmp_path / "colours.keras")
    (tmp_path / "names.txt").write_text("red\nblue\n")
    given = [str(folder), "--keras-model", str(tmp_path / "colours.keras"), "--draws", "1"]
    given += ["--labels", str(tmp_path / "names.txt"), "--out", str(tmp_path / "out")]
    assert command.main([*given, "--shown", "0"]) == 1  # one clip is none
    printed = capsys.readouterr().out
    assert "torn.mp4" in printed and "all classes: " in printed and "6 clips, 1 failed" in printed
