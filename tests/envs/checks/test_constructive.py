"""Findings of check-env for constructive tasks: none for the example, and the faults of broken ones."""

import importlib.util
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from morl.agents.baselines.mo_reinforce import MOReinforce, MOReinforceConfig
from morl.agents.mogfn import MOGFNConfig
from morl.agents.mogfn.agent import MOGFNAgent
from morl.cli import main
from morl.envs.checks.check import check_env
from morl.envs.checks.constructive import check_constructive
from morl.envs.checks.report import Report
from morl.envs.constructive.base import scale_fault
from morl.envs.constructive.oracle import Oracle, OracleError
from morl.envs.gymnasium.to_gymnasium import GymnasiumEnv
from morl.errors import UserError
from morl.types import Task
from tests.samplers import trained

PATH = Path(__file__).parents[3] / "examples" / "constructive_task" / "lunch_box.py"


@pytest.fixture(scope="module")
def lunch():
    """Load the module of the example."""
    spec = importlib.util.spec_from_file_location("lunch_box", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["lunch_box"] = module
    spec.loader.exec_module(module)
    return module


def checked(env):
    report = Report()
    check_constructive(report, env, 0)
    return report


def fixes(report):
    return {finding.subject: finding.text for finding in report.findings if finding.status == "fix"}


def broken(lunch, faults):
    """Example with deliberate faults."""

    @dataclass(frozen=True)
    class Broken(lunch.LunchBox):
        @property
        def horizon(self):
            return 2 if "horizon" in faults else "5" if "kind" in faults else super().horizon

        def action_mask(self, obs):
            mask = super().action_mask(obs)
            if "empty" in faults:
                return mask * (obs.sum(axis=-1) != 3)[..., None].astype(np.int8)
            if "numpy" in faults and isinstance(obs, np.ndarray):
                return 1 - mask
            return mask.astype(np.int32) if "mask type" in faults else mask

        def step(self, key, state, action, params):
            after, obs, reward, done, cut, info = super().step(key, state, action, params)
            if "random" in faults:
                reward = jnp.where(done & ~state.done, jax.random.uniform(key, (2,)), reward)
            if "again" in faults:
                reward = jnp.where(done, 0.5, reward)
            if "early" in faults:
                reward = jnp.where(done, reward, 0.1)
            if "negative" in faults:
                reward = -reward
            if "moves" in faults:
                after = after._replace(box=jnp.where(state.done, False, after.box))
            return after, obs, reward, done, cut, info

        def backward_mask(self, state):
            mask = super().backward_mask(state)
            if "start" in faults:
                return mask.at[0].set(1)
            if "lost" in faults:
                return mask.at[3].set(0)
            if "illegal" in faults:
                return mask.at[8].set(1)
            return mask

        def backward_step(self, state, backward_action, params):
            parent, obs, action = super().backward_step(state, backward_action, params)
            if "other way" in faults:
                action = (action + 1) % 8
            if "observation" in faults:
                obs = 1 - obs
            if "not allowed" in faults:
                parent = parent._replace(box=parent.box & (jnp.arange(8) != backward_action))
            return parent, obs, action

        def values(self, states, params):
            values = jax.vmap(self._reward)(states.box, states.done)
            return values[:, ::-1] if "values" in faults else values

    return Broken()


def test_the_example_passes(lunch):
    assert fixes(checked(lunch.LunchBox())) == {}
    report = check_env("lunch_box:lunch-box-python-v0")
    assert fixes(report) == {}
    assert {finding.subject for finding in report.findings if finding.status == "ok"} >= {
        "constructive",
        "backward steps",
        "Gymnasium's own checker",
    }


def test_the_rewards_of_the_example_are_the_same_both_ways(lunch):
    rng = np.random.default_rng(0)
    env = lunch.LunchBoxInPython()
    for _ in range(20):
        box = np.zeros(8, bool)
        box[rng.choice(8, rng.integers(2, 5), replace=False)] = True
        np.testing.assert_allclose(lunch.worth(box), env.oracle([env.foods(box)])[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ("kind", {"horizon": "must be an integer of at least 1, not '5'"}),
        ("mask type", {"action_mask": "must be int8 of shape (9,), not int32 of shape (9,)"}),
        (
            "numpy, again, moves, start, other way",
            {
                "action_mask": "is another of a NumPy array than of JAX's",
                "reward": "is given again at step",
                "finished objects": "change at step",
                "backward_mask": "allows a backward action at the start",
                "backward_step": "leads to a parent from which its action does not lead back",
            },
        ),
        (
            "empty, early, lost, observation",
            {
                "action_mask": "allows nothing at step 4 of an object; it must never be empty",
                "reward": "is not 0 at step 1 of an object, before it is finished",
                "backward_mask": "allows nothing that undoes the step taken at step",
                "backward_step": "gives another observation than was seen in the parent",
            },
        ),
        ("horizon", {"horizon": "is 2 steps, after which an object was not finished"}),
        ("not allowed", {"backward_step": "changes the state although backward_mask does not allow it"}),
        (
            "illegal, negative, random, values",
            {
                "step": "depends on its key at step",
                "reward": "must be objectives from 0 to about 1, not [-",
                "backward_step": "backward action 8 leads to a parent from which its action does not lead back",
                "values": "of a finished object whose reward was",
            },
        ),
    ],
)
def test_each_fault_is_found(lunch, faults, expected):
    found = fixes(checked(broken(lunch, faults.split(", "))))
    assert set(found) >= set(expected), found
    for subject, text in expected.items():
        assert text in found[subject], found


def test_attributes_that_are_missing(lunch):
    class Partial(lunch.LunchBox):
        backward_mask = property()

    assert fixes(checked(Partial()))["backward_mask"] == "is missing; see morl.envs.constructive.base.Constructive"


def test_an_oracle_that_fails_is_one_line_wherever_it_is_asked(lunch, monkeypatch, capsys):
    def empty(box):
        raise RuntimeError("the shop is closed")

    class Closed(lunch.LunchBoxInPython):
        oracle = Oracle(empty, 2, "lunch-box-python-v0")

    env = Closed()
    message = r"^lunch-box-python-v0: its oracle raised RuntimeError: the shop is closed \(.*\) for \('"
    with pytest.raises(OracleError, match=message):
        trained(env, MOGFNConfig(batch=4, hidden=(4,)), 1)
    gym = GymnasiumEnv(env)
    gym.reset(seed=0)
    gym.step(0)
    gym.step(1)
    with pytest.raises(OracleError, match=message):
        gym.step(lunch.STOP)
    box = jnp.arange(8) < 3
    states = lunch.State(box[None], jnp.array([True]))
    monkeypatch.setattr("morl.cli.envs.main", lambda _: jax.block_until_ready(jax.jit(env.values)(states, ())))
    assert main(["envs"]) == 2
    assert re.search("morl envs: error: " + message[1:], capsys.readouterr().err)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-1.0, 1.0, "has energy from -1 on, and objectives must be from 0 to about 1; add what makes the lowest 0"),
        (-np.inf, np.inf, "has energy from -inf on"),
        (0.0, 500.0, "has energy up to 500, and objectives must be from 0 to about 1; divide by the range"),
    ],
)
def test_scales_that_a_sampler_cannot_draw_by_are_told_before_training(lunch, low, high, text):
    """Check that check-env, MOGFN and its baseline say the same."""

    @dataclass(frozen=True)
    class Scaled(lunch.LunchBox):
        @cached_property
        def reward_space(self):
            return spaces.Box(np.array([low, 0], np.float32), np.array([high, 1], np.float32))

    env = Scaled()
    task = Task(env.observation_space, env.action_space, 2, 1.0, 1000, constructive=env)
    assert fixes(checked(env))["reward_space"].startswith(text)
    for make in (lambda: MOGFNAgent(MOGFNConfig(), task), lambda: MOReinforce(MOReinforceConfig(), env, 1)):
        with pytest.raises(UserError, match=re.escape(f"its reward_space {text}")):
            make()
    assert scale_fault(lunch.LunchBox()) is None
