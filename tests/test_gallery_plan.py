"""What a gallery holds: choices, names of files, groups."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from c3dvis import command_line, files
from c3dvis.gallery import plan, tables
from c3dvis.gallery.plan import CLASSES, Unit


def folder_names(layers):
    return files.safe_names(layers, taken=plan.OWN_NAMES, empty="layer")


@dataclass(frozen=True)
class Layer:
    name: str
    channels: int = 8
    is_convolution: bool = True
    kind: str = "Conv3D"

    @property
    def shape(self):
        return (4, 16, 16, self.channels)


NETWORK = [
    Layer("conv1", 2),
    Layer("bn1", is_convolution=False, kind="BatchNormalization"),
    Layer("relu1", 2, is_convolution=False, kind="ReLU"),
    Layer("conv2"),
    Layer("fc", is_convolution=False, kind="Dense"),
]
NAMES = ["moving left", "moving right", "7"]

HOSTILE = [
    "..",
    ".",
    "",
    " ",
    "CON",
    "con",
    "nul.txt",
    "COM1",
    "LPT9.jpg",
    "x" * 300,
    "y" * 301,
    "y" * 302,
    "Conv1",
    "conv1",
    "CONV1",
    "<img src=x onerror=alert(1)>",
    "a/b",
    "a\\b",
    "a:b",
    "-rf",
    ".hidden",
    "trailing.",
    "gallery.json",
    "README.md",
    "classes",
    "index.html",
    "ünï",
    "\u202efdp",
    "line\nbreak",
    "\ud800",
]


def chosen(**choice):
    sections = plan.sections(NETWORK, class_count=3, class_names=NAMES, **choice)
    return {section.layer: [unit.channel for unit in section.units] for section in sections}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("0-3,7", (0, 1, 2, 3, 7)),
        ("5", (5,)),
        ("3,1,3,0-1", (3, 1, 0)),
        (" 1 - 2 , 4 ", (1, 2, 4)),
        ("all", None),
    ],
)
def test_numbers_are_read(text, expected):
    assert command_line.numbers(text) == expected


@pytest.mark.parametrize(
    "text", ["", "3-", "-1", "5-3", "a", "1,,2", "1.5", "²", "0-99999999", "1;2"]
)
def test_what_is_no_choice_of_numbers_is_refused(text):
    with pytest.raises(ValueError, match="Expected numbers .* Received: "):
        command_line.numbers(text)


@pytest.mark.parametrize(
    "choice, expected",
    [
        ({}, {CLASSES: [0, 1, 2], "conv2": [0, 1, 2, 3], "conv1": [0, 1]}),
        ({"chosen_layers": ["conv2"]}, {"conv2": [0, 1, 2, 3]}),
        ({"chosen_layers": ["fc", "*v1"]}, {"fc": [0, 1, 2, 3], "conv1": [0, 1]}),
        ({"chosen_layers": ["conv2"], "filters": (7, 1)}, {"conv2": [7, 1]}),
        ({"chosen_layers": ["relu1"]}, {"relu1": [0, 1]}),
        ({"chosen_layers": ["*1"]}, {"relu1": [0, 1], "bn1": [0, 1, 2, 3], "conv1": [0, 1]}),
        (
            {"default_layers": ("fc", "relu1")},
            {CLASSES: [0, 1, 2], "fc": [0, 1, 2, 3], "relu1": [0, 1]},
        ),
        ({"default_layers": ("conv2",), "chosen_layers": ["conv1"]}, {"conv1": [0, 1]}),
        ({"default_layers": ("conv2",), "classes": ["0"]}, {CLASSES: [0]}),
        ({"filters": "all"}, {CLASSES: [0, 1, 2], "conv2": list(range(8)), "conv1": [0, 1]}),
        ({"classes": ["moving right"]}, {CLASSES: [1]}),
        ({"classes": ["2", "0-1"]}, {CLASSES: [2, 0, 1]}),
        ({"classes": ["7"]}, {CLASSES: [2]}),  # a name comes before a number
        ({"classes": ["all"], "chosen_layers": ["conv1"]}, {CLASSES: [0, 1, 2], "conv1": [0, 1]}),
    ],
)
def test_a_choice_gives_classes_first_and_the_deepest_layer_next(choice, expected):
    assert chosen(**choice) == expected
    assert list(chosen(**choice)) == list(expected)


def test_classes_carry_their_names():
    units = plan.sections(NETWORK, class_count=3, class_names=NAMES, classes=["all"])[0].units
    assert [unit.label for unit in units] == NAMES
    units = plan.sections(NETWORK, class_count=3, classes=["1"])[0].units
    assert units == (Unit(CLASSES, 1, None, "classes"),)


@pytest.mark.parametrize(
    "choice, message",
    [
        ({"chosen_layers": ["convl"]}, r"such as 'conv2', 'conv1'\. Received: 'convl'"),
        ({"chosen_layers": ["mixed*"]}, r"Received: 'mixed\*'"),
        ({"default_layers": ["conv3"]}, r"such as 'conv2'.* Received: 'conv3'"),
        (
            {"chosen_layers": ["conv1"], "filters": (2, 3)},
            r"'conv1' has 2 filters.* from 0 to 1\. Received: 2",
        ),
        ({"filters": (8, 9)}, r"'conv2' has 8 filters.* from 0 to 7\. Received: 8"),
        ({"filters": (-1,)}, r"from 0 to 7\. Received: -1"),
        ({"classes": ["moving lift"]}, r"such as 'moving left'.* Received: 'moving lift'"),
        ({"classes": ["3"]}, r"3 classes\. Expected classes from 0 to 2\. Received: 3"),
        ({"classes": ["-1"]}, r"from 0 to 2\. Received: '-1'"),
    ],
)
def test_what_is_not_there_is_refused(choice, message):
    with pytest.raises(ValueError, match=message):
        chosen(**choice)


def test_a_layer_with_fewer_filters_than_are_asked_for_shows_those_that_it_has():
    with pytest.warns(UserWarning, match=r"fewer filters .* show those that they have: conv1 2$"):
        assert chosen(filters=(1, 2, 7)) == {"conv2": [1, 2, 7], "conv1": [1], CLASSES: [0, 1, 2]}
    with pytest.warns(UserWarning, match="conv1 2, conv2 8"):
        assert chosen(filters=range(3, 12), classes=[], chosen_layers=["conv?"]) == {
            "conv2": [3, 4, 5, 6, 7]
        }


def test_a_network_without_anything_to_show_is_refused():
    with pytest.raises(ValueError, match="layers 'fc'"):
        plan.sections([NETWORK[4]])
    with pytest.raises(ValueError, match="ends in classes"):
        plan.sections(NETWORK, classes=["0"])


def test_folder_names_are_safe_and_unique():
    folders = folder_names(HOSTILE)
    assert list(folders) == HOSTILE
    devices = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}
    for name in folders.values():
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,80}", name), name
        assert not name.endswith(".") and name.split(".")[0].lower() not in devices
        assert name.lower() not in ("gallery.json", "readme.md", "index.html", "classes")
    assert len({name.lower() for name in folders.values()}) == len(HOSTILE)


def test_folder_names_keep_plain_names_and_do_not_depend_on_the_choice():
    plain = ["conv3b", "Mixed_4d", "Conv3d_1a_7x7", "fc6.1", "layer1-0"]
    assert folder_names(plain) == {name: name for name in plain}
    folders = [
        section.units[0].folder
        for section in plan.sections([Layer("A"), Layer("a")], chosen_layers=["a"])
    ]
    assert folders == [folder_names(["A", "a"])["a"]] != ["a"]


def test_a_name_that_looks_like_a_made_up_one_does_not_collide():
    made_up = folder_names(["a", "A"])["A"]
    folders = folder_names(["a", made_up, "A"])
    assert len({name.lower() for name in folders.values()}) == 3


@pytest.mark.parametrize("channels", [[0], [0, 1, 2, 7], [5, 3, 4], [2, 1, 0]])
def test_ranges_are_read_back_as_they_were(channels):
    assert command_line.numbers(tables.ranges(channels)) == tuple(channels)


def test_the_plan_table_counts_what_is_there():
    sections = plan.sections(NETWORK, class_count=3, class_names=NAMES)
    lines = tables.plan_table(sections, sections[1].units[:3]).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["classes", "0-2", "3", "0"],
        ["conv2", "0-3", "1", "3"],
        ["conv1", "0-1", "2", "0"],
        ["together", "6", "3"],
    ]


def test_the_layer_table_lists_layers_and_classes():
    text = tables.layer_table(NETWORK, ["left\x1b[31m", "right"], 2)
    assert re.search(r"^conv2 +Conv3D +4 x 16 x 16 x 8 +8$", text, re.MULTILINE)
    assert "0  left⟨U+001B⟩[31m" in text


@pytest.mark.parametrize("count, shown", [(1, 1), (20, 20), (21, 10), (400, 10)])
def test_of_many_classes_the_first_ten_are_shown_and_it_is_said(count, shown):
    of_default = plan.sections([], class_count=count)
    assert [unit.channel for unit in of_default[0].units] == list(range(shown))
    lines: list[str] = []
    plan.report_left_out(of_default, lines.append)
    told = f"showing 10 of {count} classes; use --classes all to show all"
    assert lines == ([] if shown == count else [told])
    assert len(plan.sections([], class_count=count, classes=["all"])[0].units) == count
    lines.clear()
    plan.report_left_out(plan.sections(NETWORK, chosen_layers=["conv1"]), lines.append)
    assert not lines
