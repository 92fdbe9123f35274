"""MP4 videos (H.264), written picture by picture by ffmpeg."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from morl.errors import MissingExtraError, UserError


def program() -> str:
    """Return the path of ffmpeg.

    Raises:
        UserError: the package that brings it is not installed, or has none for this machine.
    """
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        raise MissingExtraError("writing an MP4 video", "video") from None
    try:
        return str(get_ffmpeg_exe())
    except RuntimeError as error:
        raise UserError(f"cannot write an MP4 video: {' '.join(str(error).split())}") from error


class Mp4:
    """Writer of an MP4 file of pictures of one size, which are not kept in memory.

    ffmpeg is started here and not by imageio-ffmpeg, which forks this process: JAX's threads may hold locks then.

    Args:
        path: of the file, with any suffix.
        fps: pictures a second.

    Raises:
        UserError: there is no ffmpeg.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps, self._program = path.absolute(), fps, program()
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, frame: NDArray[np.uint8], times: int = 1) -> None:
        """Add a picture (H, W, 3), to be shown for so many frames.

        Raises:
            OSError: ffmpeg cannot write it.
        """
        # H.264 stores colours for squares of two by two
        even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
        if self._process is None:
            self._process = self._started(*even.shape[:2])
        assert self._process.stdin is not None  # noqa: S101  # a pipe
        try:
            for _ in range(times):
                self._process.stdin.write(even.tobytes())
        except BrokenPipeError:
            self.close()  # raises the reason
            raise

    def _started(self, height: int, width: int) -> subprocess.Popen[bytes]:
        pictures = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{self._fps:g}", "-i", "-"]
        video = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-f", "mp4", str(self._path)]
        return subprocess.Popen(  # noqa: S603  # the package's own program
            [self._program, "-y", "-loglevel", "error", *pictures, *video],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for this process, which then ends it
        )

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: ffmpeg could not write it.
        """
        process, self._process = self._process, None
        if process is not None:
            _, errors = process.communicate()
            if process.returncode:
                raise OSError(" ".join(errors.decode(errors="replace").split()[-20:]) or "ffmpeg has failed")
