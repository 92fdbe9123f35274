"""DNA folding: objectives against ViennaRNA itself, the steps there and back, and a sampler that learns."""

import importlib.util
import re
import tempfile
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.mogfn import MOGFN, MOGFNConfig
from morl.envs.constructive.oracle import Counts
from morl.errors import MissingExtraError, UserError
from morl.ops.preferences import lattice
from tests.envs.constructive.constructing import check_backward_steps, follow
from tests.samplers import Training, trained

RNA = pytest.importorskip("RNA", reason="needs the chem extra")

from morl.envs.constructive import folding  # noqa: E402
from morl.envs.constructive.dna_folding import DNAFolding, objectives_of  # noqa: E402

KEY = jax.random.key(0)
SMALL = MOGFNConfig(batch=8, hidden=(8,))


def random_strands(number, seed=0):
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("ACTG"), rng.integers(31, 61))) for _ in range(number)]


def tables():
    """Return the energy tables of the process as text."""
    with tempfile.NamedTemporaryFile("r") as file:
        RNA.params_save(file.name)
        return file.read()


@pytest.fixture
def dna_parameters():
    """Set DNA's parameters in the process while a test runs."""
    before = tables()
    RNA.params_load_DNA_Mathews2004()
    yield
    RNA.params_load_RNA_Turner2004()  # sets the geometry back
    RNA.params_load_from_string(before, "")


@pytest.fixture
def fresh():
    """Load the package's parameters anew, in the process as the test has set it."""
    folding._vienna.cache_clear()
    yield
    folding._vienna.cache_clear()


def test_folds_are_those_of_vienna_rna_with_dna_parameters(dna_parameters):
    for strand in [*random_strands(20), "GGGGTTTTCCCC", "GC" * 14 + "GAAA" + "GC" * 14, "A" * 31]:
        structure, energy = RNA.fold(strand)
        found = folding.fold(strand)
        assert found.structure == structure
        assert found.energy == pytest.approx(energy, abs=1e-5)
        assert found.energy == pytest.approx(RNA.eval_structure_simple(strand, structure), abs=1e-4)


OTHER_DEFAULTS = {
    "temperature": 60.0,
    "dangles": 0,
    "special_hp": 0,
    "noGU": 1,
    "noLP": 1,
    "max_bp_span": 20,
    "min_loop_size": 5,
    "salt": 0.1,
    "energy_set": 1,
    "nonstandards": "AA",
    "circ": 1,
    "gquad": 1,
    "backtrack_type": "C",
}


def test_folds_do_not_depend_on_defaults_of_the_process(monkeypatch, fresh):
    """Set other defaults before the package is first used, as a user's own work on RNA may, and then again others."""
    strands = random_strands(20, seed=4)
    before = [folding.fold(strand) for strand in strands]
    folding._vienna.cache_clear()
    for name, value in OTHER_DEFAULTS.items():
        monkeypatch.setattr(RNA.cvar, name, value)
    RNA.params_load_RNA_Andronescu2007()
    assert [folding.fold(strand) for strand in strands] == before
    RNA.params_load_RNA_Turner2004()
    assert [folding.fold(strand) for strand in strands] == before


def test_every_detail_of_the_model_is_given(monkeypatch):
    """Compare with the constructor's signature: what is left out is the default of the process."""
    names = set(re.findall(r"(\w+)=vrna_md_defaults", RNA.md.__init__.__doc__))
    given = {}
    vienna = SimpleNamespace(**{name: getattr(RNA, name) for name in dir(RNA) if name.startswith("MODEL")})
    vienna.md = lambda **details: given.update(details)
    folding._model(vienna)
    assert set(given) == names
    assert len(names) > 30


@pytest.mark.parametrize("load", [RNA.params_load_RNA_Turner2004, RNA.params_load_RNA_Andronescu2007])
def test_the_process_stays_as_it_was(load, fresh):
    """Compare tables, details that only some of its results show, and the parameters' name."""

    def found():
        model = RNA.md()
        details = {name: getattr(model, name) for name in dir(model) if isinstance(getattr(model, name), int | float)}
        return tables(), details, RNA.last_parameter_file()

    load()
    before = found()
    assert folding.fold("GGGGAAAACCCC").energy > RNA.fold("GGGGAAAACCCC")[1] + 1
    assert found() == before
    RNA.params_load_RNA_Turner2004()


def test_objectives_by_hand():
    """Count the hairpins of structures written by hand: one, three around a loop, none."""
    three = "GGGCAAAAGCCCTTGGGCAAAAGCCCTTGGGCAAAAGCCC"
    assert folding.fold(three).structure == "..".join(["((((....))))"] * 3)
    np.testing.assert_allclose(objectives_of(three)[1:], [12 / 16, 3 / 8])
    energy, pairs, hairpins = objectives_of("GGGGTTTTCCCC")
    assert energy == pytest.approx(2.9 / 60, abs=1e-4)
    assert (pairs, hairpins) == (4 / 16, 1 / 8)
    assert tuple(objectives_of("A" * 40)) == (0, 0, 0)
    assert folding.Fold(-1.0, "((..((...))..((...)))).").hairpins == 2


def test_objectives_are_in_their_space_even_of_the_best_strand():
    env = DNAFolding()
    strands = [*random_strands(30), "GC" * 14 + "GAAA" + "GC" * 14, "G" * 28 + "AAAA" + "C" * 28]
    values = env.oracle(strands)
    assert (values >= 0).all()
    assert (values <= env.reward_space.high).all()
    assert values[:30].max() < 1.2
    assert env.reward_space.high.max() < 1.8


def test_steps_reward_the_finished_strand_only():
    env = DNAFolding(lengths=(12, 14))
    strand = "GGGGTTTTCCCC"
    seen = follow(env, [*map(env.alphabet.index, strand), env.num_letters])
    assert not any(np.asarray(reward).any() for _, _, reward, _ in seen[:-1])
    state, obs, reward, terminated = seen[-1]
    assert bool(terminated)
    assert env.text(obs) == strand
    np.testing.assert_allclose(reward, objectives_of(strand), rtol=1e-6)
    batch = jax.tree.map(lambda x: jnp.stack([x, x]), state)._replace(done=jnp.array([True, False]))
    np.testing.assert_allclose(env.values(batch, ()), [objectives_of(strand), [0, 0, 0]], rtol=1e-6)


def test_backward_steps():
    for env in (DNAFolding(lengths=(4, 8)), DNAFolding(lengths=(5, 5))):
        for seed in range(3):
            check_backward_steps(env, seed)


def test_a_batch_is_one_call_of_the_oracle_after_its_last_step():
    """Check that an update asks for each object once and computes no rewards of steps."""
    env = DNAFolding(lengths=(20, 30))
    agent = MOGFN(SMALL, env, 3)
    env.oracle.forget()
    training = Training(agent, KEY)
    assert np.isfinite(training.run(3)["loss"])
    assert env.oracle.counts.asked == 3 * 8
    end = agent.sample(agent.policy(training.state), agent.condition([[0.2, 0.3, 0.5]] * 6), KEY).end
    np.testing.assert_allclose(end.values, [objectives_of(env.text(row)) for row in end.obs], rtol=1e-6)
    assert {len(env.text(row)) for row in end.obs} <= set(range(20, 31))


def test_what_was_folded_is_remembered_and_counted():
    oracle = DNAFolding().oracle
    oracle.forget()
    strands = random_strands(6, seed=9)
    first = oracle(strands)
    np.testing.assert_array_equal(oracle([*strands, *strands[:2]]), [*first, *first[:2]])
    assert oracle.counts == Counts(14, 6)
    assert oracle.counts.remembered == 8
    assert DNAFolding(lengths=(5, 9)).oracle is oracle
    assert DNAFolding(oracle_processes=2).oracle is not oracle


def test_settings_are_checked(monkeypatch):
    with pytest.raises(UserError, match=r"lengths are the fewest and the most letters, 1 at least, not \(9, 5\)"):
        DNAFolding(lengths=(9, 5))
    with pytest.raises(UserError, match="oracle_processes must be an integer of at least 0, not -1"):
        DNAFolding(oracle_processes=-1)
    assert DNAFolding([31, 40]) == DNAFolding((31, 40))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "RNA" else found(name))
    hint = "dna-folding-v0 needs the 'chem' extra: pip install 'morlax[chem]'"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(hint)}$"):
        DNAFolding()


@pytest.mark.slow
def test_a_sampler_learns_better_strands_than_random():
    """Train on short strands for a few thousand folds; return the mean reward of samples over preferences."""
    env = DNAFolding(lengths=(16, 20))
    config = MOGFNConfig(
        batch=64,
        network="transformer",
        width=32,
        num_blocks=2,
        num_heads=4,
        beta=48.0,
        min_log_reward=-500.0,
        learning_rate=2e-3,
        log_z_learning_rate=0.3,
        max_grad_norm=10.0,
    )
    agent, policy = trained(env, config, 200)
    weights = np.repeat(lattice(3, 3), 16, axis=0)
    condition = agent.condition(weights)

    def reward(of):
        values = np.asarray(agent.sample(of, condition, KEY).end.values)
        return float((values * weights).sum(axis=1).mean())

    assert reward(policy) > 1.5 * reward(agent.policy(agent.init(KEY)))
