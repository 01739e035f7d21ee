"""Which options of a gallery's run go together; nothing here loads Keras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from c3dvis.gallery import engines
from c3dvis.maximize import parametrizations


def check(
    *,
    engine: str,
    workers: int | None,
    address: str | None,
    shard: str | None,
    real_clips: str | Path | None,
    motion_cards: bool,
    directions: bool,
    slow_to_free: bool,
    other_parametrizations: Sequence[str],
    neurons: bool,
) -> None:
    """Refuses options of `c3dvis.gallery.make.make` that contradict each other.

    Raises:
        ValueError: An unknown engine or parametrization, an option that the engine does not take,
            a wrong shard, more than the clips themselves with a shard, or directions without
            motion cards.
    """
    engines.check(engine, workers=workers, address=address)
    for name in other_parametrizations:
        parametrizations.check_name(name)
    if shard is not None:
        from c3dvis.gallery import shards  # not above, as it loads NumPy

        shards.parse(shard)
        more = directions or slow_to_free or other_parametrizations or neurons
        if real_clips is not None or motion_cards or more:
            raise ValueError(
                "Expected no real clips, motion cards or more clips of each unit with a shard: add "
                f"them when all shards are finished. Received: {shard!r}."
            )
    if directions and not motion_cards:
        raise ValueError(
            "Expected directions with motion cards, which measure them: --cards. Received: "
            "directions alone."
        )
