"""Every kind of page in a browser: no fault that axe-core finds, and what each page does."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from gallery_folder import stripes, write_folder
from keras import layers
from test_gallery_overview import small
from test_gallery_page import record, write_gallery
from test_gallery_questions import SCORES, write_sweep
from test_gallery_real import beside

from c3dvis import clips, pages
from c3dvis.attribution.__main__ import main as attribution
from c3dvis.attribution.temporal import page as temporal
from c3dvis.attribution.temporal.report import temporal_report
from c3dvis.audit import audit
from c3dvis.gallery import differences_page, questions_page
from c3dvis.gallery.plan import CLASSES
from c3dvis.responses.__main__ import main as responses

SHAPE = (4, 16, 16, 3)


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "small.keras"
    clip = keras.Input(SHAPE)
    maps = layers.Conv3D(2, 3, activation="relu", name="conv1")(clip)
    scores = layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling3D()(maps))
    keras.Model(clip, scores).save(path)
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two classes of two clips."""
    folder = tmp_path_factory.mktemp("films")
    for name, degrees in (("left", 180), ("up", 90)):
        (folder / name).mkdir()
        for number in range(2):
            clip = stripes(degrees + number, frames=4, side=16)
            clips.write(folder / name / f"{number}.gif", clip)
    return folder


def gallery_page(out, **options):
    """A gallery with every kind of tile."""
    (out / "real" / "conv1").mkdir(parents=True)
    for folder in ("classes", "conv1", "cards/conv1"):
        (out / folder).mkdir(parents=True)
    paths = ["classes/0.jpg", "conv1/0.jpg", "conv1/1.jpg", "conv1/3.jpg"]
    for path in (*paths, "real/conv1/0-0.jpg", "real/conv1/0-1.jpg", "real/conv1/0-weak-0.jpg"):
        clips.write(out / path, np.random.default_rng(0).random((4, 8, 6, 3)))
    (out / "cards/conv1/1.png").write_bytes(b"")
    kinds = {}
    for kind, names in (("speeds", ("slowest", "slow", "free")), ("pixels", ("pixels",))):
        strips = [f"cards/conv1/1-{kind}-{rank}.jpg" for rank in range(len(names))]
        for path in strips:
            clips.write(out / path, np.random.default_rng(0).random((4, 8, 6, 3)))
        clip = {"score": 1.0, "note": "", "shape": [4, 8, 6]}
        own = [{**clip, "name": n, "strip": p} for n, p in zip(names, strips, strict=True)]
        kinds[kind] = {"clips": own, "sentence": f"Of {kind}."}
    (out / "cards/conv1/1-more.json").write_text(json.dumps({"schema": 1, **kinds}))
    parts = {
        CLASSES: [record(label="left", taken_for="up")],
        "conv1": [
            record(0, drift=[0.0, -0.5], drift_share=0.9),
            record(1),
            record(2, plain_color="#fe0300"),
            record(3, status="failed", failed_step=7),
            record(4, status="error", error="ValueError: no", score=None),
            None,
        ],
    }
    code = {"conv1": "print(channel)\n"}
    options |= {"real": beside(weakest=True), "code": code, "overview": small(between=3)}
    write_gallery(out, parts, banner="Only discs.", **options)


def differences(out):
    noise = np.random.default_rng(0).random((8, 32, 32, 3), np.float32)
    write_folder(out / "a", {"conv1": [stripes(0), stripes(0), None, noise], "old": [noise]})
    b = {"conv1": [stripes(90), None, stripes(0), noise]}
    write_folder(out / "b", b, identity={"steps": 64})
    differences_page.write(out / "a", out / "b", out / "page")


def questions(out, tasks=4):
    (out / "films").mkdir(parents=True)
    names = [f"{i}.gif" for i in range(len(SCORES))]
    for i, name in enumerate(names):
        clips.write(out / "films" / name, stripes(12 * i, frames=4, side=16))
    unit_clips = [stripes(30 * i, frames=4, side=16) for i in range(3)]
    write_folder(out / "gallery", {"conv1": unit_clips})
    write_sweep(out / "gallery", names, SCORES)
    return questions_page.write(out / "gallery", out / "films", out / "page", tasks=tasks)


def pictures_to_choose_from(out):
    """Two methods on two clips, and columns that lead to the first."""
    out.mkdir()
    groups = []
    for clip in ("a.mp4", "<b>\r.mp4"):
        films = [
            pages.film(out, f"{method}-{len(groups)}", np.zeros((4, 8, 40, 3)), method, width=300)
            for method in ("gradient", "window")
        ]
        facets = [{"method": film.caption, "clip": clip} for film in films]
        shown = [replace(film, facets=own) for film, own in zip(films, facets, strict=True)]
        table = [["method", "frames"], ["gradient", "1"]]
        groups.append(pages.PictureGroup(clip, "", shown, table, anchor=f"clip-{len(groups)}"))
    rows = [["window", "heatmaps"], ["1", pages.Link("window 1", "clip-0")], ["2", ""]]
    bars = pages.Bars([1.0, 0.2], [0], "probability by window")
    pages.write(out, "Methods", "", [pages.PictureGroup("Film", "", (), rows, [bars]), *groups])


@pytest.fixture(scope="module")
def written(tmp_path_factory, network_file, films):
    """The pages of each kind."""
    out = tmp_path_factory.mktemp("pages")
    clip, model = str(films / "left" / "0.gif"), ["--keras-model", str(network_file)]
    gallery_page(out / "gallery")
    gallery_page(out / "filling", filling=True)
    differences(out / "differences")
    questions(out / "questions")
    methods = ["--method", "gradient", "window"]
    assert attribution([clip, *model, *methods, "--out", str(out / "attribution")]) == 0
    layer = ["--layer", "conv1"]
    assert responses([clip, *model, *layer, "--out", str(out / "responses")]) == 0
    swept = [str(films), "--sweep", *model, "--out", str(out / "sweep")]
    assert responses(swept) == 0
    network = keras.saving.load_model(network_file)
    audit(network, films, [0, 0, 1, 1], out=out / "audit", draws=1, shown=1, verbose=0)
    frames = np.stack([clips.read(path) for path in sorted(films.rglob("*.gif"))])
    report = temporal_report({"one": network, "two": network}, frames)
    (out / "temporal").mkdir()
    (out / "temporal" / "index.html").write_text(temporal.to_html(report))
    (out / "volume").mkdir()
    planes = [
        pages.film(out / "volume", name, np.zeros((count, 8, 8, 3)), name, slider=True)
        for name, count in (("axial", 5), ("coronal", 9))
    ]
    pages.write(out / "volume", "Scan", "", [pages.PictureGroup("Planes", "", planes)])
    return out


KINDS = [
    *("gallery", "filling", "differences/page", "questions/page", "attribution", "responses"),
    *("sweep", "audit", "temporal", "volume"),
]
LOOKS = [
    {"color_scheme": "light"},
    {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
]


def faults(shown):
    """What axe-core finds, with the elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is missing")
    violations = axe.Axe().run(shown).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in violations]


@pytest.mark.parametrize("look", LOOKS, ids=["light", "dark phone"])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_no_fault(written, open_page, kind, look):
    shown = open_page((written / kind / "index.html").as_uri(), reduced_motion="reduce", **look)
    for summary in shown.query_selector_all("details"):
        summary.evaluate("one => { one.open = true; }")
    assert faults(shown) == []
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_page_that_is_being_filled_reloads_itself_unless_told_not_to(written, open_page):
    shown = open_page((written / "filling" / "index.html").as_uri())
    shown.clock.install()
    shown.reload()
    shown.evaluate("window.marked = true")
    shown.uncheck(".reload")
    shown.clock.run_for(10_500)
    assert shown.evaluate("window.marked")
    shown.check(".reload")
    with shown.expect_navigation():  # of one reload: another would abort it
        shown.clock.run_for(5_000)
    assert shown.evaluate("window.marked") is None


@pytest.fixture(scope="module")
def choice(tmp_path_factory):
    """The address of a page to choose from."""
    out = tmp_path_factory.mktemp("choice")
    pictures_to_choose_from(out / "page")
    return (out / "page" / "index.html").as_uri()


def captions(shown):
    return shown.locator("figure:visible figcaption > bdi").all_inner_texts()


def test_pictures_are_chosen_by_method_and_clip(choice, open_page):
    shown = open_page(choice, reduced_motion="reduce")
    assert shown.inner_text(".shown") == "4 of 4 shown"
    shown.click("summary")
    shown.get_by_label("window", exact=True).uncheck()
    assert captions(shown) == ["gradient"] * 2 and shown.inner_text(".shown") == "2 of 4 shown"
    shown.get_by_label("none of clip").click()
    assert captions(shown) == [] and shown.locator("main > section:visible").count() == 1
    shown.get_by_role("checkbox", name="<b>").check()
    assert captions(shown) == ["gradient"]
    assert shown.locator("main > section:visible h2").all_inner_texts()[0] == "Film"
    shown.get_by_label("all of method").click()
    shown.fill(".find", "b> WIN")
    assert captions(shown) == ["window"]


def test_what_is_chosen_is_in_the_address_and_a_link_shows_the_same(choice, open_page):
    shown = open_page(choice, reduced_motion="reduce")

    def state(one):
        return (
            captions(one),
            one.input_value(".find"),
            one.locator("main.beside").count(),
            [box.is_checked() for box in one.locator("fieldset input").all()],
        )

    states = [state(shown)]
    shown.click("summary")
    shown.get_by_label("gradient", exact=True).uncheck()
    states.append(state(shown))
    shown.get_by_role("checkbox", name="<b>").uncheck()
    shown.get_by_label("side by side").check()
    states.append(state(shown))
    shown.locator(".find").press_sequentially("a.mp4 w")
    states.append(state(shown))
    address = shown.evaluate("location.href")
    assert shown.evaluate("location.hash") == "#?find=a.mp4+w&method=window&clip=a.mp4&beside=yes"
    assert state(open_page(address, reduced_motion="reduce")) == states[3]
    shown.reload()
    assert state(shown) == states[3]
    shown.go_back()  # seven letters are one step
    assert state(shown) == states[2]
    shown.go_back()
    shown.go_back()
    assert state(shown) == states[1]
    shown.go_back()
    assert state(shown) == states[0] and shown.evaluate("location.href") == choice
    shown.go_forward()
    assert state(shown) == states[1]
    shown.click("summary")
    shown.get_by_label("none of method").click()
    assert shown.evaluate("location.hash") == "#?method=" and captions(shown) == []
    shown.reload()
    assert captions(shown) == []


def test_links_within_a_page_keep_what_is_chosen(choice, open_page):
    shown = open_page(choice + "#?method=window", reduced_motion="reduce")
    assert captions(shown) == ["window"] * 2
    shown.click("text=window 1")
    shown.wait_for_function("location.hash == '#clip-0?method=window'")
    assert captions(shown) == ["window"] * 2
    shown.go_back()
    shown.wait_for_function("location.hash == '#?method=window'")
    small = {"width": 600, "height": 200}
    linked = open_page(choice + "#clip-1?method=window", reduced_motion="reduce", viewport=small)
    assert captions(linked) == ["window"] * 2 and linked.evaluate("scrollY") > 0
    odd = open_page(choice + "#?method=gone&clip=a.mp4&clip=%3Cimg%3E&other=1")
    assert captions(odd) == [] and odd.inner_text(".shown") == "0 of 4 shown"


def test_pictures_stand_side_by_side_in_step(choice, open_page):
    shown = open_page(choice, reduced_motion="reduce")
    boxes = lambda: [one.bounding_box() for one in shown.locator("figure").all()]  # noqa: E731
    assert boxes()[1]["y"] < boxes()[2]["y"]
    shown.get_by_label("side by side").check()
    first, _, third, _ = boxes()  # of two clips
    assert first["y"] == third["y"] and first["x"] + first["width"] < third["x"]
    assert not shown.locator("h2").first.is_visible()
    assert shown.locator(".of").all_inner_texts()[0] == "a.mp4"
    shown.wait_for_function("seen.size === 4")
    shown.locator("h1").click()
    shown.keyboard.press("ArrowRight")
    positions = shown.eval_on_selector_all(
        "figure .clip img", "all => all.map((one) => parseFloat(one.style.objectPosition))"
    )
    assert positions == [pytest.approx(100 / 3, abs=0.01)] * 4


def test_pictures_show_nothing_of_the_next_frame(choice, open_page):
    shown = open_page(choice, reduced_motion="reduce")
    sides = shown.eval_on_selector_all(
        ".clip img", "all => all.map((one) => one.clientWidth / one.clientHeight)"
    )
    assert sides == [pytest.approx(40 / 8, rel=0.01)] * 4


@pytest.mark.parametrize("look", LOOKS, ids=["light", "dark phone"])
@pytest.mark.parametrize("beside", [False, True])
def test_axe_finds_no_fault_while_pictures_are_chosen(choice, open_page, look, beside):
    shown = open_page(choice, reduced_motion="reduce", **look)
    shown.get_by_label("side by side").set_checked(beside)
    shown.click("summary")
    assert faults(shown) == []
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_pictures_are_chosen_by_keys_alone(choice, open_page):
    phone = {"width": 390, "height": 844}
    shown = open_page(choice, reduced_motion="reduce", viewport=phone)
    shown.focus(".find")
    shown.keyboard.press("Tab")
    shown.keyboard.press("Enter")
    for _ in range(3):  # all, none, the first method
        shown.keyboard.press("Tab")
    shown.keyboard.press("Space")
    assert captions(shown) == ["window"] * 2
    shown.keyboard.press("Escape")
    assert not shown.is_visible("fieldset")
    assert shown.evaluate("document.activeElement.tagName") == "SUMMARY"
    shown.click("text=window 1")
    shown.wait_for_function("location.hash == '#clip-0?method=window'")
    # The part is not below the bar that stays at the top.
    assert (
        shown.locator("#clip-0 h2").bounding_box()["y"]
        > shown.locator(".bar").bounding_box()["height"]
    )


def test_differences_are_found_and_sorted(written, open_page):
    address = (written / "differences" / "page" / "index.html").as_uri()
    shown = open_page(address, reduced_motion="reduce")
    assert shown.locator(".unit").count() == 4
    shown.fill(".find", "conv1-3")
    assert shown.locator(".unit:visible").count() == 1
    shown.fill(".find", "turned by")
    shown.locator("h1").click()
    shown.wait_for_function("seen.size === 2")
    shown.keyboard.press("ArrowRight")
    positions = shown.eval_on_selector_all(
        "#turned .clip img", "all => all.map((one) => parseFloat(one.style.objectPosition))"
    )
    assert positions == [pytest.approx(100 / 7, abs=0.01)] * 2  # both sides are in step
    shown.select_option(".sort", "distance")


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A page of eight questions, and what was drawn."""
    out = tmp_path_factory.mktemp("asked")
    return questions(out, tasks=8), (out / "page" / "index.html").as_uri()


def answered(shown, drawn, wrong=()):
    """Answers the questions that are left by keys, rightly but for some."""
    for number, question in enumerate(drawn.questions):
        if shown.is_visible(f"#q{number}"):
            right = question.right if number not in wrong else 1 - question.right
            shown.keyboard.press("12"[right])


def test_questions_are_answered_by_keys_and_the_answers_are_kept(asked, open_page):
    drawn, address = asked
    shown = open_page(address, reduced_motion="reduce")
    assert shown.locator(".question:visible").count() == 1 and shown.is_visible("#q0")
    shown.keyboard.press("1")
    assert shown.is_visible("#q1") and shown.evaluate("document.activeElement.id") == "q1"
    shown.keyboard.press("Backspace")
    assert shown.is_visible("#q0")
    shown.keyboard.press("12"[drawn.questions[0].right])
    shown.reload()
    assert shown.is_visible("#q1")  # it goes on there
    answered(shown, drawn, wrong={1, 2})
    assert shown.is_visible(".result")
    # Wilson's interval of 6 of 8: (0.4093, 0.9285).
    assert shown.inner_text(".total").startswith("6 of 8 right (75%, 95% interval 41% to 93%).")
    rows = shown.locator("tbody tr").all_inner_texts()
    assert len(rows) == len(drawn.units) and all(" of " in row for row in rows)
    with shown.expect_download() as download:
        shown.click(".save")
    assert download.value.suggested_filename.startswith("answers-")
    saved = json.loads(download.value.path().read_text())
    assert [one["right"] for one in saved["answers"]] == [i not in {1, 2} for i in range(8)]
    assert saved["schema"] == 1 and all(one["seconds"] >= 0 for one in saved["answers"])
    assert faults(shown) == []
    shown.click(".again")
    assert shown.is_visible("#q0")


def test_a_question_is_answered_by_tab_and_enter_alone(asked, open_page):
    _, address = asked
    shown = open_page(address, reduced_motion="reduce")
    shown.focus("#q0")
    for _ in range(12):
        shown.keyboard.press("Tab")
        if shown.evaluate("document.activeElement.matches('.answer')"):
            break
    shown.keyboard.press("Enter")
    assert shown.is_visible("#q1")
