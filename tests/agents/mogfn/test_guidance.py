"""Guided exploration of MOGFN: its archive, breeding on steps, replay of the best, and more steps of learning."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.baselines.search import decode
from morl.agents.mogfn import MOGFNConfig, archive, conditions, genetics, memory
from morl.agents.mogfn.algorithm import MOGFN
from morl.agents.mogfn.conditions import Condition
from morl.agents.mogfn.memory import Memory
from morl.agents.mogfn.trajectories import Finished
from morl.constructive import metrics as gfn_metrics
from morl.envs.constructive.hypergrid import HyperGrid
from morl.envs.constructive.ngrams import NGrams
from morl.errors import UserError
from morl.ops import pareto
from tests.samplers import trained

KEY = jax.random.key(0)
STRINGS = NGrams(("AV", "VC"), (3, 5))
GUIDED = {"genetic_batch": 8, "replay_batch": 8, "elite_share": 0.5, "elite_capacity": 20, "gradient_steps": 2}


def objects(values, numbers=None):
    """Return objects of these objectives, told apart by numbers."""
    numbers = range(len(values)) if numbers is None else numbers
    return Finished((), jnp.array(list(numbers), jnp.int32)[:, None], jnp.asarray(values, jnp.float32))


ROW = Finished((), jnp.zeros(1, jnp.int32), jnp.zeros(2, jnp.float32))


class TestArchive:
    def test_fronts_and_crowding_are_those_of_nsga2(self):
        values = np.random.default_rng(1).random((60, 3)).astype(np.float32)
        valid = np.arange(60) < 50
        rank = np.asarray(archive.ranks(jnp.asarray(values), jnp.asarray(valid)))
        assert (rank[50:] == 60).all()
        distance = np.asarray(archive.crowding_distances(jnp.asarray(values), jnp.asarray(rank)))
        left = np.flatnonzero(valid)
        for front in range(rank[:50].max() + 1):
            mine = left[pareto.non_dominated(values[left])]
            assert set(mine) == set(np.flatnonzero(rank == front))
            np.testing.assert_allclose(distance[mine], pareto.crowding_distance(values[mine]), rtol=1e-4)
            left = np.setdiff1d(left, mine)

    def test_the_better_front_stays_then_the_least_crowded(self):
        held = archive.add(archive.empty(4, ROW), objects([[1, 0], [0.5, 0.5], [0.2, 0.2]]))
        assert int(held.number) == 3
        held = archive.add(held, objects([[0, 1], [0.45, 0.55], [0.2, 0.8]], [3, 4, 5]))
        assert int(held.number) == 4
        assert set(np.asarray(held.objects.obs)[:, 0].tolist()) == {0, 1, 3, 5}

    def test_an_object_is_there_once(self):
        held = archive.add(archive.empty(5, ROW), objects([[1, 0], [1, 0], [0, 1]], [7, 7, 8]))
        held = archive.add(held, objects([[0, 1], [0, 1]], [8, 9]))
        assert int(held.number) == 3
        assert sorted(np.asarray(held.objects.obs)[:3, 0].tolist()) == [7, 8, 9]
        assert set(np.asarray(archive.draw(held, 200, KEY).obs)[:, 0].tolist()) == {7, 8, 9}


class TestBreeding:
    @pytest.mark.parametrize("env", [HyperGrid(6), STRINGS], ids=["grid", "strings"])
    def test_a_genome_builds_its_object(self, env):
        agent = MOGFN(MOGFNConfig(batch=16, hidden=(8,)), env, 1)
        state = agent.init(KEY)
        condition = agent.draw_condition(KEY, 16)
        built = agent.sample(agent.policy(state), condition, KEY).end
        genome = jax.jit(partial(genetics.genomes, env))(built, KEY)
        assert genome.shape == (16, env.horizon)
        np.testing.assert_array_equal(decode(env, genome).obs, built.obs)

    def test_a_part_comes_from_the_second(self):
        first, second = jnp.zeros((400, 40), jnp.int32), 1 + jnp.tile(jnp.arange(40, dtype=jnp.int32), (400, 1))
        child = np.asarray(genetics.crossed(first, second, KEY))
        moves = []
        for row in child:
            there = np.flatnonzero(row)
            assert len(there) == 0 or (np.diff(there) == 1).all()
            moves += [(row[there[0]] - 1 - there[0] + 20) % 40 - 20] if len(there) else []
        assert 0.45 < np.mean(np.array(moves) == 0) < 0.62
        assert np.abs(moves).max() == genetics.FARTHEST
        assert 0.25 < (child > 0).mean() < 0.42  # a third on average

    def test_mutations_are_as_many_as_asked_for(self, monkeypatch):
        monkeypatch.setattr(genetics, "MOVED", 0.0)
        genome = jnp.full((2000, 20), 10, jnp.int32)
        fresh = np.asarray(genetics.mutated(genome, 10, 3.0, KEY)) != 10
        assert fresh.sum(axis=1).mean() == pytest.approx(3.0, abs=0.15)
        np.testing.assert_array_equal(genetics.mutated(genome, 10, 0.0, KEY), genome)

    def test_a_gene_moves_and_the_others_keep_their_order(self, monkeypatch):
        monkeypatch.setattr(genetics, "MOVED", 1.0)
        genome = jnp.tile(jnp.arange(12, dtype=jnp.int32), (300, 1))
        moved = np.asarray(genetics.mutated(genome, 12, 0.0, KEY))
        assert (np.abs(moved - np.arange(12)) <= 1).all()
        assert (np.diff(moved) >= 0).all()
        assert (moved != np.arange(12)).any(axis=1).mean() > 0.8


class TestMemory:
    values = np.array([[0.9, 0.1], [0.6, 0.6], [0.1, 0.9], [0.2, 0.2]])

    def memory(self, **settings):
        config = MOGFNConfig(batch=4, hidden=(8,), replay_batch=4, replay_capacity=4, elite_capacity=3, **settings)
        agent = MOGFN(config, HyperGrid(4), 1)
        rules = agent._rules
        row = jax.tree.map(lambda x: x[0], objects(self.values))
        held = Memory(memory.replays.empty(4, row), archive.empty(3, row) if config.has_archive else ())
        return rules, rules.add(held, objects(self.values))

    def test_the_share_of_the_archive(self):
        rules, held = self.memory(elite_share=0.5)
        condition = Condition(jnp.full((200, 2), 0.5), jnp.ones(200))
        drawn = np.asarray(rules.draw(held, condition, KEY).obs)[:, 0]
        assert set(drawn[:100].tolist()) == {0, 1, 2}  # the front
        assert set(drawn[100:].tolist()) == {0, 1, 2, 3}

    def test_parents_are_good_for_the_preference(self, monkeypatch):
        monkeypatch.setattr(memory, "TOURNAMENT", 100)
        monkeypatch.setattr(memory, "NEAR", 1.0)
        rules, held = self.memory(genetic_batch=4)
        first, second, known = rules.parents(held, jnp.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), KEY)
        assert bool(known)
        np.testing.assert_array_equal(first.obs[:, 0], [0, 1, 2])
        np.testing.assert_array_equal(second.obs[:, 0], [0, 1, 2])
        monkeypatch.setattr(memory, "NEAR", 0.0)
        _, second, _ = rules.parents(held, jnp.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), KEY)
        np.testing.assert_array_equal(second.obs[:, 0], [2, 0, 1])


@cache
def run(bred, scale=1.0):
    """Return the objects and the last state of four updates of a guided sampler whose parameters begin scaled."""
    agent = MOGFN(MOGFNConfig(batch=16, hidden=(8,), **GUIDED | {"genetic_batch": bred}), STRINGS, 4)
    iterate, state, built = jax.jit(agent.iterate), agent.init(KEY), []
    state = state._replace(params=jax.tree.map(lambda x: x * scale, state.params))
    for i in range(4):
        state, _, objects = iterate(state, jax.random.fold_in(KEY, i))
        built.append(np.asarray(objects.obs))
    return np.stack(built), state


class TestGuidance:
    @pytest.mark.slow
    def test_bred_objects_do_not_depend_on_the_policy(self):
        np.testing.assert_array_equal(run(16)[0], run(16, 50.0)[0])
        first, other = run(8)[0], run(8, 50.0)[0]
        assert (first[0, :8] != other[0, :8]).any()
        np.testing.assert_array_equal(first[0, 8:], other[0, 8:])  # later ones have parents that the policy built

    def test_without_objects_genomes_are_random(self):
        assert len(np.unique(run(16)[0][0], axis=0)) == 16

    def test_gradient_steps_are_counted_apart_from_updates(self):
        state = run(16)[1]
        assert int(state.learning.updates) == 4
        counts = [np.asarray(x) for x in jax.tree.leaves(state.learning.opt_state) if np.ndim(x) == 0]
        assert counts
        assert all(count == 4 * GUIDED["gradient_steps"] for count in counts)

    @pytest.mark.slow
    def test_it_learns_the_target_all_the_same(self):
        settings = {"batch": 64, "hidden": (32, 32), "learning_rate": 1e-2, "log_z_learning_rate": 3e-2}
        config = MOGFNConfig(**settings, **GUIDED | {"genetic_batch": 32, "replay_batch": 32})
        agent, policy = trained(HyperGrid(5), config, 400)
        weights = np.stack([np.linspace(0, 1, 11), 1 - np.linspace(0, 1, 11)], axis=1)
        outcomes = agent.env.outcomes()
        exact = gfn_metrics.target(outcomes, agent.log_reward(outcomes.values[None], weights[:, None], 1.0))
        learnt = agent.distribution(policy, agent.condition(weights))
        untrained = agent.distribution(agent.policy(agent.init(KEY)), agent.condition(weights))
        assert gfn_metrics.l1_distance(untrained, exact.probability).mean() > 0.3
        assert gfn_metrics.l1_distance(learnt, exact.probability).mean() < 0.1


def test_the_exponent_grows():
    share = [float(conditions.warmed_up(jnp.int32(n), 10.0)) for n in (0, 5, 10, 20)]
    np.testing.assert_allclose(share, [0.1, 0.55, 1.0, 1.0], rtol=1e-6)
    assert float(conditions.warmed_up(jnp.int32(0), 0.0)) == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"genetic_batch": 200}, "genetic_batch must be at most batch = 128, not 200"),
        ({"gradient_steps": 2}, "gradient_steps above 1 are on stored objects: set replay_batch too"),
        ({"elite_share": 0.5}, "elite_share is of the stored objects: set replay_batch too"),
        ({"elite_share": 1.5, "replay_batch": 8}, "elite_share must be"),
        ({"elite_capacity": 5000}, "elite_capacity must be"),
        ({"beta_warmup": -0.1}, "beta_warmup must be"),
        ({"mutations": -1.0}, "mutations must be"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(UserError, match=message):
        MOGFNConfig(**settings)
