"""MuJoCo's robots stepped together, against the same environments stepped one by one by Gymnasium."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import mo_gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv

import morl
from morl.envs.host.guard import Guard
from morl.envs.host.in_process import VectorRewardSync
from morl.envs.mujoco.robots import robots_of

pytest.importorskip("mujoco")

CASES: dict[str, dict[str, Any]] = {
    "mo-ant-v5": {"max_episode_steps": 40},
    "mo-ant-2obj-v5": {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.01},
    "mo-halfcheetah-v5": {"exclude_current_positions_from_observation": False, "max_episode_steps": 17},
    "mo-hopper-v5": {},
    "mo-hopper-2obj-v5": {"healthy_reward": 0.3, "ctrl_cost_weight": 0.2},
    "mo-humanoid-v5": {"include_cvel_in_observation": False},
    "mo-swimmer-v5": {"max_episode_steps": 30},
    "mo-walker2d-v5": {"terminate_when_unhealthy": False, "max_episode_steps": 50},
}


def _vector(id: str, kwargs: dict[str, Any], num_envs: int, threads: int | None = None) -> VectorRewardSync:
    env: Any = morl.make(id, "host", **kwargs)
    envs = env.make_vector(num_envs, threads=threads)._envs
    assert isinstance(envs, VectorRewardSync)
    return envs


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("id", CASES)
def test_they_step_as_gymnasium_steps_them(id: str, threads: int) -> None:
    ours, theirs = (_vector(id, CASES[id], 3, number) for number in (threads, 1))
    assert ours._robots is not None
    ours.action_space.seed(0)
    assert np.array_equal(ours.reset(seed=5)[0], theirs.reset(seed=5)[0])
    ends = 0
    for _ in range(120):
        actions = ours.action_space.sample()
        mine, other = ours.step(actions), SyncVectorEnv.step(theirs, actions)
        for got, expected in zip(mine[:4], other[:4], strict=True):
            assert np.array_equal(got, expected)
        ended = np.flatnonzero(mine[2] | mine[3])
        for i in ended:
            assert np.array_equal(mine[4]["final_obs"][i], other[4]["final_obs"][i])
        ends += len(ended)
    assert ends > 0


def _episodes(envs: VectorEnv[Any, Any, Any], actions: Any, steps: int) -> list[list[Any]]:
    """Return [observation, reward, terminated, truncated] of the first steps of each environment, resets left out.

    The k-th step of environment i is by ``actions[i, k]``, whenever the vector environment resets.
    """
    envs.reset(seed=5)
    number = envs.num_envs
    found: list[list[Any]] = [[] for _ in range(number)]
    resets_next = np.zeros(number, bool)
    while min(map(len, found)) < steps:
        chosen = np.stack([actions[i, len(found[i]) % len(actions[i])] for i in range(number)])
        obs, reward, terminated, truncated, info = envs.step(chosen)
        for i in np.flatnonzero(~resets_next):
            last = info["final_obs"][i] if i in info.get("final_obs", {}) else obs[i]
            found[i].append([np.array(last), np.array(reward[i]), terminated[i], truncated[i]])
        if envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP:
            resets_next = terminated | truncated
    return [each[:steps] for each in found]


@pytest.mark.parametrize("id", [*CASES, "mo-reacher-v5", "mo-hopper-v4"])
@pytest.mark.filterwarnings("ignore")  # about v4, which is out of date
def test_threads_step_as_mo_gymnasiums_vector_environment(id: str) -> None:
    kwargs = CASES.get(id, {"max_episode_steps": 20})
    theirs = MOSyncVectorEnv([partial(mo_gymnasium.make, id, **kwargs)] * 3)
    theirs.action_space.seed(0)
    actions = np.stack([theirs.action_space.sample() for _ in range(50)], axis=1)
    expected = _episodes(theirs, actions, 120)
    theirs.close()
    for threads in (1, 2):
        envs = _vector(id, kwargs, 3, threads)
        for one, other in zip(_episodes(envs, actions, 120), expected, strict=True):
            assert any(step[2] or step[3] for step in one)
            for got, right in zip(one, other, strict=True):
                for x, y in zip(got, right, strict=True):
                    np.testing.assert_array_equal(x, y)
        envs.close()


def test_those_that_rest_stay_as_they_are() -> None:
    """Compare single episodes with batched ones; hoppers fall at different times or reach the limit."""
    ours, theirs = (_vector("mo-hopper-v5", {"max_episode_steps": 20}, 6) for _ in range(2))
    ours.action_space.seed(0)
    ours.reset(seed=5, once=True)
    theirs.reset(seed=5)
    awake, fallen = np.ones(6, bool), 0
    for _ in range(25):
        actions = ours.action_space.sample()
        before = np.array([env.unwrapped.data.qpos for env in ours.envs])
        (obs, *mine, final), (other_obs, *other, all_final) = ours.step(actions), theirs.step(actions)
        for got, expected in zip(mine, other, strict=True):
            assert np.array_equal(got[awake], expected[awake])
            assert not got[~awake].any()
        after = np.array([env.unwrapped.data.qpos for env in ours.envs])
        assert np.array_equal((before == after).all(axis=1), ~awake)
        for i, last in final["final_obs"].items():
            assert np.array_equal(last, all_final["final_obs"][i])
        fallen += mine[1].sum()
        awake &= ~(mine[1] | mine[2])
        assert np.array_equal(obs[awake], other_obs[awake])
    assert 0 < fallen < 6
    assert not awake.any()


def test_a_wrapper_of_the_user_is_not_stepped_over() -> None:
    class Doubled(gymnasium.RewardWrapper[Any, Any]):
        def reward(self, reward: Any) -> Any:
            return 2 * reward

    env: Any = morl.make("mo-hopper-v5", "host")
    build = partial(env.make_single)
    assert robots_of([build()], build, transparent=(Guard,)) is not None
    assert robots_of([Doubled(build())], build, transparent=(Guard,)) is None


def test_a_class_derived_from_a_robots_is_stepped_by_itself() -> None:
    env: Any = morl.make("mo-hopper-v5", "host")
    one = env.make_single()
    one.unwrapped.__class__ = type("Mine", (type(one.unwrapped),), {})
    assert robots_of([one], env.make_single, transparent=(Guard,)) is None


def test_what_another_version_computes_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    env: Any = morl.make("mo-hopper-v5", "host")
    one = env.make_single()
    cost = type(one.unwrapped).control_cost
    monkeypatch.setattr(type(one.unwrapped), "control_cost", lambda self, action: 1.01 * cost(self, action))
    assert robots_of([one], env.make_single, transparent=(Guard,)) is None
    monkeypatch.undo()
    monkeypatch.setattr("morl.envs.mujoco.robots._Hoppers.healthy", lambda self: self._env._no_such_name)
    assert robots_of([one], env.make_single, transparent=(Guard,)) is None


def test_warnings_of_gymnasiums_models_are_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    morl.make("mo-humanoid-v5", "host")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
