"""Frames from video files, read with PyAV.

FFmpeg ends a damaged file as it ends a whole one: without a word. So a file is measured first: its
packets are counted, which needs no decoding, and its length is compared with what it promises.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from c3dvis.clips.containers import cut_off
from c3dvis.clips.sources import FewerFrames, check_frame_size, unreadable
from c3dvis.clips.timing import Timing, measure

# From PyAV 19 on, metadata that is not UTF-8 is read without being asked for.
_ANY_METADATA: dict[str, Any] = (
    {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
)
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,mpegtsraw,flv,asf,ogg,nut,"
    "mxf,dv,rm,ivf,h264,hevc,m4v,mjpeg,obu,av1,gif,apng,yuv4mpegpipe,wtv,swf"
)
"""What FFmpeg may open: files that hold frames, and no lists of other files."""

_OTHER_FILE = (
    "damaged, or no video at all (save a clip from another program as an array (frames, height, "
    "width, channels) with np.save)"
)


@dataclass(frozen=True)
class Video:
    """A video file that was measured and found complete."""

    path: Path
    count: int
    size: tuple[int, int]
    last: float | None
    """When the last frame begins, in seconds; None where the file does not say."""
    rate: float | None = None
    """Frames per second, their mean; None where the file does not say."""
    channels: ClassVar[int] = 3

    @classmethod
    def open(cls, path: Path) -> "Video":
        """Counts the frames, refuses a truncated file, warns of an uneven frame rate."""
        try:
            with _opened(path) as (container, stream):
                timing = measure(container, stream)
                rate = float(stream.average_rate) if stream.average_rate else None
        except av.FFmpegError as error:
            raise unreadable(path, _OTHER_FILE) from error
        _check_whole(path, timing)
        if not timing.count:
            raise unreadable(path, "its video stream holds no frames")
        if timing.uneven:
            warnings.warn(
                f"{str(path)!r} has a variable frame rate: frames last "
                f"{1000 * timing.shortest:.4g} to {1000 * timing.longest:.4g} ms. They are "
                "returned as stored, not spaced in time.",
                stacklevel=4,
            )
        first = next(cls(path, timing.count, (0, 0), timing.last).pick([0]))
        return cls(path, timing.count, first.shape[:2], timing.last, rate)

    def pick(self, wanted: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield the wanted frames, decoding from the first to the last of them."""
        keep, decoded, reached = set(wanted), 0, -np.inf
        try:
            for frame in _decoded(self.path):
                if decoded in keep:
                    yield _upright(frame, self.path)
                decoded += 1
                if decoded > wanted[-1]:
                    return
                reached = max(reached, -np.inf if frame.time is None else frame.time)
        except av.FFmpegError as error:
            reason = f"damaged (decoded {decoded} frames, expected {self.count})"
            raise unreadable(self.path, reason) from error
        # A file cut out of a longer one may begin with packets that lean on what is gone. The
        # decoder leaves these out, and yet arrives at the last one.
        if decoded and self.last is not None and reached > self.last - 1e-6:
            raise FewerFrames(replace(self, count=decoded))
        raise unreadable(self.path, f"decoded {decoded} frames, expected {self.count}")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    # "file:" and the white list: neither a name nor a playlist may send FFmpeg to the network.
    only_files = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    with av.open(f"file:{path}", options=only_files, **_ANY_METADATA) as container:
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic  # the cover of a song
        ]
        if not streams:
            raise unreadable(path, "no video stream")
        if streams[0].codec_context is None:
            raise unreadable(path, "no decoder for its video stream")
        check_frame_size(path, streams[0].codec_context.height, streams[0].codec_context.width)
        yield container, streams[0]


def _decoded(path: Path) -> Iterator[VideoFrame]:
    with _opened(path) as (container, stream):
        yield from container.decode(stream)


def _check_whole(path: Path, timing: Timing) -> None:
    cut = cut_off(path)
    if not cut and timing.missing < 1.5:
        if timing.missing > 0.75:  # programs differ in how they count the last frame
            warnings.warn(
                f"{str(path)!r} holds {timing.count} frames; its header promises "
                f"{timing.promised}.",
                stacklevel=5,
            )
        return
    decoded = 0
    try:
        for _ in _decoded(path):
            decoded += 1
    except av.FFmpegError:
        pass  # the count up to here is what the error below is to tell
    if timing.promised is None or decoded < timing.promised:
        promise = "more" if timing.promised is None else timing.promised
        reason = "the file is cut off" if cut else "by its stated length"
        raise unreadable(path, f"decoded {decoded} frames, expected {promise} ({reason})")
    if cut:
        warnings.warn(
            f"{str(path)!r} is cut off, but all {decoded} frames were found.", stacklevel=5
        )


def _upright(frame: VideoFrame, path: Path) -> NDArray[np.uint8]:
    """RGB of the frame, turned and mirrored as the file asks (phones do), over black."""
    rotation, is_mirrored = _display(frame)
    turns, rest = divmod(rotation, 90)
    if rest:
        warnings.warn(
            f"{str(path)!r} asks to be rotated by {rotation} degrees; it is read as stored.",
            stacklevel=4,
        )
        turns = 0
    pixels = _over_black(frame)
    return np.rot90(pixels[:, ::-1] if is_mirrored else pixels, turns)


def _display(frame: VideoFrame) -> tuple[int, bool]:
    """Degrees that a frame is to be turned to the left, after mirroring left and right or not."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return frame.rotation, False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(np.int64)
    if a * d - b * c >= 0:
        return frame.rotation, False
    return round(-math.degrees(math.atan2(-b, -a))), True


def _over_black(frame: VideoFrame) -> NDArray[np.uint8]:
    if not any(component.is_alpha for component in frame.format.components):
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    pixels = frame.to_ndarray(format="rgba")
    return np.asarray(np.rint(pixels[..., :3] * (pixels[..., 3:] / 255)), np.uint8)
