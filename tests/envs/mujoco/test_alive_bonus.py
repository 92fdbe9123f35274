"""The registered bonus for being alive is what the rewards of the robots differ by from those without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from morl.registry import env_specs
from morl.runs.front import evaluation_table
from morl.settings import TrainSettings
from morl.training.setup import alive_bonus_of
from morl.types import Evaluation

pytest.importorskip("mujoco")
mo_gymnasium = pytest.importorskip("mo_gymnasium")

ROBOTS = [id for id in env_specs(plug_ins=False) if id.startswith("mo-") and id.endswith(("-v4", "-v5"))]
IDS = [id for id in ROBOTS if env_specs(plug_ins=False)[id].alive_bonus]


def test_robots_that_can_fall_have_one() -> None:
    names = ("ant", "hopper", "humanoid", "walker2d")
    assert [id for id in ROBOTS if any(name in id for name in names)] == IDS
    assert len(IDS) == 12


@pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")
@pytest.mark.parametrize("falls", [True, False])
@pytest.mark.parametrize("id", IDS)
def test_the_returns_without_it_are_those_of_the_environment_without_it(id: str, falls: bool) -> None:
    """Both see the same actions; a body put on the ground, or the ant high above, is not healthy in the next step."""
    bonus = alive_bonus_of(TrainSettings(env=id))
    gamma, sums, ends = 0.9, [], []
    for keywords in ({}, {"healthy_reward": 0.0}):
        env = mo_gymnasium.make(id, **keywords).unwrapped
        env.reset(seed=3)
        rng, rewards, terminated = np.random.default_rng(3), [], False
        for t in range(4):
            if falls and t == 3:
                position = env.data.qpos.copy()
                position[1 if "hopper" in id or "walker" in id else 2] = 5.0 if "ant" in id else 0.05  # metres
                env.set_state(position, env.data.qvel.copy())
            action = 0.1 * rng.uniform(env.action_space.low, env.action_space.high)
            _, reward, terminated, _, _ = env.step(action)
            rewards.append(np.asarray(reward, np.float64))
            assert terminated == (falls and t == 3)
        env.close()
        sums.append(gamma ** np.arange(4.0) @ np.stack(rewards))
        ends.append(terminated)
    arrays: Any = (sums[0][None, None], sums[0][None, None], np.array([[4]]))
    evaluation = Evaluation(*arrays, terminated=np.array([ends[:1]]))  # type: ignore[arg-type]
    table = evaluation_table(evaluation, np.zeros((1, len(sums[0]))), bonus, gamma)
    np.testing.assert_allclose(table["without_bonus"][0], sums[1], rtol=1e-5, atol=1e-5)
    assert (sums[0] - sums[1] > 2.0).all()


def test_keywords_that_change_it_leave_it_out() -> None:
    for keywords in ({"healthy_reward": 2.0}, {"terminate_when_unhealthy": False}):
        assert alive_bonus_of(TrainSettings(env="mo-hopper-v5", env_kwargs=keywords)) is None
    kept = alive_bonus_of(TrainSettings(env="mo-hopper-v5", env_kwargs={"ctrl_cost_weight": 1.0}))
    assert kept is not None
    assert kept.value == 1.0
    assert alive_bonus_of(TrainSettings(env="mo-halfcheetah-v5")) is None
    assert alive_bonus_of(TrainSettings(env="minecart-v0")) is None
