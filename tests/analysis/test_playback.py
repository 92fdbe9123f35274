"""Watching a policy: the episodes are those of the environment, and what is written can be read."""

import csv

import numpy as np
import pytest
from PIL import Image

import morl
from morl.analysis.playback import Playback
from morl.cli import main
from morl.errors import UserError
from morl.training.setup import prepare
from morl.viz import video as videos


def run(capsys, *args):
    code = main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_episodes_are_those_of_the_front(dst_run):
    """Deep-sea-treasure is deterministic: each policy gets what the front says, step by step and in sum."""
    front = dst_run.front
    for row in range(len(front)):
        (episode,) = morl.play(dst_run.path, policy=row).episodes()
        np.testing.assert_allclose(episode.discounted, front.returns[row], rtol=1e-6)
        np.testing.assert_allclose(episode.returns, front.undiscounted[row], rtol=1e-6)
        assert len(episode.rewards) == front.length[row]
        assert len(episode.observations) == len(episode.actions) + 1 == len(episode.rewards) + 1
        assert (episode.terminated, episode.truncated) == (True, False)


def test_a_preference_takes_the_policy_of_morl_front(dst_run):
    playback = morl.play(dst_run.path, [0.9, 0.1])
    assert playback.policy.id == dst_run.front.assign([0.9, 0.1])
    second = list(dst_run.fronts)[1]
    other = morl.play(dst_run.path, [0.9, 0.1], training_seed=second)
    np.testing.assert_array_equal(other.policy.returns, dst_run.fronts[second].policy([0.9, 0.1]).returns)


def test_cut_short_and_discounted(dst_run):
    (episode,) = morl.play(dst_run.path, [1.0, 0.0]).episodes(max_steps=3)
    assert (len(episode.rewards), episode.terminated, episode.truncated) == (3, False, False)
    np.testing.assert_allclose(episode.returns, [0, -3])


def test_frames(dst_run):
    frames = []
    episodes = list(morl.play(dst_run.path, [1.0, 0.0]).episodes(2, on_frame=frames.append))
    assert len(frames) == sum(len(episode.rewards) + 1 for episode in episodes)
    assert not np.array_equal(frames[0], frames[len(episodes[0].rewards)])
    np.testing.assert_array_equal(frames[0], frames[len(episodes[0].rewards) + 1])  # the second one's start


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_video_and_trace(dst_run, suffix, capsys, tmp_path):
    video, trace = tmp_path / f"out.{suffix}", tmp_path / "out.csv"
    flags = ("--preference", 1, 0, "--episodes", 2, "--video", video, "--trace", trace)
    code, out, err = run(capsys, "rollout", dst_run.path, *flags)
    assert (code, err) == (0, "")
    row = dst_run.front.assign([1, 0])
    length = int(dst_run.front.length[row])
    printed = out.splitlines()[2].split()
    assert printed[1:3] == [f"{x:.5g}" for x in dst_run.front.undiscounted[row]]
    assert printed[-2:] == [str(length), "terminated"]
    assert f"video: {video} ({2 * (length + 1)} pictures)" in out
    with Image.open(video) as image:
        assert image.n_frames == 2 * (length + 1)
        assert image.size == (396, 396)
        durations = []
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            durations.append(image.info["duration"])
    assert durations[0] == 250  # 4 a second
    assert durations[-1] == durations[length] == 1250
    rows = list(csv.DictReader(trace.read_text().splitlines()))
    assert len(rows) == 2 * length
    assert sum(float(row["treasure"]) for row in rows[:length]) == pytest.approx(dst_run.front.returns[:, 0].max())
    assert [row["terminated"] for row in rows[:length]] == ["0"] * (length - 1) + ["1"]
    assert {row["obs_0"] + row["obs_1"] for row in rows[::length]} == {"00"}


def test_the_table(dst_run, capsys):
    code, out, _ = run(capsys, "rollout", dst_run.path, "--policy", 0, "--episodes", 2, "--max-steps", 1)
    assert code == 0
    title, header, *rows = out.splitlines()
    assert "policy 0 of" in title
    assert header.split()[:3] == ["episode", "treasure", "time"]
    assert [row.split()[0] for row in rows] == ["0", "1", "mean"]
    assert rows[0].split()[2] == "-1"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "give --preference or --policy, one of the two"),
        ("--preference 1 0 --policy 1", "give --preference or --policy, one of the two"),
        ("--policy 99", "policy 99 is not in this front; it has 0 to"),
        ("--preference 1", "a preference here has 2 weights"),
        ("--policy 0 --training-seed 9", "seed 9 is not in this run; it has 5, 6"),
        ("--policy 0 --episodes 0", "episodes must be at least 1, not 0"),
        ("--policy 0 --max-steps 0", "--max-steps must be at least 1, not 0"),
        ("--policy 0 --seed -1", "seed must be at least 0, not -1"),
        ("--policy 0 --video out.avi", "cannot write a video to out.avi; allowed: .gif, .webp, .png, .mp4"),
        ("--policy 0 --video here.gif", "here.gif exists already; choose another name"),
        ("--policy 0 --trace nowhere/out.csv", "cannot write nowhere/out.csv: No such file or directory"),
        ("--policy 0 --video here.gif/out.gif", "cannot write here.gif/out.gif: Not a directory"),
        (f"--policy 0 --video {'a' * 300}.gif", "File name too long"),
        ("--policy 0 --video a.png --trace ./a.png", "--video and --trace are both a.png; choose two names"),
    ],
)
def test_mistakes(dst_run, flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.gif").touch()
    code, out, err = run(capsys, "rollout", dst_run.path, *flags.split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["here.gif"]


def test_a_long_video_is_cut_and_the_numbers_are_not(dst_run, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "MAX_PICTURES", 3)
    path = tmp_path / "out.gif"
    code, out, _ = run(capsys, "rollout", dst_run.path, "--preference", 1, 0, "--episodes", 2, "--video", path)
    assert code == 0
    length = int(dst_run.front.length[dst_run.front.assign([1, 0])])
    assert out.splitlines()[-2].split()[0] == "mean"
    assert f"(3 pictures, the most an animation holds: {2 * (length + 1) - 3} are not in it)" in out
    with Image.open(path) as image:
        assert image.n_frames == 3
        assert image.info["duration"] == 250


def test_a_video_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    video = videos.Video(tmp_path / "out.gif", fps=15)
    for shade in (0, 255):
        video.add(np.full((8, 8, 3), shade, np.uint8))

    def full(self, file, *args, **kwargs):
        file.write_bytes(b"GIF")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", full)
        with pytest.raises(UserError, match=r"cannot write .*out.gif: No space left on device"):
            video.save()
    assert list(tmp_path.iterdir()) == []
    video.save()
    with Image.open(tmp_path / "out.gif") as image:
        assert image.info["duration"] == 70  # the nearest to 15 a second that a GIF can say


def on_host(id, action):
    """A playback of an environment on the host by somebody who always does the same; no training."""
    return Playback(prepare("cmorl", morl.TrainSettings(env=id, backend="host")), lambda obs, key: action)


def test_host_environments_are_drawn_by_themselves():
    frames = []
    (episode,) = on_host("deep-sea-treasure-v0", 1).episodes(on_frame=frames.append)
    assert (len(episode.rewards), episode.terminated) == (1, True)
    assert len(frames) == 2
    assert not np.array_equal(*frames)


def test_what_draws_no_pictures_says_so():
    """MO-Gymnasium's fishwood only prints."""
    playback = on_host("fishwood-v0", 0)
    (episode,) = playback.episodes()
    assert (len(episode.rewards), episode.truncated, episode.terminated) == (200, True, False)
    with pytest.raises(UserError, match="fishwood-v0 draws no pictures: its render modes are human, not rgb_array"):
        next(playback.episodes(on_frame=print))


def test_a_picture_that_fails_is_one_line():
    playback = on_host("deep-sea-treasure-v0", 1)

    def broken():
        raise RuntimeError("no screen\nat all")

    env = playback._make("rgb_array")
    env.reset(seed=0)
    env.render = broken
    with pytest.raises(
        UserError, match=r"deep-sea-treasure-v0 cannot be drawn on this machine: RuntimeError: no screen"
    ):
        playback._show(env, print)
    env.close()
