"""Animations and MP4 videos: what is written, and nothing where it cannot be."""

import sys

import numpy as np
import pytest
from PIL import Image

from morl.errors import MissingExtraError, UserError
from morl.viz.video import Video, check_path

FRAMES = [np.full((31, 21, 3), 10 * i, np.uint8) for i in range(8)]


def written(path, episodes=2):
    with Video(path, 10.0) as video:
        for _ in range(episodes):
            for frame in FRAMES:
                video.add(frame)
            video.end_episode()
        video.save()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return len(video)


def test_an_animation(tmp_path):
    assert written(tmp_path / "a.gif") == 16
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.size) == (16, (21, 31))


@pytest.mark.filterwarnings("ignore:os.fork")  # the package's own readers fork
def test_mp4(tmp_path):
    """The last picture of an episode stays for a second, 10 frames; sizes are even."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "a.MP4"
    check_path(path)
    assert written(path) == 16
    frames, seconds = ffmpeg.count_frames_and_secs(str(path))
    assert (frames, seconds) == (36, pytest.approx(3.6, abs=0.05))
    reader = ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == (22, 32)
    first = np.frombuffer(next(reader), np.uint8)
    assert abs(first.astype(int) - FRAMES[0][0, 0, 0]).max() < 8
    reader.close()


def test_nothing_is_left_of_a_video_that_was_not_saved(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    with Video(tmp_path / "a.mp4", 10.0) as video:
        video.add(FRAMES[0])
    assert list(tmp_path.iterdir()) == []


def test_ffmpeg_says_why_it_cannot_write(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    video = Video(tmp_path / "nowhere" / "a.mp4", 10.0)
    video.add(FRAMES[0])
    with pytest.raises(UserError, match=r"cannot write .*a.mp4: .*No such file or directory"):
        video.save()


def test_mp4_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtraError, match=r"writing an MP4 video needs the 'video' extra: pip install"):
        check_path(tmp_path / "a.mp4")


def test_paths(tmp_path):
    with pytest.raises(UserError, match=r"cannot write a video to .*a.avi; allowed: .gif, .webp, .png, .mp4"):
        check_path(tmp_path / "a.avi")
    (tmp_path / "a.gif").touch()
    with pytest.raises(UserError, match=r"a.gif exists already; choose another name"):
        check_path(tmp_path / "a.gif")
