"""The whole way once, in seconds: an agent that learns nothing is trained, read back, evaluated and shown."""

import csv

import numpy as np
import pytest

import morl
from morl import cli, registry
from tests.tiny import SPEC, TinyConfig

SETTINGS = {
    "env": "deep-sea-treasure-v0",
    "reference_point": (0.0, -100.0),
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
    assert (run.front.returns[:, 0] > 0).any()  # a treasure was found
    assert (run.front.returns[:, 1] < 0).all()  # and each step costs
    with (run.path / "metrics.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps[-1] == SETTINGS["steps"]
    assert steps == sorted(steps)


def test_the_front_is_read_back(run):
    again = morl.load(run.path).front
    np.testing.assert_array_equal(again.returns, run.front.returns)
    preference = [0.7, 0.3]
    best = (run.front.returns @ preference).argmax()
    assert again.policy(preference)([0, 0]) == run.front.at(best)([0, 0])


def test_it_is_evaluated_again_to_the_same_numbers(run):
    """Nothing in this environment is random, and policies act greedily."""
    again = morl.evaluate(run.path, morl.EvaluateSettings(episodes=2))[SETTINGS["seed"]]
    np.testing.assert_allclose(again.returns, run.front.returns)


def test_the_command_line_shows_it(run, capsys):
    assert cli.main(["front", str(run.path), "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [float(row["treasure"]) for row in rows] == pytest.approx(run.front.returns[:, 0])


def test_a_mistake_is_one_line(run, capsys):
    assert cli.main(["front", str(run.path), "--preference", "0.7", "0.7"]) == 2
    assert capsys.readouterr().err.startswith("morl front: error: ")
