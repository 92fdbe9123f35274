"""MP4 videos (H.264), written picture by picture by ffmpeg."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morl.errors import MissingExtraError


def check_installed() -> None:
    """Raise MissingExtraError if the package that brings ffmpeg is not installed."""
    try:
        import imageio_ffmpeg  # noqa: F401
    except ImportError:
        raise MissingExtraError("writing an MP4 video", "video") from None


class Mp4:
    """Writer of an MP4 file of pictures of one size, which are not kept in memory.

    Args:
        path: of the file, with any suffix.
        fps: pictures a second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._frames: Generator[None, Any, None] | None = None

    def write(self, frame: NDArray[np.uint8], times: int = 1) -> None:
        """Add a picture (H, W, 3), to be shown for so many frames.

        Raises:
            OSError: ffmpeg cannot write it.
        """
        # H.264 stores colours for squares of two by two
        even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
        if self._frames is None:
            from imageio_ffmpeg import write_frames

            height, width, _ = even.shape
            self._frames = write_frames(
                str(self._path),
                (width, height),
                fps=self._fps,
                codec="libx264",
                macro_block_size=2,
                output_params=["-f", "mp4"],
                ffmpeg_log_level="error",
            )
            self._frames.send(None)
        for _ in range(times):
            self._frames.send(np.ascontiguousarray(even))

    def close(self) -> None:
        """Finish the file."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None
