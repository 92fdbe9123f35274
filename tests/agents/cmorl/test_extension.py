"""Constraints on returns: weights of the barrier, estimates of returns, starts of rounds, and trained policies."""

import itertools
from dataclasses import dataclass, replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.cmorl import CMORL, CMORLConfig
from morl.agents.cmorl.constrained import STEEPEST, ConstrainedPPO, barrier_weights, secants
from morl.agents.cmorl.extension import Extension, find_gap, rows_above, select
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.errors import UserError
from morl.ops.preferences import equally_spaced_weights
from morl.types import Task, Transition
from tests.probes import Probe, experience, training

GAMMA = 0.9
CONFIG = PPOConfig(
    num_envs=32, rollout_steps=8, epochs=4, minibatches=4, learning_rate=3e-3, hidden=(32,), entropy_coefficient=0.1
)


@dataclass(frozen=True)
class Watched(ConstrainedPPO):
    """ConstrainedPPO whose metrics have the mean reward of each rollout too; most probes' episodes have one step."""

    def update(self, state, batch, key):
        state, metrics = super().update(state, batch, key)
        a, b = batch.reward.mean(axis=(0, 1))
        return state, {**metrics, "a": a, "b": b}


@cache
def learner(kind="steer", method="ipo", **changes):
    env = Probe(kind)
    ppo = PPO(replace(CONFIG, **changes), env.observation_space, env.action_space, 2, GAMMA, 100)
    return Watched(ppo, GAMMA, method)


@cache
def program(kind, method):
    """Return the function that trains ``learner(kind, method)``, or PPO for the method "none"."""
    return training(Probe(kind), learner(kind).ppo if method == "none" else learner(kind, method))


def run(agent, state, updates, kind="steer"):
    """Raise the first objective; return the state, and of each update whether it began feasible and its mean reward."""
    state, metrics = program(kind, agent.method)((1.0, 0.0), updates, state)
    return state, metrics["feasible_share"], np.stack([metrics["a"], metrics["b"]], axis=1)


@cache
def archived_policy(kind, updates):
    """Return the policy that the first stage of C-MORL finds for the second objective alone."""
    ppo = learner(kind).ppo
    return ppo.policy(program(kind, "none")((0.0, 1.0), updates)[0])


def greedy_choice(agent, policy):
    return int(agent.act(policy, jnp.zeros((1, 2)), None, jax.random.key(0), greedy=True)[0])


def greedy_action(agent, policy):
    action = agent.act(policy, jnp.zeros((1, 2)), None, jax.random.key(0), greedy=True)
    return float(agent.to_env(action)[0, 0])


def test_weights_are_those_of_the_barriers_gradient():
    slack, preference = jnp.array([0.5, jnp.inf, 0.02]), jnp.array([0.0, 1.0, 0.0])
    weights = jax.jit(barrier_weights)
    got = weights(preference, slack, 20.0)
    np.testing.assert_allclose(got, [1 / (20 * 0.5), 1.0, 1 / (20 * 0.02)], rtol=1e-6)
    value = lambda g: g[1] + (jnp.log(g[0] - 1.0) + jnp.log(g[2] + 3.0)) / 20  # noqa: E731
    np.testing.assert_allclose(got, jax.jit(jax.grad(value))(jnp.array([1.5, 7.0, -2.98])), rtol=1e-3)
    assert (weights(preference, jnp.array([1e-9, jnp.inf, 1.0]), 20.0) <= STEEPEST).all()
    # without constraints the weights are the preference
    np.testing.assert_allclose(barrier_weights(jnp.array([0.3, 0.7]), jnp.full(2, jnp.inf), 20.0), [0.3, 0.7])


def test_broken_constraints_count_alone_and_by_how_far():
    got = barrier_weights(jnp.array([1.0, 0.0, 0.0, 0.0]), jnp.array([jnp.inf, -0.4, 0.3, -0.1]), 20.0)
    assert np.isfinite(got).all()
    assert got[0] == got[2] == 0
    assert got[1] > 3.5 * got[3] > 0


class Known(PPO):
    """PPO whose critic returns the observation as its values, whatever it has learnt."""

    def values(self, policy, batch):
        return batch.obs, batch.next_obs


@cache
def known(num_envs, *, learnt_at=GAMMA, gamma=GAMMA, limit=None, allowance=(np.inf, 1.0), archived=None):
    """Return a learner under constraints whose critic is known, its state at the start, and its compiled tracking.

    That returns the state after a rollout, the returns of its episodes, and the slack.
    """
    env = Probe("constant")
    config = replace(CONFIG, num_envs=num_envs, normalise_rewards=False)
    ppo = Known(config, env.observation_space, env.action_space, 2, learnt_at, 100)
    agent = ConstrainedPPO(ppo, gamma, limit=limit)
    policy = agent.policy(agent.init(jax.random.key(0)))

    @jax.jit
    def track(state, batch):
        state, outcomes = agent.track_returns(state, batch)
        return state, outcomes, agent.slack(state)

    return agent, agent.begin(policy, allowance, [1, 1], archived), track


def told(value, next_value, reward, terminated=None, truncated=None, valid=None):
    """Return a rollout (T, B, 2) with these values, rewards and flags."""
    none = np.zeros(reward.shape[:2], bool)
    parts = [none if x is None else x for x in (terminated, truncated)]
    preference = np.broadcast_to([1.0, 0.0], reward.shape)
    arrays = (value, none, reward, next_value, *parts, ~none if valid is None else valid, preference)
    return Transition(*(jnp.asarray(x) if x.dtype == bool else jnp.asarray(x, jnp.float32) for x in arrays))


def test_what_an_episode_comes_to_goes_on_from_rollout_to_rollout():
    """One episode goes on from one rollout to the next, in another environment a host's reset step is left out."""
    rng = np.random.default_rng(0)
    reward, value, next_value = rng.normal(size=(3, 6, 2, 2)).astype(np.float32)
    done = np.zeros((6, 2), bool)
    done[1, 0] = done[4, 0] = done[3, 1] = True
    valid = np.ones((6, 2), bool)
    valid[4, 1] = False  # lane 1 was reset there
    _, state, track = known(2, archived=(0.0, 0.0))
    rollouts = ((0, 2), (2, 3), (3, 6))
    before, after = np.zeros((2, 6, 2, 2))
    td_sum, steps = np.zeros(2), 0.0
    for lane in range(2):
        total, discount = np.zeros(2), 1.0
        for t in range(6):
            if not valid[t, lane]:
                total, discount = np.zeros(2), 1.0
                continue
            later = sum(end <= t for _, end in rollouts)  # which rollout this is
            before[t, lane] = total + discount * value[t, lane]
            total = total + discount * reward[t, lane]
            after[t, lane] = total + discount * GAMMA * next_value[t, lane] * (not done[t, lane])
            td_sum += 0.7 ** (2 - later) * (after[t, lane] - before[t, lane]) / discount
            steps += 0.7 ** (2 - later)
            discount *= GAMMA
            if done[t, lane]:
                total, discount = np.zeros(2), 1.0
    found = []
    for begin, end in rollouts:
        part = slice(begin, end)
        state, outcomes, slack = track(
            state, told(value[part], next_value[part], reward[part], terminated=done[part], valid=valid[part])
        )
        found.append(outcomes)
        if begin == 0:  # the initial policy acted, so no return is lost yet
            np.testing.assert_allclose(slack, state.learning.allowance, rtol=1e-5)
    # without a limit, values at the same discount are taken as they are
    for expected, got in ((before, [x.before for x in found]), (after, [x.after for x in found])):
        np.testing.assert_allclose(np.concatenate(got)[valid], expected[valid], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state.learning.td_sum, td_sum, rtol=1e-4)
    np.testing.assert_allclose(state.learning.lengths.steps, steps, rtol=1e-5)


def followed(learner, lengths, values, earns, updates, steps=64):
    """Return the slack after each update, in units of the allowed loss; the next episode has the next of ``lengths``.

    ``values`` are the critic's at each age of an episode; ``earns`` gives the reward at ages (T, B) in an update. What
    reaches the limit is truncated there, other episodes terminate.
    """
    (agent, state, track), slacks = learner, []
    num_envs = agent.num_envs
    age, length = np.zeros(num_envs, int), np.array([next(lengths) for _ in range(num_envs)])
    for update in range(updates):
        ages, done = np.zeros((steps, num_envs), int), np.zeros((steps, num_envs), bool)
        for t in range(steps):
            ages[t] = age
            age = age + 1
            done[t] = age >= length
            for i in np.flatnonzero(done[t]):
                age[i], length[i] = 0, next(lengths)
        cut = done & (ages + 1 == (agent.limit or 0))
        vector = [np.repeat(x[..., None], 2, -1) for x in (values[ages], values[ages + 1], earns(update, ages))]
        state, _, slack = track(state, told(*vector, terminated=done & ~cut, truncated=cut))
        slacks.append(float(slack[1]) / float(state.learning.allowance[1]))
    return np.array(slacks)


def valued(earns, goes_on, learnt_at, size):
    """Return a critic's values at each age, of rewards ``earns(age)`` and a probability ``goes_on(age)`` to go on."""
    values = np.full(2 * size, earns(2 * size) / (1 - learnt_at))
    for age in range(2 * size - 2, -1, -1):
        values[age] = earns(age) + learnt_at * goes_on(age) * values[age + 1]
    return values


@pytest.mark.parametrize("gamma", [1.0, 0.99])
@pytest.mark.parametrize("since", [1, 6])
def test_a_loss_is_known_long_before_an_episode_ends(gamma, since):
    """Episodes have 1000 steps, rollouts 64. A fifth is lost where a tenth is allowed, or as much is gained."""
    worth = 1000 if gamma == 1 else 100
    learner = known(8, learnt_at=0.995, gamma=gamma, limit=1000, allowance=(np.inf, 0.1 * worth))
    values = np.full(1002, 200.0)
    for change, end in ((-0.2, -1), (0.2, 3)):
        slacks = followed(
            learner,
            itertools.repeat(1000),
            values,
            lambda update, ages, change=change: np.where(update < since, 1.0, 1.0 + change) + 0 * ages,
            20,
        )
        np.testing.assert_allclose(slacks[:since], 1, atol=0.01)
        assert ((slacks < 0) if change < 0 else (slacks > 2))[since + 3 :].all()
        assert slacks[-1] == pytest.approx(end, abs=0.15)


@pytest.mark.parametrize(("gamma", "limit"), [(1.0, 1000), (1.0, 288), (0.99, 500)])
def test_nothing_is_lost_or_gained_where_the_reward_is_uneven_and_nothing_changes(gamma, limit):
    """The reward is 0 for 64 steps, then 1, and the critic knows."""
    learner = known(8, learnt_at=0.995, gamma=gamma, limit=limit, allowance=(np.inf, 10.0))
    values = valued(lambda age: 1.0 * (age >= 64), lambda age: 1.0, 0.995, 1000)
    earns = lambda update, ages: 1.0 * (ages >= 64)  # noqa: E731
    slacks = followed(learner, itertools.repeat(limit), values, earns, 20)
    np.testing.assert_allclose(slacks, 1, atol=0.02)


def test_episodes_of_any_length_seem_no_gain_where_nothing_changes():
    """Episodes have 10 to 200 steps, which a critic does not foresee; a mean of ended ones is of short ones first.

    Such a mean begins at half of its limit, which would look like a gain of three times the allowed loss.
    """
    rng = np.random.default_rng(0)
    learner = known(256, learnt_at=0.99, gamma=0.99, allowance=(np.inf, 10.0))
    goes_on = lambda age: min(191, max(199 - age, 0)) / max(min(191, 200 - age), 1)  # noqa: E731
    values = valued(lambda age: 1.0, goes_on, 0.99, 200)
    lengths = iter(lambda: int(rng.integers(10, 201)), None)
    np.testing.assert_allclose(followed(learner, lengths, values, lambda update, ages: 1.0 + 0 * ages, 20), 1, atol=0.3)


def test_a_single_episode_comes_to_the_same_whatever_its_critics_discount():
    """The reward is 1 for 288 steps, undiscounted, and the archived return is 288."""
    _, state, track = known(2, learnt_at=0.995, gamma=1.0, limit=288, archived=(288.0, 288.0))
    value, done = np.full((288, 2, 2), 200.0), np.zeros((288, 2), bool)
    done[-1] = True
    _, outcomes, _ = track(state, told(value, value, np.ones((288, 2, 2)), truncated=done))
    np.testing.assert_allclose(outcomes.before, 288, rtol=1e-3)
    np.testing.assert_allclose(outcomes.after, 288, rtol=1e-3)


def test_slopes_of_the_barrier_are_its_differences():
    def barrier(x):
        least = 1 / (20 * STEEPEST)
        return np.where(x > least, np.log(np.maximum(x, least)), np.log(least) + (x - least) / least) / 20

    begin = np.array([0.5, 0.5, 0.001, -0.3, 0.2, 3e-3])
    end = np.array([0.7, 0.5, 0.4, -0.1, -0.2, 3e-3 + 1e-7])
    slope = jax.jit(secants)
    got = slope(jnp.asarray(begin), jnp.asarray(end), 20.0)
    apart = np.abs(end - begin) > 1e-5
    np.testing.assert_allclose(
        got[apart], ((barrier(end) - barrier(begin)) / np.where(apart, end - begin, 1))[apart], rtol=1e-4
    )
    np.testing.assert_allclose(got[~apart], [1 / (20 * 0.5), 1 / (20 * 3e-3)], rtol=1e-3)
    np.testing.assert_allclose(slope(jnp.inf, jnp.inf, 20.0), 0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("archived", "expected"), [([0.0, 1.0], 2), (None, None)])
def test_constraints_on_episodes_reach_a_dent_of_the_front(archived, expected):
    """The constraint is b > 0.05: (0.4, 0.4) meets it in each episode, the mean also by (1, 0) in nearly all."""
    agent = learner("dent")
    free = archived_policy("dent", 30)
    assert greedy_choice(agent, free) == 1
    begun = agent.begin(free, [np.inf, 0.95], [1, 0.95], archived)
    state, _, returns = run(agent, begun, 150, "dent")
    if expected is None:
        assert greedy_choice(agent, agent.policy(state)) != 2
        assert returns[-1, 0] > 0.6
    else:
        assert greedy_choice(agent, agent.policy(state)) == expected
        np.testing.assert_allclose(returns[-1], [0.4, 0.4], atol=0.1)


@pytest.fixture(scope="module", params=["ipo", "cpo"])
def settled(request):
    """Return a learner, and a policy for the second objective alone, which steers to -0.2."""
    agent, policy = learner(method=request.param), archived_policy("steer", 150)
    assert greedy_action(agent, policy) == pytest.approx(-0.2, abs=0.06)
    return agent, policy


def test_it_raises_one_objective_as_far_as_the_other_allows(optimised, settled):
    """The objective -(a + 0.2)^2 may fall by 0.16, so that a comes near 0.2; without a constraint a would be 0.6."""
    agent, policy = settled
    state, feasible, returns = run(agent, agent.begin(policy, [np.inf, 0.16], [0.16, 0.16]), 150)
    assert 0.05 < greedy_action(agent, agent.policy(state)) < 0.25
    assert returns[-30:, 1].mean() > returns[0, 1] - 0.16
    assert feasible.mean() > 0.8
    updates = 150 if agent.method == "ipo" else 600  # of small divergences
    free, feasible, _ = run(agent, agent.begin(policy, [np.inf, np.inf], [1, 1]), updates)
    assert greedy_action(agent, agent.policy(free)) == pytest.approx(0.6, abs=0.08)
    assert feasible.all()  # nothing to break


def test_a_policy_outside_comes_back(settled):
    agent, policy = settled
    begun = agent.begin(policy, [np.inf, 0.05], [0.05, 0.05])
    # far outside the constraint only b counts, until a meets it again
    away, _ = program("steer", "none")((1.0, 0.0), 150, agent.ppo.begin(policy))
    # enough entropy that a small KL divergence allows a sizeable step
    params = away.params._replace(log_std=np.array([-2.0], np.float32))
    lengths = begun.learning.lengths._replace(steps=jnp.float32(1))
    outside = begun._replace(params=params, learning=begun.learning._replace(ppo=away.learning, lengths=lengths))
    assert greedy_action(agent, agent.policy(outside)) > 0.5
    state, feasible, returns = run(agent, outside, 200)
    assert feasible[:3].max() == 0
    assert feasible[-50:].mean() > 0.5
    assert returns[-30:, 1].mean() > -0.105
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((state.params, state.learning.ppo)))


def in_units(state, units):
    """Return the same learner with objectives in other units."""

    def stats(part):
        old = part.return_stats
        return part._replace(return_stats=old._replace(mean=old.mean * units, var=old.var * units**2))

    learning, names = state.learning, ("allowance", "scale", "origin", "td_sum", "td_bias")
    scaled = {name: getattr(learning, name) * units for name in names}
    learning = learning._replace(ppo=stats(learning.ppo), initial_policy=stats(learning.initial_policy), **scaled)
    sums = {name: getattr(state.episode, name) * units[None] for name in ("ppo", "partial_return")}
    return state._replace(learning=learning, episode=state.episode._replace(**sums))


def test_an_objective_in_other_units_makes_the_same_step(settled):
    """The constrained objective is in thousandths; the constraint holds the policy back already, or is broken."""
    agent, policy = settled
    env, units = Probe("steer"), jnp.array([1.0, 1000.0])
    update = jax.jit(agent.update)
    near, _, _ = run(agent, agent.begin(policy, [np.inf, 0.16], [0.16, 0.16]), 60)
    beyond = near.learning._replace(allowance=near.learning.allowance / 4)
    for state in (near, near._replace(learning=beyond)):
        batch = experience(env, agent, state, (1.0, 0.0), key=3)
        others = in_units(state, units)
        one, _ = update(state, batch, jax.random.key(5))
        two, _ = update(others, batch._replace(reward=batch.reward * units[None, None]), jax.random.key(5))
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), one.params.actor, state.params.actor)
        assert max(jax.tree.leaves(moved)) > 1e-3
        for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("units", ["scaled", "raw"])
@pytest.mark.parametrize("normalise", [True, False])
def test_without_constraints_it_is_ppo(normalise, units):
    """One update of either is the same, so that the first stage, which is PPO's, lacks nothing but constraints."""
    agent = learner("cue", normalise_rewards=normalise, preference_units=units)
    env, ppo = Probe("cue"), agent.ppo
    policy = ppo.policy(ppo.init(jax.random.key(0)))
    # returns of the two objectives have different standard deviations
    unequal = policy.return_stats._replace(var=jnp.array([1.0, 400.0]), seen=jnp.float32(1e6))
    policy = policy._replace(return_stats=unequal)
    # a preference weighs objectives in the units of the constraints
    scale = jnp.ones(2) if units == "raw" else ppo.reward_scale(unequal)
    begun = agent.begin(policy, [np.inf, np.inf], scale)
    batch, key = experience(env, agent, begun, (0.2, 0.8)), jax.random.key(2)
    got, found = agent.update(begun, batch, key)
    expected, metrics = ppo.update(ppo.begin(policy), batch, key)
    pairs = ((got.params, expected.params), (got.learning.ppo, expected.learning), (found, {**metrics, **EXTRA}))
    for one, two in pairs:
        one = {name: value for name, value in one.items() if name not in "ab"} if one is found else one
        assert jax.tree.structure(one) == jax.tree.structure(two)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


EXTRA = {"feasible_share": 1.0}  # metrics beyond PPO's, without constraints


def test_the_first_stage_has_no_constraints_and_the_second_has_the_same_policies():
    env = Probe("choice")
    config = CMORLConfig(num_policies=4, num_envs=2, rollout_steps=4, minibatches=2)
    agent = CMORL(config, Task(env.observation_space, env.action_space, 2, 0.9, 32 * 100, max_episode_steps=7))
    assert type(agent.learner) is type(CMORL(replace(config, extension="none"), agent.task).learner) is PPO
    constrained = agent.extension.learner
    assert (constrained.ppo, constrained.method, constrained.limit) == (agent.learner, "ipo", 7)
    state, begun = agent.learner.init(jax.random.key(0)), constrained.init(jax.random.key(0))
    one, two = agent.learner.policy(state), constrained.policy(begun)
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)
    batch = jax.eval_shape(partial(experience, env, agent.learner), state, (0.5, 0.5))
    _, first = jax.eval_shape(agent.learner.update, state, batch, jax.random.key(1))
    _, second = jax.eval_shape(constrained.update, begun, batch, jax.random.key(1))
    assert set(second) - set(first) == set(agent.extension.extra_metrics) == set(EXTRA)
    assert set(first) < set(second)


@pytest.mark.parametrize(
    ("method", "archived"),
    [("ipo", None), ("ipo", [3.0, 6.0]), ("cpo", None)],
    ids=["barrier on the mean", "barrier on episodes", "trust region"],
)
def test_a_lost_step_makes_up_nothing(method, archived):
    """A host's worker was lost in the middle of an episode: the observation and reward of that step are made up."""
    agent = learner("endless", method)
    env, policy, rng = Probe("endless"), agent.ppo.policy(agent.ppo.init(jax.random.key(0))), np.random.default_rng(0)
    noise = lambda x: x + rng.normal(0, 0.3, np.shape(x)).astype(np.float32)  # noqa: E731
    policy = policy._replace(actor=jax.tree.map(noise, policy.actor), critic=jax.tree.map(noise, policy.critic))
    begun = agent.begin(policy, [np.inf, 0.5], [1, 0.5], archived)
    batch, update = experience(env, agent, begun, (1.0, 0.0)), jax.jit(agent.update)
    valid = jnp.ones(batch.valid.shape, bool).at[6, ::2].set(False)
    assert not (batch.terminated | batch.truncated)[6].any()

    def lost(made_up):
        obs, next_obs, reward = (
            jnp.where(valid[..., None], x, made_up) for x in (batch.obs, batch.next_obs, batch.reward)
        )
        return batch._replace(valid=valid, obs=obs, next_obs=next_obs, reward=reward)

    one, two = (update(begun, lost(made_up), jax.random.key(1))[0] for made_up in (0.0, 7.0))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert one.episode.age[0] != one.episode.age[1]  # the episode of the lost step ended there


RETURNS = np.array([[0.0, 10.0], [1.0, 9.0], [5.0, 5.0], [9.0, 1.0], [10.0, -1.0]])


def test_a_round_starts_from_the_least_crowded_not_started_from_before():
    taken = set()
    returns = RETURNS[rows_above(RETURNS, np.array([-1.0, 0.0]))]
    assert len(returns) == 4  # the last is not above the reference point
    assert set(select(returns, 2, taken)) == {0, 3}
    assert set(select(returns, 2, taken)) == {1, 2}
    assert sorted(select(returns, 6, taken)[:4]) == [0, 1, 2, 3]  # all were taken: once more
    assert len(select(returns, 6, taken)) == 6
    assert set(rows_above(RETURNS, np.array([50.0, 50.0]))) == {0, 1, 2, 3, 4}  # nothing is above it


def test_no_round_starts_from_below_the_reference_point():
    """All start from the one policy above it, also for gaps, though the other two are the ends of the front."""
    agent = learner()
    policy = agent.policy(agent.init(jax.random.key(0)))
    marked = jax.tree.map(lambda x: np.stack([np.full_like(x, i) for i in range(3)]), policy)
    extension = Extension(agent, num_learners=8, rounds=1, updates=1, constraint_beta=0.9)
    returns = np.array([[0.0, 10.0], [5.0, 5.0], [10.0, 0.0]])
    begun = extension.begin(0, returns, marked, np.array([1.0, 1.0]), set())
    assert all((leaf == 1).all() for state in begun for leaf in jax.tree.leaves(state.learning.initial_policy))


def test_thresholds_lie_below_the_returns_whatever_their_sign():
    agent = learner()
    policy = agent.policy(agent.init(jax.random.key(0)))
    returns = np.array([[-10.0, 3.0], [-2.0, 0.0]])
    stacked = jax.tree.map(lambda x: np.stack([x, x]), policy)
    extension = Extension(agent, num_learners=8, rounds=1, updates=1, constraint_beta=0.9)
    started = extension.begin(0, returns, stacked, np.array([-100.0, -100.0]), set())
    begun = [state.learning for state in started]
    np.testing.assert_array_equal(extension.preferences(0), [[1, 0], [0, 1]] * 4)
    for state, objective in zip(begun, extension.preferences(0), strict=True):
        assert np.isinf(state.allowance[objective > 0])
    published = [state for i, state in enumerate(begun) if i // 2 % 2 == 0]
    assert not any(state.episodic for state in published)
    held = [float(state.allowance[1 - i % 2]) for i, state in enumerate(published)]
    # a tenth of |-10|, of |-2|, of 3, and where that is 0 a hundredth of the front's span; selected in any order
    np.testing.assert_allclose(sorted(held), sorted([1.0, 0.2, 0.3, 0.03]), rtol=1e-5)
    assert all(state.scale[1 - i % 2] == held[i] for i, state in enumerate(published))
    ends, gaps = begun[2:4], begun[6:8]
    assert all(np.isinf(state.allowance).all() and np.isfinite(state.scale).all() for state in ends)
    for i, state in enumerate(gaps):  # from one end of the only gap to near the other
        np.testing.assert_allclose(state.origin, returns[i])
        np.testing.assert_allclose(state.allowance[1 - i], 0.95 * (8.0 if i else 3.0), rtol=1e-5)
        assert state.episodic


def test_rounds_go_on_where_the_last_one_ended():
    """Each objective has its turn, also with a number of learners that objectives do not divide."""
    agent = learner()
    policy = agent.policy(agent.init(jax.random.key(0)))
    stacked = jax.tree.map(lambda x: np.stack([x, x]), policy)
    extension = Extension(agent, num_learners=3, rounds=2, updates=1, constraint_beta=0.9)
    np.testing.assert_array_equal(extension.preferences(0), [[1, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(extension.preferences(1), [[0, 1], [1, 0], [0, 1]])
    returns, taken = np.array([[-10.0, 3.0], [-2.0, 0.0]]), set()
    episodic = [
        [bool(state.learning.episodic) for state in extension.begin(index, returns, stacked, np.full(2, -100.0), taken)]
        for index in range(2)
    ]
    assert episodic == [[False, False, True], [True, False, False]]


def test_gaps_are_taken_the_widest_first_and_once():
    tried = set()
    assert find_gap(RETURNS, 0, tried)[0] == 4  # beyond the end
    assert np.isinf(find_gap(RETURNS, 1, tried)[1]).all()
    found = [find_gap(RETURNS, 0, tried) for _ in range(8)]
    # between (1, 9) and (5, 5), and between (5, 5) and (9, 1): from the one with less of objective 0
    assert [row for row, _ in found[:4]] == [1, 1, 2, 2] or [row for row, _ in found[:4]] == [2, 2, 1, 1]
    np.testing.assert_allclose(found[0][1], [4.0, 0.95 * 4.0])
    np.testing.assert_allclose(found[1][1], [4.0, 0.5 * 4.0])
    assert {row for row, _ in found[4:]} == {0, 3}
    assert find_gap(RETURNS, 0, tried) is None
    assert find_gap(RETURNS[:1], 0, tried) is None


def test_gaps_of_three_objectives_hold_nothing_archived():
    rng = np.random.default_rng(0)
    returns = np.abs(rng.normal(size=(30, 3)))  # on a sphere's positive octant none dominates another
    returns = returns / np.linalg.norm(returns, axis=1)[:, None]
    tried = {b"end 1"}
    for _ in range(10):
        row, room = find_gap(returns, 1, tried)
        low = returns[row] - room
        assert (room > 0).all()
        inside = (returns[:, [0, 2]] > low[[0, 2]]).all(axis=1)
        assert returns[inside, 1].max() == returns[row, 1]


def test_the_steps_are_shared_between_the_stages():
    env = Probe("choice")

    def agent(**changes):
        config = CMORLConfig(num_policies=4, num_envs=2, rollout_steps=4, minibatches=2, **changes)
        return CMORL(config, Task(env.observation_space, env.action_space, 2, 0.9, 32 * 100))

    both = agent(extension_share=0.5, extension_updates=20)
    assert (both.updates, both.extension.rounds, both.extension.updates) == (60, 2, 20)
    assert agent(extension="none").extension is None
    assert agent(extension="none").updates == 100
    short = agent(extension_share=0.1)
    assert short.extension is None
    assert short.notes == (
        "no extension: 0.1 of the 100 updates of a policy are 10, fewer than the 20 of a round (extension_updates)",
    )
    assert both.notes == agent(extension="none").notes == ()
    for wrong in (
        {"extension_share": 1.0},
        {"constraint_beta": 1.5},
        {"barrier": 0.0},
        {"extension_updates": 0},
        {"max_kl": 0.0},
        {"min_weight": -0.1},
    ):
        with pytest.raises(UserError, match=next(iter(wrong))):
            CMORLConfig(**wrong)


def test_no_preference_of_the_first_stage_leaves_an_objective_out():
    env = Probe("choice")

    def preferences(size, **changes):
        config = CMORLConfig(num_policies=3, **changes)
        return CMORL(config, Task(env.observation_space, env.action_space, size, 0.9, 10**6)).preferences

    np.testing.assert_array_equal(preferences(2), equally_spaced_weights(2, 3))
    np.testing.assert_allclose(preferences(2, min_weight=0.1), [[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]])
    np.testing.assert_allclose(preferences(4, min_weight=0.2)[0], [0.4, 0.2, 0.2, 0.2])
    with pytest.raises(UserError, match=r"min_weight must be below 1/4 with 4 objectives, not 0\.25"):
        preferences(4, min_weight=0.25)
