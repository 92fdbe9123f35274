"""Train PGMORL of morl-baselines on a MuJoCo environment cut off at 500 steps; write speed and hypervolume as JSON.

Runs in the peers' own virtual environment (README.md beside this file) and imports neither morl nor JAX.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

POLICIES, ENVS, STEPS = 6, 4, 2048  # PGMORL's own; an iteration is all of them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="mo-hopper-2obj-v5")
    parser.add_argument("--steps", type=int, default=1_500_000, help="environment steps of all policies")
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

    iterations = arguments.steps // (POLICIES * ENVS * STEPS)
    warm_up = round(iterations * 2 / 3)  # C-MORL's share for its first stage; PGMORL's own 80 are more than there are
    with contextlib.redirect_stdout(io.StringIO()):
        agent = PGMORL(
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
    evaluation = SharedNormalisation(agent.env.envs[0], mo_gymnasium.make(limited.id))
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        agent.train(arguments.steps, evaluation, reference_point)
    seconds = time.perf_counter() - started
    evaluation.reset(seed=1_000_003)
    weights = np.full(objectives, 1 / objectives)
    returns = [
        np.mean([eval_mo(policy, evaluation, weights)[3] for _ in range(arguments.episodes)], axis=0)
        for policy in agent.archive.individuals
    ]
    result = {
        "env": arguments.env,
        "seed": arguments.seed,
        "threads": arguments.threads,
        "steps": agent.global_step,
        "seconds": seconds,
        "steps_per_second": agent.global_step / seconds,
        "policies": len(returns),
        "hypervolume": float(moocore.hypervolume(np.array(returns), ref=reference_point, maximise=True)),
        "hypervolume_by_training_estimates": float(
            moocore.hypervolume(np.array(agent.archive.evaluations), ref=reference_point, maximise=True)
        ),
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
