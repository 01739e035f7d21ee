"""Frames from GIF, WebP and APNG files, and from folders of pictures, read with Pillow."""

import itertools
import re
import statistics
import struct
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from c3dvis.clips.sources import Unreadable, check_frame_size, unreadable
from c3dvis.text import counted

FRAME_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""File names that count as frames of a folder; anything else in it is left alone."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may open: it knows others besides, of which one (EPS) is a program that it runs."""

_GIF_TICK = 10
"""Milliseconds; GIF delays differ by this much merely because they are rounded to it."""

_PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    ArithmeticError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for damaged files: mostly OSError, but its parsers stumble in many ways."""


@dataclass(frozen=True)
class Picture:
    """A picture file with one frame or more."""

    path: Path
    count: int
    size: tuple[int, int]
    rate: float | None = None
    channels: ClassVar[int] = 3

    @classmethod
    def open(cls, path: Path) -> "Picture":
        """Reads the number of frames and their size; no frame is decoded."""
        with _refusals(path), _opened(path) as image:
            # What a JPEG file holds besides its picture (a thumbnail, a second view) is not a
            # frame.
            single = image.format in ("JPEG", "MPO")
            count, (width, height) = 1 if single else getattr(image, "n_frames", 1), image.size
            shown = image.info.get("duration", 0)  # milliseconds, of the first frame
        is_known = isinstance(shown, (int, float)) and shown > 0
        return cls(path, count, (height, width), 1000 / shown if is_known else None)

    def pick(self, wanted: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield the wanted frames, decoding from the first to the last of them."""
        keep, shown = set(wanted), []
        with _refusals(self.path):
            image = _opened(self.path)
        with image:
            for index in range(wanted[-1] + 1):
                with _refusals(self.path, index, self.count):
                    image.seek(index)
                    self._check_size(index, image)
                    image.load()
                    frame = _pixels(image) if index in keep else None
                shown.append(image.info.get("duration", 0))
                if frame is not None:
                    yield frame
        if image.format == "GIF" and not _has_end_mark(self.path):
            warnings.warn(
                f"{str(self.path)!r} has no end mark: frames may be missing at its end.",
                stacklevel=4,
            )
        _warn_of_uneven_delays(self.path, shown)

    def _check_size(self, index: int, image: Image.Image) -> None:
        """Refuses a frame that is larger than the first, before it is decoded."""
        width, height = image.size
        if (height, width) != self.size:
            raise unreadable(
                self.path,
                f"frame {index} is {height}x{width} pixels, the first {self.size[0]}x"
                f"{self.size[1]}",
            )


@dataclass(frozen=True)
class Folder:
    """A folder in which each picture file is a frame."""

    path: Path
    files: tuple[Path, ...]
    size: tuple[int, int]
    channels: ClassVar[int] = 3

    @classmethod
    def open(cls, path: Path) -> "Folder":
        """List the frames in natural order: 2 comes before 10."""
        try:
            names = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        except OSError as error:
            raise unreadable(path, error.strerror or str(error)) from error
        files = [name for name in names if name.suffix.lower() in FRAME_SUFFIXES]
        for file in files:
            if file.exists() and not file.is_file():  # a pipe would never end
                raise unreadable(path, f"{file.name!r} is not a file")
        if not files:
            kinds = ", ".join(FRAME_SUFFIXES)
            raise unreadable(path, f"no frames ({kinds}) among its {len(names)} entries")
        files.sort(key=lambda file: _natural(file.name))
        _check_numbers(path, files)
        first = next(cls(path, (files[0],), (0, 0))._frames([0]))
        return cls(path, tuple(files), first.shape[:2])

    @property
    def count(self) -> int:
        """How many frames there are."""
        return len(self.files)

    @property
    def rate(self) -> None:
        """Pictures do not say how long they are shown."""
        return None

    def pick(self, wanted: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """Yield the wanted frames; only their files are opened."""
        for index, frame in zip(wanted, self._frames(wanted), strict=True):
            if frame.shape[:2] != self.size:
                height, width = self.size
                raise ValueError(
                    f"Expected frames of one size, {height}x{width} as {str(self.files[0])!r}. "
                    f"Received: {frame.shape[0]}x{frame.shape[1]} in {str(self.files[index])!r}."
                )
            yield frame

    def _frames(self, wanted: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        for index in wanted:
            file = self.files[index]
            with _refusals(file), _opened(file) as image:
                frame = _pixels(ImageOps.exif_transpose(image))
            yield frame


def _opened(path: Path) -> Image.Image:
    """The picture, not yet decoded; refused where it is too large to be."""
    with warnings.catch_warnings():
        # Pillow's own limits are above ours.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path, formats=_FORMATS)
    width, height = image.size
    try:
        check_frame_size(path, height, width)
    except Unreadable:
        image.close()
        raise
    return image


@contextmanager
def _refusals(path: Path, decoded: int = 0, expected: int = 1) -> Iterator[None]:
    """Turns what Pillow raises for a bad file into one line that names the file."""
    try:
        yield
    except Unreadable:
        raise
    except EOFError as error:
        raise unreadable(path, f"decoded {decoded} frames, expected {expected}") from error
    except Image.UnidentifiedImageError as error:
        kinds = ", ".join(_FORMATS)
        raise unreadable(path, f"not a picture of a kind that is read ({kinds})") from error
    except _PILLOW_ERRORS as error:
        after = f", after {decoded} frames" if decoded else ""
        raise unreadable(path, str(error).rstrip(".") + after) from error


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """RGB of the current frame; what is transparent is laid over black, as in a video."""
    if image.mode.startswith("I;16"):  # Pillow would clip these at 255 rather than scale them
        grey = np.rint(np.asarray(image) / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise ValueError("Pixels of 32 bits, whose range is unknown")
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _has_end_mark(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1024))
        return file.read().rstrip(b"\0").endswith(b";")


def _warn_of_uneven_delays(path: Path, delays: list[float]) -> None:
    inner = delays[:-1]  # the last frame is often held longer on purpose
    if inner and max(inner) - min(inner) > _GIF_TICK:
        warnings.warn(
            f"{str(path)!r} has a variable frame rate: frames last {min(inner):g} to "
            f"{max(inner):g} ms. They are returned as stored, not spaced in time. (A WebP and many "
            "GIFs have equal frames merged; written as .png or .mp4, a clip keeps them.)",
            stacklevel=5,
        )


def _natural(name: str) -> tuple[str | int, ...]:
    parts = re.split(r"(\d+)", name.lower())
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts))


def _check_numbers(path: Path, files: list[Path]) -> None:
    """Refuses two files or series with the same numbers; warns of gaps in a series."""
    series: dict[tuple[str, str], dict[int, Path]] = defaultdict(dict)
    for file in files:
        numbered = re.fullmatch(r"(.*?)(\d+)(\D*)", file.stem)
        if numbered is None:
            continue
        numbers = series[numbered[1].lower(), numbered[3].lower()]
        if int(numbered[2]) in numbers:
            twin = numbers[int(numbered[2])].name
            raise unreadable(path, f"{twin!r} and {file.name!r} have the same number")
        numbers[int(numbered[2])] = file
    _refuse_several(path, series)
    for numbers in series.values():
        _warn_of_missing(path, sorted(numbers))


def _refuse_several(path: Path, series: Mapping[tuple[str, str], Mapping[int, Path]]) -> None:
    """Refuses frames and their optical flow, or several views, in one folder."""
    several = {parts: numbers for parts, numbers in series.items() if len(numbers) > 1}
    for one, other in itertools.combinations(several.values(), 2):
        if one.keys() & other.keys():
            names = ", ".join(f"'{first}...{last}'" for first, last in several)
            raise unreadable(
                path, f"several series of frames ({names}); put one of them in a folder of its own"
            )


def _warn_of_missing(path: Path, numbers: list[int]) -> None:
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    usual = statistics.mode(steps) if steps else 1
    if 2 * steps.count(usual) < len(steps):
        return  # times or other marks, not a series
    gaps = [range(a + usual, b, usual) for a, b in itertools.pairwise(numbers)]
    # `len` of a range ends at 2**63, file names do not.
    count = sum(max(0, (gap.stop - gap.start + usual - 1) // usual) for gap in gaps)
    if count:
        few = ", ".join(map(str, itertools.islice(itertools.chain.from_iterable(gaps), 5)))
        warnings.warn(
            f"{str(path)!r} lacks {counted(count, 'frame')} of its series: "
            f"{few}{', ...' * (count > 5)}.",
            stacklevel=6,
        )
