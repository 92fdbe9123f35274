"""Search without gradients: every genome an object, exact budgets, and a search that beats chance."""

import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.baselines.search import NSGA2Config, decode, nsga2, random_objects
from morl.envs.constructive.hypergrid import HyperGrid
from morl.envs.constructive.ngrams import BLANK, STOP, NGrams
from morl.errors import UserError
from morl.ops.metrics import hypervolume

GRID = HyperGrid(side=32)
STRINGS = NGrams(("AV", "VC"), (3, 5))


def test_genomes_are_objects():
    genomes = np.random.default_rng(0).integers(0, STOP + 1, (300, STRINGS.horizon))
    found = decode(STRINGS, jnp.asarray(genomes, jnp.int32))
    assert bool(found.state.done.all())
    length = np.asarray(found.state.length)
    assert set(length) == {3, 4, 5}
    first_stop = np.argmax(np.append(genomes[:, 3:] == STOP, np.ones((300, 1), bool), axis=1), axis=1)
    np.testing.assert_array_equal(length, 3 + first_stop)
    # a gene that is allowed is taken as it is; stop is the last of 21 actions and too early the (20 mod 20)-th of 20
    there = np.asarray(found.obs) != BLANK
    np.testing.assert_array_equal(np.asarray(found.obs)[there], np.where(genomes == STOP, 0, genomes)[there])


def test_genes_stand_for_the_allowed_actions_in_their_order():
    """Check that genes are actions; at the far edge of a grid the walk ends, whatever the next gene."""
    found = decode(HyperGrid(side=3), jnp.array([[0, 0, 0], [1, 2, 0], [2, 0, 0]]))
    np.testing.assert_array_equal(found.state.position, [[2, 0], [0, 1], [0, 0]])
    assert bool(found.state.done.all())


def test_budgets_are_exact():
    pytest.importorskip("pymoo")
    calls = 250
    sizes = [len(found.values) for found in nsga2(STRINGS, calls, NSGA2Config(population=100))]
    assert sizes == [100, 100, calls - 200]
    assert [len(found.values) for found in random_objects(STRINGS, calls, batch=200)] == [200, calls - 200]


def test_random_steps_are_uniform():
    """Build the three objects of a grid of 2 x 2, each one step away."""
    (found,) = random_objects(HyperGrid(side=2), 3000, batch=3000)
    share = np.unique(found.obs, axis=0, return_counts=True)[1] / 3000
    np.testing.assert_allclose(share, 1 / 3, atol=0.04)


def test_nsga2_finds_more_than_chance():
    pytest.importorskip("pymoo")

    def share(stream):
        values = np.concatenate([np.asarray(found.values) for found in stream])
        return hypervolume(values, np.zeros(2)) / 0.982144

    searched = share(nsga2(GRID, 2000, NSGA2Config(population=100), seed=1))
    assert searched > 0.995 > 0.97 > share(random_objects(GRID, 2000, seed=1))


def test_seeds():
    pytest.importorskip("pymoo")
    runs = [[found.values for found in nsga2(STRINGS, 200, NSGA2Config(population=100), seed)] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_settings_are_checked():
    with pytest.raises(UserError, match="population must be at least 4"):
        NSGA2Config(population=3)
    with pytest.raises(UserError, match="mutations must be greater than 0"):
        NSGA2Config(mutations=0)
