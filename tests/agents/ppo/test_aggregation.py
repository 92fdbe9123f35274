"""PPO that weighs its objectives by their gradients: the direction it takes, what it learns, and its mistakes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.cmorl import CMORL, CMORLConfig
from morl.agents.d3po import D3POConfig
from morl.agents.d3po.algorithm import D3PO
from morl.agents.ppo import PPOAgent, PPOAgentConfig
from morl.agents.ppo.aggregation import AggregatingPPO, objective_weights, stepwise_advantage
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.agents.ppo.surrogates import objective_gradients
from morl.agents.ppo.types import Minibatch
from morl.errors import UserError
from morl.ops.aggregation.advantages import weighted_sum
from morl.ops.aggregation.named import AGGREGATIONS, aggregate
from morl.ops.gradients import gram_matrix
from morl.types import Task
from tests.agents.ppo.test_ppo import CONFIG, GAMMA, greedy, largest_difference
from tests.probes import Probe, experience, training

NAMES = (*AGGREGATIONS, "pama", "unanimous", "advantage-mgda")
QUICK = ("cagrad", "unanimous")  # the others take the same way and a compilation each


def make(kind, name, **changes):
    env, config = Probe(kind), replace(CONFIG, aggregator=name, **changes)
    return AggregatingPPO(config, env.observation_space, env.action_space, 2, GAMMA, 1)


@pytest.fixture(scope="module")
def batch():
    """Return a learner in conflict, its state away from the start, a rollout, advantages and gradients."""
    learner = make("dent", "upgrad")
    state, rng = learner.init(jax.random.key(0)), np.random.default_rng(0)
    state = state._replace(params=jax.tree.map(lambda x: x + rng.normal(0, 0.2, x.shape).astype(x.dtype), state.params))

    @jax.jit
    def process(state, steps):
        _, rollout = learner.process_rollout(state, steps)
        return rollout, objective_gradients(learner, state.params, rollout, rollout.advantage)

    return learner, state, *process(state, experience(Probe("dent"), learner, state, (0.3, 0.7)))


def test_the_weighted_advantage_moves_the_policy_along_the_aggregated_gradient(batch):
    """The first step on PPO's own loss of Σ α_i A_i is in the direction of Σ α_i g_i, as nothing is clipped."""
    learner, state, rollout, gradients = batch
    preference = jnp.array([0.3, 0.7])
    weights, metrics = jax.jit(
        lambda rollout: objective_weights(
            learner, state.params, rollout, rollout.advantage, preference, jax.random.key(1)
        )
    )(rollout)
    expected = aggregate("upgrad", gram_matrix(gradients), preference, jax.random.key(1))
    np.testing.assert_allclose(weights, expected, rtol=1e-3)
    assert abs(float(weights[0]) - 0.3) > 0.02  # in conflict, the preference alone does not decide
    assert metrics["least_cosine"] < -0.1

    plain = replace(learner, config=replace(CONFIG, entropy_coefficient=0.0, value_coefficient=0.0))
    shared = {name: getattr(rollout, name) for name in ("inputs", "action", "mask", "log_prob", "weight")}
    summed = weighted_sum(rollout.advantage, weights, rollout.weight)
    steps = Minibatch(**shared, advantage=summed, target=rollout.value)
    gradient = jax.grad(lambda params: plain.loss(params, steps)[0])
    taken = np.concatenate([np.ravel(x) for x in jax.tree.leaves(jax.jit(gradient)(state.params).actor)])
    wanted = np.concatenate([np.tensordot(weights, x, 1).ravel() for x in jax.tree.leaves(gradients[0])])
    assert -(taken @ wanted) / np.linalg.norm(taken) / np.linalg.norm(wanted) > 0.9999


def test_the_first_stages_of_ppo_and_cmorl_have_it():
    env = Probe("choice")
    task = Task(env.observation_space, env.action_space, 2, GAMMA, steps=10**6)
    for agent, config in ((PPOAgent, PPOAgentConfig), (CMORL, CMORLConfig)):
        assert type(agent(config(), task).learner) is PPO
        made = agent(config(aggregator="mgda"), task)
        assert isinstance(made.learner, AggregatingPPO)
        assert "mgda knows no preference" in made.notes[0]
        assert not any("knows no preference" in note for note in agent(config(aggregator="upgrad"), task).notes)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:]]
)
def test_what_is_best_for_all_is_learnt(name):
    """One part of the action earns the first objective, another the second; untrained, one in six takes both."""
    learner = make("parts", name, entropy_coefficient=0.01)
    state, metrics = training(Probe("parts"), learner)((0.5, 0.5), 120)
    np.testing.assert_array_equal(greedy(learner, state), [[1], [0]])
    known = {"pama": "agreement", "unanimous": "agreement"}.get(name, "least_cosine")
    assert (known in metrics) == (name != "advantage-mgda")


def test_where_objectives_disagree_there_is_nothing_to_learn():
    """Advantages that are each other's negatives; a step on which both are positive is left."""
    advantage = jnp.array([[[1.0, -1.0], [-1.0, 1.0], [2.0, 2.0], [-2.0, -2.0]]])
    found, metrics = stepwise_advantage("unanimous", advantage, jnp.array([0.5, 0.5]), jnp.ones((1, 4)))
    np.testing.assert_allclose(found, [[0, 0, 2**0.5, -(2**0.5)]], rtol=1e-5)
    assert metrics["agreement"] == 0.5
    found, _ = stepwise_advantage("pama", advantage, jnp.array([0.5, 0.5]), jnp.ones((1, 4)))
    np.testing.assert_allclose(found, [[0, 0, 2, 0]], rtol=1e-5)


@pytest.mark.slow
def test_d3po_weighs_the_gradients_of_weighted_objectives():
    """Without an aggregator the update is as before; with MGDA it is another, and finite."""
    env, states = Probe("choice"), {}
    for name in ("linear", "mgda"):
        config = D3POConfig(**{**vars(CONFIG), "aggregator": name})
        learner = D3PO(config, env.observation_space, env.action_space, 2, GAMMA, 1)
        state = learner.init(jax.random.key(0))
        steps = experience(env, learner, state, (0.9, 0.1))
        states[name], metrics = jax.jit(learner.update)(state, steps, jax.random.key(1))
        assert ("least_cosine" in metrics) == (name == "mgda")
    assert largest_difference(states["linear"].params, states["mgda"].params) > 1e-4


def test_mistakes_are_told_in_one_line():
    with pytest.raises(UserError, match="unknown aggregator 'upgrd'; did you mean upgrad"):
        PPOConfig(aggregator="upgrd")
    with pytest.raises(UserError, match="pama needs an entropy_coefficient of at least"):
        PPOConfig(aggregator="pama", entropy_coefficient=0.0)
    with pytest.raises(UserError, match="aggregator unanimous has one advantage for all objectives"):
        D3POConfig(aggregator="unanimous")
    with pytest.raises(UserError, match="cagrad_radius must be at least 0 and below 1"):
        PPOConfig(cagrad_radius=1.0)
    with pytest.raises(UserError, match="fairgrad_alpha must be at least"):
        PPOConfig(fairgrad_alpha=0.0)
