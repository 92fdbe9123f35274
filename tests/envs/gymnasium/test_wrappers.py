"""Wrappers: against MO-Gymnasium's where those are right, and past their faults where they are not."""

import copy
import pickle

import gymnasium
import mo_gymnasium.wrappers as theirs
import numpy as np
import pytest
from gymnasium import spaces

from morl.envs.gymnasium.wrappers import (
    LinearReward,
    MOClipReward,
    MONormalizeReward,
    MORecordEpisodeStatistics,
    VectorRewardFromInfo,
)
from morl.envs.wrappers import VectorRewardFromInfo as old_path
from morl.errors import UserError
from tests.envs.host.counting import Counting


class Reusing(gymnasium.Env):
    """Gives the same reward array and the same info again and again, as a fast environment may; episodes of 4 steps."""

    observation_space = spaces.Discrete(5)
    action_space = spaces.Discrete(2)
    reward_space = spaces.Box(np.array([-5, 0], np.float32), np.array([5, 20], np.float32))

    def __init__(self, truncate=False):
        self.reward, self.info, self.truncate = np.zeros(2, np.float32), {}, truncate

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return 0, self.info

    def step(self, action):
        self.t += 1
        self.reward[:] = (-1, 0) if action == 0 else (self.t, 10 * self.t)
        ended = self.t == 4
        return self.t, self.reward, ended and not self.truncate, ended and self.truncate, self.info


def run(env, episodes=3):
    """Every step's (reward, info) as it was and as it is afterwards."""
    rows = []
    rng = np.random.default_rng(0)
    for episode in range(episodes):
        env.reset(seed=episode)
        ended = False
        while not ended:
            _, reward, terminated, truncated, info = env.step(int(rng.integers(2)))
            rows.append((reward, info, copy.deepcopy(reward), copy.deepcopy(info)))
            ended = terminated or truncated
    return rows


OURS = {
    "linear": lambda env: LinearReward(env, [0.5, 2.0]),
    "normalise": lambda env: MONormalizeReward(env, 1),
    "clip": lambda env: MOClipReward(env, 0, -0.5, 2.0),
}


@pytest.mark.parametrize("name", OURS)
def test_nothing_is_edited_or_shared(name):
    inner = Reusing()
    rows = run(OURS[name](inner))
    assert inner.info == {}
    for reward, info, reward_then, info_then in rows:
        np.testing.assert_equal(reward, reward_then)
        np.testing.assert_equal(info, info_then)
    arrays = [row[0] for row in rows if isinstance(row[0], np.ndarray)] + [inner.reward]
    assert len({id(array) for array in arrays}) == len(arrays)


def test_linear_reward():
    rewards = [(reward, info) for reward, info, *_ in run(LinearReward(Reusing(), [0.5, 2.0]))]
    for reward, info in rewards:
        assert type(reward) is float
        assert reward == pytest.approx(info["vector_reward"] @ [0.5, 2.0])
    assert [reward for reward, _ in rewards] == [
        reward for reward, *_ in run(theirs.LinearReward(Reusing(), np.array([0.5, 2.0])))
    ]
    assert LinearReward(Reusing()).weight.tolist() == [1.0, 1.0]


def test_clip():
    env = MOClipReward(Reusing(), 0, -0.5, 2.0)
    rewards = np.array([reward for reward, *_ in run(env)])
    expected = np.array([row[2] for row in run(theirs.MOClipReward(Reusing(), 0, -0.5, 2.0))])
    np.testing.assert_array_equal(rewards, expected)
    assert {-0.5, 2.0} <= set(rewards[:, 0])
    assert rewards[:, 1].max() == 40
    np.testing.assert_array_equal(env.reward_space.low, [-0.5, 0])
    np.testing.assert_array_equal(env.reward_space.high, [2.0, 20])


def test_normalise():
    """Compare with MO-Gymnasium's after termination; after truncation theirs continues the return."""
    rewards = np.array([row[0] for row in run(MONormalizeReward(Reusing(), 1), episodes=20)])
    plain = np.array([row[2] for row in run(Reusing(), episodes=20)])
    np.testing.assert_array_equal(rewards[:, 0], plain[:, 0])
    returns, deviations, total = [], [], 0.0
    for t, reward in enumerate(plain[:, 1]):
        total = reward + (0.99 * total if t % 4 else 0.0)
        returns.append(total)
        # Gymnasium's running estimate starts from a variance of 1 with a count of 1e-4.
        n = len(returns)
        mean = np.mean(returns)
        m2 = 1e-4 + np.var(returns) * n + mean**2 * 1e-4 * n / (n + 1e-4)
        deviations.append(np.sqrt(m2 / (n + 1e-4) + 1e-8))
    np.testing.assert_allclose(rewards[:, 1], plain[:, 1] / deviations, rtol=1e-5)

    ended = np.array([row[2] for row in run(MONormalizeReward(Reusing(truncate=True), 1), episodes=20)])
    np.testing.assert_array_equal(ended, rewards)
    leaking = np.array([row[2] for row in run(theirs.MONormalizeReward(Reusing(truncate=True), 1), episodes=20)])
    np.testing.assert_allclose(leaking[:4], rewards[:4], rtol=1e-6)
    assert not np.allclose(leaking[4:], rewards[4:])


class Whole(Reusing):
    """Rewards by whole numbers, in a list."""

    reward_space = spaces.Box(np.array([-5, 0]), np.array([5, 20]), dtype=np.int64)

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, [int(value) for value in reward], *rest


def test_whole_numbers_are_not_cut_off():
    for wrapper, args in ((MONormalizeReward, (1,)), (MOClipReward, (0, -0.5, 2.5))):
        env = wrapper(Whole(), *args)
        rewards = np.array([reward for reward, *_ in run(env)])
        np.testing.assert_allclose(rewards, np.array([reward for reward, *_ in run(wrapper(Reusing(), *args))]))
        assert (rewards % 1 != 0).any()
        assert env.reward_space.contains(rewards[0])


def test_normalise_can_be_frozen():
    env = MONormalizeReward(Reusing(), 1)
    run(env)
    env.update_running_mean = False
    before = env.return_rms.var.copy()
    rewards = np.array([row[0] for row in run(env)])
    assert env.return_rms.var == before
    np.testing.assert_allclose(rewards[:, 1].max(), 40 / np.sqrt(before + 1e-8), rtol=1e-6)
    assert env.reward_space.high[1] == np.inf


@pytest.mark.parametrize("truncate", [False, True])
def test_statistics(truncate):
    env = MORecordEpisodeStatistics(Reusing(truncate), gamma=0.9)
    rows = run(env, episodes=3)
    plain = np.array([row[2] for row in run(Reusing(truncate), episodes=3)]).reshape(3, 4, 2)
    told = [info["episode"] for _, info, *_ in rows if "episode" in info]
    assert len(told) == env.episode_count == 3
    for episode, rewards in zip(told, plain, strict=True):
        np.testing.assert_allclose(episode["r"], rewards.sum(axis=0))
        np.testing.assert_allclose(episode["dr"], (0.9 ** np.arange(4)) @ rewards)
        assert episode["l"] == 4
        assert episode["t"] >= 0
    np.testing.assert_array_equal(env.return_queue, [episode["r"] for episode in told])
    np.testing.assert_array_equal(env.discounted_return_queue, [episode["dr"] for episode in told])
    assert all("episode" not in info for _, _, _, info in rows[:3])
    assert env.unwrapped.info == {}


def test_statistics_beside_mo_gymnasiums():
    """Compare with theirs, which writes into the environment's own info and fails when that is used again."""
    ours = [row[3] for row in run(MORecordEpisodeStatistics(Counting(), gamma=0.9), episodes=5)]
    expected = [row[3] for row in run(theirs.MORecordEpisodeStatistics(Counting(), gamma=0.9), episodes=5)]
    for a, b in zip(ours, expected, strict=True):
        assert a.keys() == b.keys()
        for name in ("r", "dr", "l"):
            if a:
                np.testing.assert_allclose(a["episode"][name], b["episode"][name], rtol=1e-6)
    with pytest.raises(AssertionError):
        run(theirs.MORecordEpisodeStatistics(Reusing()))  # an info used again


class Scalar(gymnasium.Env):
    """Environment with a scalar reward and its components in the info."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(2)

    def __init__(self, info):
        self.info = info

    def reset(self, *, seed=None, options=None):
        return 0, {}

    def step(self, action):
        return 1, 7.5, False, False, self.info


def test_vector_reward_from_info():
    info = {"speed": np.float64(2.0), "energy": np.array([-1.0]), "other": "x"}
    env = VectorRewardFromInfo(Scalar(info), ["energy", "speed"], low=[-1, 0], high=[0, np.inf])
    env.reset()
    _, reward, _, _, told = env.step(0)
    assert (reward.tolist(), reward.dtype) == ([-1.0, 2.0], np.float32)
    assert told == {**info, "scalar_reward": 7.5}
    assert "scalar_reward" not in info
    assert env.reward_space == spaces.Box(np.array([-1, 0], np.float32), np.array([0, np.inf], np.float32))
    assert LinearReward(env, [1, 1]).step(0)[1] == 1.0


NESTED = {
    "speed": 3.0,
    "crashed": True,
    "safe": np.False_,
    "rewards": {"a": 1.0, "b": np.float32(2), "parts": {"x.y": -1}},
    "rewards.b": 7.0,
    "losses": np.array([4.0, 5.0]),
    "costs": [6, {"c": 8}],
}


@pytest.mark.parametrize(
    ("keys", "reward"),
    [
        (["rewards.a", ("rewards", "b")], [1, 2]),
        (["rewards.b", ["rewards", "a"]], [7, 1]),  # the name that is there as it is
        (["speed", "crashed", "safe"], [3, 1, 0]),
        (["rewards.parts.x.y", ("rewards", "a")], [-1, 1]),
        ([("rewards", "parts", "x.y"), "speed"], [-1, 3]),
        (["losses.1", ("costs", 0), "costs.1.c"], [5, 6, 8]),
    ],
)
def test_vector_reward_from_nested_info(keys, reward):
    env = VectorRewardFromInfo(Scalar(NESTED), keys)
    env.reset()
    assert env.step(0)[1].tolist() == reward
    assert old_path is VectorRewardFromInfo


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"speed": 1.0}, "has no 'energy' in its info; allowed: speed"),
        ({"speed": 1.0, "energy": "low"}, "has 'low' as 'energy' in its info; allowed: one finite number"),
        ({"speed": 1.0, "energy": np.ones(2)}, "as 'energy' in its info; allowed: one finite number"),
        ({"speed": np.nan, "energy": 1.0}, "has nan as 'speed' in its info"),
        ({"speed": 1.0, "all": {"energy": 1.0, "wind": {"x": 0}}}, "allowed: speed, all.energy, all.wind.x"),
        ({"speed": 1.0, "energy": {"low": 1.0}}, "has {'low': 1.0} as 'energy' in its info; allowed: one finite"),
    ],
)
def test_infos_that_do_not_hold_the_reward(info, message):
    env = VectorRewardFromInfo(Scalar(info), ["speed", "energy"])
    with pytest.raises(UserError, match=message):
        env.step(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearReward(Scalar({})), "has a scalar reward; LinearReward needs"),
        (lambda: LinearReward(Counting(), [1, 2]), "weight must be 3 finite numbers"),
        (lambda: MONormalizeReward(Scalar({}), 0), "has a scalar reward; MONormalizeReward needs"),
        (lambda: MONormalizeReward(Counting(), 3), "idx must be an objective from 0 to 2, not 3"),
        (lambda: MONormalizeReward(Counting(), 0, gamma=2), "gamma must be at least 0 and at most 1"),
        (lambda: MONormalizeReward(Counting(), 0, epsilon=0), "epsilon must be greater than 0, not 0"),
        (lambda: MOClipReward(Counting(), -1, 0, 1), "idx must be an objective from 0 to 2, not -1"),
        (lambda: MOClipReward(Counting(), 0, 1, 0), "min_r must be at most max_r, not 1 and 0"),
        (lambda: MORecordEpisodeStatistics(Scalar({})), "has a scalar reward"),
        (lambda: MORecordEpisodeStatistics(Counting(), buffer_length=0), "buffer_length must be at least 1, not 0"),
        (lambda: VectorRewardFromInfo(Scalar({}), "ab"), "keys must be at least 2 different names"),
        (lambda: VectorRewardFromInfo(Scalar({}), ["a.b", ("a", "b")]), "2 different names or paths in the info"),
        (lambda: VectorRewardFromInfo(Scalar({}), ["a", ()]), "2 different names or paths in the info"),
        (lambda: VectorRewardFromInfo(Scalar({}), ["a", "a"]), "keys must be at least 2 different names"),
        (lambda: VectorRewardFromInfo(Scalar({}), ["a", "b"], low=[1, 2, 3]), "low and high must be one number or 2"),
        (lambda: VectorRewardFromInfo(Scalar({}), ["a", "b"], low=1, high=0), "low must be at most high"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_they_work_around_ours_and_can_be_made_again_from_the_spec():
    env = MORecordEpisodeStatistics(MOClipReward(gymnasium.make("morl/minecart-deterministic-v0"), 2, -0.1, 0.0))
    env = gymnasium.make(env.spec)
    env.reset(seed=0)
    for _ in range(1000):
        _, reward, terminated, truncated, info = env.step(3)
        assert reward[2] >= -0.1 - 1e-6
        if terminated or truncated:
            break
    assert info["episode"]["l"] == 1000


@pytest.mark.parametrize(
    ("id", "wrap"),
    [
        ("morl/minecart-v0", lambda env: LinearReward(env, [0.1, 0.2, 0.7])),
        ("morl/minecart-v0", lambda env: MONormalizeReward(env, 2, gamma=0.9)),
        ("MountainCarContinuous-v0", lambda env: VectorRewardFromInfo(env, ["x", ("y", "z")], low=[-1, -2], high=3.0)),
    ],
)
def test_a_spec_remembers_every_argument(id, wrap):
    env = wrap(gymnasium.make(id))
    again = gymnasium.make(pickle.loads(pickle.dumps(env.spec)))
    while type(again) is not type(env):
        again = again.env
    assert again._saved_kwargs == env._saved_kwargs
    assert getattr(again, "reward_space", None) == getattr(env, "reward_space", None)
