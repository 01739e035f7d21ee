"""How many frames a video file holds, when they are shown, and how many its header promises."""

import re
from collections import defaultdict
from dataclasses import dataclass

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

_SLACK = 0.1
"""Seconds by which a header may overstate the length where it speaks of all streams together."""


@dataclass(frozen=True)
class Timing:
    """What the packets and the header of a video stream say; times in seconds."""

    count: int
    """Packets that are to be shown as a frame."""
    last: float | None
    """When the last frame begins."""
    gap: float | None
    """How long a frame usually lasts."""
    shortest: float
    longest: float
    promised: int | None
    """Frames that the header's length has room for; None where it states none."""
    missing: float
    """How much earlier than stated the packets end, in frames of the longest duration."""

    @property
    def uneven(self) -> bool:
        """Whether a frame lasts half as long again as usual, or half as long."""
        return self.gap is not None and (
            self.longest > 1.5 * self.gap or self.shortest < 0.5 * self.gap
        )


def measure(container: InputContainer, stream: VideoStream) -> Timing:
    """Reads all packets without decoding them, and compares their end with the header's."""
    count, starts, ends = _packets(container, stream)
    gaps = np.diff(starts)
    gap = _usual_gap(gaps, stream)
    shortest, longest = float(gaps.min(initial=gap or 0.0)), float(gaps.max(initial=gap or 0.0))
    begin, end, of_all_streams = _stated(container, stream)
    first, last = (float(starts[0]), float(starts[-1])) if len(starts) else (0.0, None)
    promised, missing = None, 0.0
    if gap is not None and end is not None:
        if last is not None:  # some containers store no durations
            ends[stream.index] = max(ends[stream.index], last + gap)
        last_end = max(ends.values(), default=0.0) if of_all_streams else ends[stream.index]
        missing = (end - last_end - _SLACK * of_all_streams) / longest
        promised = round((end - (first if begin is None else begin)) / gap)
    return Timing(count, last, gap, shortest, longest, promised, missing)


def _packets(
    container: InputContainer, stream: VideoStream
) -> tuple[int, NDArray[np.float64], dict[int, float]]:
    """Counts the video packets; also when each begins, in order, and when each stream ends."""
    count, starts = 0, []
    ends: dict[int, float] = defaultdict(float)
    for packet in container.demux():
        if not packet.size:
            continue
        index, tick = packet.stream.index, float(packet.time_base)
        # AVI stores the order of decoding only; FFmpeg's guess at the rest errs at the end.
        avi = container.format.name == "avi"
        at = packet.dts if avi or packet.pts is None else packet.pts
        if at is not None:
            ends[index] = max(ends[index], tick * (at + (packet.duration or 0)))
        # An edit list may ask for packets to be decoded and not shown.
        if index == stream.index and not packet.is_discard:
            count += 1
            starts += [] if at is None else [tick * at]
    return count, np.sort(np.array(starts)), ends


def _usual_gap(gaps: NDArray[np.float64], stream: VideoStream) -> float | None:
    """The stated frame rate, unless the packets contradict it (AVI may count empty slots)."""
    stated = 1 / float(stream.average_rate) if stream.average_rate else None
    if not len(gaps) or not (median := float(np.median(gaps))):
        return stated
    return stated if stated and abs(stated - median) < 0.05 * median else median


def _stated(
    container: InputContainer, stream: VideoStream
) -> tuple[float | None, float | None, bool]:
    """When the video begins and ends by the header, and whether it speaks of all streams.

    Formats that state no length, for which FFmpeg guesses one from the bit rate, give None.
    """
    tick, name = float(stream.time_base or 0), container.format.name
    if name == "avi":  # the length counts slots of one tick, empty ones too
        return 0.0, stream.frames * tick or None, False
    if "mp4" in name:
        start = (stream.start_time or 0) * tick
        return start, (start + stream.duration * tick) if stream.duration else None, False
    if "matroska" in name:
        tag = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
        if tag:
            hours, minutes, seconds = map(float, tag.groups())
            return None, 3600 * hours + 60 * minutes + seconds, False
    if "matroska" in name or name in ("flv", "asf"):
        return None, container.duration / av.time_base if container.duration else None, True
    return None, None, False
