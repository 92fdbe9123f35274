"""Molecules: the vocabulary, objectives against RDKit itself, validity, and the steps there and back."""

import importlib.util
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.mogfn import MOGFN, MOGFNConfig
from morl.agents.mogfn.networks import LEARNT_TOKENS
from morl.envs.constructive.ngrams import NGrams
from morl.errors import MissingExtraError, UserError
from morl.networks.tree_transformer import FIRST_SITE, OF_WHOLE, SELF, TO_WHOLE, Trees, _relations, tree_transformer
from morl.ops.preferences import lattice
from tests.envs.constructive.constructing import check_backward_steps, follow, same
from tests.samplers import Training, trained

pytest.importorskip("rdkit", reason="needs the chem extra")

from rdkit import Chem, DataStructs
from rdkit.Chem import QED, AllChem, Descriptors

from morl.envs.constructive import chemistry
from morl.envs.constructive.molecules import Molecules

KEY = jax.random.key(0)
ENV = Molecules()
WORDS = chemistry.vocabulary()


def block(smiles, atom):
    """Return the number of the block of a fragment and an atom."""
    fragment = WORDS.smiles.index(smiles)
    return WORDS.blocks.index((fragment, WORDS.attachments[fragment].index(atom)))


def place(node, attachment, env=ENV):
    return env.num_blocks + node * env.num_sites + attachment


STOP = ENV.num_blocks + ENV.num_places
BENZENE, CARBON, FLUORINE = block("c1ccccc1", 0), block("C", 0), block("F", 0)


@pytest.fixture(scope="module")
def drawn():
    """Return observations (512, 28) of random finished molecules, and after each step whether they were finished."""

    def walk(key):
        state, obs = jax.vmap(ENV.reset, (0, None))(jax.random.split(key, 512), ())

        def step(carry, key):
            state, obs = carry
            allowed = ENV.action_mask(obs) > 0
            action = jax.random.categorical(key, jnp.where(allowed, 0.0, -1e9))
            state, obs, _, done, *_ = jax.vmap(ENV.step, (None, 0, 0, None))(key, state, action, ())
            return (state, obs), (done, allowed.any(axis=-1))

        (_, obs), rows = jax.lax.scan(step, (state, obs), jax.random.split(key, ENV.horizon))
        return obs, rows

    obs, (done, can_go_on) = jax.tree.map(np.asarray, jax.jit(walk)(KEY))
    assert can_go_on.all()
    return obs, done


def test_the_vocabulary_is_the_published_one():
    assert len(WORDS.smiles) == 72
    assert len(WORDS.blocks) == 105  # as published: attachments that are alike count once
    for smiles, atoms in zip(WORDS.smiles, WORDS.attachments, strict=True):
        fragment = Chem.MolFromSmiles(smiles)
        assert len(set(atoms)) == len(atoms) <= ENV.num_sites
        assert max(atoms) < fragment.GetNumAtoms()


def test_a_molecule_by_hand():
    """Build fluorobenzene with a methyl group opposite: its fluorine goes before, as the attachments are numbered."""
    actions = [BENZENE, place(0, 3), CARBON, place(0, 0), FLUORINE, STOP]
    seen = follow(ENV, actions)
    assert [bool(terminated) for *_, terminated in seen] == [False] * 5 + [True]
    assert not any(np.asarray(reward).any() for _, _, reward, _ in seen[:-1])
    state, obs, reward, _ = seen[-1]
    assert ENV.tree(obs) == ((BENZENE, 9, 6), (FLUORINE, 0, 0), (CARBON, 0, 3))
    assert ENV.text(obs) == Chem.CanonSmiles("Cc1ccc(F)cc1")
    molecule = Chem.MolFromSmiles("Cc1ccc(F)cc1")
    assert reward[0] == pytest.approx(QED.qed(molecule), abs=1e-6)
    assert reward[2] == 1
    assert 0.9 < reward[1] <= 1  # among the easiest
    batch = jax.tree.map(lambda x: jnp.stack([x, x]), state)._replace(done=jnp.array([True, False]))
    np.testing.assert_allclose(ENV.values(batch, ()), [reward, [0, 0, 0]], rtol=1e-6)


def test_the_order_of_building_leaves_no_trace():
    """Build chains on three attachments of a ring, built in each of the orders."""
    ring, two = block("C1CCNC1", 0), block("CC", 0)
    first = [place(0, 2), CARBON]
    one = follow(ENV, [ring, place(0, 0), two, place(1, 1), FLUORINE, *first])[-1][0]
    other = follow(ENV, [ring, place(0, 2), CARBON, place(0, 0), two, place(1, 1), FLUORINE])[-1][0]
    last = follow(ENV, [ring, place(0, 0), two, *first, place(1, 1), FLUORINE])[-1][0]
    assert same(one, other)
    assert same(one, last)


def test_what_is_not_allowed_changes_nothing():
    before = follow(ENV, [BENZENE])[-1][0]
    for action in (CARBON, STOP, place(1, 0), place(8, 5)):  # no place is chosen, one fragment only, no such node
        assert same(follow(ENV, [BENZENE, action])[-1][0], before)
    rest = block("C1CCNC1", 2)  # the whole fragment is added by its first attachment
    assert not same(follow(ENV, [block("C1CCNC1", 0)])[-1][0], follow(ENV, [rest])[-1][0])
    full = follow(ENV, [block("Cl", 0), place(0, 0), FLUORINE])
    assert bool(full[-1][3])  # no attachment is left: finished by itself
    assert ENV.text(full[-1][1]) == "FCl"


def test_backward_steps():
    for seed in range(8):
        check_backward_steps(ENV, seed)


def test_parents_are_the_removable_leaves():
    """Check that only leaves can be removed, and that a chosen place or a stop must be undone first."""
    two, three = block("CC", 0), block("CNC=O", 0)
    grown = follow(ENV, [BENZENE, place(0, 0), two, place(0, 2), three, place(1, 1), FLUORINE])
    np.testing.assert_array_equal(ENV.backward_mask(grown[-1][0]), [0, 0, 1, 1, *[0] * 6])
    chosen = follow(ENV, [BENZENE, place(0, 0)])[-1][0]
    np.testing.assert_array_equal(ENV.backward_mask(chosen), [*[0] * 9, 1])
    stopped = follow(ENV, [BENZENE, place(0, 0), two, STOP])[-1][0]
    np.testing.assert_array_equal(ENV.backward_mask(stopped), [*[0] * 9, 1])


def test_every_finished_tree_is_a_valid_molecule(drawn):
    obs, done = drawn
    assert done[-1].all()
    sizes = np.zeros(10, int)
    for row in obs:
        tree = ENV.tree(row)
        sizes[len(tree)] += 1
        smiles = ENV.text(row)
        molecule = Chem.MolFromSmiles(smiles)
        assert molecule is not None, tree
        assert "." not in smiles
        heavy = sum(Chem.MolFromSmiles(WORDS.smiles[WORDS.blocks[block][0]]).GetNumAtoms() for block, *_ in tree)
        assert molecule.GetNumAtoms() == heavy
        assert not any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    assert sizes[:2].sum() == 0
    assert (sizes[2:] > 0).all()


def test_objectives_are_those_of_rdkit(drawn):
    obs, _ = drawn
    trees = [ENV.tree(row) for row in obs[:30]]
    values = ENV.oracle(trees)
    assert ((values >= 0) & (values <= 1)).all()
    for tree, row in zip(trees, values, strict=True):
        molecule = Chem.MolFromSmiles(chemistry.smiles_of(tree))
        assert row[0] == pytest.approx(QED.qed(molecule), abs=1e-5)
        weight = Descriptors.MolWt(molecule)
        assert row[2] == pytest.approx(float(np.clip((300 - weight) / 700 + 1, 0, 1)), abs=1e-5)


def test_synthesis_of_molecules_known_to_be_easy_and_hard():
    """Scores by RDKit's script, published for aspirin as about 1.6; a natural product is far harder."""
    aspirin, morphine = "CC(=O)Oc1ccccc1C(=O)O", "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5"
    easy, hard = (chemistry.properties(Chem.MolFromSmiles(smiles))[1] for smiles in (aspirin, morphine))
    assert easy == pytest.approx((10 - 1.58) / 9, abs=0.005)
    assert hard < 0.6


def test_distances_are_of_fingerprints():
    some = ["Cc1ccc(F)cc1", "CC(=O)Oc1ccccc1C(=O)O"]
    found = ENV.distances(some, [*some, "Fc1ccc(C)cc1"])
    assert found.shape == (2, 3)
    np.testing.assert_allclose([found[0, 0], found[1, 1], found[0, 2]], 0)  # the last is the first, written otherwise
    prints = [AllChem.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint(Chem.MolFromSmiles(s)) for s in some]
    assert found[0, 1] == pytest.approx(1 - DataStructs.TanimotoSimilarity(*prints))
    with pytest.raises(UserError, match=r"a molecule is given by its SMILES, which 'C1C\(' is not"):
        ENV.distances(some, ["C1C("])


def test_pictures():
    picture = ENV.picture("Cc1ccc(F)cc1")
    assert picture.shape == (280, 360, 3)
    assert (picture < 128).any()
    grown = follow(ENV, [BENZENE, place(0, 0)])
    before, after = (ENV.render(state, ()) for state, *_ in grown)
    assert before.shape == after.shape
    assert not np.array_equal(before, after)  # the chosen attachment is marked


def test_settings_are_checked(monkeypatch):
    with pytest.raises(UserError, match="most_fragments must be an integer of at least 2, not 1"):
        Molecules(most_fragments=1)
    with pytest.raises(UserError, match="oracle_processes must be an integer of at least 0, not -1"):
        Molecules(oracle_processes=-1)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "rdkit" else found(name))
    hint = "molecules-v0 needs the 'chem' extra: pip install 'morlax[chem]'"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(hint)}$"):
        Molecules()


class TestGraphNetwork:
    config = MOGFNConfig(batch=8, network="graph", width=8, num_blocks=1, num_heads=2, loss="detailed_balance")

    def test_what_nodes_are_to_each_other(self):
        """A root with a child on site 1, and that one's on site 0: nodes are tokens 1 to 3 of 4."""
        trees = Trees(*(jnp.array(row) for row in ([5, 6, 7, 9], [4, 0, 1, 4], [2, 1, 0, 2])), jnp.int32(8))
        related = np.asarray(_relations(trees, 2))
        assert related.shape == (5, 5, FIRST_SITE + 4)
        kinds = np.where(related.any(axis=-1), related.argmax(axis=-1), -1)
        to_parent, to_child = FIRST_SITE, FIRST_SITE + 2
        np.testing.assert_array_equal(
            kinds,
            [
                [SELF, OF_WHOLE, OF_WHOLE, OF_WHOLE, OF_WHOLE],
                [TO_WHOLE, SELF, to_child + 1, -1, -1],
                [TO_WHOLE, to_parent + 1, SELF, to_child, -1],
                [TO_WHOLE, -1, to_parent, SELF, -1],
                [TO_WHOLE, -1, -1, -1, SELF],
            ],
        )
        assert related.sum() == (kinds >= 0).sum()

    def test_sees_the_tree_the_place_and_the_condition_and_no_more(self):
        rng = np.random.default_rng(0)
        shape = {"num_kinds": 5, "num_sites": 2, "num_conditions": 3, "num_outputs": 4}
        net = tree_transformer(rng, **shape, width=16, num_blocks=2, num_heads=2)
        net = jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape), jnp.float32), net)

        @jax.jit
        def of(trees, condition):
            whole, sites = net(trees, condition)
            return jnp.concatenate([whole, sites[:2].ravel()])

        tree = Trees(*(jnp.array(row) for row in ([1, 2, 5], [3, 0, 3], [2, 1, 2])), jnp.int32(6))
        condition = jnp.array([0.2, 0.3, 0.5])
        before = of(tree, condition)
        for change in (
            {"kinds": jnp.array([1, 3, 5])},
            {"sites": jnp.array([2, 0, 2])},
            {"parents": jnp.array([3, 3, 3])},
            {"chosen": jnp.int32(3)},
        ):
            assert float(jnp.abs(of(tree._replace(**change), condition) - before).max()) > 0.01, change
        assert float(jnp.abs(of(tree, condition[::-1]) - before).max()) > 0.01
        gone = tree._replace(sites=jnp.array([2, 1, 0]))  # site of a missing node
        np.testing.assert_allclose(of(gone, condition), before, atol=1e-5)

    @pytest.mark.slow
    def test_learns_finite_steps_and_draws_by_the_policy_it_learns(self):
        env = Molecules(most_fragments=2)
        agent = MOGFN(self.config, env, 2)
        training = Training(agent, KEY)
        assert np.isfinite(training.run(2)["loss"])
        state = training.state
        moved = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(KEY, x.shape), state.params.policy)
        encoded = jnp.array([[0.2, 0.3, 0.5]] * 4)
        paths = agent.sample(agent.policy(state), agent.condition([[0.2, 0.3, 0.5]] * 4), KEY)
        whole = agent._network.outputs(moved, paths, encoded)
        assert whole.shape == (4, env.horizon, env.action_space.n + 1)
        reader = agent._network.reader(moved, encoded)
        for t in range(env.horizon):
            _, one = reader.read(reader.start(), paths.obs[:, t])
            going = np.asarray(paths.valid[:, t])
            allowed = np.append(env.action_mask(paths.obs[:, t]), np.ones((4, 1), np.int8), axis=1)
            np.testing.assert_allclose((one * allowed)[going], (whole[:, t] * allowed)[going], rtol=1e-4, atol=1e-4)
        for row, values in zip(paths.end.obs, paths.end.values, strict=True):
            np.testing.assert_allclose(values, chemistry.objectives_of(env.tree(row)), rtol=1e-5)

    def test_computes_all_steps_and_their_gradient_as_state_by_state(self):
        """Few trees fill a part, so that several parts are needed, and trajectories end at different steps."""
        config = replace(self.config, width=16, num_blocks=1, num_heads=2)
        agent = MOGFN(config, Molecules(most_fragments=3), 1)
        rng = np.random.default_rng(0)
        policy = agent.policy(agent.init(KEY))
        policy = jax.tree.map(lambda x: jnp.asarray(rng.normal(0, 0.3, x.shape), jnp.float32), policy)
        condition = agent.condition(np.tile(lattice(3, 3), (8, 1)))
        paths, network, encoded = agent.sample(policy, condition, KEY), agent._network, agent._encode(condition)
        valid = np.asarray(paths.valid)
        assert LEARNT_TOKENS < valid.sum() < valid.size
        # of actions that are allowed, and of the flow; places that do not exist have arbitrary outputs
        mask = np.concatenate([agent.env.action_mask(paths.obs), np.ones((*valid.shape, 1), np.int8)], axis=-1)
        weights = jnp.asarray(mask * rng.normal(size=mask.shape), jnp.float32)

        def in_parts(params):
            found = network.outputs(params, paths, encoded)
            return (weights * found).sum(), found * mask

        def one_by_one(params):
            each = jnp.repeat(encoded, valid.shape[1], axis=0)
            found = network.of(params, paths.obs.reshape(valid.size, -1), each).reshape(*valid.shape, -1)
            found = jnp.where(paths.valid[..., None], found, 0.0)
            return (weights * found).sum(), found * mask

        found, wanted = (jax.jit(jax.value_and_grad(of, has_aux=True))(policy.policy) for of in (in_parts, one_by_one))
        np.testing.assert_allclose(found[0][1], wanted[0][1], rtol=1e-4, atol=1e-5)
        for mine, other in zip(jax.tree.leaves(found[1]), jax.tree.leaves(wanted[1]), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4 * float(np.abs(other).max()))

        # read step by step, ended trajectories are left out
        reader = network.reader(policy.policy, encoded)
        _, read = jax.lax.scan(reader.read, reader.start(), jnp.moveaxis(paths.obs, 1, 0))
        read = np.moveaxis(np.asarray(read), 0, 1)
        np.testing.assert_allclose((read * mask)[valid], wanted[0][1][valid], rtol=1e-4, atol=1e-5)
        ended = np.arange(valid.shape[1]) > np.asarray(paths.length)[:, None]
        assert ended.any()
        assert not read[ended].any()

    def test_is_for_trees(self):
        with pytest.raises(UserError, match="network graph is for trees of nodes; ngrams-v0 has none: use mlp"):
            MOGFN(self.config, NGrams(), 1)


@pytest.mark.slow
def test_a_sampler_learns_better_molecules_than_random():
    """Train on two fragments for a few thousand calls of the oracle; return the mean reward over preferences."""
    env = Molecules(most_fragments=2)
    config = MOGFNConfig(
        batch=64,
        network="graph",
        width=32,
        num_blocks=2,
        num_heads=4,
        beta=48.0,
        min_log_reward=-500.0,
        learning_rate=2e-3,
        log_z_learning_rate=0.1,
        max_grad_norm=10.0,
    )
    agent, policy = trained(env, config, 150)
    weights = np.repeat(lattice(3, 3), 16, axis=0)
    condition = agent.condition(weights)

    def reward(of):
        values = np.asarray(agent.sample(of, condition, KEY).end.values)
        return float((values * weights).sum(axis=1).mean())

    assert reward(policy) > reward(agent.policy(agent.init(KEY))) + 0.05
