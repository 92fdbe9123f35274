"""Generalised policy improvement with the critics of a soft actor-critic: by hand, and through the whole library."""

import dataclasses
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.agents.capql import CAPQLConfig
from morl.agents.dsac import SeparateSACConfig
from morl.agents.gmorl import GMORLConfig
from morl.agents.sac.improvement import improved_action
from morl.agents.sac.networks import NetworkInput
from morl.errors import UserError
from morl.settings import TrainSettings
from tests.training.test_loop import metric_rows

SMALL = {"num_envs": 4, "rollout_steps": 8, "batch_size": 16, "learning_starts": 32, "hidden": (8,)}


class Networks:
    """Critics that know of two preferences what each action is worth under the policy for it.

    Args:
        table: (2, A, R) values under the policies for the corners (1, 0) and (0, 1); others are worth nothing.
    """

    mask_actions = True

    def __init__(self, table, actions=None):
        self.table, self.actions = jnp.asarray(table, jnp.float32), actions

    def critic_values(self, critic, inputs, action, preference):
        corner = jnp.stack([preference[:, 0] == 1, preference[:, 1] == 1], axis=1).astype(jnp.float32)
        found = jnp.sum(corner[:, :, None, None] * self.table[None], axis=1) + critic
        return found if action is None else jnp.where(action[:, :1, None] > 0, found, found - 1)

    def actor_output(self, actor, inputs, preference):
        return preference[:, :1] - preference[:, 1:]  # 1 for the first corner, -1 for the second one


def inputs(mask=None):
    return NetworkInput(jnp.zeros((1, 3)), None if mask is None else jnp.asarray([mask], jnp.float32))


POLICY = SimpleNamespace(actor=None, critics=jnp.asarray([0.0, 0.5], jnp.float32))  # the second twin believes in more


def test_discrete_actions_are_of_the_best_policy_for_the_preference():
    """The policy for (0, 1) makes action 2 worth 0.2 * 1 + 0.8 * 5; the own one, of (0.2, 0.8), is worth nothing."""
    table = [[[3, 0], [0, 0], [0, 0]], [[0, 0], [4, 4], [1, 5]]]
    networks, discrete = Networks(table), SimpleNamespace(action_size=0)
    weights = jnp.asarray([[0.2, 0.8]], jnp.float32)
    assert improved_action(networks, discrete, POLICY, inputs(), weights, 2).tolist() == [2]
    assert improved_action(networks, discrete, POLICY, inputs(), jnp.asarray([[0.9, 0.1]]), 2).tolist() == [1]
    assert improved_action(networks, discrete, POLICY, inputs([1, 1, 0]), weights, 2).tolist() == [1]


def test_continuous_actions_are_of_the_best_policy_for_the_preference():
    """The policy for (1, 0) acts by 1, which is worth 3 to it; that for (0, 1) by -1, which is worth 5 less 1 to it."""
    networks = Networks([[[3, 0]], [[0, 5]]])
    continuous = SimpleNamespace(action_size=1, mode=lambda output: output)
    got = [
        improved_action(networks, continuous, POLICY, inputs(), jnp.asarray([[w, 1 - w]], jnp.float32), 2).item()
        for w in (0.9, 0.1)
    ]
    assert got == [1.0, -1.0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "env"), [("capql", "mo-mountaincarcontinuous-v0"), ("gmorl", "deep-sea-treasure-v0")]
)
def test_a_run_is_evaluated_with_and_without(agent, env, tmp_path):
    """Training does not depend on it. Without it the policies are those of a run that never had it."""
    kind = {"capql": CAPQLConfig, "gmorl": GMORLConfig}[agent]
    config = kind(**SMALL, replay_capacity=640, num_preferences=5)
    settings = TrainSettings(
        env=env, steps=256, evaluations=1, eval_episodes=1, final_episodes=2, out=tmp_path / "plain"
    )
    plain = morl.train(agent, settings, config)
    improving = dataclasses.replace(config, gpi_preferences=5)
    run = morl.train(agent, dataclasses.replace(settings, out=tmp_path / "gpi"), improving)
    losses = [[row["critic_loss"] for row in metric_rows(each.path)] for each in (plain, run)]
    assert losses[0] == losses[1]
    off = morl.evaluate(run.path, episodes=2, gpi="off")[0]
    np.testing.assert_array_equal(off.returns, morl.evaluate(plain.path, episodes=2)[0].returns)
    on = morl.evaluate(run.path, episodes=2, gpi="on")[0]
    np.testing.assert_array_equal(on.returns, morl.evaluate(run.path, episodes=2)[0].returns)
    obs = morl.make(env).observation_space.sample()
    assert np.isfinite(run.front.at(0)(obs, [0.3, 0.7])).all()
    with pytest.raises(UserError, match=r"gpi needs policies with critics .* those of .*plain have none"):
        morl.evaluate(plain.path, gpi="on")


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(UserError, match="gpi_preferences needs preference_input"):
        SeparateSACConfig(gpi_preferences=5)
    with pytest.raises(UserError, match="gpi_preferences needs scalarisation linear, not tchebycheff"):
        GMORLConfig(gpi_preferences=5, scalarisation="tchebycheff")
    with pytest.raises(UserError, match="gpi_preferences must be at least 0, not -1"):
        CAPQLConfig(gpi_preferences=-1)
