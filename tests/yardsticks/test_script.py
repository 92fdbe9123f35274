"""``benchmarks/make_yardsticks.py``: merging of fronts, and anchors of small environments by hand."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

import morl
from morl.errors import UserError
from tests.runs.written_runs import write_run

CAR = "mo-mountaincar-timemove-v0"


@pytest.fixture
def script(monkeypatch, tmp_path):
    """The script, which writes to a folder of this test that has the mountain car's file."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    found = importlib.import_module("make_yardsticks")
    text = (found.DATA / f"{CAR}.json").read_text()
    monkeypatch.setattr(found, "DATA", tmp_path)
    (tmp_path / f"{CAR}.json").write_text(text)
    return found


def test_fronts_are_merged_by_hand(script):
    one = script.merged(None, {"a": [[0.0, 3.0], [2.0, 1.0]]})
    two = script.merged(one, {"b": [[2.0, 2.0], [-1.0, 2.0], [3.0, 0.0]]})
    assert two == {"kind": "best", "sources": {"a": [[0, 3]], "b": [[3, 0], [2, 2]]}}
    assert script.merged(two, {"b": [[2.0, 2.0], [3.0, 0.0]]}) == two
    assert script.merged(two, {"c": [[9.0, 9.0]]}) == {"kind": "best", "sources": {"c": [[9, 9]]}}


def test_of_too_many_points_the_crowded_go(script, monkeypatch):
    monkeypatch.setattr(script, "MOST_POINTS", 3)
    line = [[x, 10.0 - x] for x in (0.0, 1.0, 5.0, 10.0)]
    assert script.merged(None, {"a": line})["sources"]["a"] == [[10, 0], [5, 5], [0, 10]]


def test_a_run_is_added(script, tmp_path):
    far = {3: [[-1.0, 0.0]]}  # better than any car
    run = write_run(tmp_path / "run", ("time", "moves"), far, env=CAR, gamma=0.99, reference_point=[-200.0] * 2)
    assert script.add(run).endswith(f"1 of its points are in the best front of {CAR}, which had 9 and has 1")
    (entry,) = json.loads((tmp_path / f"{CAR}.json").read_text())["settings"]
    front = next(found["front"] for found in entry["discounts"] if found["gamma"] == 0.99)
    assert front["sources"] == {"cmorl, 1,000,000 steps, seed 3, 128 episodes each": [[-1, 0]]}


def test_what_is_known_is_not_replaced(script, tmp_path):
    run = write_run(tmp_path / "run", ("treasure", "time"), {0: [[1.0, -1.0]]}, gamma=1.0)
    with pytest.raises(UserError, match="deep-sea-treasure-v0 has a known front, which no run replaces"):
        script.add(run)


def test_anchors_of_a_treasure_hunt_by_hand(script, monkeypatch):
    """Check that going up from the surface stays there for 100 steps, and that random moves end sooner."""
    monkeypatch.setattr(script, "EPISODES", 16)
    env = morl.make("deep-sea-treasure-v0")
    returns, episodes = script.measured(env, [1.0, 0.5])
    assert episodes == 16
    np.testing.assert_allclose(returns["first action"], np.tile([[0, -100], [0, -2]], (16, 1, 1)), atol=1e-5)
    assert returns["random actions"][:, 0, 1].mean() > -100
    assert returns["random actions"][:, 0, 0].mean() > 0


def test_actions_that_do_nothing(script):
    assert script.zero_action(morl.make("minecart-v0")) == ("no-op action", 5)
    assert script.zero_action(morl.make(CAR)) == ("no-op action", 1)
    name, action = script.zero_action(morl.make("building-3d-v0"))
    assert (name, action.tolist()) == ("zero action", [0] * 23)
