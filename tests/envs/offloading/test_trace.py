"""Arrivals from a trace: a user's file, its faults, and steps that are those of the plain simulator."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from morl.cli import main
from morl.envs.offloading.trace import MecTrace
from morl.errors import UserError
from tests.envs.offloading.episodes import check, compiled

ENV = MecTrace(tasks=25)


@pytest.mark.parametrize("seed", range(3))
def test_random_actions(seed: int) -> None:
    check(ENV, seed)


def test_an_episode_is_a_part_of_the_trace() -> None:
    time, size = ENV.rows_of_trace
    state, _ = compiled(ENV)[0](jax.random.key(4), ENV.default_params)
    start = next(i for i in range(len(size)) if np.float32(size[i]) == state.tasks.size[0])
    np.testing.assert_allclose(state.tasks.size, size[start : start + 25], rtol=1e-6)
    np.testing.assert_allclose(state.tasks.gap[:-1], np.diff(time[start : start + 25]), atol=1e-4)


def test_a_users_file_is_taken_as_it_is_or_scaled(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("size,time\n2.0,0.0\n4.0,1.5\n6.0,1.5\n\n8.0,4.0\n")  # columns in any order, ties, empty lines
    env = MecTrace(trace=str(path), tasks=4)
    np.testing.assert_allclose(env.default_params.own, [[1.5, 2.0], [0.0, 4.0], [2.5, 6.0], [0.0, 8.0]])
    check(env, 0)
    scaled = MecTrace(trace=str(path), tasks=4, arrival_rate=3.0, mean_size=10.0, size_range=(5.0, 12.0))
    np.testing.assert_allclose(scaled.default_params.own[:, 0], [0.375, 0.0, 0.625, 0.0])
    np.testing.assert_allclose(scaled.default_params.own[:, 1], [4.0, 8.0, 12.0, 16.0])
    state, _ = compiled(env)[0](jax.random.key(0), scaled.default_params)
    np.testing.assert_allclose(state.tasks.size, [5.0, 8.0, 12.0, 12.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with a line that names the columns time and size"),
        ("time\n1\n", "must begin with a line that names the columns"),
        ("time,size,time\n", "must begin with a line that names the columns"),
        ("time,sise\n1,2\n", "unknown column of trace .*'sise'; did you mean size"),
        ("time,size\n", "has no rows"),
        ("time,size\n0,1\n2,1\n1,1\n", "row 3: time 1 is before 2, that of the row above"),
        ("time,size\n-1,1\n", "row 1: time must be at least 0, not -1"),
        ("time,size\n0,1\n1,0\n", "row 2: size must be greater than 0, not 0"),
        ("time,size\n0,1\n1,-3\n", "row 2: size must be greater than 0, not -3"),
        ("time,size\n0,big\n", "row 1: size must be a finite number, not 'big'"),
        ("time,size\nnan,1\n", "row 1: time must be a finite number, not 'nan'"),
        ("time,size\n0,1,2\n", "row 1 has 3 fields, not 2"),
        ("time,size\n0,1\n1,1\n", "tasks must be at most 2, the rows of the trace, not 50"),
    ],
)
def test_impossible_traces_are_refused_with_the_row(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        MecTrace(trace=str(path))


def test_a_trace_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "cmorl", "--env", "mec-trace-v0", "--env-kwargs", "trace", "/nowhere.csv"]) == 2
    assert "trace /nowhere.csv cannot be read: No such file or directory\n" in capsys.readouterr().err
    with pytest.raises(UserError, match="mean_size must be greater than 0"):
        MecTrace(mean_size=0.0)
