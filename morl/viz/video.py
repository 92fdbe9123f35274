"""Animated pictures, written with Pillow, and MP4 videos."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morl.errors import UserError
from morl.viz import ffmpeg

FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".mp4": "MP4"}
MAX_PICTURES = 1500  # of an animation: Pillow holds all of them until it writes: 0.5 to 1.7 MB each
LAST_SECONDS = 1.0  # the last picture of an episode stays this long


def check_path(path: Path) -> None:
    """Check that a video can be written to a file, before anything runs.

    Raises:
        UserError: another suffix than those of :data:`FORMATS`, a file that exists or cannot be made, or MP4 without
            the package that writes it.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"cannot write a video to {path}; allowed: {', '.join(FORMATS)}")
    if path.suffix.lower() == ".mp4":
        ffmpeg.program()
    check_new_file(path)


def check_new_file(path: Path, *, overwrite: bool = False) -> None:
    """Check that a file is new and can be made, by making it for a moment.

    Args:
        path: of the file.
        overwrite: a file that is there and can be written will do.

    Raises:
        UserError: either.
    """
    try:
        if overwrite and path.is_file():
            path.open("a").close()
            return
        path.open("x").close()
        path.unlink()
    except FileExistsError:
        raise UserError(f"{path} exists already; choose another name") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


class Video:
    """Collector of pictures of one size, which it writes as an animation or as a video.

    As a context it forgets, at its end, what was not saved.

    Args:
        path: ``.gif``, ``.webp`` or ``.png`` (animated), of up to :data:`MAX_PICTURES`; or ``.mp4``, of any number.
        fps: pictures a second.

    Attributes:
        left_out: pictures that were too many.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self.left_out = 0
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._fps, self._number, self._last = fps, 0, np.zeros((2, 2, 3), np.uint8)
        self._mp4 = ffmpeg.Mp4(self._temporary, fps) if path.suffix.lower() == ".mp4" else None
        self._duration = 10 * max(2, round(100 / fps))  # GIF counts in 10 ms; viewers slow down what is under 20
        self._images: list[Any] = []
        self._durations: list[int] = []

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mp4 is not None:
            with contextlib.suppress(OSError):
                self._mp4.close()
        self._temporary.unlink(missing_ok=True)

    def __len__(self) -> int:
        return self._number

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Add a picture (H, W, 3).

        Raises:
            UserError: it cannot be written.
        """
        if self._mp4 is not None:
            with self._writing():
                self._mp4.write(frame)
            self._last = frame
            self._number += 1
            return
        if len(self) == MAX_PICTURES:
            self.left_out += 1
            return
        from PIL import Image

        image = Image.fromarray(frame)
        # One palette per picture takes a third of the memory.
        self._images.append(image.quantize(dither=Image.Dither.NONE) if self.path.suffix.lower() == ".gif" else image)
        self._durations.append(self._duration)
        self._number += 1

    def end_episode(self) -> None:
        """Show the last picture for longer."""
        if self._mp4 is not None:
            with self._writing():
                self._mp4.write(self._last, round(self._fps * LAST_SECONDS))
        elif not self.left_out:
            self._durations[-1] += round(1000 * LAST_SECONDS)

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            UserError: it cannot be written.
        """
        with self._writing():
            if self._mp4 is None:
                self._save_animation()
            else:
                self._mp4.close()
            self._temporary.replace(self.path)

    def _save_animation(self) -> None:
        first, *rest = self._images
        kind = FORMATS[self.path.suffix.lower()]
        options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
        times = self._durations
        first.save(self._temporary, kind, save_all=True, append_images=rest, duration=times, loop=0, **options)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._temporary.unlink(missing_ok=True)
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error
