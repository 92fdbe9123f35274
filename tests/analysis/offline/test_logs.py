"""Logs: they read back as they were written, and what is wrong with one is said in a line."""

import dataclasses
import json

import numpy as np
import pytest

from morl.analysis.offline.files import read_log, write_log
from morl.analysis.offline.logs import COLUMNS, EpisodeLog, check, from_columns
from morl.errors import MissingExtraError, UserError


@pytest.fixture
def log():
    """Two episodes of three and two steps."""
    return EpisodeLog(
        env="deep-sea-treasure-v0",
        env_kwargs={"depth": 7},
        objectives=("treasure", "time"),
        gamma=0.5,
        behaviour="policy 1, sampled actions",
        seed=3,
        episode=np.array([0, 0, 0, 1, 1]),
        step=np.array([0, 1, 2, 0, 1]),
        observation=np.arange(20, dtype=np.float32).reshape(5, 2, 2),
        action=np.array([0, 1, 2, 3, 0]),
        reward=np.array([[0, -1], [0, -1], [4, -1], [0, -1], [2, -1]], np.float32),
        terminated=np.array([0, 0, 1, 0, 0], bool),
        truncated=np.array([0, 0, 0, 0, 1], bool),
        probability=np.array([0.5, 0.25, 1.0, 0.1, 0.9]),
    )


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_a_log_reads_back(log, suffix, tmp_path):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"log.{suffix}"
    write_log(path, log)
    back = read_log(path)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(back, name), getattr(log, name))
    assert back.metadata() == log.metadata()
    assert [x.name for x in tmp_path.iterdir()] == [path.name]


def test_parquet_needs_its_extra(log, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"needs the 'parquet' extra: pip install"):
        write_log(tmp_path / "a.parquet", log)


def test_returns_and_episodes(log):
    mean, error = log.mean_returns()
    np.testing.assert_allclose(mean, [(1 + 1) / 2, (-1.75 - 1.5) / 2])  # 4 / 4 and 2 / 2
    np.testing.assert_allclose(error, [0, 0.125])
    np.testing.assert_array_equal(log.padded(log.action), [[0, 1, 2], [3, 0, 0]])
    assert not log.deterministic
    assert log.lengths.tolist() == [3, 2]


def changes(name, row, value):
    def change(log):
        column = getattr(log, name).copy()
        column[row] = value
        return dataclasses.replace(log, **{name: column})

    return change


WRONG = [
    (changes("probability", 1, 0), "probability is not above 0: the behaviour cannot have taken that action, in row 1"),
    (changes("probability", 2, np.nan), "probability is not finite, in row 2"),
    (changes("reward", 3, np.nan), "reward is not finite, in row 3"),
    (changes("step", 1, 2), "episodes are out of order; they and their steps count from 0, in row 1"),
    (changes("episode", 3, 2), "episodes are out of order; they and their steps count from 0, in row 3"),
    (changes("episode", slice(None, 3), 1), "episodes are out of order in row 0; they count from 0"),
    (changes("terminated", 2, False), "an episode ends neither terminated nor truncated; a log has whole episodes, in"),
    (changes("truncated", 0, True), "an episode goes on after its end, in row 0"),
    (lambda log: dataclasses.replace(log, reward=log.reward[:, :1]), "reward has 1 numbers for 2 objectives"),
    (lambda log: dataclasses.replace(log, action=log.action[:4]), "column action has shape (4,) and int64; allowed"),
    (lambda log: dataclasses.replace(log, episode=log.episode[:0]), "holds no steps"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_mistakes_in_steps(log, change, message):
    with pytest.raises(UserError) as caught:
        check(change(log), "a.npz")
    assert str(caught.value).startswith("a.npz")
    assert message in str(caught.value)


def test_mistakes_in_columns_and_metadata(log, tmp_path):
    columns, about = {name: getattr(log, name) for name in COLUMNS}, log.metadata()

    def wrong(columns, about, message):
        with pytest.raises(UserError) as caught:
            from_columns(columns, about, "a.npz")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    some = dict(columns)
    del some["probability"]
    wrong(some, about, "a.npz has no column probability: no policy can be judged without the behaviour's own")
    del some["action"]
    wrong({**some, "probability": 1}, about, "a.npz lacks columns: action; a log has episode, step")
    wrong({**columns, "colour": log.step}, about, "a.npz has unknown columns: colour; a log has")
    wrong(columns, None, "its metadata needs env, objectives and gamma")
    wrong(columns, {**about, "weather": 1}, "unknown metadata: weather; allowed: env")
    wrong(columns, {**about, "format": 2}, "a log of format 2; this version reads format 1")
    wrong(columns, {**about, "gamma": "much"}, "metadata of the wrong kind")
    for path, message in (
        (tmp_path / "none.npz", "does not exist"),
        (tmp_path / "a.csv", "allowed: .npz, .parquet"),
    ):
        with pytest.raises(UserError, match=message):
            read_log(path)
    (tmp_path / "text.npz").write_text("no array")
    with pytest.raises(UserError, match=r"text.npz is no log"):
        read_log(tmp_path / "text.npz")
    evil = np.array([{}], object)
    np.savez(tmp_path / "pickled.npz", **{**columns, "action": evil}, metadata=np.array(json.dumps(about)))
    with pytest.raises(UserError, match=r"pickled.npz is no log"):
        read_log(tmp_path / "pickled.npz")
