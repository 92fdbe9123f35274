"""Gymnasium environments with a vector reward, stepped by worker processes.

Worker processes import this module, so it does not import JAX.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import (
    CloudpickleWrapper,
    batch_space,
    create_shared_memory,
    read_from_shared_memory,
)
from numpy.typing import NDArray

from morl.envs.host.in_process import Build, VectorRewardSync
from morl.errors import UserCodeError, UserError, WorkerError, blame, whole_traceback
from morl.words import counted

CLOSING = 5.0  # seconds that a worker may take to close its environments
PATIENCE = 600.0  # seconds without an answer after which a worker counts as hung
_STRIDE = 1_000_003  # added to the seeds of the environments of a worker each time it is replaced

Part = tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[int, Any]]


class WorkerPool(VectorEnv[Any, Any, Any]):
    """Vector environment (SAME_STEP) of ``num_envs`` environments in ``processes`` workers.

    Episodes do not depend on the number of workers. Workers are spawned, because a fork does not survive JAX's threads,
    and end with the parent. They block Ctrl-C and SIGTERM, which a terminal and ``timeout`` send to all processes: the
    parent handles them, since it may still have a front to write. Observations are returned in shared memory, which the
    next step overwrites; a pipe would be slower for pixels.

    A worker that fails (ends, raises, or does not answer for ``patience`` seconds) is replaced up to ``restarts``
    times. Its environments start new episodes, and the lost step is marked in ``info["lost"]`` (B,) and as truncated.

    Args:
        build: makes one environment.
        observation_space, action_space: spaces of one environment, of arrays.
        num_envs: B.
        processes: number of workers, 1 to B.
        num_objectives: R.
        id: name for error messages.
        restarts: largest number of replacements of each worker.
        patience: seconds to wait for an answer.
        threads: of each worker, that share out its environments.

    Raises:
        WorkerError: a worker failed more than ``restarts`` times.
        UserError: an environment returned an invalid reward or observation.
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
        restarts: int = 0,
        patience: float = PATIENCE,
        threads: int = 1,
    ) -> None:
        self.single_observation_space, self.single_action_space = observation_space, action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = num_envs
        self._id = id
        self._ends = np.linspace(0, num_envs, processes + 1).astype(int)[1:]
        self._starts = [0, *self._ends[:-1]]
        self._restarts, self._patience = restarts, patience
        self._failures = [0] * processes
        self._seeds: list[int] | None = None
        self._once: bool | NDArray[np.bool_] = False
        self._objectives = num_objectives
        self._incidents: list[str] = []
        context: Any = multiprocessing.get_context("spawn")
        self._shared = create_shared_memory(observation_space, num_envs, context)
        self._obs: Any = read_from_shared_memory(observation_space, self._shared, num_envs)
        self._context, self._build, self._threads = context, CloudpickleWrapper(build), threads
        self._pipes: list[Connection] = []
        self._workers: list[BaseProcess] = []
        # the exit priority makes it run at exit, before multiprocessing waits for the workers
        self._end_workers = Finalize(self, _end, (self._pipes, self._workers), exitpriority=0)
        with _signals_kept_from_children():
            for worker in range(processes):
                pipe, process = self._launched(worker)
                self._pipes.append(pipe)
                self._workers.append(process)
        self._started = False
        with self._closing_on_error():
            for worker in range(processes):
                self._receive(worker, PATIENCE)  # starting takes longer than a step
        self._started = True

    def _launched(self, worker: int) -> tuple[Connection, BaseProcess]:
        ours, theirs = self._context.Pipe()
        mine = slice(self._starts[worker], self._ends[worker])
        share = (self._build, self._shared, self.num_envs, mine, self._objectives, self._id, self._threads)
        process = self._context.Process(target=_serve, args=(theirs, *share), daemon=True)
        process.start()
        theirs.close()  # the pipe then closes when the worker ends
        return ours, process

    def incidents(self) -> list[str]:
        """Return the failures of workers since the last call, as text."""
        told, self._incidents = self._incidents, []
        return told

    def reset(
        self,
        *,
        seed: int | list[int] | None = None,
        options: dict[str, Any] | None = None,
        once: bool | NDArray[np.bool_] = False,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start an episode in each environment; a seed s gives environment i the seed s + i.

        After ``once``, an environment whose episode ends is not stepped until the next reset; where it is an array
        (B,), nor are those that it does not mark.
        """
        self._seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        self._once = once
        self._ask([("reset", self._reset_of(worker)) for worker in range(len(self._pipes))])
        return self._obs, {}

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step each environment; ``info["final_obs"]`` maps the index of an ended one to its last observation."""
        shares = zip(self._starts, self._ends, strict=True)
        parts: list[Part | None] = self._ask([("step", actions[i:j]) for i, j in shares])
        lost = np.zeros(self.num_envs, bool)
        whole: list[Part] = []
        for worker, part in enumerate(parts):
            mine = slice(self._starts[worker], self._ends[worker])
            lost[mine] = part is None
            whole.append(self._lost_part(mine) if part is None else part)
        reward, terminated, truncated = (np.concatenate([part[k] for part in whole]) for k in range(3))
        final = {
            start + i: last for start, part in zip(self._starts, whole, strict=True) for i, last in part[3].items()
        }
        return self._obs, reward, terminated, truncated, {"final_obs": final, "lost": lost}

    def _lost_part(self, mine: slice) -> Part:
        """Return a placeholder for a lost step: truncated, with the first observations of the next episodes."""
        number = mine.stop - mine.start
        obs = np.array(self._obs[mine])
        flags = np.zeros(number, bool), np.ones(number, bool)
        return np.zeros((number, self._objectives)), *flags, dict(enumerate(obs))

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environments and end the workers.

        Raises:
            WorkerError: an environment raised in ``close``.
        """
        self.closed = True  # also where one raises: it is not closed again when it is deleted
        errors = []
        try:
            for pipe in self._pipes:
                with contextlib.suppress(OSError):  # it has ended
                    pipe.send(("close", None))
            for worker in range(len(self._pipes)):
                try:
                    self._receive(worker, CLOSING)
                except UserError as error:
                    if isinstance(error, WorkerError) and error.details:  # an environment's; ended ones are no matter
                        errors.append(error)
        finally:
            self._end_workers()
        if errors:
            raise errors[0]

    def _reset_of(self, worker: int) -> tuple[list[int] | None, bool | NDArray[np.bool_]]:
        """Return the seeds of a worker's environments, which change after each failure, and which run once."""
        mine = slice(self._starts[worker], self._ends[worker])
        once = self._once if isinstance(self._once, bool) else self._once[mine]
        if self._seeds is None:
            return None, once
        return [(seed + self._failures[worker] * _STRIDE) % 2**31 for seed in self._seeds[mine]], once

    @contextlib.contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:  # also Ctrl-C: an answer left in a pipe would be taken for the next one
            self.closed = True
            self._end_workers()
            raise

    def _ask(self, messages: list[tuple[str, Any]]) -> list[Any]:
        """Send each worker a message and return the answers, None for a worker that was replaced.

        Any other error ends all workers.
        """
        if self.closed:
            raise UserError(f"{self._id}: its worker processes have ended")
        with self._closing_on_error():
            for worker, message in enumerate(messages):
                with contextlib.suppress(OSError):  # it has ended, which _receive reports
                    self._pipes[worker].send(message)
            answers: list[Any] = []
            for worker, (command, _) in enumerate(messages):
                try:
                    answers.append(self._receive(worker, self._patience))
                except WorkerError as error:
                    self._replace(worker, error, command == "step")
                    answers.append(None)
            return answers

    def _replace(self, worker: int, error: WorkerError, in_step: bool) -> None:
        """Replace a worker that failed; its environments start new episodes.

        Raises:
            WorkerError: it failed more than ``restarts`` times.
        """
        while True:
            self._failures[worker] += 1
            failures, number = self._failures[worker], int(self._ends[worker] - self._starts[worker])
            if failures > self._restarts:
                if self._restarts:
                    raise WorkerError(f"{error}; it failed {failures} times", error.details) from error
                raise error
            lost = f"{counted(number, 'episode')} cut, {counted(number, 'step')} lost" if in_step else "nothing lost"
            self._incidents.append(f"{error}; restarted ({failures} of {self._restarts} times), {lost}")
            self._pipes[worker].close()
            self._workers[worker].kill()
            self._workers[worker].join()
            with _signals_kept_from_children():
                self._pipes[worker], self._workers[worker] = self._launched(worker)
            try:
                self._receive(worker, PATIENCE)
                self._pipes[worker].send(("reset", self._reset_of(worker)))
                self._receive(worker, PATIENCE)
                return
            except (WorkerError, OSError) as again:
                error = again if isinstance(again, WorkerError) else WorkerError(f"{self._id}: {again}", "")

    def _receive(self, worker: int, patience: float) -> Any:
        """Return the answer of a worker.

        Raises:
            WorkerError: the worker failed.
            UserError: its environment returned an invalid reward or observation.
        """
        name = f"{self._id}: worker process {worker}"
        try:
            if not self._pipes[worker].poll(patience):
                raise WorkerError(f"{name} did not answer for {patience:g} s", "")
            refused, failed, answer = self._pipes[worker].recv()
        except (EOFError, OSError) as error:
            process = self._workers[worker]
            process.join(timeout=5)
            ended = f"{name} ended with exit code {process.exitcode}"
            guard = " before it had its environments; a script must guard its entry by if __name__ == '__main__'"
            raise WorkerError(ended if self._started else ended + guard, "") from error
        if refused:
            raise UserError(refused)
        if failed:
            raise WorkerError(*failed)
        return answer


@contextlib.contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Block SIGINT and SIGTERM, so that processes started in the block inherit the mask.

    A signal that arrives in the block is delayed, not lost.
    """
    resource_tracker.ensure_running()  # it unblocks both signals when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(pipes: list[Connection], workers: list[BaseProcess]) -> None:
    for pipe in pipes:
        with contextlib.suppress(OSError, ValueError):  # ended, or closed already
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
    threads: int,
) -> None:
    """Answer each message until told to stop; the main function of a worker."""
    envs: VectorRewardSync | None = None
    room: Any = None

    def start() -> None:
        nonlocal envs, room
        envs = VectorRewardSync(build.fn, mine.stop - mine.start, num_objectives, threads)
        every: Any = read_from_shared_memory(envs.single_observation_space, shared, num_envs)
        room = every[mine]

    with contextlib.suppress(EOFError, OSError):  # the parent may be gone
        if not _answer(pipe, start, id):
            return
        assert envs is not None  # noqa: S101
        try:
            while True:
                command, argument = pipe.recv()
                if command == "close":
                    _answer(pipe, envs.close, id)
                    return
                act = _step if command == "step" else _reset
                if not _answer(pipe, partial(act, envs, argument, room), id):
                    return
        finally:
            with contextlib.suppress(UserError):  # there is nobody to tell
                envs.close()


def _answer(pipe: Connection, act: Callable[[], Any], id: str) -> bool:
    """Send ``(refused, failed, answer)`` of ``act``, two of them None; return whether it succeeded."""
    try:
        pipe.send((None, None, act()))
    except Exception as error:
        if isinstance(error, UserError) and not isinstance(error, UserCodeError):
            pipe.send((str(error), None, None))
            return False
        text = str(error) if isinstance(error, UserCodeError) else f"{id}: {blame(error)}"
        pipe.send((None, (f"{text}, in a worker process", whole_traceback(error)), None))
    else:
        return True
    return False


def _reset(envs: VectorRewardSync, how: tuple[list[int | None] | None, Any], room: NDArray[Any]) -> None:
    room[...] = envs.reset(seed=how[0], once=how[1])[0]


def _step(envs: VectorRewardSync, actions: NDArray[Any], room: NDArray[Any]) -> Part:
    room[...], reward, terminated, truncated, infos = envs.step(actions)
    return reward, terminated, truncated, infos["final_obs"]
