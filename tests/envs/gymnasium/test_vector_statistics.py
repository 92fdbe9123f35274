"""Statistics of vector environments: by hand in both autoreset modes, and those of the single wrapper."""

import gymnasium
import numpy as np
import pytest

import morl  # noqa: F401  # registers the environments
from morl.envs.gymnasium.vector_statistics import MORecordEpisodeStatistics
from morl.envs.gymnasium.wrappers import MORecordEpisodeStatistics as OfOne
from morl.errors import UserError

EPISODES = ([3, 1, 1], [1])  # to treasures of 8.2 and 0.7, in turns


def of_one(gamma):
    env = OfOne(gymnasium.make("morl/deep-sea-treasure-v0"), gamma)
    told = []
    for actions in 2 * EPISODES:
        env.reset(seed=0)
        told.append([env.step(action) for action in actions][-1][4]["episode"])
    return told


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_they_are_those_of_single_environments(mode):
    envs = gymnasium.make_vec("morl/deep-sea-treasure-v0", num_envs=2, autoreset_mode=mode)
    envs, told = MORecordEpisodeStatistics(envs, gamma=0.9), []
    envs.reset(seed=0)
    for actions in 2 * EPISODES:
        for i, action in enumerate([*actions, 0] if mode == "NextStep" else actions):  # one that is ignored
            _, _, terminated, _, info = envs.step([action, 0])
            assert ("episode" in info) == bool(terminated.any()) == (i == len(actions) - 1)
            if "episode" in info:
                told.append(info["episode"])
                assert info["_episode"].tolist() == [True, False]
    for mine, one in zip(told, of_one(0.9), strict=True):
        for name in ("r", "dr", "l"):
            np.testing.assert_allclose(mine[name][0], one[name], rtol=1e-6)
            np.testing.assert_array_equal(mine[name][1], np.zeros_like(one[name]))
    assert [one["l"] for one in of_one(0.9)] == [3, 1, 3, 1]
    assert told[0]["t"][0] > 0
    assert told[0]["t"][1] == 0


def test_a_reset_begins_anew():
    envs = MORecordEpisodeStatistics(gymnasium.make_vec("morl/deep-sea-treasure-v0", num_envs=1))
    envs.reset(seed=0)
    envs.step([3])
    envs.reset(seed=0)
    assert envs.step([1])[4]["episode"]["l"].tolist() == [1]


def test_mistakes_are_named():
    with pytest.raises(UserError, match="needs an environment with a vector reward"):
        MORecordEpisodeStatistics(gymnasium.make_vec("CartPole-v1", num_envs=2))
    envs = gymnasium.make_vec("morl/deep-sea-treasure-v0", num_envs=1)
    with pytest.raises(UserError, match="gamma"):
        MORecordEpisodeStatistics(envs, gamma=2.0)
    twice = MORecordEpisodeStatistics(MORecordEpisodeStatistics(envs))
    twice.reset(seed=0)
    with pytest.raises(UserError, match="has 'episode' already"):
        twice.step([1])
