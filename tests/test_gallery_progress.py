"""What a run says while it goes on."""

from types import SimpleNamespace
from typing import Any

import pytest

from c3dvis.gallery import progress
from c3dvis.gallery.plan import Section, Unit


@pytest.mark.parametrize(
    ("seconds_a_clip", "expected"),
    [
        (2, ["a: 2 clips, 4.0 s; about 4 s left", "b: 2 clips, 4.0 s"]),
        (90, ["a: 2 clips, 180.0 s; about 3 min left", "b: 2 clips, 180.0 s"]),
    ],
)
def test_each_layer_done_tells_about_how_long_the_rest_takes(monkeypatch, seconds_a_clip, expected):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    sections = [
        Section(layer, "Conv3D", (), 2, tuple(Unit(layer, i, None, layer) for i in range(2)))
        for layer in "ab"
    ]
    units = [unit for section in sections for unit in section.units]
    lines: list[str] = []
    told = progress.Progress(sections, units, lines.append, bar=False)
    for unit in units:
        now[0] += seconds_a_clip
        record: Any = SimpleNamespace(layer=unit.layer, channel=unit.channel, status="ok")
        told.layer_done(record)
    assert lines == expected
