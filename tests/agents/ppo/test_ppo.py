"""PPO on probe environments with known values and best actions: each isolates one thing that can silently go wrong."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.cmorl.constrained import ConstrainedPPO
from morl.agents.ppo.algorithm import PPO, next_kl_step_scale
from morl.agents.ppo.config import PPOConfig
from morl.errors import UserError
from morl.training.rollout import rollout, start_batch
from tests.probes import Probe, training

GAMMA = 0.9
CONFIG = PPOConfig(
    num_envs=16,
    rollout_steps=16,
    epochs=4,
    minibatches=4,
    learning_rate=3e-3,
    hidden=(32,),
    normalise_rewards=False,
    entropy_coefficient=0.001,
)


@cache
def program(env, config, updates, in_stages):
    """A learner and what trains it; one for all kinds of probes with the same actions."""
    learner = PPO(config, env.observation_space, env.action_space, GAMMA, updates)
    if in_stages:
        learner = ConstrainedPPO(learner, GAMMA, "ipo", barrier=20.0, max_kl=0.01)
    return learner, training(env, learner)


def learn(kind, preference=(0.5, 0.5), updates=300, config=CONFIG, in_stages=False):
    env = Probe(kind)
    learner, run = program(env, config, updates, in_stages)
    key_init, key_start, key_run = jax.random.split(jax.random.key(3), 3)
    state = learner.init(key_init, jnp.array(preference))
    lanes = start_batch(env, env.default_params, key_start, config.num_envs)
    keys = jax.random.split(key_run, updates)
    (state, _), (metrics, _) = run(env.default_params, state, lanes, state.preference, keys)
    return learner, state, jax.tree.map(np.asarray, metrics)


def values(learner, state, obs):
    return np.asarray(state.params.critic(learner._features(state.obs_stats, jnp.asarray(obs, jnp.float32))))


def greedy(learner, state, obs=(0.0, 0.0)):
    obs = jnp.asarray([obs], jnp.float32)
    action = learner.act(learner.policy(state), obs, state.preference, jax.random.key(1), greedy=True)
    return np.asarray(learner.to_env(action))[0]


def test_value_of_a_constant_reward():
    learner, state, metrics = learn("constant")
    np.testing.assert_allclose(values(learner, state, [[0, 0]]), [[1, 2]], atol=0.05)
    assert metrics["critic_loss"][0] > 1 > 0.01 > metrics["critic_loss"][-1]


def test_value_depends_on_the_observation():
    learner, state, _ = learn("cue")
    np.testing.assert_allclose(values(learner, state, [[1, 0], [-1, 0]]), [[1, -1], [-1, 1]], atol=0.1)


def test_a_delayed_reward_is_discounted_once():
    learner, state, _ = learn("delayed")
    np.testing.assert_allclose(values(learner, state, [[0, 0], [0, 1]]), [[0.9, 1.8], [1, 2]], atol=0.1)


def test_truncation_bootstraps():
    """Cut off every 5 steps but never over: worth 1 / (1 - gamma) = 10 a unit, not the 4.1 of five steps."""
    learner, state, _ = learn("endless")
    np.testing.assert_allclose(values(learner, state, [[0, 0]]), [[10, 20]], rtol=0.05)


@pytest.mark.parametrize(("preference", "action"), [((0.8, 0.2), 0), ((0.2, 0.8), 1)])
def test_the_preference_decides_which_action_is_best(preference, action):
    learner, state, _ = learn("choice", preference)
    assert greedy(learner, state) == action


@pytest.mark.parametrize(("preference", "best"), [((1.0, 0.0), 0.6), ((0.0, 1.0), -0.2), ((0.5, 0.5), 0.2)])
def test_continuous_actions_in_the_units_of_the_environment(preference, best):
    learner, state, _ = learn("steer", preference)
    assert greedy(learner, state).shape == (1,)
    assert greedy(learner, state)[0] == pytest.approx(best, abs=0.12)


@pytest.mark.parametrize("in_stages", [False, True], ids=["PPO", "first stage of C-MORL"])
@pytest.mark.parametrize(("units", "action"), [("scaled", 1), ("raw", 0)])
def test_a_preference_weighs_scaled_or_raw_objectives(units, action, in_stages):
    """(100, 0) or (0, 1): scaled, each is worth its weight."""
    config = replace(CONFIG, normalise_rewards=True, preference_units=units)
    learner, state, _ = learn("apart", (0.2, 0.8), config=config, in_stages=in_stages)
    assert greedy(learner, state) == action


def test_an_update_moves_the_policy_by_no_more_than_its_target():
    """At a learning rate that is far too large for a policy that is sure of itself; it still finds what is best."""
    config = replace(CONFIG, learning_rate=0.02, entropy_coefficient=0.0, epochs=10)
    _, _, free = learn("steer", updates=100, config=config, in_stages=True)
    learner, state, metrics = learn("steer", updates=100, config=replace(config, target_kl=0.02), in_stages=True)
    assert "kl_step_scale" not in free
    assert np.median(free["approx_kl"]) > 0.1
    assert np.median(metrics["approx_kl"]) < 0.03
    assert metrics["kl_step_scale"].max() <= 1
    assert greedy(learner, state)[0] == pytest.approx(0.2, abs=0.12)


def test_caution_grows_where_a_policy_is_moved_too_far():
    divergences = jnp.array([0.05, 0.015, 0.001])
    np.testing.assert_allclose(next_kl_step_scale(jnp.full(3, 0.3), divergences, 0.02), [0.2, 0.3, 0.45], rtol=1e-6)
    assert (
        next_kl_step_scale(jnp.float32(0.9), jnp.float32(0.0), jnp.float32(0.02)) == 1.0
    )  # the learning rate is the most


def one_rollout(kind):
    """A fresh learner, its state, and 16 steps of its 16 environments."""
    env = Probe(kind)
    learner = PPO(CONFIG, env.observation_space, env.action_space, GAMMA, 1)
    state = learner.init(jax.random.key(0), jnp.array([0.5, 0.5]))
    lanes = start_batch(env, env.default_params, jax.random.key(1), 16)
    policy, key = learner.policy(state), jax.random.key(2)
    return learner, state, rollout(env, env.default_params, learner, policy, state.preference, lanes, key, 16)[1]


def test_invalid_steps_are_not_learnt_from():
    """Observations of invalid steps are absurd; neither parameters nor statistics may see them."""
    learner, state, batch = one_rollout("constant")
    half = jnp.arange(16)[:, None] % 2 == 0  # in the probe every step ends an episode, so rows are independent
    valid = jnp.broadcast_to(half, batch.valid.shape)
    poisoned = batch._replace(valid=valid, obs=jnp.where(half[..., None], batch.obs, 7.0))
    clean = batch._replace(valid=valid)
    update = jax.jit(learner.update)
    for one, two in zip(
        jax.tree.leaves(update(state, poisoned, jax.random.key(3))[0]),
        jax.tree.leaves(update(state, clean, jax.random.key(3))[0]),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_nor_does_a_lost_step_say_anything_of_those_before_it():
    """A host's worker was lost in the middle of an episode: what it is said to have come to is made up."""
    learner, state, batch = one_rollout("endless")
    valid = jnp.ones((16, 16), bool).at[7, ::2].set(False)
    assert not (batch.terminated | batch.truncated)[7].any()
    made_up = [jnp.where(valid[..., None], batch.next_obs, value) for value in (0.0, 7.0)]
    looks = [learner.look(state, batch._replace(valid=valid, next_obs=obs))[1] for obs in made_up]
    whole = learner.look(state, batch)[1].advantage
    for look in looks:
        np.testing.assert_array_equal(look.advantage[:, 1::2], whole[:, 1::2])
        # the step before is the last of its episode, and bootstraps
        np.testing.assert_allclose(look.advantage[6, ::2], look.delta[6, ::2])
    np.testing.assert_array_equal(looks[0].advantage, looks[1].advantage)


def test_update_compiles_once():
    env = Probe("choice")
    learner = PPO(CONFIG, env.observation_space, env.action_space, GAMMA, 1)
    state = learner.init(jax.random.key(0), jnp.array([0.5, 0.5]))
    lanes = start_batch(env, env.default_params, jax.random.key(1), 16)
    traces = []

    @jax.jit
    def run(state, lanes, key):
        traces.append(None)
        lanes, batch = rollout(
            env, env.default_params, learner, learner.policy(state), state.preference, lanes, key, 16
        )
        return learner.update(state, batch, key)[0], lanes

    for i in range(3):
        state, lanes = run(jax.device_put(state), lanes, jax.random.key(i))
    assert len(traces) <= 2  # NumPy leaves of a fresh learner may count once more


@pytest.mark.parametrize("kind", ["choice", "steer"])
def test_a_fresh_learner_has_the_types_of_one_that_goes_on(kind):
    """A weak type would compile the update twice: for the first stage of C-MORL, and for the second."""
    env = Probe(kind)
    state = PPO(CONFIG, env.observation_space, env.action_space, GAMMA, 1).init(jax.random.key(0), jnp.ones(2) / 2)
    assert not any(leaf.weak_type for leaf in map(jnp.asarray, jax.tree.leaves(state)))


def test_observation_statistics_are_part_of_the_policy():
    learner, state, _ = learn("cue")
    policy = learner.policy(state)
    assert float(policy.obs_stats.seen) == 300 * 16 * 16
    moved = policy._replace(obs_stats=policy.obs_stats._replace(mean=policy.obs_stats.mean + 3.0))
    obs = jnp.array([[1.0, 0.0]])
    before, after = (p.actor(learner._features(p.obs_stats, obs)) for p in (policy, moved))
    assert not np.allclose(before, after)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0"),
        ({"gae_lambda": 1.5}, "gae_lambda must be at least 0 and at most 1"),
        ({"minibatches": 3}, "minibatches must divide"),
        ({"hidden": ()}, "hidden must be one or more widths"),
        ({"preference_units": "pounds"}, "unknown preference_units 'pounds'"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"train_gamma": float("nan")}, "train_gamma must be"),
        ({"target_kl": 0.0}, "target_kl must be greater than 0"),
    ],
)
def test_settings_out_of_range_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        PPOConfig(**wrong)


def test_spaces_it_cannot_work_with_are_refused():
    from gymnasium import spaces

    box = spaces.Box(-1, 1, (2,), np.float32)
    make = partial(PPO, PPOConfig(), gamma=0.9, total_updates=1)
    with pytest.raises(UserError, match=r"action space MultiDiscrete.* is not supported; allowed: Discrete"):
        make(observation_space=box, action_space=spaces.MultiDiscrete([2, 2]))
    with pytest.raises(UserError, match="bounded Box"):
        make(observation_space=box, action_space=spaces.Box(-np.inf, np.inf, (1,), np.float32))
    with pytest.raises(UserError, match="Box of floats"):
        make(observation_space=box, action_space=spaces.Box(0, 5, (2,), np.int32))
    with pytest.raises(UserError, match="observation space Dict"):
        make(observation_space=spaces.Dict(x=box), action_space=spaces.Discrete(2))
