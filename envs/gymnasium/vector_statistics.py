"""Statistics of the episodes of a vector environment with a vector reward, in every autoreset mode."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from morl.errors import UserError
from morl.validation import check_discount


class MORecordEpisodeStatistics(VectorWrapper):
    """Vector return and length of each episode, in the info of the step that ends it.

    ``info["episode"]`` then has arrays of ``num_envs`` rows, 0 for environments whose episode goes on: ``r``, the
    return (B, R); ``dr``, the discounted return (B, R); ``l``, the length in steps (B,); ``t``, the seconds it took
    (B,). ``info["_episode"]`` (B,) bool tells where an episode has ended. MO-Gymnasium's wrapper of that name does the
    same in the mode ``NEXT_STEP`` alone, but for ``dr``, which goes on from one episode into the next there.

    Args:
        env: a vector environment with a ``reward_space`` of shape (R,).
        gamma: discount of ``dr``; the first reward is not discounted.
        stats_key: name in the info.

    Raises:
        UserError: no vector reward, a discount outside of [0, 1]; in ``step`` an info that has the key already.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], gamma: float = 1.0, stats_key: str = "episode") -> None:
        super().__init__(env)
        space = getattr(env.unwrapped, "reward_space", None)
        if space is None or len(space.shape) != 1:
            raise UserError(f"MORecordEpisodeStatistics needs an environment with a vector reward, not {env}")
        self.gamma, self._stats_key = check_discount(gamma), stats_key
        mode = env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self._resets_in_a_step = mode == AutoresetMode.NEXT_STEP
        self._shape = (env.num_envs, *space.shape)
        self._begin(np.ones(env.num_envs, bool))

    def _begin(self, rows: Any) -> None:
        """Begin an episode in these rows (B,)."""
        if not hasattr(self, "_length"):
            self._return, self._discounted = np.zeros(self._shape), np.zeros(self._shape)
            self._length, self._started = np.zeros(len(rows), np.int64), np.zeros(len(rows))
            self._resets = np.zeros(len(rows), bool)
        for array in (self._return, self._discounted, self._length):
            array[rows] = 0
        self._started[rows], self._resets[rows] = time.perf_counter(), False

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset as Gymnasium does; with ``reset_mask`` in the options only the rows that it names."""
        rows = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, bool)), bool)
        result = self.env.reset(seed=seed, options=options)
        self._begin(rows)
        return result

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step as Gymnasium does."""
        obs, reward, terminated, truncated, info = self.env.step(actions)
        moved = ~self._resets  # the others were reset in this step
        vector = np.where(moved[:, None], reward, 0.0)
        self._return += vector
        self._discounted += (self.gamma**self._length)[:, None] * vector
        self._length += moved
        ended = np.asarray(terminated) | np.asarray(truncated)
        if ended.any():
            if self._stats_key in info:
                raise UserError(f"the info of {self.env} has {self._stats_key!r} already; choose another stats_key")
            each = ended[:, None]
            told = {
                "r": np.where(each, self._return, 0.0),
                "dr": np.where(each, self._discounted, 0.0),
                "l": np.where(ended, self._length, 0),
                "t": np.where(ended, np.round(time.perf_counter() - self._started, 6), 0.0),
            }
            info = {**info, self._stats_key: told, f"_{self._stats_key}": ended}
        self._begin(ended | self._resets)
        self._resets = ended if self._resets_in_a_step else np.zeros_like(ended)
        return obs, reward, terminated, truncated, info
