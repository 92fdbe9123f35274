"""Animated pictures, written with Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morl.errors import UserError

FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}
LAST_SECONDS = 1.0  # the last picture of an episode stays this long


def check_path(path: Path) -> None:
    """Refuse a file that cannot be written, before anything runs.

    Raises:
        UserError: another suffix than those of :data:`FORMATS`, a file that exists, a folder that does not.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"cannot write a video to {path}; allowed: {', '.join(FORMATS)}")
    check_new_file(path)


def check_new_file(path: Path) -> None:
    """Refuse a file that exists and a folder that does not.

    Raises:
        UserError: either.
    """
    if path.exists():
        raise UserError(f"{path} exists already; choose another name")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: there is no folder {path.parent}")


class Video:
    """Collects pictures of one size and writes them as an animation.

    Args:
        path: ``.gif``, ``.webp`` or ``.png`` (animated).
        fps: pictures a second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self._duration = max(20, round(1000 / fps))  # viewers slow faster ones down
        self._images: list[Any] = []
        self._durations: list[int] = []

    def __len__(self) -> int:
        return len(self._images)

    def add(self, frame: NDArray[np.uint8]) -> None:
        """The next picture, (H, W, 3)."""
        from PIL import Image

        image = Image.fromarray(frame)
        # A palette of its own a picture, and a third of the memory.
        self._images.append(image.quantize(dither=Image.Dither.NONE) if self.path.suffix.lower() == ".gif" else image)
        self._durations.append(self._duration)

    def end_episode(self) -> None:
        """Let the last picture stay for a while."""
        self._durations[-1] += round(1000 * LAST_SECONDS)

    def save(self) -> None:
        """Write the file.

        Raises:
            UserError: it cannot be written.
        """
        first, *rest = self._images
        kind = FORMATS[self.path.suffix.lower()]
        options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
        try:
            first.save(self.path, kind, save_all=True, append_images=rest, duration=self._durations, loop=0, **options)
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error}") from error
