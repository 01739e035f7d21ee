"""Pages in a browser: the player, its keys, and what it costs with 1,000 units of a gallery."""

from __future__ import annotations

import os

import numpy as np
import pytest

from c3dvis import clips, pages
from c3dvis.gallery import page
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.plan import CLASSES, Section, Unit
from c3dvis.gallery.record import Record

LAYERS, UNITS, FRAMES = 10, 100, 8
IDENTITY = {
    "compare": 8,
    "fps": 8.0,
    "seed": 0,
    "steps": 1,
    "parametrization": "fourier",
    "weights_sha256": "abc",
    "size": None,
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page of 1,000 units, whose strips are one file."""
    folder = tmp_path_factory.mktemp("many")
    clips.write(folder / "strip.jpg", np.random.default_rng(0).random((FRAMES, 16, 16, 3)))
    sections, records = [], {}
    for layer in [CLASSES, *(f"conv{i}" for i in range(1, LAYERS))]:
        name = "classes" if layer == CLASSES else layer
        units = tuple(Unit(layer, channel, None, name) for channel in range(UNITS))
        (folder / name).mkdir()
        for unit in units:
            os.link(folder / "strip.jpg", folder / unit.path("jpg"))
            records[unit] = Record(
                layer=layer,
                channel=unit.channel,
                status="ok",
                score=float(unit.channel % 7),
                best_held_out=1.0,
                shape=(FRAMES, 16, 16, 3),
                files={f"{unit.channel}.jpg": 1, f"{unit.channel}.gif": 1},
                drift=(0.0, 1.0),
                drift_share=0.5,
            )
        sections.append(Section(layer, "Conv3D", (8, 16, 16, 100), UNITS, units))
    code = {section.layer: f"# makes {section.title}\n" for section in sections}
    begun = Manifest(IDENTITY, tuple(sections), network={"name": "many"}, code=code)
    page.write(folder, begun, records)
    return (folder / "index.html").as_uri()


@pytest.fixture
def opened(open_page, address):
    """Opens the page of 1,000 units, or another."""

    def opened(*, reduced_motion="no-preference", at="", of=address):
        return open_page(of + at, reduced_motion=reduced_motion)

    return opened


def pressed(shown):
    return shown.get_attribute(".play", "aria-pressed") == "true"


def frame(shown):
    return int(shown.input_value(".frame"))


def positions(shown, where):
    return shown.eval_on_selector_all(
        f"{where} .clip img", "all => all.map((one) => parseFloat(one.style.objectPosition))"
    )


def test_a_drag_of_the_slider_costs_little_and_moves_what_is_seen(opened):
    shown = opened()
    assert shown.locator(".unit").count() == LAYERS * UNITS
    spent = shown.evaluate(
        """() => [5, 2, 6, 3, 7].map((value) => {
            const slider = document.querySelector(".frame");
            const start = performance.now();
            slider.value = value;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            return performance.now() - start;
        })"""
    )
    assert min(spent) < 50  # milliseconds, of the turn that other programs disturbed least
    assert not pressed(shown) and frame(shown) == 7
    assert shown.inner_text(".number") == "7 / 7"
    assert positions(shown, "#classes-0") == [100]


def test_only_what_is_seen_plays_and_it_is_in_step(opened):
    shown = opened()
    shown.wait_for_function("Number(document.querySelector('.frame').value) > 1")
    far = "#conv9-99"
    assert np.isnan(positions(shown, far)[0])  # never put anywhere
    shown.keyboard.press("Space")
    shown.evaluate("location.hash = 'conv9-99'")
    shown.wait_for_function("document.querySelector('#conv9-99 img').style.objectPosition !== ''")
    expected = 100 * frame(shown) / (FRAMES - 1)
    assert positions(shown, far) == [pytest.approx(expected, abs=0.01)]


def test_keys_play_step_and_reset(opened):
    shown = opened()
    assert pressed(shown)
    shown.keyboard.press("Space")
    assert not pressed(shown)
    before = frame(shown)
    shown.keyboard.press("ArrowRight")
    assert frame(shown) == (before + 1) % FRAMES
    one = shown.locator("#classes-1 .clip")
    one.focus()
    shown.keyboard.press("ArrowLeft")
    assert frame(shown) == (before + 1) % FRAMES  # of the others
    assert positions(shown, "#classes-1") == [pytest.approx(100 * before / (FRAMES - 1), abs=0.01)]
    shown.keyboard.press("Space")
    assert one.get_attribute("aria-pressed") == "true" and not pressed(shown)
    shown.keyboard.press("Escape")
    assert pressed(shown)


def test_reduced_motion_starts_paused(opened):
    shown = opened(reduced_motion="reduce")
    assert not pressed(shown) and frame(shown) == 0
    shown.wait_for_timeout(300)
    assert frame(shown) == 0
    shown.click(".play")
    shown.wait_for_function("Number(document.querySelector('.frame').value) > 0")


def test_an_address_shows_its_unit(opened):
    shown = opened(at="#conv7-42", reduced_motion="reduce")
    shown.wait_for_function(
        """() => {
            const box = document.querySelector("#conv7-42").getBoundingClientRect();
            return box.top >= 0 && box.bottom <= innerHeight;
        }"""
    )


def test_units_are_found_and_sorted(opened):
    shown = opened(reduced_motion="reduce")
    shown.fill(".find", "conv3 17")
    assert shown.locator(".unit:visible").count() == 1
    shown.fill(".find", "")
    shown.select_option(".sort", "score")
    first = shown.eval_on_selector_all(
        "#conv3 .unit", "all => all.slice(0, 3).map((one) => Number(one.dataset.channel))"
    )
    assert first == [6, 13, 20]
    shown.select_option(".sort", "channel")
    assert shown.get_attribute("#conv3 .unit", "data-channel") == "0"


def test_the_python_of_a_clip_is_shown(opened):
    shown = opened(reduced_motion="reduce")
    shown.click("#classes-3 .code")
    assert shown.inner_text("dialog pre").splitlines() == ["channel = 3", "# makes Classes"]
    shown.keyboard.press("Escape")
    assert not shown.is_visible("dialog")


def test_the_buttons_are_named_by_what_they_show(opened):
    shown = opened(reduced_motion="reduce")
    named = shown.get_by_role("button", name="Filter 2 of conv1, activation 2, 2 times the best")
    assert named.count() == 1
    assert shown.get_by_role("region", name="Player and layers").locator(".play").count() == 1


def test_a_page_of_films_has_the_same_player(opened, tmp_path):
    films = [
        pages.film(tmp_path, name, np.random.default_rng(0).random((4, 8, 8, 3)), name)
        for name in ("one", "two")
    ]
    pages.write(tmp_path, "Films", "", [pages.PictureGroup("Both", "", films)])
    shown = opened(of=(tmp_path / "index.html").as_uri(), reduced_motion="reduce")
    assert not pressed(shown)
    shown.keyboard.press("ArrowLeft")
    shown.wait_for_function("seen.size === 2")
    assert frame(shown) == 3 and positions(shown, "main") == [100, 100]
    assert shown.get_by_role("button", name="two").count() == 1
    assert shown.locator("img:not([alt])").count() == 0


def test_a_plane_of_a_volume_has_a_slider_of_its_own(opened, tmp_path):
    random = np.random.default_rng(0).random
    films = [
        pages.film(tmp_path, name, random((count, 8, 8, 3)), name, slider=slider)
        for name, count, slider in (("axial", 5, True), ("coronal", 9, True), ("clip", 4, False))
    ]
    pages.write(tmp_path, "Volume", "", [pages.PictureGroup("Planes", "", films)])
    shown = opened(of=(tmp_path / "index.html").as_uri(), reduced_motion="reduce")
    shown.wait_for_function("seen.size === 3")
    assert positions(shown, "main") == [50, 50, 0]
    coronal = shown.get_by_role("slider", name="slice, coronal")
    coronal.fill("6")
    assert positions(shown, "main") == [50, 75, 0] and shown.locator("text=6 / 8").count() == 1
    coronal.press("ArrowRight")
    assert positions(shown, "main") == [50, 87.5, 0]
    shown.keyboard.press("Escape")
    assert positions(shown, "main") == [50, 50, 0] and coronal.input_value() == "4"
    assert shown.get_by_role("slider").count() == 3  # two planes' and the page's


def test_what_is_found_and_its_order_are_in_the_address(opened):
    shown = opened(reduced_motion="reduce")
    shown.fill(".find", "conv3-")
    shown.select_option(".sort", "score")
    assert shown.evaluate("location.hash") == "#?find=conv3-&by=score"

    def first(one):
        return one.locator(".unit:visible").first.get_attribute("id")

    assert first(shown) == "conv3-6"
    linked = opened(reduced_motion="reduce", at="#?find=conv3-&by=score")
    assert first(linked) == "conv3-6" and linked.locator(".unit:visible").count() == UNITS
    shown.locator(".unit:visible figcaption > a").first.click()
    assert shown.evaluate("location.hash") == "#conv3-6" and first(shown) == "conv3-6"
    shown.go_back()
    shown.go_back()
    assert shown.input_value(".find") == "conv3-" and shown.input_value(".sort") == "channel"
    shown.go_back()
    assert shown.input_value(".find") == "" and first(shown) == "classes-0"
