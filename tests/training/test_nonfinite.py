"""A policy whose numbers are not finite is held back, told of, and does not touch those beside it."""

import re
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.agents.cmorl.constrained import ConstrainedPPO
from morl.agents.ppo.algorithm import PPO
from morl.agents.ppo.config import PPOConfig
from morl.agents.sac.algorithm import SAC
from morl.agents.sac.config import SACConfig
from morl.envs.contract import violations
from morl.ops import replay
from morl.training.backends.jax import JaxBackend
from morl.training.nonfinite import SOURCES, NonFinite, describe_news, guarded_update, no_nonfinite, settle
from morl.types import LearnerState, Transition
from tests.probes import Probe
from tests.tiny import Wanderer

PREFERENCES = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
KEYS = list(jax.random.split(jax.random.key(0), 3))
CONFIG = PPOConfig(num_envs=2, rollout_steps=4, minibatches=1, epochs=1, hidden=(4,))
SAC_CONFIG = SACConfig(
    num_envs=2, rollout_steps=4, gradient_steps=1, batch_size=4, replay_capacity=80, learning_starts=8, hidden=(4,)
)


@dataclass(frozen=True)
class Fragile(Wanderer):
    """The learner of the first preference breaks at its third update."""

    def update(self, state, batch, key):
        after, metrics = super().update(state, batch, key)
        bad = jnp.where((batch.preference[0, 0, 0] == 1.0) & (state.learning["updates"] == 2), jnp.nan, 0.0)
        return after, {**metrics, "size": metrics["size"] + bad}


@dataclass(frozen=True)
class Leaky(Probe):
    """A probe whose reward is infinite where its key is of the unlucky few."""

    def step(self, key, state, action, params):
        state, obs, reward, *rest = super().step(key, state, action, params)
        return state, obs, reward + jnp.where(jax.random.uniform(key) < 0.05, jnp.inf, 0.0), *rest


def learner_of(kind):
    return kind(observations=2, actions=2, num_objectives=2, step=0.5, num_envs=2)


def row(tree, i):
    return [np.asarray(x)[i] for x in jax.tree.leaves(tree)]


def test_a_policy_that_diverges_stays_as_it_was_and_leaves_those_beside_it_alone():
    env = Probe("choice")
    backend, sound = (
        JaxBackend(env, learner_of(kind), PREFERENCES, eval_episodes=1, gamma=0.9) for kind in (Fragile, Wanderer)
    )
    state, sums = backend.run(backend.init(KEYS), 5)
    broken, nonfinite = backend.policies(state), backend.nonfinite(state)
    state, _ = sound.run(sound.init(KEYS), 2)
    before = sound.policies(state)
    state, _ = sound.run(state, 3)
    for i in (1, 2):
        assert all(map(np.array_equal, row(broken, i), row(sound.policies(state), i)))
    assert all(map(np.array_equal, row(broken, 0), row(before, 0)))
    assert nonfinite.stopped.tolist() == [True, False, False]
    assert (nonfinite.number[0], nonfinite.update[0], sound.nonfinite(state).number.sum()) == (1, 2, 0)
    assert describe_news(None, nonfinite, 0) == "the loss is not finite: it stays as it was"
    assert sums.number.tolist() == [2, 5, 5]
    assert all(np.isfinite(x).all() for x in sums.metrics.values())


def test_updates_can_be_skipped_instead():
    env = Leaky("delayed")
    backend = JaxBackend(env, learner_of(Wanderer), PREFERENCES, eval_episodes=1, gamma=0.9, skip_nonfinite=True)
    state, sums = backend.run(backend.init(KEYS), 20)
    nonfinite = backend.nonfinite(state)
    assert 0 < nonfinite.number.min() <= nonfinite.number.max() < 20
    assert not nonfinite.stopped.any()
    np.testing.assert_array_equal(sums.number + nonfinite.number, 20)
    np.testing.assert_array_equal(state.learners.learning["updates"][:3], sums.number)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((backend.policies(state), sums)))
    assert "a reward is not finite: the update is dropped" in describe_news(None, nonfinite, 0)


class Adder:
    """A learner of one number, to which it adds the rewards it may learn from."""

    def __init__(self, loss=0.0, gradient=0.0):
        self.loss, self.gradient = loss, gradient

    def update(self, state, batch, key):
        total = jnp.sum(jnp.where(batch.valid[..., None], batch.reward, 0.0)) + self.gradient
        after = state._replace(params=state.params + total, episode=state.episode + 1)
        return after, {"loss": jnp.float32(self.loss)}


def rollout(**changes):
    flags = np.zeros((2, 1), bool)
    obs = np.ones((2, 1, 3), np.float32)
    parts = {"obs": obs, "action": flags, "reward": np.ones((2, 1, 2), np.float32), "next_obs": obs}
    return Transition(
        **{
            **parts,
            "terminated": flags,
            "truncated": flags,
            "valid": ~flags,
            "preference": np.full((2, 1, 2), 0.5, np.float32),
            **changes,
        }
    )


BAD = np.array([[[1.0, np.nan, 1.0]], [[1.0, 1.0, 1.0]]], np.float32)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("learner", "batch", "source"),
    [
        (Adder(), rollout(), ""),
        (Adder(), rollout(obs=BAD), "an observation"),
        (Adder(), rollout(next_obs=BAD, reward=BAD[..., :2]), "an observation"),
        (Adder(), rollout(reward=BAD[..., :2]), "a reward"),
        (Adder(loss=np.inf), rollout(), "the loss"),
        (Adder(gradient=np.nan), rollout(), "the gradient"),
    ],
)
def test_whatever_is_not_finite_is_named_and_taken_back(learner, batch, source, skip):
    state = LearnerState(jnp.float32(1.0), (), episode=jnp.int32(0))
    nonfinite = jax.tree.map(lambda x: x[0], no_nonfinite(1))
    for update in range(2):
        state, metrics, nonfinite, counts, broken = guarded_update(
            learner, state, batch, KEYS[0], nonfinite, jnp.int32(update), skip=skip
        )
    assert float(state.params) == (1.0 if source else 9.0)
    assert int(state.episode) == 2  # what may stay, stays
    assert SOURCES[int(nonfinite.source)] == source
    assert bool(counts) == (not source)
    assert bool(broken) == (source in SOURCES[1:3])
    assert float(metrics["loss"]) == 0.0
    assert bool(nonfinite.stopped) == (bool(source) and not skip)
    assert (int(nonfinite.number), int(nonfinite.update)) == ((2, 1) if skip else (1, 0)) if source else (0, 0)


@pytest.mark.parametrize("kind", ["ppo", "constrained", "sac"])
def test_episodes_go_on_through_an_update_that_is_dropped(kind):
    env = Probe("endless")
    spaces = env.observation_space, env.action_space
    ppo = PPO(CONFIG, *spaces, 2, 0.9, 10)
    learners = {
        "ppo": ppo,
        "constrained": ConstrainedPPO(ppo, 0.9),
        "sac": SAC(SAC_CONFIG, *spaces, 2, 0.9, 10),
    }
    learner = learners[kind]
    flags, obs = jnp.zeros((4, 2), bool), jnp.zeros((4, 2, 2))
    half = jnp.full((4, 2, 2), 0.5)
    batch = Transition(obs, jnp.int32(flags), obs + jnp.array([[[1.0, 2.0]]]), obs, flags, flags, ~flags, half)
    before = learner.init(KEYS[0])
    after, _ = jax.jit(learner.update)(before, batch, KEYS[1])
    assert not all(map(np.array_equal, *map(jax.tree.leaves, (before.params, after.params))))

    nonfinite = jax.tree.map(lambda x: x[0], no_nonfinite(1))
    left, *_ = settle(before, after, {"loss": jnp.float32(np.nan)}, nonfinite, jnp.int32(0), skip=True)
    assert all(map(np.array_equal, *map(jax.tree.leaves, (before.params, left.params))))
    assert all(map(np.array_equal, *map(jax.tree.leaves, (before.learning, left.learning))))
    so_far = [[3.439, 6.878]] * 2  # 1 + 0.9 + 0.81 + 0.729
    np.testing.assert_allclose(left.episode.ppo if kind == "constrained" else left.episode, so_far, rtol=1e-6)
    if kind == "constrained":
        np.testing.assert_allclose(left.episode.partial_return, so_far, rtol=1e-6)
        assert left.episode.age.tolist() == [4, 4]


@pytest.mark.slow
def test_a_replay_never_holds_what_is_not_finite():
    env = Leaky("endless")
    learner = SAC(SAC_CONFIG, env.observation_space, env.action_space, 2, 0.9, 10)
    backend = JaxBackend(
        env, learner, np.repeat(PREFERENCES[:, None], 2, 1), eval_episodes=1, gamma=0.9, skip_nonfinite=True
    )
    state, _ = backend.run(backend.init(KEYS), 10)
    kept: replay.Replay = state.learners.replay
    assert backend.nonfinite(state).number.min() > 0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(kept.rows))
    assert not np.asarray(kept.rows.valid).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": lambda *_: 1 / 0}, "jit: step cannot be compiled: ZeroDivisionError: division by zero"),
        (
            {"reset": lambda self, *_: (0, jnp.zeros(3))},
            r"observation of reset: must be a JAX array .*\(2,\), not .*\(3,\)",
        ),
        (
            {"objectives": ("a", "b", "c")},
            r"reward: must be a JAX array .*\(3,\), not .*\(2,\)",
        ),
        ({}, None),
    ],
)
def test_an_environment_that_cannot_be_traced_is_told_from_one_that_can(change, message):
    told = [": ".join(each) for each in violations(type("Broken", (Probe,), change)("choice"))]
    assert told == [] if message is None else re.match(message, told[0])


def test_many_dropped_updates_are_told_of_by_their_order():
    def nonfinite(number):
        return NonFinite(*(np.array([x]) for x in (number, 3, 0, False)))

    told = [n for n in range(1, 200) if describe_news(nonfinite(n - 1), nonfinite(n), 0)]
    assert told == [1, 10, 100]
    assert describe_news(nonfinite(5), nonfinite(5), 0) is None
