"""Watching a policy: the episodes are those of the environment, and what is written can be read."""

import csv

import numpy as np
import pytest
from PIL import Image

import morl
from morl.cli import main
from morl.errors import UserError


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
    length = int(dst_run.front.length[dst_run.front.assign([1, 0])])
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
        ("--policy 0 --max-steps 0", "max_steps must be at least 1, not 0"),
        ("--policy 0 --seed -1", "seed must be at least 0, not -1"),
        ("--policy 0 --video out.mp4", "cannot write a video to out.mp4; allowed: .gif, .webp, .png"),
        ("--policy 0 --video here.gif", "here.gif exists already; choose another name"),
        ("--policy 0 --trace nowhere/out.csv", "cannot write nowhere/out.csv: there is no folder nowhere"),
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


def test_what_draws_no_pictures_says_so(tmp_path):
    """MO-Gymnasium's fishwood only prints."""
    settings = morl.TrainSettings(
        env="fishwood-v0",
        backend="host",
        steps=512,
        evaluations=1,
        eval_episodes=1,
        final_episodes=1,
        out=tmp_path / "r",
    )
    from morl.agents.cmorl import CMORLConfig

    run = morl.train("cmorl", settings, CMORLConfig(num_policies=2, num_envs=4, rollout_steps=16, hidden=(8,)))
    playback = morl.play(run.path, policy=0)
    (episode,) = playback.episodes()
    assert (len(episode.rewards), episode.truncated, episode.terminated) == (200, True, False)
    with pytest.raises(UserError, match="fishwood-v0 draws no pictures: its render modes are human, not rgb_array"):
        next(playback.episodes(on_frame=print))
