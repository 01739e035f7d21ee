"""The browser of tests of pages: Chromium, by Playwright; skipped where either is missing."""

from __future__ import annotations

import os
import shutil

import pytest


@pytest.fixture(scope="module")
def browser():
    """Chromium: the file that C3DVIS_CHROMIUM names, else `chromium` on PATH."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = os.environ.get("C3DVIS_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on PATH, and C3DVIS_CHROMIUM is not set")
    with sync_api.sync_playwright() as playwright:
        # As root there is no sandbox to be had.
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser):
    """Opens pages; afterwards nothing may have been asked of another place or gone wrong."""
    wrong, contexts = [], []

    def failed(request):
        # A page that is reloaded or closed aborts the pictures that it still waits for.
        if request.failure != "net::ERR_ABORTED":
            wrong.append(f"{request.url}: {request.failure}")

    def open_page(address, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        shown = context.new_page()
        shown.on("console", lambda message: wrong.append(message.text))
        shown.on("pageerror", lambda error: wrong.append(str(error)))
        shown.on(
            "request",
            lambda request: None if request.url.startswith("file:") else wrong.append(request.url),
        )
        shown.on("requestfailed", failed)
        shown.goto(address)
        return shown

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
