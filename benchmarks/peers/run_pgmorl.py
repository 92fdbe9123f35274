"""Train PGMORL of morl-baselines on a MuJoCo environment cut off at 500 steps; write speed and hypervolume as JSON.

Its budget is steps, or seconds: then its schedule is for the steps that part of an iteration says there is time for.

Runs in the peers' own virtual environment (README.md beside this file) and imports neither morl nor JAX.
"""

import argparse
import contextlib
import io
import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

POLICIES, ENVS, STEPS = 6, 4, 2048  # PGMORL's own; an iteration is all of them


class TimeUp(Exception):
    """The wall-clock budget is spent."""


class Clock:
    """Counts the steps of a vector environment, and raises when time is up."""

    def __init__(self, now: Callable[[], float], seconds: float) -> None:
        self.now, self.steps, self.started = now, 0, now()
        self._until = self.started + seconds

    def watch(self, env: Any) -> None:
        """Count this environment's steps from now on."""
        step = env.step

        def watched(actions: Any) -> Any:
            if self.now() >= self._until:
                raise TimeUp
            self.steps += ENVS
            return step(actions)

        env.step = watched


class Greedy:
    """A policy's mean action; `MOPPO.eval` draws one."""

    def __init__(self, policy: Any) -> None:
        self._policy, self.gamma = policy, policy.gamma

    def eval(self, obs: Any, _: Any) -> Any:
        """Action for one observation."""
        import torch

        with torch.no_grad():
            return self._policy.networks.actor_mean(torch.as_tensor(obs).float()).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="mo-hopper-2obj-v5")
    parser.add_argument("--steps", type=int, default=1_500_000, help="environment steps of all policies")
    parser.add_argument("--seconds", type=float, help="time in place of steps")
    parser.add_argument("--clock", choices=("wall", "core"), default="wall", help="seconds of wall-clock or of a core")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=10, help="fresh episodes of each archived policy at the end")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(arguments.threads)
    import gymnasium
    import mo_gymnasium
    import moocore
    import numpy as np
    import torch
    from morl_baselines.common.evaluation import eval_mo, seed_everything
    from morl_baselines.multi_policy.pgmorl.pgmorl import PGMORL

    torch.set_num_threads(arguments.threads)
    seed_everything(arguments.seed)
    limited = gymnasium.spec(arguments.env)
    limited.id, limited.max_episode_steps = "limited-v0", 500
    gymnasium.registry[limited.id] = limited
    objectives = mo_gymnasium.make(limited.id).unwrapped.reward_space.shape[0]
    reference_point = np.full(objectives, -100.0)

    def new_agent(steps: int) -> Any:
        iterations = max(2, steps // (POLICIES * ENVS * STEPS))
        warm_up = round(iterations * 2 / 3)  # C-MORL's share for its first stage; PGMORL's own 80 are more than these
        return PGMORL(
            env_id=limited.id,
            origin=-reference_point,
            num_envs=ENVS,
            pop_size=POLICIES,
            steps_per_iteration=STEPS,
            gamma=0.99,  # what fronts are reported at; its own is 0.995
            warmup_iterations=warm_up,
            evolutionary_iterations=max(1, (iterations - warm_up) // 2),
            seed=arguments.seed,
            log=False,
            device="cpu",
        )

    now = time.perf_counter if arguments.clock == "wall" else time.process_time
    steps, up = arguments.steps, False
    with contextlib.redirect_stdout(io.StringIO()):
        if arguments.seconds is not None:
            trial = new_agent(0).agents[0]  # a policy's share of an iteration, off the clock
            started, trial.global_step = now(), 0
            trial.train(time.time(), 0, 1)
            steps = int(arguments.seconds * ENVS * STEPS / (now() - started))
            seed_everything(arguments.seed)
        agent = new_agent(steps)
    evaluation = SharedNormalisation(agent.env.envs[0], mo_gymnasium.make(limited.id))
    clock = Clock(now, arguments.seconds or math.inf)
    clock.watch(agent.env)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            agent.train(steps if arguments.seconds is None else 10**9, evaluation, reference_point)
        except TimeUp:
            up = True
    seconds = now() - clock.started
    weights = np.full(objectives, 1 / objectives)
    trained = list(agent.archive.individuals)
    if up:  # what has trained on since the last archiving
        trained += agent.agents

    def evaluated(policies: list[Any]) -> np.ndarray:
        evaluation.reset(seed=1_000_003)
        returns = [
            np.mean([eval_mo(policy, evaluation, weights)[3] for _ in range(arguments.episodes)], axis=0)
            for policy in policies
        ]
        return np.array(returns)

    def hypervolume(returns: np.ndarray) -> float:
        return float(moocore.hypervolume(returns, ref=reference_point, maximise=True))

    greedy = evaluated([Greedy(policy) for policy in trained])
    result = {
        "env": arguments.env,
        "seed": arguments.seed,
        "threads": arguments.threads,
        "steps": clock.steps,
        "seconds": seconds,
        "steps_per_second": clock.steps / seconds,
        "policies": len(trained),
        "hypervolume": hypervolume(evaluated(trained)),
        "hypervolume_greedy": hypervolume(greedy),
        "hypervolume_by_training_estimates": float(
            moocore.hypervolume(np.array(agent.archive.evaluations), ref=reference_point, maximise=True)
        ),
        "returns": greedy.tolist(),
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result), file=sys.stderr)


class SharedNormalisation:
    """An environment whose observations are normalised by the running statistics of the training's first one.

    PGMORL normalises in its training environments only; evaluated on raw observations its policies are worth nothing.
    """

    def __init__(self, trained: Any, env: Any) -> None:
        from gymnasium.wrappers import NormalizeObservation

        while not isinstance(trained, NormalizeObservation):
            trained = trained.env
        self._trained, self._env = trained, env

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def _normalised(self, obs: Any) -> Any:
        stats = self._trained.obs_rms
        return ((obs - stats.mean) / (stats.var + self._trained.epsilon) ** 0.5).clip(-10, 10)

    def reset(self, **kwargs: Any) -> Any:
        """Start an episode."""
        obs, info = self._env.reset(**kwargs)
        return self._normalised(obs), info

    def step(self, action: Any) -> Any:
        """Step, with the action cut off at its bounds as in training."""
        space = self._env.action_space
        obs, *rest = self._env.step(action.clip(space.low, space.high))
        return self._normalised(obs), *rest


if __name__ == "__main__":
    main()
