"""Environments of one training on the host: those that training steps, and those that evaluations step.

Each is a simulator that is alive, perhaps with a licence or a port of its own, so their number is bounded.
"""

from __future__ import annotations

import contextlib
import math

from morl.envs.gymnasium.from_gymnasium import HostEnvironment
from morl.envs.gymnasium.host_vector import HostVectorEnv
from morl.spaces import Observations

RESTARTS = 2  # of a worker process; a third failure ends the training


class HostPools:
    """Two vectors of environments, each made when first used; trainers of several learners share them.

    Evaluations have as many environments as training at most. Where the bound leaves no room for others they borrow
    those of training, whose episodes then start anew.

    Args:
        env: host environment.
        processes: worker processes that step a vector; 0 steps it in this process.
        training: (P, B), environments that training steps: of each of P policies.
        episodes: of each policy that an evaluation could run side by side.
        bound: environments that may be alive at once; None for no bound but the above.
        trains: whether those of training will be made.
        observations: how their observations are turned into what agents see; by default the environment's own.
        threads: of each process, that step a vector; None for the default of :meth:`.HostEnvironment.make_vector`.

    Attributes:
        shared: whether evaluations borrow the environments of training.
        cut: whether they have done so since training last began its episodes.
        evaluation_shape: (G, W), environments of an evaluation: W for each of G policies at a time.
    """

    def __init__(
        self,
        env: HostEnvironment,
        processes: int,
        training: tuple[int, int],
        episodes: int,
        bound: int | None = None,
        trains: bool = True,
        observations: Observations | None = None,
        threads: int | None = None,
    ) -> None:
        policies, each = training
        size = policies * each
        room = size if bound is None else min(size, bound - size * trains)
        self.shared = room < 1
        self.cut = False
        group = min(policies, room)
        self.evaluation_shape = training if self.shared else (group, min(episodes, room // group))
        self._env, self._training_size, self._observations = env, size, observations
        self._processes, self._threads = processes, threads
        self._vectors: dict[str, HostVectorEnv] = {}

    @property
    def training(self) -> HostVectorEnv:
        """Environments for training."""
        return self._vector("training", self._training_size)

    @property
    def evaluation(self) -> HostVectorEnv:
        """Environments for evaluations; to be used only with :attr:`cut` set where they are shared."""
        return self.training if self.shared else self._vector("evaluation", math.prod(self.evaluation_shape))

    def incidents(self) -> list[str]:
        """Return messages about worker processes."""
        return [text for envs in self._vectors.values() for text in envs.incidents()]

    def close(self) -> None:
        """Close the environments, all of them also where one raises."""
        with contextlib.ExitStack() as stack:
            for envs in self._vectors.values():
                stack.callback(envs.close)

    def _vector(self, purpose: str, number: int) -> HostVectorEnv:
        if purpose not in self._vectors:
            processes = min(self._processes, number)
            self._vectors[purpose] = self._env.make_vector(
                number, processes, RESTARTS, threads=self._threads, finite=False, observations=self._observations
            )
        return self._vectors[purpose]
