"""What a gallery of very many units costs beside its clips: planning, pages, and a browser.

Clips are stand-ins: one film strip of eight frames of 16 x 16 pixels, and one GIF, under the names
of all. Planned is a network of so many convolutions of 100 filters; read are the records with the
checks that a run makes before it goes on; the pages are written as a run writes them. In Chromium,
by Playwright: seconds from the address to the first picture that is drawn, and the resident size of
all its processes when the page has been still for three seconds.

    python benchmarks/gallery_pages.py --units 1000 3239
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c3dvis import clips
from c3dvis.gallery import folder, groups, manifest, page, plan
from c3dvis.gallery.manifest import Manifest
from c3dvis.gallery.record import Record
from c3dvis.text import table

_FILTERS, _SHAPE, _GROUP = 100, (8, 16, 16, 3), 16
_STILL = 3  # seconds
_PAGE = """# What the pages of large galleries cost

Written by `benchmarks/gallery_pages.py`, which says how it is measured.

{machine}

{rows}
"""
_HEADS = (
    *("units", "planned, s", "records read, s", "pages written, s", "process, MB"),
    *("index.html, kB", "Markdown, kB (files)", "first picture, s", "Chromium, MB"),
)
_DRAWN = """() => [...document.querySelectorAll(".clip img")].some((one) => one.complete
    && one.naturalWidth && one.getBoundingClientRect().top < innerHeight)"""


@dataclass(frozen=True)
class Layer:
    """A convolution that is planned with."""

    name: str
    channels: int
    kind: str = "Conv3D"
    shape: tuple[int, ...] = (8, 16, 16, _FILTERS)
    is_convolution: bool = True


def planned(units):
    """The sections and groups of so many filters, and the seconds that they took."""
    counts = [min(_FILTERS, units - first) for first in range(0, units, _FILTERS)]
    layers = [Layer(f"conv{number}", count) for number, count in enumerate(counts, 1)]
    start = time.perf_counter()
    sections = plan.sections(layers, filters="all")
    of_layers = groups.extend({}, sections, _GROUP)
    groups.tasks(of_layers, [unit for section in sections for unit in section.units])
    return sections, of_layers, time.perf_counter() - start


def write_gallery(out, sections, of_layers):
    """A gallery whose clips are all the same file."""
    clip = np.random.default_rng(0).random(_SHAPE)
    endings = ("gif", "jpg")
    contents = {}
    for ending in endings:
        clips.write(out / f"clip.{ending}", clip)
        contents[ending] = (out / f"clip.{ending}").read_bytes()
    network = {"name": "stand-in", "weights_sha256": "0" * 64, "architecture_sha256": "1" * 64}
    settings = {"steps": 1, "seed": 0, "fps": 8.0, "parametrization": "fourier", "compare": 0}
    hashes = {name: network[name] for name in ("weights_sha256", "architecture_sha256")}
    identity = {**settings, "size": None, **hashes}
    manifest.write(out, Manifest(identity, sections, of_layers, network))
    sums = {ending: hashlib.sha256(content).hexdigest() for ending, content in contents.items()}
    for unit in (unit for section in sections for unit in section.units):
        (out / unit.folder).mkdir(exist_ok=True)
        for ending in endings:
            os.link(out / f"clip.{ending}", out / unit.path(ending))
        record = Record(
            layer=unit.layer,
            channel=unit.channel,
            status="ok",
            score=float(unit.channel % 7 + 1),
            shape=_SHAPE,
            settings={**settings, "size": None},
            network=hashes,
            files={f"{unit.channel}.{ending}": len(contents[ending]) for ending in endings},
            sha256={f"{unit.channel}.{ending}": sums[ending] for ending in endings},
            drift=(0.0, 1.0),
            drift_share=0.5,
        )
        (out / unit.path("json")).write_text(json.dumps(record.to_json()))


def written(out, sections):
    """Seconds of reading all records, and of writing the pages."""
    begun = manifest.read(out)
    start = time.perf_counter()
    records = folder.existing(out, plan.units_of(sections), identity=begun.identity)
    read = time.perf_counter()
    page.write(out, begun, records)
    return read - start, time.perf_counter() - read


def browsed(address):
    """Seconds to the first picture, and the memory of the browser's processes in bytes."""
    from playwright import sync_api

    chromium = os.environ.get("C3DVIS_CHROMIUM") or shutil.which("chromium")
    with sync_api.sync_playwright() as playwright:
        # As root there is no sandbox to be had.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1280, "height": 1000})
        start = time.perf_counter()
        shown.goto(address, wait_until="commit")
        shown.wait_for_function(_DRAWN, polling=20)
        first = time.perf_counter() - start
        shown.wait_for_timeout(1000 * _STILL)
        size = _resident(os.getpid())
        browser.close()
    return first, size


def _greatest_size():
    """Of this process so far, in bytes; `getrusage` would tell the parent's where that was more."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (size,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return 1024 * int(size)


def _resident(pid):
    """Of all processes below one that are the browser's, in bytes; what they share counts once
    for each."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,rss=,comm="], capture_output=True, text=True)
    rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
    below, total, changed = {pid}, 0, True
    while changed:
        more = {int(row[0]) for row in rows if int(row[1]) in below} - below
        below |= more
        changed = bool(more)
    for own, _, size, name in rows:
        if int(own) in below and "chrom" in name:
            total += int(size) * 1024
    return total


def measure(units):
    """A row of the table."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        sections, of_layers, plan_seconds = planned(units)
        write_gallery(out, sections, of_layers)
        read, pages = written(out, sections)
        most = _greatest_size()
        first, browser = browsed((out / "index.html").as_uri())
        markdown = [path.stat().st_size for path in out.glob("README*.md")]
        return (
            f"{units:,}",
            *(f"{seconds:.2f}" for seconds in (plan_seconds, read, pages)),
            f"{most / 1e6:.0f}",
            f"{(out / 'index.html').stat().st_size / 1e3:.0f}",
            f"{sum(markdown) / 1e3:.0f} ({len(markdown)})",
            f"{first:.1f}",
            f"{browser / 1e6:.0f}",
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--units", nargs="+", type=int, default=[1000, 3239])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", default="docs/benchmarks-pages.md")
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one)))
        return
    import machine  # which loads Keras, so not in the processes whose memory is measured

    before = "\n".join(machine.state())
    rows = []
    for units in given.units:  # a process each, so that memory is of one gallery
        command = [sys.executable, __file__, "--one", str(units)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(run.stdout.splitlines()[-1]))
        print(rows[-1])
    Path(given.out).write_text(_PAGE.format(machine=before, rows=table(_HEADS, rows)))


if __name__ == "__main__":
    main()
