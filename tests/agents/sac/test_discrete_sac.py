"""Discrete SAC on probe environments with known values and best actions: each isolates one thing that can go wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from morl.agents.dsac import SeparateSAC, SeparateSACConfig
from morl.agents.gmorl import GMORL, GMORLConfig
from morl.agents.sac.types import Params
from morl.agents.sac.updates import clip_each_by_norm, next_utopia
from morl.errors import UserError
from morl.ops.preferences import equally_spaced_weights
from morl.types import Task, Transition
from tests.agents.sac.learning import GAMMA, act, learn, learn_together, learner_for
from tests.probes import Probe, experience

EACH = equally_spaced_weights(2, 8)  # for as many environments


def values(learner, state, obs, preference=(0.5, 0.5)):
    """Return (N, A, R) of the first critic."""
    obs = jnp.asarray(obs, jnp.float32)
    preference = jnp.broadcast_to(jnp.array(preference), (len(obs), 2))
    inputs = learner.networks.inputs(state.learning.obs_stats, obs)
    return np.asarray(learner._twin_values(state.params.critics, inputs, None, preference))[0]


def greedy(learner, state, preference):
    return int(act(learner, state, preference)[0])


@pytest.fixture(scope="module")
def learnt():
    """Return a learner, and the state and metrics of a policy for each kind; entropy counts on the endless one only."""
    wanted = [*((kind, 1e-3) for kind in ("constant", "cue", "delayed", "choice")), ("endless", 0.5)]
    learner, found = learn_together(wanted, relabel_preferences=True)
    return learner, {kind: trained for (kind, _), trained in found.items()}


def test_value_of_a_constant_reward(learnt):
    learner, (state, metrics) = learnt[0], learnt[1]["constant"]
    np.testing.assert_allclose(values(learner, state, [[0, 0]])[0], [[1, 2], [1, 2]], atol=0.05)
    assert metrics["critic_loss"][5] > 0.1 > 0.01 > metrics["critic_loss"][-1]


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
    bonus = GAMMA * 0.5 * np.log(2) / (1 - GAMMA)  # of entropy
    np.testing.assert_allclose(values(learner, state, [[0, 0]])[0], [[10 + bonus, 20 + bonus]] * 2, rtol=0.05)


def test_rewards_of_several_steps():
    """Check sums by hand of rewards 1, 2, 4, ..., truncated after the second step and terminated by the fourth."""
    env = Probe("constant")
    learner = learner_for(env, 10, gamma=0.5, n_step=3)
    t = jnp.arange(6.0)
    batch = Transition(
        obs=t[:, None, None] * jnp.ones((1, 1, 2)),
        action=jnp.zeros((6, 1), jnp.int32),
        reward=jnp.stack([2**t, 0 * t], axis=-1)[:, None],
        next_obs=(t[:, None, None] + 0.5) * jnp.ones((1, 1, 2)),
        terminated=(t == 3)[:, None],
        truncated=(t == 1)[:, None],
        valid=jnp.ones((6, 1), bool),
        preference=jnp.tile(jnp.array([0.25, 0.75]), (6, 1, 1)),
    )
    stored = jax.jit(learner.replay_rows)
    rows = stored(batch)
    np.testing.assert_allclose(rows.reward[:, 0, 0], [1 + 2 / 2, 2, 4 + 8 / 2, 8, 16 + 32 / 2, 32])
    np.testing.assert_allclose(rows.next_obs[:, 0, 0], [1.5, 1.5, 3.5, 3.5, 5.5, 5.5])
    np.testing.assert_allclose(rows.discount[:, 0], [0.25, 0.5, 0.25, 0.5, 0.25, 0.5])
    assert rows.terminated[:, 0].tolist() == [False, False, True, True, False, False]
    np.testing.assert_array_equal(rows.preference, batch.preference)
    unbroken = jax.tree.map(lambda x: x, batch)._replace(truncated=jnp.zeros((6, 1), bool))
    three = stored(unbroken)
    assert float(three.reward[0, 0, 0]) == 1 + 2 / 2 + 4 / 4
    assert float(three.discount[0, 0]) == 0.125


def test_several_steps_at_once_carry_a_delayed_reward_as_far():
    learner, state, _ = learn(Probe("delayed"), n_step=4)
    found = values(learner, state, [[0, 0], [0, 1]])[:, 0]
    np.testing.assert_allclose(found, [[0.9, 1.8], [1, 2]], atol=0.1)


def test_entropy_is_worth_its_temperature(learnt):
    """Two equal actions for ever: each next step adds temperature * log 2 to every objective's value."""
    learner, (state, metrics) = learnt[0], learnt[1]["endless"]
    assert metrics["entropy"][-1] == pytest.approx(np.log(2), abs=0.02)
    bonus = GAMMA * 0.5 * np.log(2) / (1 - GAMMA)
    np.testing.assert_allclose(values(learner, state, [[0, 0]])[0], [[10 + bonus, 20 + bonus]] * 2, rtol=0.05)


def test_one_policy_serves_every_preference(learnt):
    learner, (state, _) = learnt[0], learnt[1]["choice"]
    assert [greedy(learner, state, w) for w in ((1.0, 0.0), (0.7, 0.3), (0.3, 0.7), (0.0, 1.0))] == [0, 0, 1, 1]


@pytest.mark.slow
def test_without_its_preference_it_cannot():
    learner, state, _ = learn(Probe("choice"), updates=100, preference_input=False)
    assert greedy(learner, state, (1.0, 0.0)) == greedy(learner, state, (0.0, 1.0))


@pytest.mark.parametrize(("scalarisation", "action"), [("linear", (0, 1)), ("tchebycheff", (2,))])
def test_only_tchebycheff_chooses_what_no_weighted_sum_prefers(scalarisation, action):
    learner, state, _ = learn(Probe("dent"), scalarisation=scalarisation)
    assert greedy(learner, state, (0.5, 0.5)) in action
    assert greedy(learner, state, (0.95, 0.05)) == 0


@pytest.mark.parametrize("relabel", [True, False])
def test_relabelling_teaches_preferences_nobody_acted_for(relabel):
    """All act for the first objective alone; only by relabelling is the second weight of a preference ever not 0."""
    learner, state, _ = learn(Probe("choice"), 20, [[1.0, 0.0]] * 8, relabel_preferences=relabel)
    key_init = jax.random.split(jax.random.key(3), 3)[0]  # of the loop

    def preference_weights(state):
        return np.asarray(state.params.actor.body.layers[0].weight)[-2:]

    moved = (preference_weights(state) != preference_weights(learner.init(key_init))).any(axis=1)
    assert moved.tolist() == [True, relabel]


class Masked(Probe):
    """``choice``, where only the first action is allowed although the second is worth more to some."""

    def action_mask(self, obs):
        return jnp.broadcast_to(jnp.array([1, 0], jnp.int8), (*obs.shape[:-1], 2))


def test_masked_actions_are_never_taken_nor_bootstrapped_from():
    learner, state, metrics = learn(Masked("choice"), chunk=1)
    assert greedy(learner, state, (0.0, 1.0)) == 0
    sampled = learner.act(
        learner.policy(state), jnp.zeros((1000, 2)), jnp.array([0.0, 1.0]), jax.random.key(0), greedy=False
    )
    assert not np.asarray(sampled).any()
    assert abs(metrics["entropy"]).max() < 1e-6
    free, state, _ = learn(Masked("choice"), mask_actions=False)
    assert greedy(free, state, (0.0, 1.0)) == 1


@pytest.mark.slow
def test_a_learnt_temperature_finds_its_entropy():
    settings = {"learn_temperature": True, "target_entropy": 0.5, "anneal": False}
    wanted = ("constant", 1.0), ("choice", 0.02)
    (_, high), (_, low) = learn_together(wanted, **settings)[1].values()
    assert high["temperature"][-1] < 0.5  # even choice is above the target: the bonus has to go
    assert low["temperature"][-1] > 0.04  # one action is best: without a bonus there would be less entropy
    assert low["entropy"][-1] == pytest.approx(0.5 * np.log(2), abs=0.1)


def test_rewards_are_scaled_by_their_deviation(learnt):
    learner, (state, _) = learner_for(Probe("cue"), objective_scales=None), learnt[1]["cue"]
    scale = np.asarray(learner.reward_scales(state.learning.return_stats))
    np.testing.assert_allclose(scale, [1, 1], rtol=0.05)  # of -1 and 1 the deviation is 1
    fixed, state, _ = learn(Probe("cue"), objective_scales=(10.0, 1.0))
    found = values(fixed, state, [[1, 0]])[0, 0]
    np.testing.assert_allclose(found, [10, -1], rtol=0.1)


@pytest.fixture(scope="module")
def begun():
    """A fresh learner's state, one rollout of it, and its compiled update."""
    env = Probe("constant")
    learner = learner_for(env, 10)
    state = learner.init(jax.random.key(0))
    return state, experience(env, learner, state, EACH), jax.jit(learner.update)


def test_invalid_steps_are_not_learnt_from(begun):
    state, batch, update = begun
    state = state._replace(replay=state.replay._replace(filled=jnp.int32(64)))  # learning has started
    valid = jnp.broadcast_to(jnp.arange(4)[:, None] % 2 == 0, batch.valid.shape)
    poisoned = batch._replace(valid=valid, reward=jnp.where(valid[..., None], batch.reward, 1e9))
    ones, twos = (update(state, x, jax.random.key(3))[0] for x in (poisoned, batch._replace(valid=valid)))
    for one, two in _pairs((ones.params, ones.learning), (twos.params, twos.learning)):
        np.testing.assert_array_equal(one, two)


def test_a_lost_step_ends_the_partial_return():
    """Check returns by hand at discount 0.9; the second environment loses its second step and starts again."""
    env = Probe("endless")
    learner = learner_for(env, 10, num_envs=2, rollout_steps=3, replay_capacity=60, learning_starts=60)
    flags = jnp.zeros((3, 2), bool)
    batch = Transition(
        obs=jnp.zeros((3, 2, 2)),
        action=jnp.zeros((3, 2), jnp.int32),
        reward=jnp.ones((3, 2, 2)) * jnp.array([[[1.0, 2.0]]]),
        next_obs=jnp.zeros((3, 2, 2)),
        terminated=flags,
        truncated=flags,
        valid=~flags.at[1, 1].set(True),
        preference=jnp.full((3, 2, 2), 0.5),
    )
    state, _ = jax.jit(learner.update)(learner.init(jax.random.key(0)), batch, jax.random.key(1))
    whole = 1 + GAMMA + GAMMA**2
    np.testing.assert_allclose(state.episode, [[whole, 2 * whole], [1.0, 2.0]], rtol=1e-6)
    seen = np.array([1, 1 + GAMMA, whole, 1, 1])  # without the lost one
    np.testing.assert_allclose(state.learning.return_stats.mean, [seen.mean(), 2 * seen.mean()], rtol=1e-6)


def test_nothing_is_learnt_before_learning_starts(begun):
    state, batch, update = begun
    moved = []
    for i in range(3):
        after, _ = update(state, batch, jax.random.key(i))
        moved.append(any((np.asarray(a) != np.asarray(b)).any() for a, b in _pairs(after.params, state.params)))
        state = after
    assert moved == [False, True, True]


def test_preferences_come_with_the_transitions(begun):
    state, batch, update = begun
    each = jnp.linspace(0, 1, 32).reshape(4, 8)
    preference = jnp.stack([each, 1 - each], axis=-1)
    after, _ = update(state, batch._replace(preference=preference), jax.random.key(0))
    np.testing.assert_array_equal(after.replay.rows.preference[:32], preference.reshape(32, 2))


def test_each_loss_has_its_gradient_clipped_by_itself():
    gradients = Params({"a": jnp.array([3.0, 4.0])}, [jnp.array([0.3]), jnp.array([0.4])], jnp.float32(-2.0))
    transformation = clip_each_by_norm(1.0)
    clipped, _ = transformation.update(gradients, transformation.init(gradients))
    np.testing.assert_allclose(clipped.actor["a"], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(clipped.critics, gradients.critics)  # of norm 0.5
    assert float(clipped.log_temperature) == -1.0


def test_the_utopia_rises_at_once_and_falls_slowly():
    """A hundredth of the way down; what is not to be learnt from does not count."""
    target, weight = jnp.array([[1.0, 5.0], [2.0, 3.0], [99.0, 99.0]]), jnp.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(next_utopia(jnp.full(2, -jnp.inf), target, weight), [2, 5])
    np.testing.assert_allclose(next_utopia(jnp.array([1.0, 15.0]), target, weight), [2, 14.9])
    np.testing.assert_allclose(next_utopia(jnp.array([1.0, 15.0]), target, jnp.zeros(3)), [1, 15])


def _pairs(one, two):
    return zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"replay_capacity": 1000}, r"replay_capacity must be a multiple of num_envs \* rollout_steps = 640, not 1000"),
        ({"n_step": 11}, "n_step must be at most rollout_steps = 10, not 11"),
        ({"learning_starts": 10**6}, "learning_starts must be at most replay_capacity = 96000"),
        ({"temperature": 0.0}, "temperature must be greater than 0"),
        ({"target_entropy": 1.0}, "target_entropy must be greater than 0 and below 1"),
        ({"objective_scales": (1.0, -1.0)}, "objective_scales must be greater than 0"),
        ({"objective_scales": ()}, "objective_scales must be greater than 0"),
        ({"hidden": ()}, "hidden must be one or more widths"),
        ({"num_preferences": 1}, "num_preferences must be at least 2"),
        ({"preference_draws": "steps"}, "unknown preference_draws 'steps'"),
    ],
)
def test_settings_out_of_range_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        GMORLConfig(**wrong)


BOX = spaces.Box(-1, 1, (1,), np.float32)


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
        ({"action_space": spaces.Tuple([BOX, BOX])}, {}, "has a Tuple action space; allowed: one array"),
        ({"action_space": spaces.MultiBinary(10)}, {}, r"has 1024 combinations; .* at most 512"),
        ({"action_space": BOX}, {"network": "rows"}, "network rows needs discrete actions; allowed.*: auto, flat"),
        ({"action_space": BOX}, {"network": "convolution"}, "network convolution needs discrete actions"),
        ({}, {"network": "rows"}, "network rows needs features of each action.*allowed: auto, flat"),
        ({"steps": 639}, {}, "steps must be at least 640"),
        ({"steps": 6400}, {}, "steps must be at least 7040 to learn anything after learning_starts, not 6400"),
        (
            {},
            {"objective_scales": (1.0, 1.0, 1.0)},
            "objective_scales must be one number or 2, .*, not 3",
        ),
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
