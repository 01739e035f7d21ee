"""Two galleries compared: what is said of each unit, what the page shows, what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import markdown_it
import numpy as np
import pytest
from gallery_folder import stripes, write_folder
from test_gallery_page import HOSTILE, Reader

from c3dvis.gallery import differences_page
from c3dvis.gallery.__main__ import main
from c3dvis.gallery.differences import compare
from c3dvis.gallery.plan import CLASSES
from c3dvis.text import visible

NOISE = np.random.default_rng(0).random((8, 32, 32, 3), np.float32)
BEFORE = [stripes(0), stripes(0), None, stripes(90), stripes(180, wave=16), None]
AFTER = [stripes(90), None, stripes(0), stripes(90), NOISE, None]


@pytest.fixture(scope="module")
def galleries(tmp_path_factory):
    """Two galleries, of which each unit of conv1 has become another kind of thing."""
    folder = tmp_path_factory.mktemp("two")
    left = {"conv1": BEFORE, "old": [NOISE], CLASSES: [stripes(0), stripes(0)]}
    failed = [{"score": -1.5}, {"status": "error", "error": "no <memory>"}]
    write_folder(folder / "a", left, classes=[{"score": -2.0}, {}])
    right = {"conv1": AFTER, "new": [NOISE], CLASSES: [stripes(0), None]}
    write_folder(folder / "b", right, classes=failed)
    return folder


def kinds(compared):
    return {(one.before.unit.layer, one.before.unit.channel): one for one in compared.differences}


def test_each_unit_is_said_to_have_become_what_it_has(galleries):
    compared = compare(galleries / "a", galleries / "b")
    by_unit = kinds(compared)
    assert [by_unit["conv1", i].kind for i in range(6)] == [
        *("turned", "died", "born", "similar", "moved", "similar")
    ]
    assert by_unit[CLASSES, 0].kind == "similar"  # a score below 0 is no death of a class
    assert by_unit["conv1", 0].turn == pytest.approx(90, abs=3)
    assert by_unit["conv1", 3].distance == pytest.approx(0, abs=1e-6)
    assert by_unit["conv1", 4].distance >= by_unit["conv1", 4].usual > 0.5
    assert by_unit["conv1", 1].distance is None and by_unit["conv1", 5].turn is None
    assert [unit.layer for unit in compared.only_before] == ["old"]
    assert [unit.layer for unit in compared.only_after] == ["new"]
    assert list(compared.left_out.values()) == ["after: not made: no <memory>"]
    assert compared.summary == "Of 7 units: 1 died, 1 born, 1 turned, 1 moved, 3 similar."


def test_what_changed_more_comes_first(tmp_path):
    before = [stripes(0, wave=w) for w in (4, 8, 8, 16)]
    after = [stripes(0, wave=w, speed=1.2) for w in (4, 8, 8, 16)]
    after[2] = stripes(60)
    after[1] = stripes(120)
    scores = [{"score": score} for score in (1.0, 2.0, 4.0, 8.0)]
    write_folder(tmp_path / "a", {"conv1": before}, conv1=scores)
    write_folder(tmp_path / "b", {"conv1": after}, conv1=scores[::-1])
    compared = compare(tmp_path / "a", tmp_path / "b")
    turned = [one for one in compared.differences if one.kind == "turned"]
    assert [one.before.unit.channel for one in turned] == [1, 2]
    kept = [one.distance for one in compared.differences if one.kind == "similar"]
    assert kept == sorted(kept, reverse=True) and len(kept) == 2
    ratios = {one.before.unit.channel: one.score_ratio for one in compared.differences}
    assert ratios == {0: 8.0, 1: 2.0, 2: 0.5, 3: 0.125}


def test_a_filter_whose_score_is_0_is_dead(tmp_path):
    write_folder(tmp_path / "a", {"conv1": [NOISE]})
    write_folder(tmp_path / "b", {"conv1": [NOISE]}, conv1=[{"score": 0.0}])
    (one,) = compare(tmp_path / "a", tmp_path / "b").differences
    assert one.kind == "died" and one.score_ratio is None
    (one,) = compare(tmp_path / "b", tmp_path / "a").differences
    assert one.kind == "born"


def test_the_page_shows_both_clips_and_stands_alone(galleries, tmp_path):
    out = tmp_path / "page"
    differences_page.write(galleries / "a", galleries / "b", out)
    reader = Reader((out / "index.html").read_text())
    shown = [image["src"] for image in reader.all("img")]
    assert len(shown) == 10 and all((out / path).is_file() for path in shown)
    assert not any("http" in str(a) for _, a in reader.elements)
    heads = [one["id"] for one in reader.all("section")]
    assert heads == ["died", "born", "turned", "moved", "similar"]
    text = " ".join("".join(reader.text).split())
    assert "a (small)" in text and "turned by 90°" in text and "no gradient" in text
    assert "only beforeold: 0" in text and "not made: no <memory>" in text
    figures = {one["id"]: one for one in reader.all("figure")}
    assert float(figures["conv1-0"]["data-turn"]) == pytest.approx(90, abs=3)
    images = [one for one in reader.all("img")]
    assert images[0]["alt"].startswith("Before: Filter 1 of conv1, activation 2, drifts right")
    html = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(
        (out / "README.md").read_text()
    )
    assert html.count('<img src="before/') == 5 and "<h2>Turned (1)</h2>" in html


def test_all_numbers_are_kept_as_json(galleries, tmp_path):
    out = tmp_path / "page"
    compared = differences_page.write(galleries / "a", galleries / "b", out)
    kept = json.loads((out / "differences.json").read_text())
    assert kept["schema"] == 1 and len(kept["units"]) == 7
    first = kept["units"][0]
    assert (first["layer"], first["channel"], first["kind"]) == ("conv1", 1, "died")
    assert first["before"]["score"] == 2.0 and first["after"]["status"] == "no gradient"
    turned = next(one for one in kept["units"] if one["kind"] == "turned")
    assert turned["distance"] == kinds(compared)["conv1", 0].distance
    assert kept["only_after"] == [["new", 0]] and kept["left_out"][0][0] == CLASSES


def test_other_settings_are_said(galleries, tmp_path):
    write_folder(tmp_path / "c", {"conv1": BEFORE}, identity={"steps": 64})
    compared = differences_page.write(galleries / "a", tmp_path / "c", tmp_path / "page")
    assert compared.other_settings == ["steps 5 before, 64 after"]
    assert "steps 5 before, 64 after" in (tmp_path / "page" / "index.html").read_text()


def test_long_markdown_is_cut_and_says_so(galleries, tmp_path, monkeypatch):
    monkeypatch.setattr(differences_page, "_MOST_ROWS", 3)
    differences_page.write(galleries / "a", galleries / "b", tmp_path / "page")
    readme = (tmp_path / "page" / "README.md").read_text()
    assert readme.count("<br>") <= 3 * 4 and "1 more are in index.html" in readme
    assert readme.count("| conv1 ") == 3


@pytest.mark.parametrize("text", HOSTILE)
def test_names_are_text(galleries, tmp_path, text):
    write_folder(tmp_path / "c", {"conv1": BEFORE}, name=text)
    write_folder(tmp_path / "d", {"conv1": BEFORE}, name="plain")
    for name in "cd":
        differences_page.write(galleries / "a", tmp_path / name, tmp_path / f"page-{name}")
    hostile, plain = (Reader((tmp_path / f"page-{n}/index.html").read_text()) for n in "cd")
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert visible(text) in "".join(hostile.text)


def test_what_cannot_be_compared_is_refused(galleries, tmp_path, capsys):
    a, b = str(galleries / "a"), str(galleries / "b")
    assert main(["--diff", a, a, "--out", str(tmp_path / "x")]) == 2
    assert "Expected two galleries. Received: " in capsys.readouterr().err
    assert main(["--diff", a, str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert "Expected the folder of a gallery" in capsys.readouterr().err
    write_folder(tmp_path / "other", {"other": [NOISE]})
    assert main(["--diff", a, str(tmp_path / "other"), "--out", str(tmp_path / "x")]) == 2
    assert "Received: conv1, old, classes/ and other." in capsys.readouterr().err
    assert main(["--diff", a, b, "--out", b]) == 2
    assert "something else" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_the_command_needs_no_keras(galleries, tmp_path):
    command = ["--diff", str(galleries / "a"), str(galleries / "b"), "--out", str(tmp_path / "x")]
    code = (
        "import sys; from c3dvis.gallery.__main__ import main; "
        f"code = main({command!r}); sys.exit(code or ('keras' in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "Of 7 units: 1 died" in run.stdout
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert again.returncode == 0  # the folder is its own
