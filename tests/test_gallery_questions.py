"""Questions to people: how they are drawn, what the page holds, what is refused."""

from __future__ import annotations

import collections
import hashlib
import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from exit_code import exit_code
from gallery_folder import stripes, write_folder
from test_gallery_page import Reader

from c3dvis import clips, files, pages
from c3dvis.gallery import questions, questions_page
from c3dvis.gallery.__main__ import main
from c3dvis.gallery.trust import SCHEMA, Trust
from c3dvis.responses.sweep_result import COMPLETE, PARTS, SETTINGS, read_folder

FILMS, UNITS = 30, 3
SCORES = np.random.default_rng(5).permuted(
    np.tile(np.linspace(0, 1, FILMS, dtype=np.float32)[:, None], (1, UNITS)), axis=0
)


def write_sweep(gallery, names, scores, layer="conv1"):
    """What a finished sweep of one layer leaves in a gallery."""
    folder = gallery / "real" / "sweep-0"
    (folder / PARTS).mkdir(parents=True)
    files.write_json(folder / SETTINGS, {"schema": 1, "layers": [layer]})
    arrays = {
        "scores": scores,
        "peaks": scores,
        "places": np.zeros(scores.shape, np.int32),
        "shapes": np.array([[1, 1, 1, scores.shape[1]]], np.int32),
        **{name: np.array(names) for name in ("names", "sources")},
        **{name: np.array([], str) for name in ("failed", "errors")},
    }
    np.savez(folder / PARTS / "000000.npz", **arrays)
    files.write_json(folder / COMPLETE, {"schema": 1})


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """A gallery of three units and the folder of its 30 real clips."""
    folder = tmp_path_factory.mktemp("questions")
    (folder / "films").mkdir()
    names = [f"film {i}.gif" for i in range(FILMS)]
    for i, name in enumerate(names):
        clips.write(folder / "films" / name, stripes(12 * i, frames=4, side=16))
    unit_clips = [stripes(30 * i, frames=4, side=16) for i in range(UNITS)]
    write_folder(folder / "gallery", {"conv1": unit_clips, "new": [stripes(0)]})
    write_sweep(folder / "gallery", names, SCORES)
    return folder


def test_one_clip_excites_the_unit_strongly_and_one_weakly(gallery):
    drawn = questions.draw(gallery / "gallery", tasks=12)
    for one in drawn.questions:
        ranks = SCORES[:, one.unit.channel].argsort().argsort()
        asked = [ranks[int(name.split()[1].removesuffix(".gif"))] for name in one.clips]
        assert asked[one.right] >= FILMS - 3 and asked[1 - one.right] < 3
        assert one.scores[one.right] > one.scores[1 - one.right]
        shown = [ranks[int(name.split()[1].removesuffix(".gif"))] for name in one.references]
        assert all(rank >= FILMS - 3 for rank in shown) and not {*one.references} & {*one.clips}
        assert shown == sorted(shown, reverse=True)


def test_questions_are_balanced_and_the_same_seed_draws_the_same(gallery):
    drawn = questions.draw(gallery / "gallery", tasks=12, seed=4)
    counts = collections.Counter((one.unit.channel, one.explanation) for one in drawn.questions)
    assert counts == {(unit, kind): 2 for unit in range(UNITS) for kind in ("synthetic", "real")}
    for kind in ("synthetic", "real"):
        sides = [one.right for one in drawn.questions if one.explanation == kind]
        assert sum(sides) == len(sides) / 2
    assert all(bool(one.references) == (one.explanation == "real") for one in drawn.questions)
    assert questions.draw(gallery / "gallery", tasks=12, seed=4) == drawn
    other = questions.draw(gallery / "gallery", tasks=12, seed=5).questions
    assert other != drawn.questions
    assert len(questions.draw(gallery / "gallery", tasks=2).units) == 1


@pytest.fixture(scope="module")
def page(gallery, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "q"
    # What the gallery's page says of a unit, where it does.
    trust = gallery / "gallery" / "trust" / "conv1"
    trust.mkdir(parents=True)
    gif = (gallery / "gallery" / "conv1" / "0.gif").read_bytes()
    known = Trust(made_sha256=hashlib.sha256(gif).hexdigest(), real_clips=30, made_score=0.75)
    files.write_json(trust / "0.json", {"schema": SCHEMA, **asdict(known)})
    drawn = questions_page.write(gallery / "gallery", gallery / "films", out, tasks=8)
    return out, drawn


def test_the_page_holds_its_clips_and_the_answers(page):
    out, drawn = page
    reader = Reader((out / "index.html").read_text())
    images = reader.all("img")
    assert all((out / image["src"]).is_file() for image in images)
    assert {image["alt"] for image in images if image["alt"].endswith("t clip")} == {
        "Left clip",
        "Right clip",
    }
    kept = json.loads((out / "test.json").read_text())
    assert [one["right"] for one in kept["questions"]] == [one.right for one in drawn.questions]
    scores = {one["unit"]["channel"]: one["unit"]["video_mis"] for one in kept["questions"]}
    assert scores[0] == {"synthetic": 0.75, "real": None}
    assert scores[1] == {"synthetic": None, "real": None}
    asked = [section for section in reader.all("section") if section["class"] == "question"]
    assert len(asked) == 8 and all("hidden" in section for section in asked)


def test_what_is_shown_is_the_clip_itself_and_names_say_nothing(page, gallery):
    out, drawn = page
    kept = json.loads((out / "test.json").read_text())
    for name, file in kept["files"].items():
        shown = pages.read_strip(out / file, 4)
        expected = clips.enlarge(clips.read(gallery / "films" / name), side=112)
        assert shown.shape == expected.shape
        assert np.abs(shown - expected).mean() < 0.02
    main_part = (out / "index.html").read_text().partition("<main>")[2].partition("<script")[0]
    assert "film " not in main_part


def test_what_cannot_be_asked_is_refused(gallery, tmp_path, capsys):
    films, out = str(gallery / "films"), str(tmp_path / "x")

    def refused(*given):
        assert exit_code(main, [*given, "--out", out]) == 2
        return capsys.readouterr().err

    own = str(gallery / "gallery")
    assert "Expected an even number. Received: '3'" in refused(
        "--questions", own, "--real", films, "--tasks", "3"
    )
    write_folder(tmp_path / "bare", {"conv1": [stripes(0)]})
    bare = str(tmp_path / "bare")
    assert "a gallery that was given real clips" in refused("--questions", bare, "--real", films)
    write_sweep(tmp_path / "bare", ["a", "b"], np.eye(2, dtype=np.float32))
    assert "Expected 20 real clips or more. Received: 2." in refused(
        "--questions", bare, "--real", films
    )
    (tmp_path / "others").mkdir()
    clips.write(tmp_path / "others" / "z.gif", stripes(0))
    assert "Expected the clips that were swept" in refused(
        "--questions", own, "--real", str(tmp_path / "others")
    )
    with pytest.raises(SystemExit):
        main(["--questions", own, "--out", out])
    assert "Expected --real FOLDER" in capsys.readouterr().err


def test_units_that_tell_no_clips_apart_are_not_asked_about(gallery, tmp_path):
    write_folder(tmp_path / "g", {"conv1": [stripes(0), stripes(90)]})
    scores = np.stack([SCORES[:, 0], np.zeros(FILMS, np.float32)], axis=1)
    write_sweep(tmp_path / "g", [str(i) for i in range(FILMS)], scores)
    assert [unit.channel for unit in questions.draw(tmp_path / "g").units] == [0]
    write_folder(tmp_path / "h", {"conv1": [stripes(0)]})
    write_sweep(tmp_path / "h", [str(i) for i in range(FILMS)], scores[:, 1:])
    with pytest.raises(ValueError, match="excite more than others. Received: none"):
        questions.draw(tmp_path / "h")


def test_a_sweep_that_was_stopped_is_none(tmp_path):
    write_sweep(tmp_path, ["a", "b"], np.eye(2, dtype=np.float32))
    folder = tmp_path / "real" / "sweep-0"
    assert read_folder(folder)["conv1"].scores.tolist() == [[1, 0], [0, 1]]
    (folder / COMPLETE).unlink()
    with pytest.raises(ValueError, match="the folder of a finished sweep"):
        read_folder(folder)


def test_questions_need_no_keras(gallery, tmp_path):
    command = ["--questions", str(gallery / "gallery"), "--real", str(gallery / "films")]
    command += ["--tasks", "4", "--out", str(tmp_path / "q")]
    code = (
        "import sys; from c3dvis.gallery.__main__ import main; "
        f"code = main({command!r}); sys.exit(code or ('keras' in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "4 questions about 2 units" in run.stdout
