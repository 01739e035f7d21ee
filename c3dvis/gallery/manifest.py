"""gallery.json: what a gallery is of, which units it holds, and what its pages need beside records.

Identity is what decides the clips: the network's architecture and weights, and the settings. Which
units were chosen, their labels and what the pages say can change from one run to the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from c3dvis import stored
from c3dvis.files import read_json, write_json
from c3dvis.gallery.groups import Group
from c3dvis.gallery.overview import Overview
from c3dvis.gallery.plan import Section, Unit

NAME = "gallery.json"
# Raised by whoever changes what a key means or takes one away.
SCHEMA = 1
# A layer's folder, which must not lead out of the gallery.
_FOLDER = re.compile("[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Manifest:
    """What gallery.json says.

    Attributes:
        identity: What decides the clips; all runs in one folder agree on it.
        sections: All units of the gallery, also those that later runs chose.
        groups: Layer to the groups in which its units are made.
        network: Its name, the files it came from and their hashes.
        versions: Of the programs that wrote last.
        machine: That wrote last.
        code: Layer to the Python that makes its clips.
        banner: A sentence that must be read first.
        overview: Of the network; None in a folder that an earlier version wrote.
    """

    identity: Mapping[str, Any]
    sections: tuple[Section, ...]
    groups: Mapping[str, Sequence[Group]] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    banner: str | None = None
    overview: Overview | None = None

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON keeps it."""
        return {
            "schema": SCHEMA,
            "identity": dict(self.identity),
            "network": dict(self.network),
            "versions": dict(self.versions),
            "machine": dict(self.machine),
            "banner": self.banner,
            "overview": None if self.overview is None else asdict(self.overview),
            "sections": [self._section(section) for section in self.sections],
        }

    def _section(self, section: Section) -> dict[str, Any]:
        return {
            "layer": section.layer,
            "kind": section.kind,
            "shape": section.shape,
            "channels": section.channels,
            "field": section.field,
            "kernel": section.kernel,
            "folder": section.units[0].folder,
            "units": [[unit.channel, unit.label] for unit in section.units],
            "groups": [
                {"size": group.size, "channels": [unit.channel for unit in group.units]}
                for group in self.groups.get(section.layer, ())
            ],
            "code": self.code.get(section.layer),
        }

    @classmethod
    def from_json(cls, values: Any) -> Manifest:
        """What `to_json` gave.

        Raises:
            ValueError: If it is none, or of another schema.
        """
        if not isinstance(values, Mapping) or not isinstance(values.get("identity"), Mapping):
            raise ValueError(f"Expected a {NAME}. Received: something else.")
        if values.get("schema") != SCHEMA:
            raise ValueError(
                f"Expected a {NAME} of schema {SCHEMA}. Received: {values.get('schema')!r}."
            )
        try:
            sections = [_read_section(one) for one in values["sections"]]
            identity, of_network = values["identity"], values.get("overview")
            network = stored.mapping(values["network"])
            _check_shown(identity, network)
            return cls(
                identity=identity,
                sections=tuple(section for section, _, _ in sections),
                groups={section.layer: groups for section, groups, _ in sections},
                network=network,
                versions=stored.mapping(values["versions"]),
                machine=stored.mapping(values["machine"]),
                code={section.layer: code for section, _, code in sections if code is not None},
                banner=stored.text_or_none(values["banner"]),
                overview=None if of_network is None else Overview.from_json(of_network),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Expected a {NAME}. Received: a damaged one ({error}).") from None


def read(folder: Path) -> Manifest | None:
    """The folder's manifest; None where there is none or it is damaged.

    Raises:
        ValueError: If it is one of another schema.
    """
    values = read_json(folder / NAME)
    schema = values.get("schema") if isinstance(values, Mapping) else None
    if type(schema) is int and schema != SCHEMA:
        raise ValueError(
            f"Expected a {NAME} of schema {SCHEMA}. Received: {folder}, whose {NAME} is of schema "
            f"{schema}, as another version of c3dvis writes it; choose another folder with --out."
        )
    try:
        return Manifest.from_json(values)
    except ValueError:
        return None


def write(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, where it is not there already."""
    values = json.loads(json.dumps(manifest.to_json()))
    if read_json(folder / NAME) != values:
        write_json(folder / NAME, values)


def grown(
    before: Sequence[Section], now: Sequence[Section], layers: Sequence[str]
) -> tuple[Section, ...]:
    """The sections of a gallery that has some and gets others.

    Args:
        before: Those there are. Where both have a unit, its label is that of `now`.
        now: Those that are chosen.
        layers: Their names, from the first section to the last; others come behind them.
    """
    place = {layer: i for i, layer in enumerate(layers)}
    by_layer = {section.layer: section for section in before}
    for section in now:
        old = by_layer.get(section.layer)
        known = {unit.channel: unit for unit in old.units} if old else {}
        units = known | {unit.channel: unit for unit in section.units}
        order = sorted(units) if known and len(units) > len(known) else list(units)
        by_layer[section.layer] = Section(
            section.layer,
            section.kind,
            section.shape,
            section.channels,
            tuple(units[channel] for channel in order),
            section.field,
            section.kernel,
        )
    return tuple(sorted(by_layer.values(), key=lambda one: place.get(one.layer, len(place))))


def _check_shown(identity: Mapping[str, Any], network: Mapping[str, Any]) -> None:
    """Refuses one without what the pages say."""
    for name in ("compare", "steps", "seed"):
        stored.count(identity[name])
    for text in (identity["parametrization"], identity["weights_sha256"], network["name"]):
        stored.text(text)
    stored.number(identity["fps"])


def _read_section(values: Any) -> tuple[Section, tuple[Group, ...], str | None]:
    layer, folder = stored.text(values["layer"]), stored.text(values["folder"])
    if not _FOLDER.fullmatch(folder):
        raise ValueError(f"the folder {folder!r}")
    units = {
        stored.count(channel): Unit(layer, channel, stored.text_or_none(label), folder)
        for channel, label in values["units"]
    }
    if not units:
        raise ValueError("a layer without units")
    groups = tuple(
        Group(
            tuple(units[stored.count(channel)] for channel in one["channels"]),
            stored.count(one["size"]),
        )
        for one in values["groups"]
    )
    if not all(group.units and group.size for group in groups):
        raise ValueError("an empty group")
    shape = stored.lengths(values["shape"])
    section = Section(
        layer,
        stored.text(values["kind"]),
        shape,
        stored.count(values["channels"]),
        tuple(units.values()),
        stored.shape_or_none(values.get("field")),
        stored.shape_or_none(values.get("kernel")),
    )
    return section, groups, stored.text_or_none(values["code"])
