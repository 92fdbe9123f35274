"""The preference lives in the runner: it may change per update and per episode, and travels with the transitions."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl import registry
from morl.registry import AgentSpec
from morl.settings import TrainSettings
from morl.training.backends.jax import JaxBackend
from morl.training.rollout import rollout, start_batch
from morl.types import LearnerState
from tests.probes import Probe
from tests.tiny import Tiny, Wanderer

KEYS = list(jax.random.split(jax.random.key(0), 3))
WEIGHTS = np.array([[1.0, 0.0], [0.25, 0.75], [0.0, 1.0]])


@dataclass(frozen=True)
class Witness(Wanderer):
    """A learner that reports the preference of its transitions and keeps the last rollout's."""

    def init(self, key):
        return LearnerState(
            params={"weights": jnp.zeros((2, 2))},
            learning=jnp.zeros((self.rollout_steps, self.num_envs, 2)),
        )

    def update(self, state, batch, key):
        after = state._replace(learning=batch.preference)
        return after, {"first": batch.preference[..., 0].mean(), "last": batch.preference[-1, -1, 0]}


def drawn(key):
    """Draw a preference of two objectives."""
    first = jax.random.uniform(key)
    return jnp.stack([first, 1 - first])


LEARNER = Witness(2, 2, 2, 0.5, num_envs=3, rollout_steps=12)


def test_transitions_carry_the_preference_of_each_policy():
    backend = JaxBackend(Probe("choice"), LEARNER, WEIGHTS, eval_episodes=1, gamma=0.9)
    state, sums = backend.run(backend.init(KEYS), 1)
    kept = np.asarray(state.learners.learning)[:3]
    np.testing.assert_array_equal(kept, np.broadcast_to(WEIGHTS[:, None, None], kept.shape).astype(np.float32))
    np.testing.assert_allclose(sums.metrics["first"], WEIGHTS[:, 0])


def test_preferences_may_be_set_between_updates():
    backend = JaxBackend(Probe("choice"), LEARNER, WEIGHTS, eval_episodes=1, gamma=0.9)
    state, _ = backend.run(backend.init(KEYS), 1)
    state, sums = backend.run(backend.with_preferences(state, WEIGHTS[::-1]), 1)
    np.testing.assert_allclose(sums.metrics["first"], WEIGHTS[::-1, 0])


def test_each_episode_draws_its_own_preference():
    """Episodes of 5 steps in rollouts of 12: the preference changes after the end of an episode and nowhere else."""
    env = Probe("endless")
    starts = start_batch(env, env.default_params, jax.random.key(1), 3)
    first = jax.vmap(drawn)(jax.random.split(jax.random.key(2), 3))
    policy = {"weights": jnp.zeros((2, 2))}
    arguments = env, env.default_params, LEARNER, policy
    runners, preference, batch = rollout(*arguments, first, starts, jax.random.key(3), 12, drawn)
    done = np.asarray(batch.terminated | batch.truncated)
    assert done.sum(axis=0).tolist() == [2, 2, 2]
    changes = np.diff(np.asarray(batch.preference), axis=0).any(axis=-1)
    np.testing.assert_array_equal(changes, done[:-1])
    np.testing.assert_array_equal(batch.preference[0], first)
    np.testing.assert_allclose(batch.preference.sum(axis=-1), 1.0, rtol=1e-6)
    assert len(np.unique(np.asarray(batch.preference)[..., 0])) == 9  # three episodes of three environments
    _, _, later = rollout(*arguments, preference, runners, jax.random.key(4), 12, drawn)
    np.testing.assert_array_equal(later.preference[0], preference)


def test_a_backend_draws_for_each_environment_and_goes_on_from_what_it_saved():
    def backend():
        return JaxBackend(Probe("endless"), LEARNER, WEIGHTS, eval_episodes=1, gamma=0.9, draw_preference=drawn)

    one = backend()
    state, _ = one.run(one.init(KEYS), 2)
    saved = one.saved(state)
    assert saved.preferences.shape == (3, 3, 2)
    assert len(np.unique(saved.preferences[..., 0])) == 9
    state, sums = one.run(state, 2)
    other = backend()
    resumed, again = other.run(other.restored(other.init(KEYS), saved), 2)
    np.testing.assert_array_equal(other.saved(resumed).preferences, one.saved(state).preferences)
    np.testing.assert_array_equal(again.metrics["last"], sums.metrics["last"])


@dataclass(frozen=True)
class Scheduled(Tiny):
    """Tiny agent whose preferences move with the updates, three at a time."""

    @property
    def learner(self):
        size = int(np.prod(self.task.observation_space.shape))
        return Reporting(size, int(self.task.action_space.n), self.task.num_objectives, self.config.step)

    @property
    def preference_interval(self):
        return 3

    def preference_at(self, update, archive):
        ASKED.append((update, len(archive)))
        first = np.full(len(self.preferences), update / 100)
        return np.stack([first, 1 - first], axis=1)


@dataclass(frozen=True)
class Reporting(Wanderer):
    """Wanderer that reports its preference as a metric."""

    def update(self, state, batch, key):
        after, _ = super().update(state, batch, key)
        return after, {"weight": batch.preference[..., 0].mean()}


ASKED = []


@pytest.mark.parametrize("backend", ["jax", "host"])
def test_an_agent_schedules_its_preferences(monkeypatch, tmp_path, backend):
    spec = AgentSpec("scheduled", "of tests", f"{__name__}:Scheduled", "tests.tiny:TinyConfig")
    monkeypatch.setitem(registry._AGENTS, "scheduled", spec)
    ASKED.clear()
    settings = TrainSettings(
        env="deep-sea-treasure-v0",
        backend=backend,
        steps=768,
        evaluations=2,
        eval_episodes=1,
        final_episodes=1,
        reference_point=(0.0, -101.0),
        out=tmp_path / "run",
    )
    from tests.tiny import TinyConfig

    run = morl.train("scheduled", settings, TinyConfig(rounds=0))
    assert [update for update, _ in ASKED] == [0, 3, 6, 9]
    assert ASKED[0][1] == 0
    assert ASKED[-1][1] > 0
    header, *rows = [line.split(",") for line in (run.path / "metrics.csv").read_text().splitlines()]
    weights = [float(row[header.index("weight")]) for row in rows]
    np.testing.assert_allclose(weights, [0.015, 0.075], rtol=1e-4)  # means of 0, 0.03 and of 0.06, 0.09
