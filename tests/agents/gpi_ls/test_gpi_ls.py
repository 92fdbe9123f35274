"""GPI-LS on probe environments with known values and best actions, and what its settings change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.gpi_ls import GPILSAgent, GPILSConfig
from morl.errors import UserError
from morl.ops.preferences import equally_spaced_weights
from morl.types import Task
from tests.probes import Probe, experience, train_together, training

GAMMA = 0.9
SMALL = {
    "num_envs": 8,
    "rollout_steps": 4,
    "gradient_steps": 8,
    "batch_size": 16,
    "replay_capacity": 1024,
    "learning_starts": 64,
    "learning_rate": 5e-3,
    "tau": 0.05,
    "exploration_steps": 2_000,
    "final_exploration": 0.1,
    "objective_scales": (1.0, 1.0),
    "hidden": (32, 32),
    "simplex_share": 0.0,  # drawing preferences takes long to compile
    "max_support": 8,
    "num_preferences": 5,
}
EACH = equally_spaced_weights(2, 8)  # for as many environments


def agent_for(env, updates=250, **changes):
    config = GPILSConfig(**{**SMALL, "train_gamma": GAMMA, **changes})
    steps = updates * config.num_envs * config.rollout_steps
    return GPILSAgent(
        config,
        Task(env.observation_space, env.action_space, 2, GAMMA, steps, action_mask=getattr(env, "action_mask", None)),
    )


def learner_for(env, **changes):
    return agent_for(env, **changes).learner


@pytest.fixture(scope="module")
def learnt():
    """Return a learner, and the state and metrics of a policy for each kind."""
    kinds = ("constant", "cue", "delayed", "choice", "endless")
    learners = [learner_for(Probe(kind)) for kind in kinds]
    begun = [learner.init(jax.random.key(3)) for learner in learners]
    trained = train_together(kinds, learners[0], [EACH] * len(kinds), 250, begun)
    return learners[0], dict(zip(kinds, trained, strict=True))


def learn(env, updates=250, preferences=None, **changes):
    learner = learner_for(env, updates=updates, **changes)
    state, metrics = training(env, learner)(EACH if preferences is None else preferences, updates, chunk=10)
    return learner, state, metrics


def values(learner, state, obs, preference=(0.5, 0.5)):
    """Return (N, A, R) of the first critic."""
    policy = learner.policy(state)
    inputs = learner.networks.inputs(policy.obs_stats, jnp.asarray(obs, jnp.float32))
    critic = jax.tree.map(lambda x: x[0], policy.critics)
    return np.asarray(learner.networks.values(critic, inputs.features, jnp.tile(jnp.array(preference), (len(obs), 1))))


def act(learner, state, preference, obs=(0.0, 0.0), number=1, *, greedy=True, key=1):
    obs = jnp.broadcast_to(jnp.asarray(obs, jnp.float32), (number, 2))
    action = learner.act(learner.policy(state), obs, jnp.array(preference), jax.random.key(key), greedy=greedy)
    return np.asarray(learner.to_env(action))


def test_value_of_a_constant_reward(learnt):
    learner, (state, metrics) = learnt[0], learnt[1]["constant"]
    np.testing.assert_allclose(values(learner, state, [[0, 0]])[0], [[1, 2], [1, 2]], atol=0.05)
    assert metrics["critic_loss"][0] > 0.1 > 0.01 > metrics["critic_loss"][-1]


def test_value_depends_on_the_observation(learnt):
    learner, (state, _) = learnt[0], learnt[1]["cue"]
    found = values(learner, state, [[1, 0], [-1, 0]])[:, 0]
    np.testing.assert_allclose(found, [[1, -1], [-1, 1]], atol=0.1)


def test_a_delayed_reward_is_discounted_once(learnt):
    learner, (state, _) = learnt[0], learnt[1]["delayed"]
    found = values(learner, state, [[0, 0], [0, 1]])[:, 0]
    np.testing.assert_allclose(found, [[0.9, 1.8], [1, 2]], atol=0.1)


def test_truncation_bootstraps(learnt):
    """Cut off every 5 steps but never over: worth 1 / (1 - gamma) = 10 a unit, not the 4.1 of five steps."""
    learner, (state, _) = learnt[0], learnt[1]["endless"]
    np.testing.assert_allclose(values(learner, state, [[0, 0]])[0], [[10, 20], [10, 20]], rtol=0.07)


def test_one_policy_serves_every_preference(learnt):
    learner, (state, _) = learnt[0], learnt[1]["choice"]
    found = [int(act(learner, state, w)[0]) for w in ((1.0, 0.0), (0.7, 0.3), (0.3, 0.7), (0.0, 1.0))]
    assert found == [0, 0, 1, 1]


@pytest.mark.slow
def test_preferences_weigh_returns_in_their_own_units():
    """Rewards (100, 0) and (0, 1): the second is worth more from w2 = 100/101 on; of scaled ones, from 1/2 on."""
    preferences = np.array([[0.0, 1.0], [1.0, 0.0], [0.005, 0.995], [0.02, 0.98]] * 2)
    asked = ((0.02, 0.98), (0.005, 0.995))
    for units, actions in (("raw", [0, 1]), ("scaled", [1, 1])):
        changes = {"objective_scales": None, "preference_units": units}
        learner, state, _ = learn(Probe("apart"), preferences=preferences, updates=200, **changes)
        assert [int(act(learner, state, w)[0]) for w in asked] == actions


@pytest.mark.slow
def test_one_policy_for_continuous_actions():
    """The returns are -(a - 0.6)² and -(a + 0.2)² at a = 0.6 w1 - 0.2 w2."""
    learner, state, metrics = learn(Probe("steer"), updates=500)
    assert "actor_loss" in metrics
    for w in (0.0, 0.5, 1.0):
        found = act(learner, state, (w, 1 - w))
        np.testing.assert_allclose(found[0], 0.6 * w - 0.2 * (1 - w), atol=0.15)
    noisy = act(learner, state, (0.5, 0.5), number=500, greedy=False)
    assert 0.2 < noisy.std() < 0.6  # of a range of 2, a deviation of 0.2 in half ranges
    assert np.abs(noisy).max() <= 2


def test_it_acts_by_the_policy_of_another_preference():
    """Improve over M: where it was not trained for a preference, it finds the action that M knows of."""
    preferences = np.array([[1.0, 0.0], [0.0, 1.0]] * 4)
    learner, state, _ = learn(Probe("choice"), updates=100, preferences=preferences)
    support = np.asarray(state.learning.support.preference)[np.asarray(state.learning.support.used) > 0]
    assert {tuple(row) for row in support.tolist()} == {(1.0, 0.0), (0.0, 1.0)}
    policy = learner.policy(state)

    def by(members, on):
        chosen = learner_for(Probe("choice"), gpi_evaluation=on)
        used = jnp.asarray(members, jnp.int32)
        changed = policy._replace(support=policy.support._replace(used=used))
        obs = jnp.zeros((1, 2))
        return int(chosen.act(changed, obs, jnp.array([0.6, 0.4]), jax.random.key(0), greedy=True)[0])

    everyone = np.asarray(policy.support.used)
    assert by(everyone, True) == 0
    assert by(np.zeros_like(everyone), True) == by(everyone, False)


def test_exploration_falls_from_random_actions():
    learner = learner_for(Probe("choice"))
    shares = [float(learner._exploration(jnp.int32(update))) for update in (0, 1, 2, 33, 65, 1000)]
    np.testing.assert_allclose(
        shares, [1, 1, 1, 1 - 0.9 * 992 / 2000, 0.1 + 0.9 * (1 - 2016 / 2000) * 0, 0.1], atol=1e-5
    )
    continuous = learner_for(Probe("steer"))
    assert [float(continuous._exploration(jnp.int32(update))) for update in (0, 1, 2, 50)] == [1, 1, 0, 0]


def test_random_actions_are_allowed_ones():
    env = Probe("choice")
    mask = lambda obs: jnp.broadcast_to(jnp.array([0.0, 1.0]), (*obs.shape[:-1], 2))  # noqa: E731
    config = GPILSConfig(**SMALL)
    learner = GPILSAgent(
        config, Task(env.observation_space, env.action_space, 2, GAMMA, 8000, action_mask=mask)
    ).learner
    state = learner.init(jax.random.key(0))
    assert act(learner, state, (0.5, 0.5), number=50, greedy=False).tolist() == [1] * 50
    assert act(learner, state, (0.5, 0.5), number=2).tolist() == [1, 1]


@pytest.mark.slow
def test_errors_are_forgotten_and_large_ones_drawn_again():
    """Priorities of the stored rows are of their errors after a gradient step, and lost rows have none."""
    env, learner = Probe("constant"), learner_for(Probe("constant"), learning_starts=0)
    state = learner.init(jax.random.key(0))
    batch = experience(env, learner, state, EACH)
    batch = batch._replace(valid=batch.valid.at[0].set(False))
    state, _ = jax.jit(learner.update)(state, batch, jax.random.key(1))
    found = np.asarray(state.replay.priorities.value)
    assert (found[:8] == 0).all()
    assert (found[8:32] > 0).all()
    assert len(np.unique(found[8:32])) > 2
    assert (found[32:] == 0).all()


@pytest.mark.slow
def test_target_networks_move_every_so_many_steps():
    env, learner = Probe("constant"), learner_for(Probe("constant"), learning_starts=0, target_interval=16, tau=1.0)
    state = learner.init(jax.random.key(0))
    batch = experience(env, learner, state, EACH)
    first = jax.tree.leaves(state.learning.targets)
    state, _ = jax.jit(learner.update)(state, batch, jax.random.key(1))  # 8 steps
    for one, other in zip(first, jax.tree.leaves(state.learning.targets), strict=True):
        np.testing.assert_array_equal(one, other)
    state, _ = jax.jit(learner.update)(state, batch, jax.random.key(2))
    for one, other in zip(jax.tree.leaves(state.params), jax.tree.leaves(state.learning.targets), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_critics": 1, "conditioning": "product"},
        pytest.param({"double_q": False}, marks=pytest.mark.slow),
        pytest.param({"prioritised": False, "huber_delta": None}, marks=pytest.mark.slow),
    ],
)
def test_every_way_of_learning_finds_both_actions(changes):
    learner, state, _ = learn(Probe("choice"), updates=100, **changes)
    assert [int(act(learner, state, w)[0]) for w in ((1.0, 0.0), (0.0, 1.0))] == [0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_support": 2}, "max_support must be at least 3 with 2 objectives, not 2"),
        ({"objective_scales": (1.0,)}, "objective_scales must be 2 numbers, one an objective, not 1"),
        ({"learning_starts": 1000, "updates": 10}, "steps must be at least 1032 to learn anything"),
        ({"num_critics": 3}, "num_critics must be at least 1 and at most 2, not 3"),
        ({"replay_capacity": 1000}, "replay_capacity must be a multiple of num_envs \\* rollout_steps = 32, not 1000"),
    ],
)
def test_bad_settings_are_one_line(changes, message):
    with pytest.raises(UserError, match=message):
        agent_for(Probe("choice"), **changes)


def test_the_delay_of_the_policy_divides_the_gradient_steps():
    with pytest.raises(UserError, match="gradient_steps must be a multiple of policy_delay = 3 for continuous actions"):
        agent_for(Probe("steer"), policy_delay=3)
    agent_for(Probe("choice"), policy_delay=3)
