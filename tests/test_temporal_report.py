"""The table of what freezing and reversing do to networks."""

import html.parser
import sys

import keras
import numpy as np
import pytest
from markdown_it import MarkdownIt

from c3dvis import attribution, objectives
from c3dvis.attribution import temporal
from c3dvis.attribution.temporal import page
from c3dvis.attribution.temporal.report import Row, TemporalReport, temporal_report

SHAPE = (6, 8, 8, 3)
CLIPS = np.random.default_rng(0).random((3, *SHAPE), np.float32)
HOSTILE = "<script>alert(1)</script>|`a`\n[b](c)"


def network(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    clip = keras.Input(SHAPE)
    x = keras.layers.Conv3D(3, 3, activation="relu")(clip)
    x = keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0))(
        keras.layers.Flatten()(x)
    )
    model = keras.Model(clip, keras.layers.Softmax()(x))
    model.class_names = ("wave", "clap", HOSTILE)
    return model


@pytest.fixture(scope="module")
def networks():
    return {"first": network(0), "second": network(1)}


@pytest.fixture(scope="module")
def predicted(networks):
    """Class of each network and clip, `(networks, clips)`."""
    return np.array([one(CLIPS, training=False) for one in networks.values()]).argmax(axis=-1)


@pytest.fixture(scope="module")
def report(networks, predicted):
    """The labels are what the first network says, but for the last clip."""
    labels = [int(predicted[0, 0]), "wave", (int(predicted[0, 2]) + 1) % 3]
    return temporal_report(networks, CLIPS, labels, method="window", by="freeze")


def test_the_scores_are_those_of_the_clips(report, networks, predicted):
    assert [(row.clip, row.network) for row in report.rows] == [
        (str(clip), name) for clip in range(3) for name in networks
    ]
    for i, row in enumerate(report.rows):
        clip, model = i // 2, list(networks.values())[i % 2]
        label = int(predicted[i % 2, clip])
        answer = attribution.attribute(
            model, CLIPS[clip], objectives.logit(label), method="window", by="freeze"
        )
        mask = answer.frame_mask[None]
        clips = [
            CLIPS[clip][None],
            temporal.perturb(CLIPS[clip], mask, "freeze"),
            temporal.perturb(CLIPS[clip], mask, "reverse"),
        ]
        expected = [float(model(one, training=False)[0, label]) for one in clips]
        assert (row.original, row.frozen, row.reversed) == pytest.approx(expected, abs=1e-5)
        assert row.predicted == model.class_names[label]
        assert list(row.frames) == answer.frame_mask.astype(bool).tolist()
        assert row.freeze_drop == pytest.approx((expected[0] - expected[1]) / expected[0], abs=1e-4)


def test_the_true_class_is_scored_where_another_is_predicted(report, networks, predicted):
    labels = [int(predicted[0, 0]), 0, (int(predicted[0, 2]) + 1) % 3]
    wrong = 0
    for i, row in enumerate(report.rows):
        clip, model = i // 2, list(networks.values())[i % 2]
        if predicted[i % 2, clip] == labels[clip]:
            assert row.correct is None
        else:
            wrong += 1
            own = float(model(CLIPS[clip][None], training=False)[0, labels[clip]])
            assert row.correct == pytest.approx(own, abs=1e-5)
    assert 0 < wrong < len(report.rows)


def test_without_labels_nothing_is_wrong(networks):
    report = temporal_report({"one": networks["first"]}, CLIPS[:1], method="freeze", steps=2)
    assert report.rows[0].correct is None
    assert report.method == "freeze"


def row_of(frozen, reversed_, name="net", clip="0", predicted="wave"):
    frames = (False, True, True, False)
    return Row(clip, name, predicted, 0.8, frozen, reversed_, None, frames)


def test_the_summary_holds_means_and_median_drops():
    rows = [row_of(0.0, 0.8), row_of(0.4, 0.4), row_of(0.6, 0.0)]
    (one,) = TemporalReport(tuple(rows), "freeze").summary()
    assert (one.original, one.frozen, one.reversed) == pytest.approx((0.8, 1 / 3, 0.4))
    assert (one.freeze_drop, one.reverse_drop) == pytest.approx((0.5, 0.5))
    assert one.frames == 2


def tables(markdown: str) -> list[list[list[str]]]:
    """The texts of every table in a Markdown document, as a reader shows them."""
    return cells(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))


def cells(text: str) -> list[list[list[str]]]:
    class Reader(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.tables, self.scripts, self.in_cell = [], 0, False

        def handle_starttag(self, tag, attributes):
            self.scripts += tag == "script"
            if tag == "table":
                self.tables.append([])
            if tag == "tr":
                self.tables[-1].append([])
            if tag in ("td", "th"):
                self.in_cell = True
                self.tables[-1][-1].append("")

        def handle_endtag(self, tag):
            self.in_cell = self.in_cell and tag not in ("td", "th")

        def handle_data(self, data):
            if self.in_cell:
                self.tables[-1][-1][-1] += data

    reader = Reader()
    reader.feed(text)
    assert not reader.scripts
    return reader.tables


def test_markdown_holds_every_row_side_by_side(report):
    clips, networks = tables(page.to_markdown(report))
    assert len(clips) == 4 and {len(row) for row in clips} == {13}
    assert clips[0][1:4] == ["first OS", "first FS", "first RS"] and clips[0][7] == "second OS"
    for line, row in zip(clips[1:], report.rows[::2], strict=True):
        assert line[0] == row.clip and line[2] == f"{row.frozen:.3f}"
        assert line[6] == "".join("█" if on else "·" for on in row.frames)
    assert [line[0] for line in networks[1:]] == ["first", "second"]


def test_names_are_shown_and_never_read_as_markup():
    row = Row(HOSTILE, HOSTILE, HOSTILE, 0.8, 0.1, 0.2, 0.3, (True, False))
    report = TemporalReport((row,), HOSTILE)
    clips, networks = tables(page.to_markdown(report))
    shown = HOSTILE.replace("\n", "⟨U+000A⟩")
    assert [text.strip() for text in clips[1]] == [
        shown,
        "0.800",
        "0.100",
        "0.200",
        "0.300",
        shown,
        "█·",
    ]
    in_page = cells(page.to_html(report))
    assert in_page[0][2][0].strip() == shown and in_page[0][2][5] == shown
    assert in_page[1][1][0] == shown and len(networks) == 2


def test_the_page_marks_each_frame(report):
    text = page.to_html(report)
    on = sum(sum(row.frames) for row in report.rows)
    assert text.count('<i class="on">') == on
    assert text.count('<i class="off">') == len(report.rows) * SHAPE[0] - on
    assert "http" not in text  # it needs no other file


def test_without_pandas_the_data_frame_says_what_to_do(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        report.to_frame()


def test_the_data_frame_has_a_row_a_clip_and_network(report, monkeypatch):
    class Pandas:
        DataFrame = list

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    records = report.to_frame()
    assert len(records) == len(report.rows)
    assert records[0]["network"] == "first"
    assert records[0]["freeze_drop"] == report.rows[0].freeze_drop


@pytest.mark.parametrize(
    "change, message",
    [
        ({"networks": {}}, "Expected one network or more by name.*Received: none"),
        ({"networks": [1]}, "Expected one network or more by name.*Received: list"),
        ({"labels": 0}, "Expected a list of 3 labels. Received: 0"),
        ({"clips": CLIPS[0]}, "Expected clips"),
        ({"labels": [0]}, "Expected a list of 3 labels. Received: one of 1"),
        ({"names": ["a"]}, "Expected a list of 3 names. Received: one of 1"),
        ({"labels": ["wave", "clap", "wawe"]}, "'wave'"),
        ({"labels": [0, 1, 3]}, "from 0 to 2"),
        ({"method": "gradient"}, "a mask of frames"),
        ({"method": ["window"]}, "a mask of frames"),
        ({"preprocess": {"third": None}}, "Received: .'third'"),
        ({"by": "frieze"}, "Expected by="),
    ],
)
def test_wrong_arguments_are_told(networks, change, message):
    arguments = {"networks": networks, "clips": CLIPS, "method": "window", **change}
    with pytest.raises(ValueError, match=message):
        temporal_report(arguments.pop("networks"), arguments.pop("clips"), **arguments)
