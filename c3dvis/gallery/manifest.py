"""gallery.json: a gallery's network, settings and units, and what its pages need besides records.

The identity is what determines the clips: the network's architecture and weights, and the
settings. The selection of units, their labels and the pages' texts can change between runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from c3dvis import stored
from c3dvis.files import read_json, write_json
from c3dvis.gallery.groups import Group
from c3dvis.gallery.overview import Overview
from c3dvis.gallery.plan import Section, Unit

NAME = "gallery.json"
# To be increased when a key changes its meaning or is removed.
SCHEMA = 1
# A layer's folder; it must not lead out of the gallery.
_FOLDER = re.compile("[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Manifest:
    """The content of gallery.json.

    Attributes:
        identity: What determines the clips; the same for all runs in one folder.
        sections: All units of the gallery.
        groups: By layer, the groups in which its units are made.
        network: Its name, the files it came from and their hashes.
        versions: Versions of the programs of the last run.
        machine: Machine of the last run.
        code: By layer, the Python that makes its clips.
        banner: A warning at the top of the pages.
        overview: Summary of the network; None in a folder of an earlier version.
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
        """The manifest that `to_json` wrote.

        Raises:
            ValueError: If it is damaged, or of another schema.
        """
        if not isinstance(values, Mapping) or not isinstance(values.get("identity"), Mapping):
            raise ValueError(f"Expected a {NAME}. Received: something else.")
        if values.get("schema") != SCHEMA:
            raise ValueError(
                f"Expected a {NAME} of schema {SCHEMA}. Received: {values.get('schema')!r}."
            )
        try:
            sections = [_read_section(one) for one in values["sections"]]
            identity, overview = values["identity"], values.get("overview")
            network = stored.mapping(values["network"])
            _check_page_values(identity, network)
            return cls(
                identity=identity,
                sections=tuple(section for section, _, _ in sections),
                groups={section.layer: groups for section, groups, _ in sections},
                network=network,
                versions=stored.mapping(values["versions"]),
                machine=stored.mapping(values["machine"]),
                code={section.layer: code for section, _, code in sections if code is not None},
                banner=stored.text_or_none(values["banner"]),
                overview=None if overview is None else Overview.from_json(overview),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"Expected a {NAME}. Received: a damaged one ({error}).") from None


def read(folder: Path) -> Manifest | None:
    """The folder's manifest; None if it is missing or damaged.

    Raises:
        ValueError: If it is of another schema.
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
    """Writes the manifest, unless the folder holds the same one."""
    values = json.loads(json.dumps(manifest.to_json()))
    if read_json(folder / NAME) != values:
        write_json(folder / NAME, values)


def merge(
    before: Sequence[Section], added: Sequence[Section], layers: Sequence[str]
) -> tuple[Section, ...]:
    """The sections of a gallery with those of another run added.

    Args:
        before: The gallery's sections.
        added: Sections of this run; their labels replace those of `before`.
        layers: Names of layers in the order of the sections; others come last.
    """
    rank = {layer: i for i, layer in enumerate(layers)}
    by_layer = {section.layer: section for section in before}
    for section in added:
        old = by_layer.get(section.layer)
        known = {unit.channel: unit for unit in old.units} if old else {}
        units = known | {unit.channel: unit for unit in section.units}
        order = sorted(units) if known and len(units) > len(known) else list(units)
        by_layer[section.layer] = replace(section, units=tuple(units[i] for i in order))
    return tuple(sorted(by_layer.values(), key=lambda one: rank.get(one.layer, len(rank))))


def _check_page_values(identity: Mapping[str, Any], network: Mapping[str, Any]) -> None:
    """Raises an error if a value that the pages show is missing or of another type."""
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
