"""Double buffering: host environments of half of the policies step while the other half acts or updates.

As in Sample Factory's double-buffered sampling (Petrenko et al., 2020), so that neither the environments nor the device
wait for each other. It is for machines with more cores than environments fill; two that MuJoCo fills are a little
slower by it (benchmarks/host/overlap.py).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from morl.training.backends.host import HostBackend, HostState
from morl.training.nonfinite import NonFinite
from morl.types import Evaluation, Learner, MetricSums, PyTree

State = tuple[HostState, HostState]


class DoubleBufferedHost:
    """Trainer of P policies by two trainers, of the first and of the last of them.

    Each has a thread, environments and worker processes of its own, and half of the devices where there are several.
    The second is half a rollout ahead, so that one steps while the other updates however long pieces of work are; what
    it has taken ahead belongs to the next rollout, and is lost where a stage ends. What a policy does and learns is the
    same as without, up to rounding.

    Args:
        make: a trainer of preferences, on ``devices``, with ``ahead`` steps taken ahead.
        preferences: (P, R) or (P, B, R), of two policies at least.
        devices, seeds: as of :class:`morl.training.backends.host.HostBackend`.
    """

    def __init__(
        self,
        make: Callable[..., HostBackend],
        preferences: NDArray[Any],
        devices: Sequence[jax.Device] | None = None,
        seeds: int = 1,
    ) -> None:
        devices = list(devices or jax.devices())
        self._total, self._first, self._seeds = len(preferences), (len(preferences) + 1) // 2, seeds
        middle = (len(devices) + 1) // 2
        self._devices = devices[:middle], devices[middle:] or devices
        first = make(preferences[: self._first], devices=self._devices[0])
        ahead = first.learner.rollout_steps // 2
        self._halves = first, make(preferences[self._first :], devices=self._devices[1], ahead=ahead)
        self._threads = ThreadPoolExecutor(2)

    def init(
        self,
        keys: Sequence[jax.Array],
        learners: Sequence[PyTree] | None = None,
        preferences: NDArray[Any] | None = None,
    ) -> State:
        """Return learners and environments at the start, see :class:`morl.types.Trainer`."""

        def one(i: int) -> HostState:
            mine = self._mine(i)
            return self._halves[i].init(
                keys[mine],
                None if learners is None else learners[mine],
                None if preferences is None else preferences[mine],
            )

        return self._both(one)

    def with_preferences(self, state: State, preferences: NDArray[Any]) -> State:
        """Return the state with other preferences, see :class:`morl.types.Trainer`."""
        first, second = (
            half.with_preferences(own, preferences[self._mine(i)])
            for i, (half, own) in enumerate(zip(self._halves, state, strict=True))
        )
        return first, second

    def with_step_factors(self, state: State, factors: NDArray[np.float32]) -> State:
        """Return the state with other factors (P,) of the learners' steps, see :class:`morl.types.Guide`."""
        first, second = (
            half.with_step_factors(own, factors[self._mine(i)])
            for i, (half, own) in enumerate(zip(self._halves, state, strict=True))
        )
        return first, second

    def for_learner(self, learner: Learner) -> DoubleBufferedHost:
        """Return a trainer of another learner on the same environments, see :class:`morl.types.Trainer`."""
        other = copy.copy(self)
        other._halves = self._halves[0].for_learner(learner), self._halves[1].for_learner(learner)
        return other

    def steps(self, updates: int) -> int:
        """Return the environment steps of one seed after ``updates`` updates."""
        learner = self._halves[0].learner
        return updates * self._total // self._seeds * learner.num_envs * learner.rollout_steps

    def run(self, state: State, updates: int, sums: MetricSums | None = None) -> tuple[State, MetricSums]:
        """Run ``updates`` updates of every policy, see :class:`morl.types.Trainer`."""

        def one(i: int) -> tuple[HostState, MetricSums]:
            own = None if sums is None else jax.tree.map(lambda x: x[self._mine(i)], sums)
            return self._halves[i].run(state[i], updates, own)

        (first, one_sums), (second, two_sums) = self._both(one)
        return (first, second), _joined(one_sums, two_sums)

    def saved(self, state: State) -> PyTree:
        """Convert a state to what :class:`~morl.training.backends.host.HostBackend` saves, so that either resumes."""
        saved: list[Any] = [half.saved(own) for half, own in zip(self._halves, state, strict=True)]
        shared = {"obs": saved[0].obs, "updates": saved[0].updates}  # no axis of policies
        return _joined(*(own._replace(obs=None, updates=None) for own in saved))._replace(**shared)

    def restored(self, fresh: State, saved: PyTree) -> State:
        """Return what was saved, on environments at the start of other episodes."""

        def one(i: int) -> HostState:
            own = jax.tree.map(lambda x: x[self._mine(i)], saved._replace(obs=None, updates=None))
            return self._halves[i].restored(fresh[i], own._replace(obs=saved.obs, updates=saved.updates))

        return self._both(one)

    def policies(self, state: State) -> PyTree:
        """Return the P policies, on the host."""
        return _joined(*self._both(lambda i: self._halves[i].policies(state[i])))

    def nonfinite(self, state: State) -> NonFinite:
        """Return the non-finite updates, see :class:`morl.types.Trainer`."""
        found: NonFinite = _joined(*self._both(lambda i: self._halves[i].nonfinite(state[i])))
        return found

    def evaluate(self, policies: PyTree, preferences: NDArray[Any], keys: jax.Array, episodes: int) -> Evaluation:
        """Run ``episodes`` greedy episodes of N stacked policies, see :class:`morl.types.Trainer`."""
        number = len(preferences)
        middle = -(-number * self._first // self._total)

        def one(i: int) -> Evaluation | None:
            mine = slice(middle, None) if i else slice(middle)
            if not len(preferences[mine]):
                return None
            own = jax.tree.map(lambda x: np.asarray(x)[mine], policies)
            return self._halves[i].evaluate(own, preferences[mine], keys[mine], episodes)

        evaluation: Evaluation = _joined(*(part for part in self._both(one) if part is not None))
        return evaluation

    def incidents(self) -> list[str]:
        """Return messages about worker processes."""
        return [text for half in self._halves for text in half.incidents()]

    def close(self) -> None:
        """Close the environments."""
        self._stop()
        with contextlib.ExitStack() as stack:
            for half in self._halves:
                stack.callback(half.close)

    def _mine(self, i: int) -> slice:
        """Return the slice of the policies of a half."""
        return slice(self._first, None) if i else slice(self._first)

    def _both(self, call: Callable[[int], Any]) -> tuple[Any, Any]:
        """Call a function of either half, each in a thread; one that fails, or an interrupt, stops both."""

        def on_own_device(i: int) -> Any:
            with jax.default_device(self._devices[i][0]):  # which is of a thread
                return call(i)

        calls = [self._threads.submit(on_own_device, i) for i in range(2)]
        try:
            for done in wait(calls, return_when=FIRST_EXCEPTION).done:
                done.result()
            return calls[0].result(), calls[1].result()
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        """End what runs in the threads by its next step."""
        for half in self._halves:
            half.stop()
        self._threads.shutdown()


def _joined(*parts: PyTree) -> Any:
    """Concatenate pytrees of the policies of both halves."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
