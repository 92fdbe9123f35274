"""A run that has learnt nothing says so at its end, with the preset to try."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import morl
import tests.tiny
from morl import registry
from morl.agents.gmorl import GMORLConfig
from morl.agents.gpi_ls.config import GPILSConfig
from morl.registry import agent_spec
from morl.runs.front import Front
from morl.settings import TrainSettings
from morl.training.results import Results
from morl.training.setup import prepare
from morl.training.untrained import _measured, advice, no_better
from tests.tiny import TinyConfig

REFERENCE = np.zeros(2)
SETTINGS = TrainSettings(eval_episodes=2)


class Kept:
    """A solution set whose policies have the returns that they are."""

    labelled = False

    def begin(self, policies, preferences):
        self.points = None

    def update(self, trainer, policies, preferences, keys, episodes):
        assert episodes == SETTINGS.eval_episodes
        self.points = policies

    def returns(self, index):
        return self.points[index]


def front_of(points, reference_point):
    points = np.array(points, float)
    numbers = dict.fromkeys(["stderr", "undiscounted", "undiscounted_stderr", "preferences"], points)
    return Front(("a", "b"), points, **numbers, length=np.ones(len(points)), gamma=1.0, episodes=1,
                 reference_point=reference_point, learner=None, params=None, observations=None,
                 action_space=None)  # fmt: skip


def lines(after, before, labelled=False):
    solutions = Kept()
    solutions.points, solutions.labelled = "the run's", labelled
    setup = prepare("gmorl", dataclasses.replace(SETTINGS, env="minecart-v0"), GMORLConfig())
    setup = dataclasses.replace(setup, reference_point=REFERENCE)
    fronts = {7: front_of([after], REFERENCE)}
    told = no_better(setup, SETTINGS, None, solutions, (np.array([[before]], float), None, None), fronts)
    assert solutions.points == "the run's"
    return told


@pytest.mark.parametrize(
    ("after", "before", "told"),
    [
        ((2, 2), (1, 1), None),
        ((1, 1), (1, 1), "hypervolume 1, untrained 1"),
        ((1, 1), (2, 2), "hypervolume 1, untrained 4"),
        ((1.001, 1), (1, 1), "hypervolume 1.001, untrained 1"),
        ((1.02, 1), (1, 1), None),
        ((2, -1), (3, -1), "expected utility 0.5, untrained 1"),
        ((2, -1), (1, -1), None),
        ((-4, -4), (-4, -4), "expected utility -4, untrained -4"),
        ((-3, -3), (-4, -4), None),
    ],
)
def test_by_hand(after, before, told):
    found = lines(after, before)
    if told is None:
        assert found == []
    else:
        (line,) = found
        assert line.startswith("seed 7: this front is no better than that of the untrained policies (")
        assert f"({told}); try --preset far or more --steps" in line
    assert lines(after, before, labelled=True) == []


def test_nothing_above_the_reference_point_is_measured_by_utility():
    assert _measured(np.array([[1.0, 1]]), np.array([[-1.0, -1]]), REFERENCE) == ("hypervolume", 1.0, 0.0)


def test_a_preset_that_was_followed_is_not_advised():
    settings = TrainSettings(env="minecart-v0")
    own = {name: x for name, x in agent_spec("gmorl").protocol("far", settings.env).items()}
    assert advice(prepare("gmorl", settings, GMORLConfig(**own)), settings) == "more --steps"
    assert advice(prepare("cmorl", settings), settings) == "--preset paper or --preset tuned or more --steps"


def test_it_is_the_last_line_of_a_run(tmp_path, monkeypatch):
    """A learner that does not move is told from its log; its numbers are those it had without."""
    monkeypatch.setitem(registry._AGENTS, "tiny", tests.tiny.SPEC)
    settings = TrainSettings(env="fruit-tree-v0", env_kwargs={"depth": 5}, out=tmp_path / "x", steps=64, evaluations=1,
                             eval_episodes=2, final_episodes=2)  # fmt: skip
    morl.train("tiny", settings, TinyConfig(rounds=0, step=0.0))
    last = (tmp_path / "x" / "log.txt").read_text().splitlines()[-1]
    assert "seed 0: this front is no better than that of the untrained policies" in last
    assert last.endswith("; try more --steps")


@pytest.mark.parametrize(("units", "told"), [("raw", True), ("scaled", False)])
def test_preferences_that_serve_one_objective_are_told_where_they_weigh_the_environments_units(units, told):
    front = front_of([[1e-6, -9.0], [0.0, 0.0]], np.full(2, -100.0))
    config, names = GPILSConfig(preference_units=units), ("a", "b")
    results = SimpleNamespace(
        setup=SimpleNamespace(front=lambda *found: front, config=config, objectives=names),
        settings=SETTINGS,
        solutions=SimpleNamespace(final=lambda *how: [(None, None, None)]),
        seeds=(3,),
        _describe=lambda index, front: "a line",
    )
    said = Results.final(results, None, None)[1]
    assert said[0] == "seed 3: a line"
    told_of = "seed 3: preferences weigh returns in the environment's units, in which a spans 1e-06 and b 9"
    assert any(line.startswith(told_of) for line in said) is told
