"""Animated pictures, written with Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morl.errors import UserError

FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}
MAX_PICTURES = 1500  # Pillow holds all of them until it writes: 0.5 to 1.7 MB each
LAST_SECONDS = 1.0  # the last picture of an episode stays this long


def check_path(path: Path) -> None:
    """Check that a video can be written to a file, before anything runs.

    Raises:
        UserError: another suffix than those of :data:`FORMATS`, a file that exists or cannot be made.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"cannot write a video to {path}; allowed: {', '.join(FORMATS)}")
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
    """Collector of pictures of one size, up to :data:`MAX_PICTURES`, which it writes as an animation.

    Args:
        path: ``.gif``, ``.webp`` or ``.png`` (animated).
        fps: pictures a second.

    Attributes:
        left_out: pictures that were too many.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self.left_out = 0
        self._duration = 10 * max(2, round(100 / fps))  # GIF counts in 10 ms; viewers slow down what is under 20
        self._images: list[Any] = []
        self._durations: list[int] = []

    def __len__(self) -> int:
        return len(self._images)

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Add a picture (H, W, 3)."""
        if len(self) == MAX_PICTURES:
            self.left_out += 1
            return
        from PIL import Image

        image = Image.fromarray(frame)
        # One palette per picture takes a third of the memory.
        self._images.append(image.quantize(dither=Image.Dither.NONE) if self.path.suffix.lower() == ".gif" else image)
        self._durations.append(self._duration)

    def end_episode(self) -> None:
        """Show the last picture for longer."""
        if not self.left_out:
            self._durations[-1] += round(1000 * LAST_SECONDS)

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            UserError: it cannot be written.
        """
        first, *rest = self._images
        kind = FORMATS[self.path.suffix.lower()]
        options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        try:
            first.save(temporary, kind, save_all=True, append_images=rest, duration=self._durations, loop=0, **options)
            temporary.replace(self.path)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)
