"""D3PO: one policy for a whole front, the preferences it is trained for, and its mistakes in one line."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.d3po import D3POAgent, D3POConfig, losses
from morl.agents.d3po.algorithm import D3PO
from morl.agents.ppo.setup import make_learner
from morl.agents.ppo.types import Minibatch, ProcessedRollout
from morl.errors import UserError
from morl.networks.conditioning import ConditionedInput
from morl.ops.preferences import equally_spaced_weights
from morl.types import Task
from tests.probes import Probe, experience, trainer

GAMMA = 0.9
SMALL = D3POConfig(
    num_envs=16,
    rollout_steps=16,
    epochs=4,
    minibatches=4,
    learning_rate=5e-3,
    hidden=(32,),
    entropy_coefficient=0.001,
    num_preferences=5,
    embedding_size=4,
)
KINDS = ("concat", "film", "hypernetwork")


def agent_for(env, updates=60, config=SMALL, size=2):
    steps = updates * config.num_envs * config.rollout_steps
    return D3POAgent(config, Task(env.observation_space, env.action_space, size, GAMMA, steps))


WEIGHTS = equally_spaced_weights(2, 5)


@cache
def front_of(kind, config=SMALL, updates=60, learner_class=D3PO):
    """Train on a probe; return (5, 2), the greedy returns of equally spread preferences."""
    env = Probe(kind)
    agent = agent_for(env, updates, config)
    learner = make_learner(learner_class, config, agent.task, updates)
    options = {"width": 5, "draw_preference": agent.draw_preference, "devices": jax.devices()[:1]}
    backend = trainer(env, learner, agent.preferences, **options)
    state, _ = backend.run(backend.init([jax.random.key(3)]), agent.updates)
    found = backend.evaluate(backend.policies(state), WEIGHTS[None], jax.random.split(jax.random.key(4), 1), 1)
    return np.asarray(found.discounted[0, :, 0])


@pytest.mark.parametrize(
    "conditioning", ["concat", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])]
)
def test_one_policy_has_the_front_of_continuous_actions(conditioning):
    """The returns are -(a - 0.6)² and -(a + 0.2)²: best is a = 0.6 w1 - 0.2 w2; untrained, a is about 0 for all."""
    units = {"normalise_advantages": "together", "preference_units": "raw", "diversity_coefficient": 0.0}
    config = replace(SMALL, conditioning=conditioning, **units)
    found = front_of("steer", config, updates=150)
    best = WEIGHTS @ [0.6, -0.2]
    np.testing.assert_allclose(found, -((best[:, None] - np.array([0.6, -0.2])) ** 2), atol=0.15)
    assert np.ptp(found, axis=0).min() > 0.4


def test_one_policy_chooses_by_the_preference():
    found = front_of("choice")
    np.testing.assert_array_equal(found[WEIGHTS[:, 0] > 0.5], [[1, 0]] * 2)
    np.testing.assert_array_equal(found[WEIGHTS[:, 0] < 0.5], [[0, 1]] * 2)


@pytest.mark.slow
def test_a_network_that_does_not_see_the_preference_fails_it():
    """The same training with the preference taken out of the networks' inputs acts alike for all preferences."""

    class Blind(D3PO):
        def inputs(self, obs_stats, obs, preference):
            return super().inputs(obs_stats, obs, jnp.full_like(preference, 0.5))

    assert len(np.unique(front_of("choice", learner_class=Blind), axis=0)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({}, 1),  # each objective's advantages by their own deviation
        ({"normalise_advantages": "together"}, 1),  # rewards by the deviation of their returns
        ({"normalise_advantages": "together", "preference_units": "raw"}, 0),
    ],
    ids=["each", "together", "raw"],
)
def test_units_that_a_preference_weighs(changes, action):
    """(100, 0) or (0, 1): to (0.25, 0.75) the second is worth more in scaled units, the first in raw ones."""
    found = front_of("apart", replace(SMALL, **changes))
    at = np.flatnonzero(WEIGHTS[:, 0] == 0.25)
    np.testing.assert_array_equal(found[at[0]], [[100, 0], [0, 1]][action])


def rollout_of(config=SMALL, kind="delayed"):
    """Return a fresh learner, its state, and a rollout whose environments have preferences of their own."""
    env = Probe(kind)
    learner = agent_for(env, config=config).learner
    state = learner.init(jax.random.key(0))
    weights = np.random.default_rng(0).dirichlet(np.ones(2), config.num_envs)
    return learner, state, experience(env, learner, state, weights)


@pytest.mark.parametrize("conditioning", KINDS)
def test_critic_and_likelihoods_are_those_of_the_acting_preference(conditioning):
    learner, state, batch = rollout_of(replace(SMALL, conditioning=conditioning))
    policy, at = learner.policy(state), (3, 5)
    _, rollout = learner.process_rollout(state, batch)

    def row(preference):
        return learner.inputs(policy.obs_stats, batch.obs[at][None], preference)

    own, another = (row(w) for w in (batch.preference[at], batch.preference[3, 6]))
    np.testing.assert_allclose(rollout.value[at], policy.critic(own)[0], rtol=1e-4, atol=1e-5)
    assert np.abs(rollout.value[at] - policy.critic(another)[0]).max() > 1e-3
    log_prob = jax.nn.log_softmax(policy.actor(own))[0, batch.action[at]]
    np.testing.assert_allclose(rollout.log_prob[at], log_prob, rtol=1e-4, atol=1e-5)


def update_of(config):
    """Return a learner, its state, and what its update of one rollout passes over, (256, ...)."""
    learner, state, batch = rollout_of(config)
    seen = []

    class Seeing(D3PO):
        def fit(self, state, rollout, advantage, key, **options):
            shared = {name: getattr(rollout, name) for name in ("inputs", "action", "mask", "log_prob", "weight")}
            target = rollout.value + rollout.advantage
            seen.append(Minibatch(**shared, advantage=advantage, target=target, **options))
            return state, {}

    Seeing(**vars(learner)).update(state, batch, jax.random.key(1))
    return learner, state, jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), seen[0])


def test_the_whole_loss_is_the_sum_of_its_parts():
    """At the policy that acted ratios are 1: the surrogate is -Σ w A, whatever is clipped."""
    config = replace(SMALL, diversity_coefficient=0.3, diversity_scale=2.0)
    learner, state, steps = update_of(config)
    others, preference = np.asarray(steps.extra), np.asarray(steps.inputs.preference)
    np.testing.assert_allclose(others.sum(axis=-1), 1, rtol=1e-6)
    inside = others[(others > 0).all(axis=-1)]
    assert len(np.unique(inside, axis=0)) == len(inside) > 200  # w' is drawn for each step
    loss, metrics = learner.loss(state.params, steps)
    surrogate = -np.mean(np.sum(preference * np.asarray(steps.advantage), axis=-1))
    p, q = (jax.nn.log_softmax(state.params.actor(steps.inputs._replace(preference=w))) for w in (preference, others))
    divergence = np.sum(np.exp(p) * (p - q), axis=-1)
    diversity = np.mean((divergence - 2.0 * np.abs(preference - others).sum(axis=-1)) ** 2)
    np.testing.assert_allclose(metrics["diversity_loss"], diversity, rtol=1e-4)
    np.testing.assert_allclose(metrics["preference_kl"], divergence.mean(), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(metrics["actor_loss"], surrogate + 0.3 * diversity, rtol=1e-4)
    whole = metrics["actor_loss"] + 0.5 * metrics["critic_loss"] - 0.001 * metrics["entropy"]
    np.testing.assert_allclose(loss, whole, rtol=1e-5)


@pytest.mark.parametrize("coefficient", [1.0, 0.0])
def test_diversity_alone_moves_policies_apart_as_far_as_their_preferences(coefficient):
    """No action is better than another; α ||w - w'||_1 is 0.5 x 1.5 for the two that are looked at."""
    config = replace(SMALL, diversity_coefficient=coefficient, diversity_scale=0.5, entropy_coefficient=0.0)
    learner, state, steps = update_of(config)
    steps = jax.tree.map(lambda x: x.reshape(16, 16, *x.shape[1:]), steps)
    shared = {name: getattr(steps, name) for name in ("inputs", "action", "mask", "log_prob", "weight")}
    nothing = jnp.zeros((16, 16, 2))
    rollout = ProcessedRollout(**shared, delta=nothing, advantage=nothing, value=nothing)

    def once(i, state):
        return learner.fit(state, rollout, nothing, jax.random.fold_in(jax.random.key(2), i), extra=steps.extra)[0]

    state = jax.jit(lambda state: jax.lax.fori_loop(0, 30, once, state))(jax.tree.map(jnp.asarray, state))
    p, q = (
        jax.nn.log_softmax(state.params.actor(ConditionedInput(jnp.zeros((1, 2)), jnp.array(w))))[0]
        for w in ([1.0, 0.0], [0.25, 0.75])
    )
    divergence = float(jnp.sum(jnp.exp(p) * (p - q)))
    assert (0.5 < divergence < 1.0) if coefficient else (divergence < 0.01)


def drawn(concentration, corner_share, number=4000, size=3):
    agent = agent_for(
        Probe("choice"),
        config=replace(SMALL, preference_concentration=concentration, corner_share=corner_share),
        size=size,
    )
    return np.asarray(jax.vmap(agent.draw_preference)(jax.random.split(jax.random.key(0), number)))


def test_preferences_of_episodes():
    uniform = drawn((1.0,), 0.0)
    np.testing.assert_allclose(uniform.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(uniform.mean(axis=0), 1 / 3, atol=0.02)
    np.testing.assert_allclose(uniform.var(axis=0), 1 / 18, atol=0.005)  # of Dirichlet(1, 1, 1)
    lopsided = drawn((4.0, 2.0, 2.0), 0.0)
    np.testing.assert_allclose(lopsided.mean(axis=0), [0.5, 0.25, 0.25], atol=0.02)
    corners = drawn((1.0,), 0.3)
    np.testing.assert_allclose((corners == 1).mean(axis=0), 0.1, atol=0.02)


def test_each_episode_of_each_environment_draws_its_own():
    env = Probe("delayed")  # of two steps
    agent = agent_for(env, updates=2, config=replace(SMALL, rollout_steps=4, minibatches=1))
    seen = []

    class Seeing(D3PO):
        def update(self, state, batch, key):
            jax.debug.callback(lambda x: seen.append(np.asarray(x)), batch.preference, ordered=False)
            return super().update(state, batch, key)

    learner = Seeing(agent.config, env.observation_space, env.action_space, 2, GAMMA, 2)
    options = {"draw_preference": agent.draw_preference, "devices": jax.devices()[:1]}
    backend = trainer(env, learner, agent.preferences, **options)
    jax.block_until_ready(backend.run(backend.init([jax.random.key(0)]), 1))
    jax.effects_barrier()
    episodes = seen[0].reshape(2, 2, 16, 2)
    np.testing.assert_array_equal(episodes[:, 0], episodes[:, 1])
    inside = episodes[:, 0, :, 0][(episodes[:, 0, :, 0] > 0) & (episodes[:, 0, :, 0] < 1)]
    assert len(np.unique(inside)) == len(inside) > 16


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_preferences": 1}, "num_preferences must be at least 2"),
        ({"conditioning": "film2"}, "unknown conditioning 'film2'; did you mean film"),
        ({"embedding_size": 0}, "embedding_size must be at least 1"),
        ({"diversity_coefficient": -1.0}, "diversity_coefficient must be at least 0"),
        ({"diversity_scale": float("inf")}, "diversity_scale must be at least 0"),
        ({"corner_share": 1.5}, "corner_share must be at least 0 and at most 1"),
        ({"preference_concentration": (1.0, 0.0)}, "preference_concentration must be greater than 0"),
        ({"preference_concentration": ()}, "preference_concentration must be greater than 0"),
        ({"preference_units": "raw"}, "preference_units raw needs normalise_advantages together"),
    ],
)
def test_settings_out_of_range_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        D3POConfig(**wrong)


def test_what_does_not_fit_the_environment_is_refused():
    env = Probe("choice")
    with pytest.raises(UserError, match="preference_concentration must be one number or 2, one an objective, not 3"):
        agent_for(env, config=replace(SMALL, preference_concentration=(1.0, 1.0, 1.0)))
    task = Task(env.observation_space, env.action_space, 2, GAMMA, 255)
    with pytest.raises(UserError, match=r"steps must be at least 256 \(one update of 16 environments x 16 steps\)"):
        D3POAgent(SMALL, task)


def test_standardising_together_is_in_any_unit_that_is_asked_for():
    """Raw units: the advantages of (100, 0) count a hundred times those of (0, 1)."""
    advantage = jnp.asarray(np.random.default_rng(0).normal(size=(8, 4, 2)), jnp.float32)
    raw = advantage * jnp.array([100.0, 1.0])[None, None]
    preference = jnp.full((8, 4, 2), 0.5)
    found = losses.standardise_together(raw, preference, jnp.ones((8, 4)))
    np.testing.assert_allclose(np.asarray(found).std(axis=(0, 1)) @ [0.01, -1], 0, atol=0.005)
