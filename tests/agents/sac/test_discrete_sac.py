"""Discrete SAC on probe environments with known values and best actions: each isolates one thing that can go wrong."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from morl.agents.dsac import SeparateSAC, SeparateSACConfig
from morl.agents.gmorl import GMORL, GMORLConfig
from morl.agents.sac.algorithm import DiscreteSAC
from morl.agents.sac.config import SACConfig
from morl.errors import UserError
from morl.ops.preferences import spread
from morl.training.rollout import rollout, start_batch
from morl.types import Task, Transition
from tests.probes import Probe, training

GAMMA = 0.9
KEY = jax.random.key(1)
SMALL = {
    "num_envs": 8,
    "rollout_steps": 4,
    "gradient_steps": 8,
    "batch_size": 64,
    "replay_capacity": 1024,
    "learning_starts": 64,
    "learning_rate": 3e-3,
    "polyak": 0.05,
    "temperature": 1e-3,
    "objective_scales": (1.0, 1.0),
    "hidden": (32,),
}


@cache
def program(env, config, updates):
    """A learner and what trains it; one for all kinds of probes with the same actions."""
    mask = getattr(env, "action_mask", None)
    learner = DiscreteSAC(config, env.observation_space, env.action_space, GAMMA, updates, mask)
    return learner, training(env, learner)


def learn(kind, updates=400, env=None, **changes):
    env = env or Probe(kind)
    config = SACConfig(**{**SMALL, **changes})
    learner, run = program(env, config, updates)
    key_init, key_start, key_run = jax.random.split(jax.random.key(3), 3)
    preferences = jnp.asarray(spread(2, config.num_envs), jnp.float32)
    lanes = start_batch(env, env.default_params, key_start, config.num_envs)
    state = jax.device_put(learner.init(key_init, preferences))
    keys = jax.random.split(key_run, updates)
    (state, _), (metrics, _) = run(env.default_params, state, lanes, preferences, keys)
    return learner, state, jax.tree.map(np.asarray, metrics)


def values(learner, state, obs, preference=(0.5, 0.5)):
    """(N, A, R) of the first critic."""
    obs = jnp.asarray(obs, jnp.float32)
    preference = jnp.broadcast_to(jnp.array(preference), (len(obs), 2))
    seen = learner._inputs.seen(state.obs_stats, obs)
    return np.asarray(learner._twin(state.critics, seen, preference))[0]


def greedy(learner, state, preference, obs=(0.0, 0.0)):
    obs = jnp.asarray([obs], jnp.float32)
    action = learner.act(learner.policy(state), obs, jnp.array(preference), jax.random.key(1), greedy=True)
    return int(learner.to_env(action)[0])


def test_value_of_a_constant_reward():
    learner, state, metrics = learn("constant")
    np.testing.assert_allclose(values(learner, state, [[0, 0]])[0], [[1, 2], [1, 2]], atol=0.05)
    assert metrics["critic_loss"][5] > 0.1 > 0.01 > metrics["critic_loss"][-1]


def test_value_depends_on_the_observation():
    learner, state, _ = learn("cue")
    found = values(learner, state, [[1, 0], [-1, 0]])[:, 0]
    np.testing.assert_allclose(found, [[1, -1], [-1, 1]], atol=0.1)


def test_a_delayed_reward_is_discounted_once():
    learner, state, _ = learn("delayed")
    found = values(learner, state, [[0, 0], [0, 1]])[:, 0]
    np.testing.assert_allclose(found, [[0.9, 1.8], [1, 2]], atol=0.1)


def test_truncation_bootstraps():
    """Cut off every 5 steps but never over: worth 1 / (1 - gamma) = 10 a unit, not the 4.1 of five steps."""
    learner, state, _ = learn("endless", temperature=0.02)
    bonus = GAMMA * 0.02 * np.log(2) / (1 - GAMMA)
    np.testing.assert_allclose(values(learner, state, [[0, 0]])[0], [[10 + bonus, 20 + bonus]] * 2, rtol=0.05)


def test_rewards_of_several_steps():
    """By hand: rewards 1, 2, 4, ... of one environment, cut off after the second step and ended by the fourth."""
    env = Probe("constant")
    learner = DiscreteSAC(SACConfig(**SMALL, n_step=3), env.observation_space, env.action_space, 0.5, 10)
    t = jnp.arange(6.0)
    batch = Transition(
        obs=t[:, None, None] * jnp.ones(2),
        action=jnp.zeros((6, 1), jnp.int32),
        reward=jnp.stack([2**t, 0 * t], axis=-1)[:, None],
        next_obs=(t[:, None, None] + 0.5) * jnp.ones(2),
        terminated=(t == 3)[:, None],
        truncated=(t == 1)[:, None],
        valid=jnp.ones((6, 1), bool),
    )
    rows = jax.jit(learner._rows)(batch, jnp.array([[0.5, 0.5]]))
    np.testing.assert_allclose(rows.reward[:, 0, 0], [1 + 2 / 2, 2, 4 + 8 / 2, 8, 16 + 32 / 2, 32])
    np.testing.assert_allclose(rows.next_obs[:, 0, 0], [1.5, 1.5, 3.5, 3.5, 5.5, 5.5])
    np.testing.assert_allclose(rows.discount[:, 0], [0.25, 0.5, 0.25, 0.5, 0.25, 0.5])
    assert rows.terminated[:, 0].tolist() == [False, False, True, True, False, False]
    unbroken = jax.tree.map(lambda x: x, batch)._replace(truncated=jnp.zeros((6, 1), bool))
    three = learner._rows(unbroken, jnp.array([[0.5, 0.5]]))
    assert float(three.reward[0, 0, 0]) == 1 + 2 / 2 + 4 / 4
    assert float(three.discount[0, 0]) == 0.125


def test_several_steps_at_once_carry_a_delayed_reward_as_far():
    learner, state, _ = learn("delayed", n_step=4)
    found = values(learner, state, [[0, 0], [0, 1]])[:, 0]
    np.testing.assert_allclose(found, [[0.9, 1.8], [1, 2]], atol=0.1)


def test_entropy_is_worth_its_temperature():
    """Two equal actions for ever: each next step adds temperature * log 2 to every objective's value."""
    learner, state, metrics = learn("endless", temperature=0.5)
    assert metrics["entropy"][-1] == pytest.approx(np.log(2), abs=0.02)
    bonus = GAMMA * 0.5 * np.log(2) / (1 - GAMMA)
    np.testing.assert_allclose(values(learner, state, [[0, 0]])[0], [[10 + bonus, 20 + bonus]] * 2, rtol=0.05)


def test_one_policy_serves_every_preference():
    learner, state, _ = learn("choice")
    assert [greedy(learner, state, w) for w in ((1.0, 0.0), (0.7, 0.3), (0.3, 0.7), (0.0, 1.0))] == [0, 0, 1, 1]


def test_without_its_preference_it_cannot():
    learner, state, _ = learn("choice", preference_input=False)
    assert greedy(learner, state, (1.0, 0.0)) == greedy(learner, state, (0.0, 1.0))


@pytest.mark.parametrize(("scalarisation", "action"), [("linear", (0, 1)), ("tchebycheff", (2,))])
def test_only_tchebycheff_chooses_what_no_weighted_sum_prefers(scalarisation, action):
    learner, state, _ = learn("dent", scalarisation=scalarisation)
    assert greedy(learner, state, (0.5, 0.5)) in action
    assert greedy(learner, state, (0.95, 0.05)) == 0


@pytest.mark.parametrize("hindsight", [True, False])
def test_relabelling_teaches_preferences_nobody_acted_for(hindsight):
    """All act for the first objective alone; only by relabelling is the second weight of a preference ever not 0."""
    env = Probe("choice")
    learner, run = program(env, SACConfig(**{**SMALL, "hindsight": hindsight}), 400)
    preferences = jnp.tile(jnp.array([1.0, 0.0]), (8, 1))
    state, lanes = learner.init(jax.random.key(0), preferences), start_batch(env, env.default_params, KEY, 8)
    before = np.asarray(state.actor.body.layers[0].weight)[-2:]  # of the two weights of a preference
    keys = jax.random.split(KEY, 400)
    (state, _), _ = run(env.default_params, jax.device_put(state), lanes, preferences, keys)
    moved = (np.asarray(state.actor.body.layers[0].weight)[-2:] != before).any(axis=1)
    assert moved.tolist() == [True, hindsight]


class Masked(Probe):
    """``choice``, where only the first action is allowed although the second is worth more to some."""

    def action_mask(self, obs):
        return jnp.broadcast_to(jnp.array([1, 0], jnp.int8), (*obs.shape[:-1], 2))


def test_masked_actions_are_never_taken_nor_bootstrapped_from():
    learner, state, metrics = learn("choice", env=Masked("choice"))
    assert greedy(learner, state, (0.0, 1.0)) == 0
    sampled = learner.act(
        learner.policy(state), jnp.zeros((1000, 2)), jnp.array([0.0, 1.0]), jax.random.key(0), greedy=False
    )
    assert not np.asarray(sampled).any()
    assert abs(metrics["entropy"]).max() < 1e-6
    free, state, _ = learn("choice", env=Masked("choice"), mask_actions=False)
    assert greedy(free, state, (0.0, 1.0)) == 1


def test_a_learnt_temperature_finds_its_entropy():
    _, _, metrics = learn(
        "constant", updates=600, learn_temperature=True, target_entropy=0.5, temperature=1.0, anneal=False
    )
    assert metrics["temperature"][-1] < 0.5  # even choice is above the target: the bonus has to go
    _, _, low = learn("choice", updates=600, learn_temperature=True, target_entropy=0.5, temperature=0.02, anneal=False)
    assert low["temperature"][-1] > 0.04  # one action is best: without a bonus there would be less entropy
    assert low["entropy"][-1] == pytest.approx(0.5 * np.log(2), abs=0.1)


def test_rewards_are_scaled_by_their_deviation():
    learner, state, _ = learn("cue", objective_scales=None)
    scale = np.asarray(learner.scales(state.return_stats))
    np.testing.assert_allclose(scale, [1, 1], rtol=0.05)  # of -1 and 1 the deviation is 1
    fixed, state, _ = learn("cue", objective_scales=(10.0, 1.0))
    found = values(fixed, state, [[1, 0]])[0, 0]
    np.testing.assert_allclose(found, [10, -1], rtol=0.1)


def test_invalid_steps_are_not_learnt_from():
    env = Probe("constant")
    learner = DiscreteSAC(SACConfig(**SMALL), env.observation_space, env.action_space, GAMMA, 10)
    preferences = jnp.asarray(spread(2, 8), jnp.float32)
    state, lanes = (
        learner.init(jax.random.key(0), preferences),
        start_batch(env, env.default_params, jax.random.key(1), 8),
    )
    _, batch = rollout(
        env, env.default_params, learner, learner.policy(state), preferences, lanes, jax.random.key(2), 4
    )
    state = state._replace(replay=state.replay._replace(filled=jnp.int32(64)))  # past the warm-up
    valid = jnp.broadcast_to(jnp.arange(4)[:, None] % 2 == 0, batch.valid.shape)
    poisoned = batch._replace(valid=valid, reward=jnp.where(valid[..., None], batch.reward, 1e9))
    update = jax.jit(learner.update)
    ones, twos = (update(state, x, jax.random.key(3))[0] for x in (poisoned, batch._replace(valid=valid)))
    for one, two in zip(jax.tree.leaves(ones.critics), jax.tree.leaves(twos.critics), strict=True):
        np.testing.assert_array_equal(one, two)


def test_nothing_is_learnt_before_the_warm_up_is_over():
    env = Probe("constant")
    learner = DiscreteSAC(
        SACConfig(**{**SMALL, "learning_starts": 64}), env.observation_space, env.action_space, GAMMA, 10
    )
    preferences = jnp.asarray(spread(2, 8), jnp.float32)
    state, lanes = (
        learner.init(jax.random.key(0), preferences),
        start_batch(env, env.default_params, jax.random.key(1), 8),
    )
    moved = []
    for i in range(3):
        _, batch = rollout(
            env, env.default_params, learner, learner.policy(state), preferences, lanes, jax.random.key(2), 4
        )
        after, _ = jax.jit(learner.update)(state, batch, jax.random.key(i))
        moved.append(any((np.asarray(a) != np.asarray(b)).any() for a, b in _pairs(after.actor, state.actor)))
        state = after
    assert moved == [False, True, True]


def _pairs(one, two):
    return zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"replay_capacity": 1000}, r"replay_capacity must be a multiple of num_envs \* rollout_steps = 640, not 1000"),
        ({"n_step": 11}, "n_step must be at most rollout_steps = 10, not 11"),
        ({"learning_starts": 10**6}, "warm_up must be at most replay_capacity = 96000"),
        ({"temperature": 0.0}, "temperature must be greater than 0"),
        ({"target_entropy": 1.0}, "target_entropy must be greater than 0 and below 1"),
        ({"objective_scales": (1.0, -1.0)}, "objective_scales must be greater than 0"),
        ({"hidden": ()}, "hidden must be one or more widths"),
        ({"num_preferences": 1}, "num_preferences must be at least 2"),
    ],
)
def test_settings_out_of_range_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        GMORLConfig(**wrong)


def task(steps=100_000, **changes):
    box = spaces.Box(-1, 1, (2,), np.float32)
    return Task(
        **{
            "observation_space": box,
            "action_space": spaces.Discrete(2),
            "num_objectives": 2,
            "gamma": 1.0,
            "steps": steps,
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"action_space": spaces.Box(-1, 1, (1,), np.float32)}, {}, r"action space Box.* allowed: Discrete"),
        ({}, {"network": "rows"}, "network rows needs features of each action.*allowed: auto, flat"),
        ({"steps": 639}, {}, "steps must be at least 640"),
        ({"steps": 6400}, {}, "steps must be at least 7040 to learn anything after warm_up, not 6400"),
        ({}, {"objective_scales": (1.0, 1.0, 1.0)}, "objective_scales must be 2 numbers, one an objective, not 3"),
    ],
)
def test_what_cannot_work_is_refused(changes, settings, message):
    with pytest.raises(UserError, match=message):
        GMORL(GMORLConfig(**settings), task(**changes))


def test_what_a_seed_is_made_of():
    agent = GMORL(GMORLConfig(), task())
    assert (agent.preferences.shape, agent.updates, agent.learner.gamma) == ((1, 64, 2), 156, 0.99)
    separate = SeparateSAC(SeparateSACConfig(num_policies=5), task())
    assert (separate.preferences.shape, separate.updates) == ((5, 2), 100_000 // (5 * 8 * 10))
    row_bytes = 2 * 4 + 4 + 2 * 4 + 2 * 4 + 1 + 4 + 1 + 2 * 4
    assert agent.notes == (f"replay of 96,000 transitions: {96_000 * row_bytes:,} bytes a seed",)
    assert separate.notes == (
        f"replay of 20,000 transitions for each of 5 policies: {5 * 20_000 * row_bytes:,} bytes a seed",
    )
