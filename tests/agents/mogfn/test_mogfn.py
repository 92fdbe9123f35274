"""MOGFN: its parts by hand, exact flows, and samplers that learn a target known exactly."""

import ast
import math
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.mogfn import MOGFNConfig, conditions, rewards
from morl.agents.mogfn import losses as mogfn_losses
from morl.agents.mogfn.algorithm import MOGFN
from morl.agents.mogfn.conditions import Condition
from morl.agents.mogfn.diagnostics import log_weight
from morl.agents.mogfn.memory import Memory
from morl.agents.mogfn.optimiser import parameter_groups
from morl.agents.mogfn.trajectories import Finished, backward, forward, log_forward
from morl.constructive import metrics as gfn_metrics
from morl.envs.classic.deep_sea_treasure import DeepSeaTreasure
from morl.envs.constructive.hypergrid import STOP, HyperGrid
from morl.envs.constructive.ngrams import NGrams
from morl.errors import UserError
from morl.ops import replay as replays
from morl.ops.scalarisation import FocusRegion, temper
from tests.samplers import Training, trained

KEY = jax.random.key(0)
ELEVEN = np.stack([np.linspace(0, 1, 11), 1 - np.linspace(0, 1, 11)], axis=1)
SMALL = MOGFNConfig(batch=16, hidden=(16,))
STRINGS = NGrams(("AV", "VC"), (3, 5))
QUICK = {"batch": 64, "hidden": (32, 32), "learning_rate": 1e-2, "log_z_learning_rate": 3e-2}  # learns a small grid
SMALL_STRINGS = MOGFNConfig(batch=8, network="transformer", width=16, num_blocks=2, num_heads=2)


def exact(agent, preference, beta):
    """Return the target of preferences (n, R)."""
    outcomes = agent.env.outcomes()
    rows = np.asarray(preference, np.float64)[:, None]
    return gfn_metrics.target(outcomes, agent.log_reward(outcomes.values[None], rows, beta))


def disturbed(agent, size=0.5):
    """A sampler far from uniform."""
    state, rng = agent.init(KEY), np.random.default_rng(0)
    noise = lambda x: np.asarray(x) + size * rng.standard_normal(x.shape, np.float32)  # noqa: E731
    return state._replace(params=jax.tree.map(noise, state.params))


@partial(jax.jit, static_argnums=0)
def taken_apart(env, end, key=KEY):
    """Return trajectories that P_B draws to finished objects."""
    return backward(env, env.default_params, end, key)


class TestRewards:
    values, preference = np.array([0.5, 0.2]), np.array([0.25, 0.75])

    @pytest.mark.parametrize(
        ("name", "reward"),
        [("weighted_sum", 0.275), ("log_sum", 0.5**0.25 * 0.2**0.75), ("tchebycheff", 0.4)],
    )
    def test_by_hand(self, name, reward):
        of = partial(rewards.log_reward, scalarisation=name, floor=1e-8, region=FocusRegion(0.98, 0.2))
        assert of(self.values, self.preference) == pytest.approx(math.log(reward), rel=1e-9)
        found = jax.jit(of)(jnp.array(self.values), jnp.array(self.preference))
        assert float(found) == pytest.approx(math.log(reward), rel=1e-5)

    def test_a_corner_sees_one_objective(self):
        corner = np.array([0.0, 1.0])
        of = partial(rewards.log_reward, scalarisation="weighted_sum", floor=1e-30, region=FocusRegion(0.98, 0.2))
        assert of(np.array([1.0, 1e-20]), corner) == pytest.approx(math.log(1e-20))
        assert float(of(jnp.array([1.0, 0.0]), jnp.array(corner))) == pytest.approx(math.log(1e-30), rel=1e-6)

    def test_a_region_of_focus(self):
        region = FocusRegion(cosine=0.8, edge=0.25)
        goal = np.array([3.0, 4.0])
        of = partial(rewards.log_reward, preference=goal, scalarisation="focus", floor=1e-8, region=region)
        assert of(np.array([0.3, 0.4])) == pytest.approx(math.log(0.7))  # the goal itself
        assert of(np.array([0.0, 0.5])) == pytest.approx(math.log(0.5 * 0.25), rel=1e-6)  # cosine 0.8, the edge
        assert of(np.array([0.5, 0.1])) == pytest.approx(math.log(1e-8))  # outside
        assert of(np.array([0.0, 0.0])) == pytest.approx(math.log(1e-8))

    def test_the_clamp(self):
        log_reward = np.log(np.array([1e-8, 0.5]))
        np.testing.assert_allclose(temper(log_reward, 96.0, -75.0), [-75.0, 96 * math.log(0.5)])


class TestEncoding:
    def test_a_thermometer_fills_up(self):
        found = conditions.thermometer(jnp.array([0.0, 0.4, 0.5, 1.0]), 4)
        np.testing.assert_allclose(found, [[0, 0, 0, 0], [1, 0.6, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]], atol=1e-6)

    @pytest.mark.parametrize(
        ("beta_range", "bins", "row"),
        [
            ((2.0, 2.0), 0, [0.25, 0.75]),
            ((2.0, 6.0), 0, [0.25, 0.75, 0.5]),
            ((2.0, 2.0), 2, [0.5, 0, 1, 0.5]),
            ((2.0, 6.0), 2, [0.5, 0, 1, 0.5, 1, 0]),
        ],
    )
    def test_of_a_condition(self, beta_range, bins, row):
        found = conditions.encode(jnp.array([[0.25, 0.75]]), jnp.array([4.0]), beta_range, bins)
        np.testing.assert_allclose(found, [row], atol=1e-6)
        assert conditions.encoded_size(2, beta_range, bins) == len(row)


class TestLosses:
    """Two steps of at most three; what is after the second must not count."""

    log_forward = jnp.array([-1.0, -0.5, 0.0])
    log_backward = jnp.array([0.0, -0.7, 0.0])
    log_flow = jnp.array([2.0, 0.8, 1.5, 99.0])
    length = jnp.int32(2)

    def test_trajectory_balance(self):
        found = mogfn_losses.trajectory_balance(jnp.array(2.0), self.log_forward, self.log_backward, jnp.array(1.5))
        assert float(found) == pytest.approx((2 - 1.5 + 0.7 - 1.5) ** 2, abs=1e-6)

    def test_detailed_balance(self):
        found = mogfn_losses.detailed_balance(self.log_flow, self.log_forward, self.log_backward, self.length)
        first, second = 2 - 1 - 0.8 - 0, 0.8 - 0.5 - 1.5 + 0.7
        assert float(found) == pytest.approx((first**2 + second**2) / 2, abs=1e-6)

    def test_subtrajectory_balance(self):
        arguments = self.log_flow, self.log_forward, self.log_backward, self.length
        found = mogfn_losses.subtrajectory_balance(*arguments, decay=0.5)
        first, second, both = 0.2, -0.5, -0.3
        parts = 0.5 * first**2 + 0.5 * second**2 + 0.25 * both**2
        assert float(found) == pytest.approx(parts / 1.25, abs=1e-6)
        gradient = jax.grad(lambda flow: mogfn_losses.subtrajectory_balance(flow, *arguments[1:], decay=0.5))
        assert float(gradient(self.log_flow)[3]) == 0


def exact_flows(env, log_reward):
    """Return log Z, log P_F ((H - 1)², 3) and log flows (H, H) for a uniform backward policy."""
    side, inside = env.side, env.side - 1
    flow = np.zeros((side, side))
    edge = np.zeros((inside, inside, 3))
    reward = np.exp(np.append(log_reward, -np.inf)).reshape(side, side)
    into = np.zeros((side, side))  # flow from a cell to its children
    for i, j in sorted(np.ndindex(side, side), key=lambda cell: -sum(cell)):
        if max(i, j) == inside:
            flow[i, j] = reward[i, j]
            parents = [(i - 1, j, 0)] if i == inside and j < inside else [(i, j - 1, 1)] if i < inside else []
        else:
            edge[i, j, STOP] = reward[i, j]
            flow[i, j] = into[i, j] + reward[i, j]
            parents = [parent for parent in ((i - 1, j, 0), (i, j - 1, 1)) if min(parent[:2]) >= 0]
        for a, b, action in parents:
            edge[a, b, action] = flow[i, j] / len(parents)
            into[a, b] += flow[i, j] / len(parents)
    log_policy = np.log(edge / edge.sum(axis=-1, keepdims=True))
    return np.log(flow[0, 0]), log_policy.reshape(-1, 3), np.log(flow, where=flow > 0, out=np.zeros_like(flow))


class Table:
    """A reader of log-probabilities of each cell."""

    def __init__(self, side, log_policy):
        self.side, self.log_policy = side, jnp.asarray(log_policy)

    def start(self):
        return ()

    def of(self, obs):
        inside = self.side - 1
        return self.log_policy[jnp.minimum(obs[..., 0], inside - 1) * inside + jnp.minimum(obs[..., 1], inside - 1)]

    def read(self, memory, obs):
        return (), self.of(obs)


@jax.jit
def imbalances(paths, log_policy, log_flow, log_z, log_reward):
    """Return the losses (3, n) of trajectories on a grid, by each of the three."""
    env = HyperGrid(8)
    taken = log_forward(Table(8, log_policy).of(paths.obs), paths, env.action_mask(paths.obs))
    cells = paths.end.obs[:, 0] * 8 + paths.end.obs[:, 1]
    rewards = log_reward[cells]
    # P_B of single precision is exact only to 1e-7
    steps_back = jnp.log(jnp.round(jnp.exp(paths.log_backward), 3))
    whole = jax.vmap(mogfn_losses.trajectory_balance, (None, 0, 0, 0))(log_z, taken, steps_back, rewards)
    flow = log_flow[paths.obs[..., 0], paths.obs[..., 1]]
    flow = mogfn_losses.log_flows(flow, paths.length, jnp.full(len(cells), log_z), rewards)
    parts = [mogfn_losses.detailed_balance, partial(mogfn_losses.subtrajectory_balance, decay=0.9)]
    return jnp.stack([whole, *(jax.vmap(part)(flow, taken, steps_back, paths.length) for part in parts)])


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_exact_flows_are_in_balance(direction):
    """A tabular policy from exact flows has no loss, by any of the three, on paths built or taken apart."""
    env = HyperGrid(8)
    outcomes = env.outcomes()
    agent = MOGFN(MOGFNConfig(), env, 1)
    log_reward = agent.log_reward(outcomes.values, np.array([0.3, 0.7]), 2.0)
    log_z, log_policy, log_flow = exact_flows(env, log_reward)
    assert log_z == pytest.approx(gfn_metrics.target(outcomes, log_reward).log_z, abs=1e-12)
    np.testing.assert_allclose(
        env.distribution(jnp.exp(jnp.asarray(log_policy))),
        gfn_metrics.target(outcomes, log_reward).probability,
        atol=1e-6,
    )
    with jax.enable_x64(True):
        if direction == "forward":
            build = jax.jit(lambda table: forward(env, env.default_params, Table(8, table), 63, 0.2, KEY))
            paths = build(log_policy)
        else:
            states = env.finished_states()
            paths = taken_apart(env, Finished(states, states.position, jnp.asarray(outcomes.values)))
        losses = imbalances(paths, log_policy, log_flow, log_z, log_reward)
    assert losses.shape == (3, 63)
    assert np.asarray(losses).max() < 1e-10


class TestTargets:
    agent = MOGFN(MOGFNConfig(), HyperGrid(32), 1)

    @pytest.mark.parametrize(
        ("beta", "log_z"), [(1.0, (6.323535, 6.546259, 6.728301)), (8.0, (4.345303, 4.816567, 5.999156))]
    )
    def test_log_z_of_the_grid(self, beta, log_z):
        found = exact(self.agent, [[0, 1], [0.5, 0.5], [1, 0]], beta)
        np.testing.assert_allclose(found.log_z, log_z, atol=1e-6)
        np.testing.assert_allclose(found.probability.sum(axis=1), 1)

    def test_log_z_of_three_bigrams(self):
        agent = MOGFN(MOGFNConfig(min_log_reward=-2000.0), NGrams(), 1)
        found = exact(agent, [[1 / 3] * 3], 96.0)
        assert found.log_z[0] == pytest.approx(-32.413285, abs=1e-6)
        share = agent.env.outcomes().values.mean(axis=1)
        assert (found.probability[0] * share).sum() == pytest.approx(0.508008, abs=1e-6)

    def test_a_clamp_that_is_too_high_outweighs_the_best_strings(self):
        """20^36 strings at e^-75 each are e^33: far more than all the good ones under β = 96 together."""
        found = exact(MOGFN(MOGFNConfig(), NGrams(), 1), [[1 / 3] * 3], 96.0)
        assert found.log_z[0] == pytest.approx(36 * math.log(20) - 75, abs=0.1)

    def test_permuting_weights_and_objectives_permutes_nothing_else(self):
        outcomes = self.agent.env.outcomes()
        swapped = outcomes._replace(values=outcomes.values[:, ::-1])
        one = gfn_metrics.target(outcomes, self.agent.log_reward(outcomes.values, np.array([0.2, 0.8]), 3.0))
        two = gfn_metrics.target(swapped, self.agent.log_reward(swapped.values, np.array([0.8, 0.2]), 3.0))
        np.testing.assert_allclose(one.probability, two.probability, rtol=1e-12)

    def test_one_hot_weights_are_the_single_objective(self):
        found = exact(self.agent, [[0, 1]], 2.0).probability[0]
        currin = self.agent.env.outcomes().values[:, 1] ** 2
        np.testing.assert_allclose(found, currin / currin.sum(), rtol=1e-9)

    def test_beta_0_is_uniform(self):
        np.testing.assert_allclose(exact(self.agent, [[0.4, 0.6]], 0.0).probability, 1 / 1023, rtol=1e-12)


class TestTrajectories:
    @pytest.mark.slow
    def test_strings_are_the_same_built_and_taken_apart(self):
        """One way leads to a string, so that the backward trajectory is the forward one."""
        agent = MOGFN(SMALL_STRINGS, STRINGS, 1)
        policy = agent.policy(disturbed(agent, 0.1))
        condition = agent.condition([[0.5, 0.5]] * 128)
        built = agent.sample(policy, condition, KEY)
        back = taken_apart(STRINGS, built.end)
        assert len(set(built.length.tolist())) > 1
        np.testing.assert_array_equal(back.length, built.length)
        valid = np.asarray(built.valid)
        np.testing.assert_array_equal(np.asarray(back.action)[valid], np.asarray(built.action)[valid])
        np.testing.assert_array_equal(np.asarray(back.obs)[valid], np.asarray(built.obs)[valid])
        np.testing.assert_allclose(
            log_weight(agent, policy, condition, back), log_weight(agent, policy, condition, built), rtol=1e-6
        )

    def test_steps_moved_together_give_the_gradient_of_each_by_itself(self):
        """Evaluate as many rows as there are steps, more, and all; the last trajectory is the longest."""
        env = HyperGrid(4)
        agent = MOGFN(MOGFNConfig(hidden=(8,)), env, 1)
        state = disturbed(agent)
        condition = agent.draw_condition(KEY, 64)
        explore = jax.jit(partial(agent.rollout, env_params=env.default_params, epsilon=1.0))
        paths = explore(agent.policy(state), condition, KEY)
        order = jnp.argsort(paths.length)
        paths, condition = jax.tree.map(lambda x: x[order], (paths, condition))
        assert int(paths.length[-1]) == env.horizon > int(paths.length[0])
        encoded, log_reward = agent._encode(condition), jnp.zeros(64)

        def by_itself(params):
            repeated = jnp.broadcast_to(encoded[:, None], (*paths.action.shape, encoded.shape[-1]))
            log_prob = agent._log_forward(agent._network.of(params.policy, paths.obs, repeated), paths)
            log_z = params.log_z(encoded)[:, 0]
            return jnp.mean((log_z + log_prob.sum(axis=1) - paths.log_backward.sum(axis=1) - log_reward) ** 2)

        wanted = jax.jit(jax.value_and_grad(by_itself))(state.params)
        steps = int(paths.length.sum())
        for rows in (steps, steps + 3, None):
            loss = jax.jit(jax.value_and_grad(partial(agent.loss, rows=rows)))
            found = loss(state.params, paths, encoded, log_reward)
            for one, two in zip(*map(jax.tree.leaves, (wanted, found)), strict=True):
                np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)

    def test_log_probabilities_of_the_loss_are_those_it_was_sampled_with(self):
        """The transformer's one pass over a string against its letter by letter memory."""
        agent = MOGFN(SMALL_STRINGS, STRINGS, 1)
        state = disturbed(agent)
        condition = agent.draw_condition(KEY, 6)
        paths = agent.sample(agent.policy(state), condition, KEY)
        encoded = agent._encode(condition)

        @jax.jit
        def outputs(params):
            reader = agent._network.reader(params, encoded)
            steps = jnp.moveaxis(paths.obs[:, : STRINGS.horizon], 1, 0)
            _, read = jax.lax.scan(reader.read, reader.start(), steps)
            alone = jax.lax.map(lambda obs: agent._network.of(params, obs, encoded), steps)
            return agent._network.outputs(params, paths, encoded), read, alone

        whole, read, alone = map(np.asarray, outputs(state.params.policy))
        for t in range(STRINGS.horizon):
            here = np.asarray(t < paths.length)
            np.testing.assert_allclose(read[t][here], whole[:, t][here], atol=1e-4)
            np.testing.assert_allclose(alone[t][here], read[t][here], atol=1e-4)
        assert np.std(whole) > 0.1

    def test_outputs_do_not_see_what_comes_later(self):
        agent = MOGFN(SMALL_STRINGS, STRINGS, 1)
        policy = disturbed(agent).params.policy
        letters = jnp.array([[1, 2, 3, 4, 5], [1, 2, 3, 7, 5]])
        one, two = jax.jit(lambda policy: policy(letters, jnp.ones((2, 2))))(policy)
        np.testing.assert_allclose(one[:4], two[:4], atol=1e-6)
        assert not np.allclose(one[4], two[4], atol=1e-3)

    def test_frequencies_are_those_of_the_distribution(self):
        agent = MOGFN(MOGFNConfig(hidden=(16,)), HyperGrid(4), 1)
        policy = agent.policy(disturbed(agent))
        number = 20_000
        paths = agent.sample(policy, agent.condition([[0.3, 0.7]] * number), KEY)
        cells = np.asarray(paths.end.obs[:, 0] * 4 + paths.end.obs[:, 1])
        frequency = np.bincount(cells, minlength=15) / number
        probability = np.asarray(agent.distribution(policy, agent.condition([0.3, 0.7])))[0]
        assert probability.sum() == pytest.approx(1, abs=1e-5)
        assert probability.max() > 0.15  # far from uniform
        error = np.abs(frequency - probability) / np.sqrt(probability / number + 1e-9)
        assert error.max() < 5
        np.testing.assert_allclose(paths.end.values, agent.env.outcomes().values[cells], rtol=1e-5)

    def test_exploring_takes_any_allowed_step(self):
        agent = MOGFN(SMALL, HyperGrid(4), 1)
        state = disturbed(agent, 3.0)
        encoded = agent._encode(agent.condition([[0.5, 0.5]] * 8000))

        @jax.jit
        def explore(policy):
            return forward(agent.env, agent.env.default_params, agent._network.reader(policy, encoded), 8000, 1.0, KEY)

        paths = explore(state.params.policy)
        share = np.bincount(np.asarray(paths.action[:, 0]), minlength=3) / 8000
        np.testing.assert_allclose(share, 1 / 3, atol=0.02)

    def test_bounds_enclose_log_z(self):
        env = HyperGrid(8)
        agent = MOGFN(SMALL, env, 1)
        policy, preference, number = agent.policy(disturbed(agent, 0.2)), [0.3, 0.7], 4000
        exactly = exact(agent, [preference], 1.0)
        condition = agent.condition([preference] * number)
        lower = log_weight(agent, policy, condition, agent.sample(policy, condition, KEY)).mean()
        drawn = np.random.default_rng(0).choice(63, number, p=exactly.probability[0])
        states = jax.tree.map(lambda x: x[drawn], env.finished_states())
        end = Finished(states, states.position, jnp.asarray(env.outcomes().values[drawn], jnp.float32))
        upper = log_weight(agent, policy, condition, taken_apart(env, end)).mean()
        assert float(lower) < exactly.log_z[0] - 0.1
        assert float(upper) > exactly.log_z[0] + 0.1


class TestReplay:
    def test_a_ring_of_the_last_objects(self):
        def objects(*numbers):
            rows = jnp.array(numbers, jnp.float32)
            return Finished((), rows, rows[:, None])

        replay = replays.empty(4, Finished((), jnp.float32(0), jnp.zeros(1)))
        replay = replays.add(replay, objects(1, 2, 3))
        assert set(np.asarray(replays.sample(replay, KEY, 200).obs).tolist()) == {1, 2, 3}
        replay = replays.add(replay, objects(4, 5, 6))
        drawn = replays.sample(replay, KEY, 200)
        assert set(np.asarray(drawn.obs).tolist()) == {3, 4, 5, 6}
        np.testing.assert_array_equal(drawn.obs, drawn.values[:, 0])

    def test_the_best_candidates_for_a_preference_are_taken(self):
        agent = MOGFN(MOGFNConfig(batch=8, replay_batch=4, replay_candidates=100), HyperGrid(4), 1)
        values = jnp.array([[0.9, 0.1], [0.1, 0.8], [0.6, 0.6], [0.3, 0.3]])
        replay = replays.add(replays.empty(4, Finished((), jnp.zeros(2), jnp.zeros(2))), Finished((), values, values))
        preference = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
        drawn = agent._rules.draw(Memory(replay, ()), Condition(preference, jnp.ones(3)), KEY)
        np.testing.assert_array_equal(drawn.values, values[:3])
        np.testing.assert_array_equal(drawn.obs, values[:3])


@pytest.fixture(scope="module")
def one_update():
    """Return a sampler that takes random steps only, its states before and after one update, and the metrics of it."""
    config = MOGFNConfig(
        batch=8, hidden=(8,), learning_rate=1e-3, log_z_learning_rate=0.1, anneal=False, ema=0.75, epsilon=1.0
    )
    agent = MOGFN(config, HyperGrid(4), 1)
    state = disturbed(agent)
    state = state._replace(learning=state.learning._replace(average=state.params.policy))
    training = Training(agent, KEY, state)
    metrics = training.run(1)
    return agent, state, training.state, metrics


class TestTraining:
    @pytest.mark.slow
    def test_every_parameter_has_a_learning_rate_of_its_group(self, one_update):
        _, state, after, _ = one_update
        groups = parameter_groups(state.params)
        assert set(jax.tree.leaves(groups)) == {"policy", "log_z"}
        for group, old, new in zip(
            *(jax.tree.leaves(tree) for tree in (groups, state.params, after.params)), strict=True
        ):
            moved = np.abs(np.asarray(new) - np.asarray(old)).max()  # Adam's first step is its rate, given a gradient
            assert moved == pytest.approx(1e-3 if group == "policy" else 0.1, rel=0.01)

    def test_more_updates_are_the_same_in_two_calls(self):
        config = MOGFNConfig(batch=8, hidden=(8,), ema=0.9, replay_batch=4, replay_capacity=16, max_grad_norm=1.0)
        agent = MOGFN(config, HyperGrid(4), 6)
        backend = Training(agent, KEY).backend
        whole, metrics = backend.run(backend.init([KEY]), 6)
        half, earlier = backend.run(backend.init([KEY]), 3)
        half, later = backend.run(half, 3, earlier)
        assert set(metrics.metrics) == {"loss", "log_z", "log_reward", "length"}
        assert float(earlier.metrics["loss"][0]) != float(later.metrics["loss"][0])
        saved = (backend.saved(whole), metrics), (backend.saved(half), later)
        for one, two in zip(*map(jax.tree.leaves, saved), strict=True):
            np.testing.assert_array_equal(one, two)

    def test_the_average_samples(self, one_update):
        agent, state, after, _ = one_update
        averages = state.learning.average, after.params.policy, after.learning.average
        for old, new, average in zip(*map(jax.tree.leaves, averages), strict=True):
            np.testing.assert_allclose(average, 0.75 * old + 0.25 * np.asarray(new), atol=1e-6)
        condition = agent.condition([0.5, 0.5])
        changed = after._replace(params=jax.tree.map(np.zeros_like, after.params))
        one, two = (agent.distribution(agent.policy(each), condition) for each in (after, changed))
        np.testing.assert_array_equal(one, two)

    def test_exploration_does_not_enter_the_loss(self, one_update):
        """Take random steps only: the loss has the policy's own log-probabilities all the same."""
        agent, state, _, metrics = one_update
        key_run = jax.random.split(KEY)[1]
        key_condition, key_forward, *_ = jax.random.split(jax.random.fold_in(key_run, 0), 4)

        @jax.jit
        def expected(policy):
            condition = agent.draw_condition(key_condition, 8)
            reader = agent._network.reader(policy.policy, agent._encode(condition))
            paths = forward(agent.env, agent.env.default_params, reader, 8, 1.0, key_forward)
            return jnp.mean((agent.log_z(policy, condition) - log_weight(agent, policy, condition, paths)) ** 2)

        assert metrics["loss"] == pytest.approx(float(expected(agent.policy(state))), rel=1e-4)

    @pytest.mark.parametrize(
        ("loss", "scalarisation"),
        [
            ("trajectory_balance", "weighted_sum"),
            ("subtrajectory_balance", "log_sum"),
            ("detailed_balance", "tchebycheff"),
            ("trajectory_balance", "focus"),
        ],
    )
    def test_objectives_at_0_under_a_high_exponent_stay_finite(self, loss, scalarisation):
        """Beale touches 0, and β is 96: float32, no NaN and no infinity."""
        config = MOGFNConfig(
            batch=32, hidden=(16,), loss=loss, scalarisation=scalarisation, beta=96.0, concentration=0.05, floor=1e-30
        )
        env = HyperGrid(16, 5)
        assert float(env.default_params.values.min()) == 0
        agent = MOGFN(config, env, 5)
        training = Training(agent, KEY)
        metrics = [training.run(1) for _ in range(5)]
        assert np.isfinite([one["loss"] for one in metrics]).all()
        assert min(one["log_reward"] for one in metrics) >= -75
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(training.state.params))

    @pytest.mark.parametrize(
        "config", [replace(SMALL_STRINGS, num_blocks=1), MOGFNConfig(batch=8, hidden=(8,), replay_batch=8, bins=10)]
    )
    def test_strings_by_either_network(self, config):
        agent = MOGFN(config, STRINGS, 30)
        training = Training(agent, KEY)
        first, middle, last = (training.run(updates)["loss"] for updates in (5, 20, 5))
        assert np.isfinite([first, middle, last]).all()
        assert last < first
        end = agent.sample(agent.policy(training.state), agent.condition([[0.5, 0.5]] * 50), KEY).end
        assert {len(STRINGS.text(row)) for row in end.obs} <= {3, 4, 5}

    def test_learns_the_grid(self):
        agent, policy = trained(HyperGrid(8), MOGFNConfig(**QUICK), 700, seed=1)
        condition = agent.condition(ELEVEN)
        exactly = exact(agent, ELEVEN, 1.0)
        untrained = agent.distribution(agent.policy(agent.init(KEY)), condition)
        learnt = agent.distribution(policy, condition)
        assert gfn_metrics.l1_distance(untrained, exactly.probability).mean() > 0.5
        assert gfn_metrics.l1_distance(learnt, exactly.probability).mean() < 0.04
        assert np.abs(np.asarray(agent.log_z(policy, condition)) - exactly.log_z).max() < 0.05

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "settings",
        [
            {"loss": "subtrajectory_balance"},
            {"loss": "detailed_balance"},
            {"replay_batch": 32, "replay_capacity": 1000, "ema": 0.95, "bins": 20},
            pytest.param({"replay_batch": 32, "replay_capacity": 1000, "replay_candidates": 8}, marks=pytest.mark.slow),
            pytest.param({"scalarisation": "tchebycheff", "beta": (0.5, 3.0)}, marks=pytest.mark.slow),
        ],
        ids=["subtrajectory", "detailed", "replay", "replay of the best", "tchebycheff"],
    )
    def test_learns_the_small_grid_by_other_settings(self, settings):
        config = MOGFNConfig(**QUICK, **settings)
        agent, policy = trained(HyperGrid(5), config, 400)
        for beta in {config.beta_range[0], config.beta_range[1]}:
            condition = agent.condition(ELEVEN, beta)
            exactly = exact(agent, ELEVEN, beta).probability
            untrained = agent.distribution(agent.policy(agent.init(KEY)), condition)
            assert gfn_metrics.l1_distance(untrained, exactly).mean() > 0.3
            assert gfn_metrics.l1_distance(agent.distribution(policy, condition), exactly).mean() < 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "balance"}, "unknown loss 'balance'"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"beta": (3.0, 1.0)}, "beta must be a number of at least 0, or the lowest and the highest"),
        ({"beta": -1.0}, "beta must be a number"),
        ({"floor": 0.0}, "floor must be at least 1e-30"),
        ({"num_heads": 5}, "num_heads must divide width = 64"),
        ({"replay_batch": 8, "replay_capacity": 100}, "replay_capacity must be at least batch = 128"),
        ({"replay_candidates": 0}, "replay_candidates must be at least 1"),
        ({"hidden": ()}, "hidden must be one or more widths"),
        ({"min_log_reward": 0.0}, "min_log_reward must be"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(UserError, match=message):
        MOGFNConfig(**settings)


def test_tasks_and_conditions_are_checked():
    with pytest.raises(UserError, match="for constructive tasks, which deep-sea-treasure-v0 is not"):
        MOGFN(MOGFNConfig(), DeepSeaTreasure(), 1)
    with pytest.raises(UserError, match=r"for strings; hypergrid-v0 has none"):
        MOGFN(MOGFNConfig(network="transformer"), HyperGrid(), 1)
    strings = MOGFN(SMALL, STRINGS, 1)
    with pytest.raises(UserError, match="ngrams-v0 is not tabular"):
        strings.distribution(strings.policy(strings.init(KEY)), strings.condition([0.5, 0.5]))
    agent = MOGFN(MOGFNConfig(beta=(1.0, 4.0)), HyperGrid(), 1)
    with pytest.raises(UserError, match="add up to 1"):
        agent.condition([0.5, 0.6])
    with pytest.raises(UserError, match="beta must be from 1 to 4, as the sampler was trained, not 5"):
        agent.condition([0.5, 0.5], 5.0)
    assert isinstance(agent.condition([0.5, 0.5]), Condition)
    assert agent.condition([0.5, 0.5]).beta.tolist() == [4.0]


def test_the_functions_that_the_page_names_for_equations_exist():
    root = Path(__file__).parents[3]
    named = {}
    for line in (root / "docs" / "mogfn.md").read_text().splitlines():
        if found := re.fullmatch(r"\|.*\| `([\w/]+\.py)`: ((?:`\w+`(?:, )?)+) \|", line):
            named.setdefault(found[1], set()).update(re.findall(r"\w+", found[2]))
    assert {"agents/mogfn/losses.py", "agents/mogfn/trajectories.py", "morl/ops/scalarisation.py"} <= named.keys()
    assert "trajectory_balance" in named["agents/mogfn/losses.py"]
    for path, functions in named.items():
        tree = ast.parse((root / path).read_text())
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert functions <= defined, path
