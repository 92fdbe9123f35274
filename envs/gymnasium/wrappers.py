"""Wrappers of single Gymnasium environments with a vector reward; names and arguments are MO-Gymnasium's.

Unlike MO-Gymnasium's they edit nothing in place, share no array between steps and keep no return over episodes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers.utils import RunningMeanStd
from numpy.typing import ArrayLike, NDArray

from morl.errors import UserError
from morl.validation import check_discount

Wrapper = gymnasium.Wrapper[Any, Any, Any, Any]
Key = str | Sequence[str | int]  # a name, or the names on the way to an entry of nested dictionaries
Step = tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]


class LinearReward(Wrapper, RecordConstructorArgs):
    """Scalar reward: the dot product of the vector reward with fixed weights.

    The vector reward is a new float array (R,) in ``info["vector_reward"]`` at each step, and the weights
    in ``info["reward_weights"]``.

    Args:
        env: an environment with a ``reward_space`` of shape (R,).
        weight: (R,) finite weights, of any sign and sum; ones by default.

    Raises:
        UserError: the environment has no vector reward, or the weights are not R finite numbers.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], weight: ArrayLike | None = None) -> None:
        RecordConstructorArgs.__init__(self, weight=weight if weight is None else np.asarray(weight).tolist())
        gymnasium.Wrapper.__init__(self, env)
        size = _reward_space(env, "LinearReward").shape[0]
        self.weight = np.ones(size) if weight is None else np.array(weight, np.float64)
        if self.weight.shape != (size,) or not np.isfinite(self.weight).all():
            raise UserError(f"weight must be {size} finite numbers, one per objective, not {np.asarray(weight)}")

    def step(self, action: Any) -> Step:
        """Step as Gymnasium does; the reward is a ``float``."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        vector = np.array(reward)
        told = {**info, "vector_reward": vector, "reward_weights": self.weight.copy()}
        return obs, float(vector @ self.weight), terminated, truncated, told


class MONormalizeReward(Wrapper, RecordConstructorArgs):
    """Divide one objective by the running standard deviation of its discounted return.

    The estimate continues over episodes; the return restarts with each episode, also after truncation.

    Args:
        env: an environment with a ``reward_space`` of shape (R,).
        idx: the objective, 0 to R - 1.
        gamma: discount of the return.
        epsilon: added to the variance; positive.

    Attributes:
        update_running_mean: set it to False to freeze the estimate, for evaluation.
        reward_space: unbounded in that objective.

    Raises:
        UserError: no vector reward, no such objective, a discount outside of [0, 1], an epsilon that is not positive.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], idx: int, gamma: float = 0.99, epsilon: float = 1e-8) -> None:
        RecordConstructorArgs.__init__(self, idx=idx, gamma=gamma, epsilon=epsilon)
        gymnasium.Wrapper.__init__(self, env)
        space = _reward_space(env, "MONormalizeReward")
        self.idx = _index(idx, space)
        self.gamma = check_discount(gamma)
        if not epsilon > 0:
            raise UserError(f"epsilon must be greater than 0, not {epsilon}")
        self.epsilon = epsilon
        self.update_running_mean = True
        self.return_rms = RunningMeanStd(shape=())
        self.reward_space = _with_bounds(space, idx, -np.inf, np.inf)
        self._return = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset as Gymnasium does."""
        self._return = 0.0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """Step as Gymnasium does; the reward is a new array."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        vector = _vector(reward)
        self._return = self._return * self.gamma + float(vector[self.idx])
        if self.update_running_mean:
            self.return_rms.update(np.array([self._return]))
        vector[self.idx] /= np.sqrt(self.return_rms.var + self.epsilon)
        return obs, vector, terminated, truncated, info


class MOClipReward(Wrapper, RecordConstructorArgs):
    """Clip one objective to bounds.

    Args:
        env: an environment with a ``reward_space`` of shape (R,).
        idx: the objective, 0 to R - 1.
        min_r, max_r: the bounds.

    Attributes:
        reward_space: with these bounds in that objective.

    Raises:
        UserError: no vector reward, no such objective, ``min_r`` above ``max_r``.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], idx: int, min_r: float, max_r: float) -> None:
        RecordConstructorArgs.__init__(self, idx=idx, min_r=min_r, max_r=max_r)
        gymnasium.Wrapper.__init__(self, env)
        space = _reward_space(env, "MOClipReward")
        self.idx = _index(idx, space)
        if not min_r <= max_r:
            raise UserError(f"min_r must be at most max_r, not {min_r} and {max_r}")
        self.min_r, self.max_r = min_r, max_r
        low, high = np.clip([space.low[idx], space.high[idx]], min_r, max_r)
        self.reward_space = _with_bounds(space, idx, low, high)

    def step(self, action: Any) -> Step:
        """Step as Gymnasium does; the reward is a new array."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        vector = _vector(reward)
        vector[self.idx] = np.clip(vector[self.idx], self.min_r, self.max_r)
        return obs, vector, terminated, truncated, info


class MORecordEpisodeStatistics(Wrapper, RecordConstructorArgs):
    """Add the statistics of an episode to the info of its last step.

    ``info["episode"]`` has ``r``, the vector return (R,) float64; ``dr``, the discounted return (first reward
    undiscounted); ``l``, the length; ``t``, seconds since the reset. All are new objects.

    Args:
        env: an environment with a ``reward_space`` of shape (R,).
        gamma: the discount.
        buffer_length: number of episodes kept in the queues.
        stats_key: name of the statistics in the info.

    Attributes:
        return_queue, discounted_return_queue, length_queue, time_queue: statistics of the last episodes.
        episode_count: number of episodes that ended.

    Raises:
        UserError: no vector reward, a discount outside of [0, 1], a buffer of no length, an info that has the key
            already.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        gamma: float = 1.0,
        buffer_length: int = 100,
        stats_key: str = "episode",
    ) -> None:
        RecordConstructorArgs.__init__(self, gamma=gamma, buffer_length=buffer_length, stats_key=stats_key)
        gymnasium.Wrapper.__init__(self, env)
        self._size = _reward_space(env, "MORecordEpisodeStatistics").shape[0]
        self.gamma = check_discount(gamma)
        if isinstance(buffer_length, bool) or not isinstance(buffer_length, int) or buffer_length < 1:
            raise UserError(f"buffer_length must be at least 1, not {buffer_length!r}")
        self._stats_key = stats_key
        self.return_queue: deque[NDArray[np.float64]] = deque(maxlen=buffer_length)
        self.discounted_return_queue: deque[NDArray[np.float64]] = deque(maxlen=buffer_length)
        self.length_queue: deque[int] = deque(maxlen=buffer_length)
        self.time_queue: deque[float] = deque(maxlen=buffer_length)
        self.episode_count = 0
        self._start_over()

    def _start_over(self) -> None:
        self._return, self._discounted = np.zeros(self._size), np.zeros(self._size)
        self._length, self._started = 0, time.perf_counter()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset as Gymnasium does."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._start_over()
        return obs, info

    def step(self, action: Any) -> Step:
        """Step as Gymnasium does."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        vector = np.asarray(reward, np.float64)
        self._return = self._return + vector
        self._discounted = self._discounted + self.gamma**self._length * vector
        self._length += 1
        if terminated or truncated:
            if self._stats_key in info:
                raise UserError(f"the info of {self.env} has {self._stats_key!r} already; choose another stats_key")
            seconds = round(time.perf_counter() - self._started, 6)
            told = {"r": self._return.copy(), "dr": self._discounted.copy(), "l": self._length, "t": seconds}
            info = {**info, self._stats_key: told}
            self.return_queue.append(self._return)
            self.discounted_return_queue.append(self._discounted)
            self.length_queue.append(self._length)
            self.time_queue.append(seconds)
            self.episode_count += 1
        return obs, reward, terminated, truncated, info


class VectorRewardFromInfo(Wrapper, RecordConstructorArgs):
    """Vector reward for an environment with a scalar reward whose components are in ``info``.

    >>> import gymnasium
    >>> keys = ["reward_forward", "reward_ctrl"]
    >>> env = VectorRewardFromInfo(gymnasium.make("HalfCheetah-v5"), keys)  # doctest: +SKIP
    >>> keys = ["rewards.collision_reward", ("rewards", "high_speed_reward"), "crashed"]
    >>> env = VectorRewardFromInfo(gymnasium.make("highway-v0"), keys)  # doctest: +SKIP

    Args:
        env: an environment with a scalar reward.
        keys: R names in the info of each step, in the order of the objectives. ``"rewards.a"``, or ``("rewards", "a")``
            for names that have dots, is the entry ``a`` of the dictionary ``rewards``, and ``"rewards.0"`` the first of
            a list or array. A name with a dot that the info has as it is comes first. A flag (bool) counts as 0 or 1.
        low, high: bounds of the rewards, (R,) or one for all, where they are known.

    Attributes:
        reward_space: ``Box`` of shape (R,), float32.

    Raises:
        UserError: fewer than two keys or one twice, bounds that do not fit; in ``step`` an info without one of the
            keys, or with something else than a finite number or flag there.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        keys: Sequence[Key],
        low: ArrayLike = -np.inf,
        high: ArrayLike = np.inf,
    ) -> None:
        gymnasium.Wrapper.__init__(self, env)
        given = [] if isinstance(keys, str) else [key if isinstance(key, str) else tuple(key) for key in keys]
        names = [_name(key) for key in given]
        if len(names) < 2 or len(set(names)) != len(names) or not all(names):
            raise UserError(f"keys must be at least 2 different names or paths in the info, not {keys!r}")
        self.keys = tuple(given)
        try:
            lows, highs = (np.broadcast_to(np.asarray(bound, np.float32), len(keys)).copy() for bound in (low, high))
        except ValueError:
            raise UserError(f"low and high must be one number or {len(keys)}, one for each key") from None
        if not (lows <= highs).all():
            raise UserError(f"low must be at most high, not {lows.tolist()} and {highs.tolist()}")
        RecordConstructorArgs.__init__(self, keys=given, low=lows.tolist(), high=highs.tolist())
        self.reward_space = spaces.Box(lows, highs, dtype=np.float32)

    def step(self, action: Any) -> Step:
        """Step as Gymnasium does; the reward is (R,) float32, and the scalar is in ``info["scalar_reward"]``."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        vector: Any = np.array([self._component(key, info) for key in self.keys], np.float32)
        return obs, vector, terminated, truncated, {**info, "scalar_reward": reward}

    def _component(self, key: Key, info: dict[str, Any]) -> float:
        found = list(_entries(info, key))
        if not found:
            allowed = ", ".join(_paths(info)) or "nothing"
            raise UserError(f"{self.env} has no {_name(key)!r} in its info; allowed: {allowed}")
        value = np.asarray(found[0])
        if value.size != 1 or value.dtype.kind not in "biuf" or not np.isfinite(value).all():
            raise UserError(
                f"{self.env} has {found[0]!r} as {_name(key)!r} in its info; allowed: one finite number or flag"
            )
        return float(value.item())


def _name(key: Key) -> str:
    return key if isinstance(key, str) else ".".join(map(str, key))


def _entries(container: Any, key: Key) -> Iterator[Any]:
    """Yield the entries at a key, first the one of the longest names with dots."""
    if not key:
        yield container
        return
    parts = key.split(".") if isinstance(key, str) else key
    for end in range(len(parts), 0, -1) if isinstance(key, str) else [1]:
        head = ".".join(parts[:end]) if isinstance(key, str) else parts[0]  # type: ignore[arg-type]
        rest = ".".join(parts[end:]) if isinstance(key, str) else parts[1:]  # type: ignore[arg-type]
        for entry in _entry(container, head):
            yield from _entries(entry, rest)


def _entry(container: Any, name: str | int) -> list[Any]:
    """Return the entry of a dictionary, list or array in a list, empty if there is none."""
    if isinstance(container, Mapping):
        return [container[name]] if name in container else []
    if isinstance(container, list | tuple | np.ndarray) and np.ndim(container) and str(name).isdecimal():
        return list(container[int(name) : int(name) + 1])
    return []


def _paths(info: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of all entries, those of nested dictionaries as paths."""
    for name, value in info.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _reward_space(env: gymnasium.Env[Any, Any], wrapper: str) -> spaces.Box:
    space = env.get_wrapper_attr("reward_space") if env.has_wrapper_attr("reward_space") else None
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise UserError(f"{env} has a scalar reward; {wrapper} needs a reward_space of shape (R,)")
    return space


def _index(idx: int, space: spaces.Box) -> int:
    size = space.shape[0]
    if isinstance(idx, bool) or not isinstance(idx, int | np.integer) or not 0 <= idx < size:
        raise UserError(f"idx must be an objective from 0 to {size - 1}, not {idx!r}")
    return int(idx)


def _vector(reward: Any) -> Any:
    """Return the reward as a new array of floats; an array of integers would truncate values written into it."""
    vector = np.array(reward)
    return vector if np.issubdtype(vector.dtype, np.floating) else vector.astype(np.float32)


def _with_bounds(space: spaces.Box, idx: int, low: float, high: float) -> spaces.Box:
    """Return the space, of floats, with other bounds in one objective."""
    lows, highs = _vector(space.low), _vector(space.high)
    lows[idx], highs[idx] = low, high
    return spaces.Box(lows, highs, dtype=lows.dtype)
