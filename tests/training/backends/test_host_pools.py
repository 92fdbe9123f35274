"""Environments on the host that are alive at once: never more than the bound, with the same episodes."""

import contextlib
from dataclasses import dataclass

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces

import morl
from morl.errors import UserError
from morl.settings import EvaluateSettings, TrainSettings
from morl.training.backends.host import HostBackend
from morl.training.backends.host_pools import HostPools
from tests.tiny import SPEC as TINY
from tests.tiny import Wanderer

KEYS = list(jax.random.split(jax.random.key(0), 3))
PREFERENCES = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


@dataclass(frozen=True)
class Timed(Wanderer):
    """Learner that counts the steps of the episode of each environment."""

    def begin(self, weights):
        return super().begin(weights)._replace(episode=np.zeros(self.num_envs, np.int32))

    def update(self, state, batch, key):
        after, metrics = super().update(state, batch, key)
        return after._replace(episode=state.episode + self.rollout_steps), metrics


class Licensed(gymnasium.Env):
    """Simulator that counts how many of it are alive; its episodes have 3 to 9 steps, by their seed."""

    alive = most = steps = 0
    observation_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)
    reward_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self):
        Licensed.alive += 1
        Licensed.most = max(Licensed.most, Licensed.alive)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(3, 10))
        return self.np_random.random(2, np.float32), {}

    def step(self, action):
        Licensed.steps += 1
        self.left -= 1
        reward = self.np_random.random(2, np.float32) * [action, 1 - action]
        return self.np_random.random(2, np.float32), reward, self.left == 0, False, {}

    def close(self):
        Licensed.alive -= 1


@pytest.fixture(autouse=True)
def registered():
    gymnasium.register("licensed-v0", Licensed, max_episode_steps=20, disable_env_checker=True)
    Licensed.alive = Licensed.most = 0
    yield
    del gymnasium.registry["licensed-v0"]
    assert Licensed.alive == 0


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(morl.registry._AGENTS, "tiny", TINY)


def host(bound=None, trains=True, **changes):
    env = morl.make("licensed-v0")
    learner = Timed(observations=2, actions=2, num_objectives=2, step=0.5, num_envs=2)
    options = {"eval_episodes": 5, "gamma": 0.9, "devices": jax.devices()[:1], **changes}
    return HostBackend(env, learner, PREFERENCES, max_envs=bound, trains=trains, **options)


@pytest.mark.parametrize(
    ("training", "episodes", "bound", "trains", "shared", "shape"),
    [
        ((6, 16), 32, None, True, False, (6, 16)),  # as many as training
        ((6, 16), 4, None, True, False, (6, 4)),  # no more than there are episodes
        ((6, 16), 32, 96, True, True, (6, 16)),
        ((6, 16), 32, 97, True, False, (1, 1)),
        ((6, 16), 32, 106, True, False, (6, 1)),
        ((6, 16), 32, 1000, True, False, (6, 16)),
        ((1, 1), 32, 1, True, True, (1, 1)),
        ((6, 16), 32, 1, False, False, (1, 1)),  # nothing else is alive
        ((6, 16), 32, 4, False, False, (4, 1)),
    ],
)
def test_environments_of_an_evaluation(training, episodes, bound, trains, shared, shape):
    pools = HostPools(morl.make("licensed-v0"), 0, training, episodes, bound, trains)
    assert (pools.shared, pools.evaluation_shape) == (shared, shape)


@pytest.mark.parametrize("bound", [6, 7, 9, 10, 12, 100])
def test_waves_run_the_same_episodes(bound):
    """Evaluate four policies with as many environments as there is room for, and without a bound."""
    outcomes = []
    for most in (None, bound):
        Licensed.most = 0
        with contextlib.closing(host(most)) as trainer:
            policies = trainer.policies(trainer.init(KEYS))
            four = jax.tree.map(lambda x: x[np.array([0, 1, 2, 1])], policies)
            keys = jax.random.split(jax.random.key(7), 4)
            outcomes.append(trainer.evaluate(four, PREFERENCES[[0, 1, 2, 1]], keys, 7))
            assert trainer._pools.training.num_envs == 6
        assert Licensed.most <= min(most or 12, 12)
    for one, other in zip(jax.tree.leaves(outcomes[0]), jax.tree.leaves(outcomes[1]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert np.ptp(outcomes[0].length) > 0


def test_environments_that_only_fill_up_a_wave_are_not_stepped():
    """Run five episodes of each policy in waves of two, two and one."""
    with contextlib.closing(host()) as trainer:
        policies = trainer.policies(trainer.init(KEYS))
        Licensed.steps = 0
        found = trainer.evaluate(policies, PREFERENCES, jax.random.split(jax.random.key(7), 3), 5)
    assert found.length.shape == (3, 5)
    assert Licensed.steps == found.length.sum()


def test_borrowed_environments_begin_new_episodes():
    with contextlib.closing(host(6, ahead=2)) as trainer:
        state, _ = trainer.run(trainer.init(KEYS), 1)
        assert len(state.started) == 2
        trainer.evaluate(trainer.policies(state), PREFERENCES, jax.random.split(KEYS[0], 3), 5)
        assert trainer._pools.cut
        uncut = trainer._uncut(state)
        assert not trainer._pools.cut
        assert (uncut.started[-1].truncated | uncut.started[-1].terminated).all()
        np.testing.assert_array_equal(uncut.started[0].truncated, state.started[0].truncated)
        np.testing.assert_array_equal(uncut.started[-1].next_obs, state.started[-1].next_obs)
        assert state.learners.episode.all()
        assert not uncut.learners.episode.any()
        assert (uncut.obs != state.obs).all()
        again = trainer._uncut(uncut)
        assert again is uncut
        after, _ = trainer.run(uncut, 2)
        assert after.updates == 3


def test_the_whole_training_keeps_to_the_bound_and_repeats(tiny, tmp_path):
    """Train and evaluate on as many as training has; the same seed gives the same front."""
    fronts = []
    for name in ("one", "two"):
        settings = TrainSettings(
            env="licensed-v0",
            steps=640,
            max_envs=16,
            evaluations=3,
            eval_episodes=3,
            final_episodes=4,
            reference_point=(-1, -1),
            out=tmp_path / name,
        )
        fronts.append(morl.train("tiny", settings).front.returns)
        assert Licensed.most == 16
    np.testing.assert_array_equal(*fronts)
    Licensed.most = 0
    again = morl.evaluate(tmp_path / "one", EvaluateSettings(episodes=2, max_envs=1))
    assert Licensed.most == 1
    assert len(again[0]) > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"env": "licensed-v0", "max_envs": 15}, r"at least 16, .*\(4 for each of 4 policies\), not 15; lower"),
        ({"env": "licensed-v0", "max_envs": 0}, r"max_envs must be at least 1"),
        ({"env": "minecart-v0", "max_envs": 7}, "minecart-v0 is compiled with JAX; --max-envs is for env"),
    ],
)
def test_bounds_that_cannot_work(tiny, settings, message):
    with pytest.raises(UserError, match=message):
        morl.train("tiny", TrainSettings(**{"reference_point": (-1,) * 2, **settings}))
