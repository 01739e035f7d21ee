"""Encodes clips in each file format."""

import io
import itertools
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image

Encoder = Callable[[NDArray[np.uint8], float, int | None], bytes]
"""Takes a clip of 1, 3 or 4 channels, frames per second, and quality or None; returns a file."""

_GIF_TICK = 10
"""Milliseconds: the unit of delays in a GIF."""
_GIF_FASTEST = 50
"""Frames per second: browsers show a GIF's shorter delays as 100 ms."""
_GIF_LONGEST = 655_350
"""Milliseconds: the longest delay of a GIF, and so the longest time for which it shows a frame."""
_JPEG_WIDEST = 65_500
"""Pixels, libjpeg's limit."""


def _delays(count: int, fps: float, tick: int) -> list[int]:
    """Delays in milliseconds, in whole ticks; no frame ends more than half a tick off."""
    ends = [round(index * 1000 / fps / tick) for index in range(count + 1)]
    return [tick * (after - before) for before, after in itertools.pairwise(ends)]


def _colored(clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(clip, 3, axis=-1) if clip.shape[-1] == 1 else clip


def _images(clip: NDArray[np.uint8]) -> list[Image.Image]:
    return [Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in clip]


def _animation(images: list[Image.Image], kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    images[0].save(buffer, kind, save_all=True, append_images=images[1:], loop=0, **options)
    return buffer.getvalue()


def _gif(clip: NDArray[np.uint8], fps: float, quality: int | None) -> bytes:
    if fps > _GIF_FASTEST:
        raise ValueError(
            f"Expected fps up to {_GIF_FASTEST} for .gif, as browsers slow faster ones down. "
            f"Received: fps={fps!r}; write .webp or .mp4."
        )
    delays = _delays(len(clip), fps, _GIF_TICK)
    if sum(delays) > _GIF_LONGEST:
        raise ValueError(
            f"Expected a GIF of at most {_GIF_LONGEST / 1000:g} s. Received: {len(clip)} frames "
            f"at fps={fps!r}, {sum(delays) / 1000:g} s."
        )
    # Choosing a palette takes nearly all of the time, and releases Python's lock.
    with ThreadPoolExecutor() as threads:
        if clip.shape[-1] == 4:
            # Each frame is cleared before the next, or what is transparent would show the last one.
            images = list(threads.map(_few_colors_and_clear, clip))
            return _animation(images, "GIF", duration=delays, disposal=2)
        images = _without_repeats(list(threads.map(_few_colors, _images(clip))))
    return _animation(images, "GIF", duration=delays)


def _without_repeats(images: list[Image.Image]) -> list[Image.Image]:
    """The same animation, in which a frame like the one before is clear: Pillow merges equal ones.

    Clear frames have other colours by turns, which nobody sees, so that they are not merged either.
    """
    shown = [np.asarray(image.convert("RGB")) for image in images]
    for index in range(1, len(images)):
        if np.array_equal(shown[index], shown[index - 1]):
            clear = Image.new("P", images[index].size, 0)
            clear.putpalette([255 * (index % 2)] * 3)
            clear.info["transparency"] = 0
            images[index] = clear
    return images


def _few_colors(image: Image.Image, colors: int = 256) -> Image.Image:
    """Reduces the colours to a palette of the frame's own."""
    if image.mode == "L":
        return image
    # Refined by k-means until 1 % of the pixels change place: about 3 dB better than Pillow's
    # default on noisy, colourful clips. Dithering would cost 1 dB and flicker.
    settled = 1 + image.width * image.height // 100
    return image.quantize(colors, Image.Quantize.MAXCOVERAGE, kmeans=settled)


def _few_colors_and_clear(frame: NDArray[np.uint8]) -> Image.Image:
    clear = 255
    hidden = frame[..., 3] < 128
    visible = np.where(hidden[..., None], 0, frame[..., :3])  # no palette entry for what is hidden
    few = _few_colors(Image.fromarray(visible), colors=clear)
    palette = few.getpalette() or []
    index = np.where(hidden, clear, np.asarray(few)).astype(np.uint8)
    image = Image.fromarray(index)
    image.putpalette(palette + [0] * (768 - len(palette)))
    image.info["transparency"] = clear
    return image


def _webp(clip: NDArray[np.uint8], fps: float, quality: int | None) -> bytes:
    if len(clip) > 1 and (clip == clip[0]).all():
        warnings.warn("All frames are equal: WebP stores one picture and no timing.", stacklevel=3)
    delays = _delays(len(clip), fps, tick=1)
    return _animation(
        _images(_colored(clip)),
        "WEBP",
        duration=delays,
        quality=90 if quality is None else quality,
        method=4,
    )


def _png(clip: NDArray[np.uint8], fps: float, quality: int | None) -> bytes:
    # Pillow merges equal frames, and drops the time of a clip that stands still, unless they
    # differ in what happens to the canvas after them. Each frame covers it all, so nobody sees.
    disposal = [index % 2 for index in range(len(clip))]
    images = _images(_colored(clip))  # with grey ones Pillow cannot clear the canvas
    return _animation(images, "PNG", duration=1000 / fps, disposal=disposal)


def _mp4(clip: NDArray[np.uint8], fps: float, quality: int | None) -> bytes:
    height, width = clip.shape[1:3]
    odd = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))  # 4:2:0 halves both sides
    clip = np.pad(_colored(clip), odd, mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(10**6))
        stream.height, stream.width, stream.pix_fmt = *clip.shape[1:3], "yuv420p"
        # Said outright, or a player takes the colours of a large clip for those of HD video.
        stream.codec_context.colorspace = Colorspace.ITU601
        stream.codec_context.color_range = ColorRange.MPEG
        # CRF, 0 (best) to 51; 18 is held to be hard to tell from the original.
        stream.options = {"crf": str(round(51 * (1 - (65 if quality is None else quality) / 100)))}
        for index, pixels in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def _strip(clip: NDArray[np.uint8], fps: float, quality: int | None) -> bytes:
    strip = np.concatenate(list(clip), axis=1)
    if strip.shape[1] > _JPEG_WIDEST:
        raise ValueError(
            f"Expected a film strip of at most {_JPEG_WIDEST} pixels. Received: {len(clip)} "
            f"frames of width {clip.shape[2]}."
        )
    buffer = io.BytesIO()
    _images(strip[None])[0].save(
        buffer, "JPEG", quality=85 if quality is None else quality, subsampling="4:4:4"
    )
    return buffer.getvalue()


ENCODERS: dict[str, Encoder] = {
    ".gif": _gif,
    ".webp": _webp,
    ".png": _png,
    ".mp4": _mp4,
    ".jpg": _strip,
    ".jpeg": _strip,
}
