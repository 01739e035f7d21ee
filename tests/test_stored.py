"""What JSON files hold is checked, once, when it is read."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from c3dvis import stored


@pytest.mark.parametrize(
    "check, right, wrong",
    [
        (stored.text, ["", "a"], [None, 1, ["a"]]),
        (stored.text_or_none, [None, "a"], [0, []]),
        (stored.count, [0, 2**80], [-1, 1.0, True, "1", None]),
        (stored.number, [0, -1.5], [None, True, "1", float("nan"), float("-inf"), 10**400]),
        (stored.number_or_none, [None, 2], ["", float("inf")]),
        (stored.mapping, [{}], [None, [], "a"]),
        (stored.items, [[], [1]], [None, {}, "a"]),
        (stored.shape, [[4, 8, 9]], [[4, 8], [4, 8, 0], [4, 8, 1.5], "abc", None]),
        (stored.shape_or_none, [None, [4, 8, 9]], [[4, 8], 0]),
        (stored.lengths, [[], [4, None]], [[-1], ["4"], None]),
    ],
)
def test_a_value_is_given_or_refused(check, right, wrong):
    for value in right:
        given = check(value)
        assert (list(given) if isinstance(given, tuple) else given) == value
    for value in wrong:
        with pytest.raises(ValueError, match="Expected .* Received: "):
            check(value)


@dataclass(frozen=True)
class Clip:
    name: str
    score: float | None
    shape: tuple[int, int, int]


def test_a_dataclass_comes_back_with_its_fields_checked():
    kept = {"name": "a", "score": None, "shape": [4, 8, 9], "of a later version": 1}
    assert stored.dataclass_of(Clip, kept) == Clip("a", None, (4, 8, 9))
    for wrong in ({"name": 1}, {"score": "1"}, {"shape": [4, 8]}):
        with pytest.raises(ValueError, match="Expected .* Received: "):
            stored.dataclass_of(Clip, kept | wrong)
    with pytest.raises(KeyError, match="score"):
        stored.dataclass_of(Clip, {"name": "a", "shape": [4, 8, 9]})


def test_what_is_not_finite_is_kept_as_none():
    assert [stored.finite(x) for x in (1, float("nan"), float("inf"))] == [1.0, None, None]
