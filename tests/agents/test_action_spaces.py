"""Agents on every action space: from the first step of a training to an exported policy."""

import numpy as np
import pytest

import morl
from morl import TrainSettings
from morl.agents.gmorl import GMORLConfig
from morl.agents.ppo.config import PPOAgentConfig
from morl.export import export
from morl.training.setup import prepare
from tests.envs.host.acting import ACTIONS

PPO = PPOAgentConfig(num_policies=2, num_envs=2, rollout_steps=8, minibatches=1, epochs=1, hidden=(4,))
GMORL = GMORLConfig(
    num_envs=4,
    rollout_steps=4,
    gradient_steps=1,
    batch_size=8,
    replay_capacity=160,
    learning_starts=16,
    hidden=(4,),
    num_preferences=3,
)  # fmt: skip


def settings(name, steps=64, **changes):
    return TrainSettings(
        env=f"tests.envs.host.acting:morl-test/{name}-v0",
        steps=steps,
        evaluations=1,
        eval_episodes=1,
        final_episodes=2,
        reference_point=(-5.0, -5.0),
        **changes,
    )


@pytest.mark.parametrize(("agent", "config", "name"), [("ppo", PPO, "Parts"), ("gmorl", GMORL, "Double")])
def test_each_action_is_exactly_of_its_space(agent, config, name, tmp_path, capsys):
    """The environment refuses any other: in training, evaluation, when loaded, played and exported."""
    pytest.importorskip("flatbuffers")
    from jax import export as jax_export

    space = ACTIONS[name]
    run = morl.train(agent, settings(name, out=tmp_path / "run"), config)
    front = morl.load(run.path).front
    policy = front.at(0)
    obs = np.zeros((3, *front.learner.observation_space.shape), np.float32)
    actions = policy(obs)
    assert actions.dtype == space.dtype
    assert all(space.contains(action) for action in actions)
    (episode,) = morl.play(run.path, policy=0).episodes()
    assert episode.actions.shape == (5, *space.shape)
    done = export(run.path, tmp_path / "a.jax", format="jax", policy=0)
    exported = np.asarray(jax_export.deserialize(bytearray(done.path.read_bytes())).call(obs))
    np.testing.assert_allclose(exported, actions, rtol=1e-6)
    assert all(space.contains(action) for action in exported)
    notes = (run.path / "log.txt").read_text()
    assert ("1 of 4 numbers of an action have no bounds: kept from -1 to 1" in notes) == (name == "Double")


@pytest.mark.parametrize("name", ACTIONS)
@pytest.mark.parametrize("agent", ["cmorl", "ppo", "d3po", "capql", "gmorl", "dsac", "gpi-ls"])
def test_every_agent_takes_it(agent, name):
    if name == "Many" and agent in ("capql", "gmorl", "dsac", "gpi-ls"):
        pytest.skip("1024 combinations: refused, see tests/training/test_suitability.py")
    built = prepare(agent, settings(name, steps=10**7)).agent
    assert any("rounded" in note for note in built.action_notes) == (name == "Levels")
