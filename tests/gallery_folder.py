"""What tests of galleries share: clips made at once, and the content of a folder."""

import hashlib
from dataclasses import asdict

import numpy as np

from c3dvis import clips, files
from c3dvis.gallery import manifest, rebuild
from c3dvis.gallery.measure import measure
from c3dvis.gallery.plan import CLASSES, Section, Unit
from c3dvis.gallery.record import Record
from c3dvis.maximize import MaximizedClip


class Instant:
    """A Maximizer that makes its clips at once: for tests of everything around it."""

    rendered: list[tuple[str, int]] = []
    status = "ok"

    def __init__(self, network, objective, **options):
        self.layer = objective.layers[0]
        self.batch_size = len(objective)

    def make(self, objective, *, steps, seed, callbacks=()):
        _, term = objective.terms[0]
        for channel in term.units:
            Instant.rendered.append((self.layer, channel))
            noise = np.random.default_rng([seed, channel]).random((6, 16, 16, 3), np.float32)
            failed = 2 if Instant.status == "failed" else None
            yield MaximizedClip(noise, 1.0 + channel, Instant.status, failed)


def bytes_below(out):
    names = (path for path in out.rglob("*") if path.is_file() and path.name[0] != ".")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in names}


def write_folder(out, clips_by_layer, *, identity=None, name="small", **records):
    """A gallery of given clips, without a network: manifest, records, files and pages.

    `clips_by_layer` is layer to clips, None for a unit without gradient; further arguments are
    layer to what records have besides, a dictionary a unit.
    """
    sections = []
    out.mkdir(parents=True, exist_ok=True)
    hashes = {"weights_sha256": "0" * 64, "architecture_sha256": "1" * 64}
    settings = {"steps": 5, "seed": 3, "fps": 8.0, "parametrization": "fourier", "compare": 0}
    settings |= {"size": None} | (identity or {})
    for layer, unit_clips in clips_by_layer.items():
        folder = "classes" if layer == CLASSES else layer
        (out / folder).mkdir(exist_ok=True)
        units = tuple(Unit(layer, channel, None, folder) for channel in range(len(unit_clips)))
        for unit, clip in zip(units, unit_clips, strict=True):
            own = records.get(folder, [{}] * len(unit_clips))[unit.channel]
            _write_record(out, unit, clip, settings, hashes, own)
        sections.append(Section(layer, "Conv3D", (4, 8, 8, len(units)), len(units), units))
    network = {"name": name, **hashes}
    begun = manifest.Manifest({**settings, **hashes}, tuple(sections), network=network)
    manifest.write(out, begun)
    rebuild.rebuild(out)


def _write_record(out, unit, clip, settings, hashes, own):
    values = {"status": "ok", "score": 1.0 + unit.channel} | own
    written = {}
    if clip is None:
        values = {"status": "no gradient"} | own
    else:
        for ending in ("gif", "jpg"):
            clips.write(out / unit.path(ending), clip)
            written[f"{unit.channel}.{ending}"] = (out / unit.path(ending)).read_bytes()
        measured = asdict(measure(clip))
        values = {"shape": (*np.shape(clip)[:3], 3), **measured} | values
    record = Record(
        layer=unit.layer,
        channel=unit.channel,
        settings=settings,
        network=hashes,
        files={name: len(content) for name, content in written.items()},
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in written.items()},
        **values,
    )
    files.write_json(out / unit.path("json"), record.to_json())


def stripes(degrees, *, frames=8, side=32, wave=8, speed=1.0):
    """Stripes that drift in a direction, counterclockwise from the right, in pixels per frame."""
    t, y, x = np.meshgrid(*map(np.arange, (frames, side, side)), indexing="ij")
    way = np.radians(degrees)
    along = np.cos(way) * x - np.sin(way) * y
    light = 0.5 + 0.45 * np.sin(2 * np.pi * (along - speed * t) / wave)
    return np.repeat(light[..., None], 3, axis=-1).astype(np.float32)
