"""An environment that rewards with one number and tells its parts in ``info``: a shop that trades profit for stock.

Many environments are like this, MuJoCo's among them (``reward_forward`` and ``reward_ctrl``). ``VectorRewardFromInfo``
makes a vector of the parts that are named, and a function that does so is registered like any environment::

    morl check-env shop:Shop-v0
    morl train cmorl --env shop:Shop-v0 --steps 200000

``Shop`` stands for an environment of somebody else: only the lines below it are needed.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import morl
from morl.envs.gymnasium.wrappers import VectorRewardFromInfo

SHELF = 40  # units that fit
BATCH = 5  # units an order is counted in
COST, PRICE, HOLDING = 3.0, 5.0, 0.1  # a unit bought, sold, and kept for a day
DEMAND = 8.0  # units a day, on average


class Shop(gymnasium.Env[NDArray[np.float32], np.int64]):
    """A shop that orders every day and rewards with one number: profit less what keeping the stock costs.

    Observation (1,) float32: units on the shelf. Action: how many batches of five to order, 0 to 4; what does not fit
    is not bought. It never terminates; the registration cuts it off after 30 days.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium's own

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, SHELF, (1,), np.float32)
        self.action_space = spaces.Discrete(5)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self._stock = int(self.np_random.integers(SHELF + 1))
        return np.array([self._stock], np.float32), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        bought = min(BATCH * int(action), SHELF - self._stock)
        sold = min(int(self.np_random.poisson(DEMAND)), self._stock + bought)
        self._stock += bought - sold
        profit, holding = PRICE * sold - COST * bought, -HOLDING * self._stock
        info = {"reward_profit": profit, "reward_holding": holding}
        return np.array([self._stock], np.float32), profit + holding, False, False, info


def make_shop() -> gymnasium.Env[Any, Any]:
    """The shop with a vector reward, (profit, holding): both are to be maximised, costs are negative."""
    worst, best = [-4 * BATCH * COST, -HOLDING * SHELF], [PRICE * SHELF, 0.0]
    return VectorRewardFromInfo(Shop(), ["reward_profit", "reward_holding"], low=worst, high=best)


gymnasium.register("Shop-v0", entry_point="shop:make_shop", max_episode_steps=30, disable_env_checker=True)

# Not needed, but a name for each objective and a reference point are worth one line.
morl.register_env(morl.EnvSpec("Shop-v0", "a shop trades profit for stock", ("profit", "holding"), (0.0, -120.0)))
