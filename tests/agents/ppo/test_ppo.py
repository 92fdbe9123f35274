"""PPO on probe environments with known values and best actions: each isolates one thing that can silently go wrong."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.cmorl import CMORL, CMORLConfig
from morl.agents.ppo import PPOAgent, PPOAgentConfig, losses
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.agents.ppo.surrogates import objective_gradients
from morl.agents.ppo.types import Minibatch
from morl.errors import UserError
from morl.ops.gradients import gram_matrix
from morl.ops.masking import masked_mean
from morl.ops.preferences import equally_spaced_weights
from morl.types import Task
from tests.probes import Probe, actor, train_together, trainer, training

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


def make(env, config=CONFIG, updates=1):
    return PPO(config, env.observation_space, env.action_space, 2, GAMMA, updates)


@cache
def program(kind, config, updates):
    """Return a learner and the function that trains it."""
    env = Probe(kind)
    learner = make(env, config, updates)
    return learner, training(env, learner)


def learn(kind, preference=(0.5, 0.5), updates=300, config=CONFIG, chunk=5):
    learner, run = program(kind, config, updates)
    return learner, *run(preference, updates, chunk=chunk)


def values(learner, state, obs):
    return np.asarray(state.params.critic(learner.features(state.learning.obs_stats, jnp.asarray(obs, jnp.float32))))


def greedy(learner, state, obs=(0.0, 0.0)):
    obs = jnp.asarray([obs], jnp.float32)
    action = learner.act(learner.policy(state), obs, jnp.array([0.5, 0.5]), jax.random.key(1), greedy=True)
    return np.asarray(learner.to_env(action))[0]


EVEN, FIRST, SECOND = (0.5, 0.5), (0.8, 0.2), (0.2, 0.8)


@pytest.fixture(scope="module")
def learnt():
    """Return a learner, and the state and metrics of one policy for each kind of probe and preference."""
    wanted = [
        ("constant", EVEN),
        ("cue", EVEN),
        ("delayed", EVEN),
        ("endless", EVEN),
        ("choice", FIRST),
        ("choice", SECOND),
    ]
    kinds, preferences = zip(*wanted, strict=True)
    learner = make(Probe("choice"), updates=300)
    return learner, dict(zip(wanted, train_together(kinds, learner, preferences, 300), strict=True))


def test_value_of_a_constant_reward(learnt):
    learner, (state, metrics) = learnt[0], learnt[1]["constant", EVEN]
    np.testing.assert_allclose(values(learner, state, [[0, 0]]), [[1, 2]], atol=0.05)
    assert metrics["critic_loss"][0] > 1 > 0.01 > metrics["critic_loss"][-1]


def test_value_depends_on_the_observation(learnt):
    learner, (state, _) = learnt[0], learnt[1]["cue", EVEN]
    np.testing.assert_allclose(values(learner, state, [[1, 0], [-1, 0]]), [[1, -1], [-1, 1]], atol=0.1)


def test_a_delayed_reward_is_discounted_once(learnt):
    learner, (state, _) = learnt[0], learnt[1]["delayed", EVEN]
    np.testing.assert_allclose(values(learner, state, [[0, 0], [0, 1]]), [[0.9, 1.8], [1, 2]], atol=0.1)


def test_truncation_bootstraps(learnt):
    """Episodes are cut off after 5 steps but never end: a unit is worth 1 / (1 - gamma) = 10, not 4.1."""
    learner, (state, _) = learnt[0], learnt[1]["endless", EVEN]
    np.testing.assert_allclose(values(learner, state, [[0, 0]]), [[10, 20]], rtol=0.05)


@pytest.mark.parametrize(("preference", "action"), [(FIRST, 0), (SECOND, 1)])
def test_the_preference_decides_which_action_is_best(preference, action, learnt):
    learner, (state, _) = learnt[0], learnt[1]["choice", preference]
    assert greedy(learner, state) == action


@pytest.mark.parametrize(("preference", "best"), [((1.0, 0.0), 0.6), ((0.0, 1.0), -0.2), ((0.5, 0.5), 0.2)])
def test_continuous_actions_in_the_units_of_the_environment(preference, best):
    learner, state, _ = learn("steer", preference)
    assert greedy(learner, state).shape == (1,)
    assert greedy(learner, state)[0] == pytest.approx(best, abs=0.12)


def test_parts_of_an_action_are_learnt_together():
    learner, state, metrics = learn("parts", updates=100)
    np.testing.assert_array_equal(greedy(learner, state), [[1], [0]])
    assert metrics["entropy"][-1] < 0.5 < 1.2 < metrics["entropy"][0] < np.log(6)


def first_stage(agent, config_class, config):
    """Return the learner that an agent makes for a probe, and the function that trains it."""
    env = Probe("apart")
    task = Task(env.observation_space, env.action_space, 2, GAMMA, steps=10**6)
    learner = agent(config_class(**vars(config)), task).learner
    return learner, training(env, learner)


@pytest.mark.parametrize(
    ("agent", "config_class"), [(PPOAgent, PPOAgentConfig), (CMORL, CMORLConfig)], ids=["PPO", "first stage of C-MORL"]
)
@pytest.mark.parametrize(("units", "action"), [("scaled", 1), ("raw", 0)])
def test_a_preference_weighs_scaled_or_raw_objectives(units, action, agent, config_class):
    """(100, 0) or (0, 1): scaled, each is worth its weight."""
    config = replace(CONFIG, normalise_rewards=True, preference_units=units)
    learner, run = first_stage(agent, config_class, config)
    state, _ = run((0.2, 0.8), 150, chunk=150)
    assert greedy(learner, state) == action


def test_an_update_moves_the_policy_by_no_more_than_its_target():
    """The learning rate is far too large for a policy of little entropy; it finds the best action all the same."""
    config = replace(CONFIG, learning_rate=0.02, entropy_coefficient=0.0, epochs=10)
    _, _, free = learn("steer", updates=100, config=config)
    learner, state, metrics = learn("steer", updates=100, config=replace(config, target_kl=0.02))
    assert "kl_step_scale" not in free
    assert np.median(free["approx_kl"]) > 0.1
    assert np.median(metrics["approx_kl"]) < 0.03
    assert metrics["kl_step_scale"].max() <= 1
    assert greedy(learner, state)[0] == pytest.approx(0.2, abs=0.12)


def test_kl_step_scale_falls_where_a_policy_is_moved_too_far():
    divergences = jnp.array([0.05, 0.015, 0.001])
    got = losses.next_kl_step_scale(jnp.full(3, 0.3), divergences, 0.02)
    np.testing.assert_allclose(got, [0.2, 0.3, 0.45], rtol=1e-6)
    largest = losses.next_kl_step_scale(jnp.float32(0.9), jnp.float32(0.0), jnp.float32(0.02))
    assert largest == 1.0  # the learning rate is the largest step


LANES = np.where(np.arange(16)[:, None] % 2, [1.0, 0.0], [0.0, 1.0])  # environments alternate between the objectives


@pytest.fixture(scope="module")
def compiled():
    """Return a learner of two actions and its compiled parts: rollouts, ``update`` and ``process_rollout``."""
    env = Probe("choice")
    learner = make(env)
    return learner, actor(env, learner), jax.jit(learner.update), jax.jit(learner.process_rollout)


def largest_difference(one, two):
    return max(float(np.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, (one, two)), strict=True))


def test_invalid_steps_are_not_learnt_from(compiled):
    """Absurd observations of invalid steps change neither parameters nor statistics."""
    learner, act, update, _ = compiled
    state = learner.init(jax.random.key(0))
    batch = act(state, LANES, params=Probe("constant").default_params)
    half = jnp.arange(16)[:, None] % 2 == 0  # in the probe every step ends an episode, so rows are independent
    valid = jnp.broadcast_to(half, batch.valid.shape)
    poisoned = batch._replace(valid=valid, obs=jnp.where(half[..., None], batch.obs, 7.0))
    clean = batch._replace(valid=valid)
    one, two = (update(state, given, jax.random.key(3))[0] for given in (poisoned, clean))
    assert largest_difference(one, two) == 0


def test_a_lost_step_does_not_make_up_advantages_of_steps_before_it(compiled):
    """A host's worker was lost in the middle of an episode: the observation and reward of that step are made up."""
    learner, act, _, process_rollout = compiled
    state = learner.init(jax.random.key(0))
    batch = act(state, LANES, params=Probe("endless").default_params)
    valid = jnp.ones((16, 16), bool).at[7, ::2].set(False)
    assert not (batch.terminated | batch.truncated)[7].any()

    def lost(made_up):
        obs, next_obs = (jnp.where(valid[..., None], x, made_up) for x in (batch.obs, batch.next_obs))
        reward = jnp.where(valid[..., None], batch.reward, made_up)
        return batch._replace(valid=valid, obs=obs, next_obs=next_obs, reward=reward)

    processed = [process_rollout(state, lost(made_up)) for made_up in (0.0, 7.0)]
    whole = process_rollout(state, batch)[1].advantage
    for _, rollout in processed:
        np.testing.assert_array_equal(rollout.advantage[:, 1::2], whole[:, 1::2])
        # the step before is the last of its episode, and bootstraps
        np.testing.assert_allclose(rollout.advantage[6, ::2], rollout.delta[6, ::2])
        np.testing.assert_array_equal(rollout.advantage[7, ::2], 0)
    np.testing.assert_array_equal(processed[0][1].advantage, processed[1][1].advantage)
    for one, two in zip(*(jax.tree.leaves(after) for after, _ in processed), strict=True):
        np.testing.assert_array_equal(one, two)  # nor do the running statistics see it


def test_each_step_is_learnt_from_for_its_own_preference(compiled):
    """The critic learns both objectives at each step, the actor the one that the preference of the step weighs."""
    learner, act, update, process_rollout = compiled
    state = learner.init(jax.random.key(0))
    batch = act(state, LANES)
    assert batch.preference.shape == (16, 16, 2)
    key = jax.random.key(3)
    _, rollout = process_rollout(state, batch)
    advantage = np.where(np.arange(16) % 2, rollout.advantage[..., 0], rollout.advantage[..., 1])
    standardised = (advantage - advantage.mean()) / advantage.std()
    expected, _ = jax.jit(learner.fit)(state, rollout, jnp.asarray(standardised), key)
    got, _ = update(state, batch, key)
    assert largest_difference(got.params, expected.params) < 1e-5
    other, _ = update(state, batch._replace(preference=batch.preference[..., ::-1]), key)
    assert largest_difference(got.params, other.params) > 1e-4


def test_a_preference_may_be_drawn_for_each_episode():
    """Three in five episodes weigh the second action higher, but the first action is worth more over all."""
    env = Probe("choice")
    learner = make(env)

    def draw(key):
        return jnp.where(jax.random.uniform(key) < 0.4, jnp.array([0.95, 0.05]), jnp.array([0.3, 0.7]))

    backend = trainer(env, learner, np.full((1, 16, 2), 0.5), draw_preference=draw)
    state, _ = backend.run(backend.init([jax.random.key(0)]), 300)  # on average 0.56, 0.44
    assert len(np.unique(np.asarray(state.preferences)[0], axis=0)) == 2
    assert greedy(learner, jax.tree.map(lambda x: np.asarray(x)[0], state.learners)) == 0


@cache
def gradients_of_objectives(kind):
    """Return a learner, a state of it far from a fresh one, a rollout with lost steps, and the gradients for it."""
    env = Probe(kind)
    learner = make(env)
    state, rng = learner.init(jax.random.key(0)), np.random.default_rng(0)
    state = state._replace(params=jax.tree.map(lambda x: x + rng.normal(0, 0.2, x.shape).astype(x.dtype), state.params))
    valid = jnp.asarray(rng.random((16, 16)) < 0.9)

    @jax.jit
    def gradients(state, batch):
        _, rollout = learner.process_rollout(state, batch._replace(valid=valid))
        return rollout, objective_gradients(learner, state.params, rollout, rollout.advantage)

    return learner, state, *gradients(state, actor(env, learner)(state, (0.3, 0.7)))


@pytest.mark.parametrize("kind", ["choice", "steer"])
def test_gradients_of_objectives_add_up_to_that_of_their_weighted_sum(kind):
    """The policy acted itself, so nothing is clipped; the sum is of PPO's own loss, without entropy and critic."""
    learner, state, rollout, gradients = gradients_of_objectives(kind)
    preference = jnp.array([0.3, 0.7])
    got = jax.tree.map(lambda leaf: np.tensordot(preference, leaf, 1), gradients)

    summed = rollout.advantage @ preference
    summed = summed - masked_mean(summed, rollout.weight)
    plain = replace(learner, config=replace(CONFIG, entropy_coefficient=0.0, value_coefficient=0.0))
    shared = {name: getattr(rollout, name) for name in ("inputs", "action", "mask", "log_prob", "weight")}
    steps = Minibatch(**shared, advantage=summed, target=rollout.value)
    gradient = jax.jit(jax.grad(lambda params: plain.loss(params, steps)[0]))(state.params)
    assert largest_difference(got, jax.tree.map(np.negative, (gradient.actor, gradient.log_std))) < 1e-6
    assert largest_difference(gradient.critic, jax.tree.map(np.zeros_like, gradient.critic)) == 0


def test_the_gram_matrix_tells_objectives_in_conflict():
    """One action earns the first objective, the other the second: what raises the one lowers the other."""
    gram = np.asarray(gram_matrix(gradients_of_objectives("choice")[-1]))
    assert gram.shape == (2, 2)
    assert gram[0, 0] > 0 < gram[1, 1]
    assert gram[0, 1] / np.sqrt(gram[0, 0] * gram[1, 1]) < -0.9


def test_losses_are_those_of_the_paper_by_hand():
    log_ratio = jnp.log(jnp.array([1.5, 1.5, 0.5, 0.5, 1.1, 9.0]))
    advantage = jnp.array([1.0, -1.0, 1.0, -1.0, 2.0, 9.0])
    weight = jnp.array([1.0, 1, 1, 1, 1, 0])
    # clipped where the ratio leaves 1 ± 0.2 in the direction of the advantage
    expected = -np.mean([1.2, -1.5, 0.5, -0.8, 2.2])
    got = losses.clipped_surrogate_loss(log_ratio, advantage, weight, 0.2)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    value, target = jnp.array([[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]), jnp.array([[0.0, 0.0], [3.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(losses.value_loss(value, target, jnp.array([1.0, 1.0, 0.0])), 0.5 * (1 + 4 + 0 + 16) / 4)
    ratio = np.array([1.5, 1.5, 0.5, 0.5, 1.1])
    np.testing.assert_allclose(losses.approximate_kl(log_ratio, weight), np.mean(ratio - 1 - np.log(ratio)), rtol=1e-5)


def test_update_compiles_once():
    traces = []

    class Counted(PPO):
        def update(self, state, batch, key):
            traces.append(None)
            return super().update(state, batch, key)

    env = Probe("choice")
    run = training(env, Counted(CONFIG, env.observation_space, env.action_space, 2, GAMMA, 1))
    state, _ = run((0.5, 0.5), 1)
    number = len(traces)
    assert number <= 3  # once for the shapes of the metrics, up to twice for the loop's carry
    run((0.2, 0.8), 3, state=state)  # another preference, and a learner that goes on
    assert len(traces) == number


@pytest.mark.parametrize("kind", ["choice", "steer"])
def test_a_fresh_learner_has_the_types_of_one_that_goes_on(kind):
    """A weak type would compile the update twice: for the first stage of C-MORL, and for the second."""
    env = Probe(kind)
    state = make(env).init(jax.random.key(0))
    assert not any(leaf.weak_type for leaf in map(jnp.asarray, jax.tree.leaves(state)))


def test_observation_statistics_are_part_of_the_policy(learnt):
    learner, (state, _) = learnt[0], learnt[1]["cue", EVEN]
    policy = learner.policy(state)
    assert float(policy.obs_stats.seen) == 300 * 16 * 16
    moved = policy._replace(obs_stats=policy.obs_stats._replace(mean=policy.obs_stats.mean + 3.0))
    obs = jnp.array([[1.0, 0.0]])
    before, after = (p.actor(learner.features(p.obs_stats, obs)) for p in (policy, moved))
    assert not np.allclose(before, after)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0"),
        ({"clip_eps": 0.0}, "clip_eps must be greater than 0"),
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
    make = partial(PPO, PPOConfig(), num_objectives=2, gamma=0.9, total_updates=1)
    with pytest.raises(UserError, match="has a Tuple action space; allowed: one array: Discrete"):
        make(observation_space=box, action_space=spaces.Tuple([box, box]))
    with pytest.raises(UserError, match="has a Graph observation space; allowed: one of arrays"):
        make(observation_space=spaces.Graph(box, None), action_space=spaces.Discrete(2))
    with pytest.raises(UserError, match="observations of a Dict must be flattened"):
        make(observation_space=spaces.Dict(x=box), action_space=spaces.Discrete(2))


def test_the_agent_has_one_fixed_preference_for_each_policy():
    env = Probe("choice")

    def agent(size=2, steps=10**6, **changes):
        return PPOAgent(PPOAgentConfig(**changes), Task(env.observation_space, env.action_space, size, 0.9, steps))

    np.testing.assert_array_equal(agent(num_policies=3).preferences, equally_spaced_weights(2, 3))
    np.testing.assert_allclose(agent(4, num_policies=3, min_weight=0.2).preferences[0], [0.4, 0.2, 0.2, 0.2])
    assert (agent().updates, agent().extension, agent().notes) == (10**6 // (6 * 16 * 64), None, ())
    assert agent().learner.gamma == 0.9
    assert agent(train_gamma=0.5).learner.gamma == 0.5
    with pytest.raises(UserError, match=r"min_weight must be below 1/4 with 4 objectives, not 0\.25"):
        agent(4, min_weight=0.25)
    with pytest.raises(UserError, match=r"steps must be at least 6144 \(one update of 6 policies x 16 environments"):
        agent(steps=6143)
    for wrong in ({"num_policies": 1}, {"min_weight": 0.5}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            PPOAgentConfig(**wrong)
