"""The whole way once, in seconds: an agent that learns nothing is trained, read back, evaluated and shown."""

import csv

import numpy as np
import pytest

import morl
from morl import cli, registry
from tests.tiny import SPEC, TinyConfig

SETTINGS = {
    "env": "fruit-tree-v0",  # untrained policies make a front there
    "env_kwargs": {"depth": 5},
    "steps": 640,
    "evaluations": 2,
    "eval_episodes": 2,
    "final_episodes": 2,
    "seed": 3,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._AGENTS, "tiny", SPEC)
        out = tmp_path_factory.mktemp("smoke") / "run"
        yield morl.train("tiny", morl.TrainSettings(**SETTINGS, out=out), TinyConfig())


def test_a_training_leaves_a_front(run):
    assert run.finished
    assert len(run.front) > 1  # several fruits were found
    assert (run.front.returns >= 0).all()
    with (run.path / "metrics.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps[-1] == SETTINGS["steps"]
    assert steps == sorted(steps)


def test_the_front_is_read_back(run):
    again = morl.load(run.path).front
    np.testing.assert_array_equal(again.returns, run.front.returns)
    preference = [0.5, 0.3, 0.2, 0.0, 0.0, 0.0]
    best = (run.front.returns @ preference).argmax()
    assert again.policy(preference)([0, 0]) == run.front.at(best)([0, 0])


def test_it_is_evaluated_again_to_the_same_numbers(run):
    """Evaluation is deterministic: the environment has no randomness and policies act greedily."""
    again = morl.evaluate(run.path, morl.EvaluateSettings(episodes=2))[SETTINGS["seed"]]
    np.testing.assert_allclose(again.returns, run.front.returns)


def test_the_command_line_shows_it(run, capsys):
    assert cli.main(["front", str(run.path), "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [float(row["protein"]) for row in rows] == pytest.approx(run.front.returns[:, 0])


def test_a_mistake_is_one_line(run, capsys):
    assert cli.main(["front", str(run.path), "--preference", "0.7", "0.7"]) == 2
    assert capsys.readouterr().err.startswith("morl front: error: ")
