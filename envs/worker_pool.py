"""Gymnasium environments with a vector reward, stepped by worker processes, each its share of them.

Nothing here imports JAX: workers import this module.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any

import gymnasium
import numpy as np
from gymnasium import Space
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import (
    CloudpickleWrapper,
    batch_space,
    create_shared_memory,
    read_from_shared_memory,
)
from numpy.typing import NDArray

from morl.errors import UserError

Build = Callable[[], gymnasium.Env[Any, Any]]
Part = tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[int, Any]]


class VectorRewardSync(SyncVectorEnv[Any, Any]):
    """Gymnasium's in-process vectoriser, SAME_STEP, with room for R rewards each; the observations are its buffer."""

    def __init__(self, build: Sequence[Build], num_objectives: int) -> None:
        super().__init__(list(build), copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
        self._rewards = np.zeros((self.num_envs, num_objectives))


class WorkerPool(VectorEnv[Any, Any, Any]):
    """``num_envs`` environments over ``processes`` workers, SAME_STEP; the same episodes whatever their number.

    Workers are spawned, since the parent runs JAX's threads, and end with it. Ctrl-C and SIGTERM, which a terminal and
    ``timeout`` send to all of them, are the parent's to handle: it may have a front to write yet. Observations come by
    shared memory, which the next step overwrites: pixels would take longer through a pipe than to draw.

    Args:
        build: makes one environment.
        observation_space, action_space: of one, arrays.
        num_envs: B.
        processes: workers, 1 to B.
        num_objectives: R.
        id: name to use in errors.

    Raises:
        UserError: an environment raised, or its worker ended.
    """

    def __init__(
        self,
        build: Build,
        observation_space: Space[Any],
        action_space: Space[Any],
        num_envs: int,
        processes: int,
        num_objectives: int,
        id: str,
    ) -> None:
        self.single_observation_space, self.single_action_space = observation_space, action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = num_envs
        self._id = id
        self._ends = np.linspace(0, num_envs, processes + 1).astype(int)[1:]
        self._starts = [0, *self._ends[:-1]]
        context: Any = multiprocessing.get_context("spawn")
        shared = create_shared_memory(observation_space, num_envs, context)
        self._obs: Any = read_from_shared_memory(observation_space, shared, num_envs)
        self._pipes: list[Connection] = []
        self._workers: list[BaseProcess] = []
        # with a priority it also runs at exit, where multiprocessing would wait for ever for workers left open
        self._end_workers = Finalize(self, _end, (self._pipes, self._workers), exitpriority=0)
        with _signals_kept_from_children():
            for start, end in zip(self._starts, self._ends, strict=True):
                ours, theirs = context.Pipe()
                share = (CloudpickleWrapper(build), shared, num_envs, slice(start, end), num_objectives, id)
                worker = context.Process(target=_serve, args=(theirs, *share), daemon=True)
                worker.start()
                theirs.close()  # so that the end of the worker is the end of the pipe
                self._pipes.append(ours)
                self._workers.append(worker)
        self._started = False
        self._ask([])
        self._started = True

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start an episode in each; one seed s gives environment i seed s + i."""
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        parts = [None if seeds is None else seeds[i:j] for i, j in zip(self._starts, self._ends, strict=True)]
        self._ask([("reset", part) for part in parts])
        return self._obs, {}

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step each; ``info["final_obs"]`` maps the index of an ended one to the last observation of its episode."""
        parts: list[Part] = self._ask([("step", actions[i:j]) for i, j in zip(self._starts, self._ends, strict=True)])
        reward, terminated, truncated = (np.concatenate([part[k] for part in parts]) for k in range(3))
        final = {
            start + i: last for start, part in zip(self._starts, parts, strict=True) for i, last in part[3].items()
        }
        return self._obs, reward, terminated, truncated, {"final_obs": final}

    def close_extras(self, **kwargs: Any) -> None:
        """End the workers."""
        self._end_workers()

    def _ask(self, messages: list[tuple[str, Any]]) -> list[Any]:
        """What each worker answers to its message, if any; whatever goes wrong ends them."""
        if self.closed:
            raise UserError(f"{self._id}: its worker processes have ended")
        try:
            for i, message in enumerate(messages):
                self._talk(i, Connection.send, message)
            answers = [self._talk(i, Connection.recv) for i in range(len(self._pipes))]
            for error, _ in answers:
                if error:
                    raise UserError(error)
        except BaseException:  # Ctrl-C too: an answer left in a pipe would pass for the next one
            self.close()
            raise
        return [answer for _, answer in answers]

    def _talk(self, worker: int, act: Callable[..., Any], *args: Any) -> Any:
        try:
            return act(self._pipes[worker], *args)
        except (EOFError, OSError) as error:
            process = self._workers[worker]
            process.join(timeout=5)
            ended = f"{self._id}: worker process {worker} ended with exit code {process.exitcode}"
            guard = " before it had its environments; a script must guard its entry by if __name__ == '__main__'"
            raise UserError(ended if self._started else ended + guard) from error


@contextlib.contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Blocks SIGINT and SIGTERM, as a process starts with its parent's mask; one that arrives here is only delayed."""
    resource_tracker.ensure_running()  # else the first start would run it, which unblocks both
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(pipes: list[Connection], workers: list[BaseProcess]) -> None:
    for pipe in pipes:
        with contextlib.suppress(OSError):
            pipe.send(("close", None))
        pipe.close()
    for worker in workers:
        worker.join(timeout=5)
        if worker.is_alive():
            worker.kill()
            worker.join()


def _serve(
    pipe: Connection,
    build: CloudpickleWrapper[Any],
    shared: Any,
    num_envs: int,
    mine: slice,
    num_objectives: int,
    id: str,
) -> None:
    """The life of a worker: answers ``(error, answer)`` to each message until it is told to stop."""
    envs: VectorRewardSync | None = None
    room: Any = None

    def start() -> None:
        nonlocal envs, room
        envs = VectorRewardSync([build.fn] * (mine.stop - mine.start), num_objectives)
        every: Any = read_from_shared_memory(envs.single_observation_space, shared, num_envs)
        room = every[mine]

    with contextlib.suppress(EOFError, OSError):  # the parent may be gone
        if not _answer(pipe, start, id):
            return
        assert envs is not None  # noqa: S101
        with contextlib.closing(envs):
            while True:
                command, argument = pipe.recv()
                if command == "close":
                    return
                act = _step if command == "step" else _reset
                if not _answer(pipe, partial(act, envs, argument, room), id):
                    return


def _answer(pipe: Connection, act: Callable[[], Any], id: str) -> bool:
    """Whether ``act`` went well; its answer or its error is sent."""
    try:
        pipe.send((None, act()))
    except UserError as error:
        pipe.send((str(error), None))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} in a worker process, {where.filename}:{where.lineno}"
        pipe.send((f"{id}: {kind}: {error}", None))
    else:
        return True
    return False


def _reset(envs: VectorRewardSync, seeds: list[int | None] | None, room: NDArray[Any]) -> None:
    room[...] = envs.reset(seed=seeds)[0]


def _step(envs: VectorRewardSync, actions: NDArray[Any], room: NDArray[Any]) -> Part:
    room[...], reward, terminated, truncated, infos = envs.step(actions)
    ended = np.flatnonzero(terminated | truncated)
    return reward, terminated, truncated, {int(i): infos["final_obs"][i] for i in ended}
