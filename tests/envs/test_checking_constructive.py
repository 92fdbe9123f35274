"""What check-env says of constructive tasks: nothing of the example's, and of a broken one what is broken."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.mogfn import MOGFN, MOGFNConfig
from morl.envs.checking import Report
from morl.envs.checking_constructive import check_constructive

PATH = Path(__file__).parents[2] / "examples" / "constructive_task" / "lunch_box.py"


@pytest.fixture(scope="module")
def lunch():
    """The example's module."""
    import sys

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


def broken(lunch, fault):
    """The example with one thing wrong."""

    @dataclass(frozen=True)
    class Broken(lunch.LunchBox):
        @property
        def horizon(self):
            return {"horizon": 2, "kind": "5"}.get(fault, super().horizon)

        def action_mask(self, obs):
            mask = super().action_mask(obs)
            if fault == "empty":
                return mask * (obs.sum(axis=-1) != 3)[..., None].astype(np.int8)
            if fault == "numpy" and isinstance(obs, np.ndarray):
                return 1 - mask
            return mask.astype(np.int32) if fault == "mask type" else mask

        def step(self, key, state, action, params):
            after, obs, reward, done, cut, info = super().step(key, state, action, params)
            if fault == "random":
                reward = jnp.where(done & ~state.done, jax.random.uniform(key, (2,)), reward)
            if fault == "again":
                reward = jnp.where(done, 0.5, reward)
            if fault == "early":
                reward = jnp.where(done, reward, 0.1)
            if fault == "negative":
                reward = -reward
            if fault == "moves":
                after = after._replace(box=jnp.where(state.done, False, after.box))
            return after, obs, reward, done, cut, info

        def backward_mask(self, state):
            mask = super().backward_mask(state)
            if fault == "start":
                return mask.at[0].set(1)
            if fault == "lost":
                return mask.at[3].set(0)
            if fault == "illegal":
                return mask.at[8].set(1)
            return mask

        def backward_step(self, state, backward_action, params):
            parent, obs, action = super().backward_step(state, backward_action, params)
            if fault == "other way":
                action = (action + 1) % 8
            if fault == "observation":
                obs = 1 - obs
            if fault == "not allowed":
                parent = parent._replace(box=parent.box & (jnp.arange(8) != backward_action))
            return parent, obs, action

        def values(self, states, params):
            values = jax.vmap(self._reward)(states.box, states.done)
            return values[:, ::-1] if fault == "values" else values

    return Broken()


def test_the_example_passes_and_its_rewards_are_the_same_both_ways(lunch):
    for env in (lunch.LunchBox(), lunch.LunchBoxInPython()):
        assert fixes(checked(env)) == {}
    rng = np.random.default_rng(0)
    for _ in range(20):
        box = np.zeros(8, bool)
        box[rng.choice(8, rng.integers(2, 5), replace=False)] = True
        env = lunch.LunchBoxInPython()
        np.testing.assert_allclose(lunch.worth(box), env.oracle([env.foods(box)])[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("fault", "subject", "text"),
    [
        ("kind", "horizon", "must be an integer of at least 1, not '5'"),
        ("horizon", "horizon", "is 2 steps, after which an object was not finished"),
        ("mask type", "action_mask", "must be int8 of shape (9,), not int32 of shape (9,)"),
        ("empty", "action_mask", "allows nothing at step 4 of an object; it must never be empty"),
        ("numpy", "action_mask", "is another of a NumPy array than of JAX's"),
        ("random", "step", "depends on its key at step"),
        ("again", "reward", "is given again at step"),
        ("early", "reward", "is not 0 at step 1 of an object, before it is finished"),
        ("negative", "reward", "must be objectives from 0 to about 1, not [-"),
        ("moves", "finished objects", "change at step"),
        ("start", "backward_mask", "allows a backward action at the start"),
        ("lost", "backward_mask", "allows nothing that undoes the step taken at step"),
        ("illegal", "backward_step", "backward action 8 leads to a parent from which its action does not lead back"),
        ("other way", "backward_step", "leads to a parent from which its action does not lead back"),
        ("observation", "backward_step", "gives another observation than was seen in the parent"),
        ("not allowed", "backward_step", "changes the state although backward_mask does not allow it"),
        ("values", "values", "of a finished object whose reward was"),
    ],
)
def test_each_fault_is_found(lunch, fault, subject, text):
    found = fixes(checked(broken(lunch, fault)))
    assert text in found.get(subject, ""), found


def test_attributes_that_are_missing(lunch):
    class Partial(lunch.LunchBox):
        backward_mask = property()

    assert fixes(checked(Partial()))["backward_mask"] == "is missing; see morl.envs.constructive.Constructive"


def test_the_example_is_learnt(lunch):
    """By either reward to the same numbers, each box asked for once."""
    config = MOGFNConfig(batch=16, hidden=(16,))
    losses = []
    for env in (lunch.LunchBox(), lunch.LunchBoxInPython()):
        agent = MOGFN(config, env, 20)
        _, metrics = agent.run(agent.init(jax.random.key(0)), jax.random.key(0), 20)
        losses.append(np.asarray(metrics["loss"]))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    counts = env.oracle.counts
    assert counts.asked >= 320
    assert counts.computed <= 8 * 7 / 2 + 8 * 7 * 6 / 6 + 8 * 7 * 6 * 5 / 24
