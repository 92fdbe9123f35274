"""Train Envelope, GPI-LS or CAPQL of morl-baselines for a wall-clock budget; write speed and hypervolume as JSON.

Runs in the peers' own virtual environment (README.md beside this file) and imports neither morl nor JAX.
"""

import argparse
import contextlib
import importlib.metadata
import io
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Both from morl-baselines' examples: envelope_minecart.py, and gpi_pd_minecart.py with gpi_pd=False, which is GPI-LS.
SHARED: dict[str, Any] = {
    "learning_rate": 3e-4,
    "net_arch": [256, 256, 256, 256],
    "initial_epsilon": 1.0,
    "final_epsilon": 0.05,
    "epsilon_decay_steps": 50_000,
    "learning_starts": 100,
    "gradient_updates": 1,  # the GPI example takes it from its command line; 1 is the fastest and Envelope's value
    "tau": 1,
}
HYPER_PARAMETERS: dict[str, dict[str, Any]] = {
    "envelope": {
        **SHARED,
        "batch_size": 64,
        "buffer_size": 2_000_000,
        "max_grad_norm": 0.1,
        "target_net_update_freq": 1000,
        "envelope": True,
        "initial_homotopy_lambda": 0.0,
        "final_homotopy_lambda": 1.0,
        "homotopy_decay_steps": 10_000,
    },
    "gpi-ls": {
        **SHARED,
        "batch_size": 128,
        "buffer_size": 200_000,
        "max_grad_norm": None,
        "target_net_update_freq": 200,
        "num_nets": 2,
        "use_gpi": True,
        "per": True,  # the class's default; the example's False fails in 1.3.0, whose plain buffer returns 6 fields
        "alpha_per": 0.6,
        "min_priority": 0.01,
    },
    "capql": {},
    # gpi_pd_hopper.py with gpi_pd=False; its gradient updates come from its command line too
    "gpi-ls-continuous": {"batch_size": 128, "buffer_size": 400_000, "gradient_updates": 1},  # and `per` as above
}
CONTINUOUS = ("capql", "gpi-ls-continuous")
UNTIL_TIME_IS_UP = 10**9  # environment steps; either train() uses its budget as a loop bound only
EVALUATION_SEED = 1_000_003


class TimeUp(Exception):
    """The training budget is spent."""


class Clock:
    """Seconds of a run by phase, told by the environments whenever the peer calls them.

    Phases: "train" (acting and updating), "selection" (GPI-LS evaluating itself to choose its next preference) and
    "evaluation" (this script's). The budget bounds the first two. Time starts at the peer's first call.
    """

    def __init__(
        self, now: Callable[[], float], budget: float, eval_every: float, evaluate: Callable[[], float]
    ) -> None:
        self.seconds = {"train": 0.0, "selection": 0.0, "evaluation": 0.0}
        self.steps = {"train": 0, "selection": 0}
        self.history: list[dict[str, float]] = []
        self._now, self._budget, self._eval_every, self._evaluate = now, budget, eval_every, evaluate
        self._next_evaluation = eval_every
        self._phase = "train"
        self._mark: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds the peer itself has used."""
        return self.seconds["train"] + self.seconds["selection"]

    def tick(self, phase: str) -> None:
        """Charge the time since the last call to the phase it was in, enter `phase`, evaluate or stop when due."""
        now = self._now()
        if self._mark is not None:
            self.seconds[self._phase] += now - self._mark
        self._phase, self._mark = phase, now
        if self.elapsed >= self._budget:
            raise TimeUp
        if self.elapsed >= self._next_evaluation:
            self.record()
            self._next_evaluation += self._eval_every

    def record(self) -> None:
        """Evaluate the peer as it is now, off its clock, and append the result to the history."""
        start = self._now()
        hypervolume = self._evaluate()
        self._mark = self._now()
        self.seconds["evaluation"] += self._mark - start
        self.history.append({"seconds": self.elapsed, "steps": self.steps["train"], "hypervolume": hypervolume})
        print(f"{self.elapsed:7.1f} s  {self.steps['train']:7d} steps  HV {hypervolume:.2f}", file=sys.stderr)


class TimedEnv:
    """The wrapped environment, telling the clock about each call."""

    def __init__(self, env: Any, clock: Clock, phase: str) -> None:
        self._env, self._clock, self._phase = env, clock, phase

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def reset(self, **kwargs: Any) -> Any:
        """Reset, on the clock."""
        self._clock.tick(self._phase)
        return self._env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """Step, on the clock and counted."""
        self._clock.tick(self._phase)
        result = self._env.step(action)
        self._clock.steps[self._phase] += 1
        return result


def parse_arguments(argv: list[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=sorted(HYPER_PARAMETERS))
    parser.add_argument("--env", default="minecart-v0", help="a MO-Gymnasium environment")
    parser.add_argument("--max-episode-steps", type=int, help="time limit in place of the environment's own")
    parser.add_argument("--seconds", type=float, default=600.0, help="training budget, evaluation not included")
    parser.add_argument("--clock", choices=("wall", "core"), default="wall", help="seconds of wall-clock or of a core")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gamma", type=float, default=0.98, help="discount of training and of the returns")
    parser.add_argument("--reference-point", type=float, nargs="+", default=[-1.0, -1.0, -200.0])
    parser.add_argument("--eval-every", type=float, default=120.0, help="training seconds between evaluations")
    parser.add_argument("--eval-preferences", type=int, default=20, help="equally spread preferences per evaluation")
    parser.add_argument("--eval-episodes", type=int, default=5, help="episodes averaged per preference")
    parser.add_argument("--iteration-steps", type=int, default=10_000, help="GPI-LS: steps with the same preferences")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args(argv)
    counts = ("threads", "eval_preferences", "eval_episodes", "max_episode_steps", "iteration_steps")
    for name in ("seconds", "eval_every", *counts):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < math.inf:
            parser.error(f"--{name.replace('_', '-')} must be finite and above 0, got {value}")
    if not 0 <= arguments.gamma <= 1:
        parser.error(f"--gamma must be within [0, 1], got {arguments.gamma}")
    if arguments.seed < 0:
        parser.error(f"--seed must be 0 or above, got {arguments.seed}")
    out = arguments.out  # checked now, not after the training
    if out.is_dir() or not os.access(out if out.exists() else out.parent, os.W_OK):
        parser.error(f"--out {out} is not writable: name a file in an existing, writable folder")
    return parser, arguments


def build_agent(peer: str, env: Any, gamma: float, seed: int) -> Any:
    from morl_baselines.multi_policy.capql.capql import CAPQL
    from morl_baselines.multi_policy.envelope.envelope import Envelope
    from morl_baselines.multi_policy.gpi_pd.gpi_pd import GPILS
    from morl_baselines.multi_policy.gpi_pd.gpi_pd_continuous_action import GPILSContinuousAction

    classes = {"capql": CAPQL, "envelope": Envelope, "gpi-ls": GPILS, "gpi-ls-continuous": GPILSContinuousAction}
    return classes[peer](env, gamma=gamma, seed=seed, log=False, device="cpu", **HYPER_PARAMETERS[peer])


def train(peer: str, agent: Any, selection_env: Any, reference_point: Any, iteration_steps: int) -> None:
    if peer == "envelope":
        agent.train(total_timesteps=UNTIL_TIME_IS_UP)
    elif peer == "capql":
        agent.train(UNTIL_TIME_IS_UP, selection_env, reference_point)
    else:
        often = {"timesteps_per_iter": iteration_steps, "checkpoints": False}
        agent.train(UNTIL_TIME_IS_UP, selection_env, reference_point, **often)


def main(argv: list[str] | None = None) -> None:
    parser, arguments = parse_arguments(argv)
    # OpenMP and MKL read these when PyTorch is loaded, hence the imports below.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(arguments.threads)
    import gymnasium
    import mo_gymnasium
    import moocore
    import numpy as np
    import torch
    from mo_gymnasium.wrappers import MORecordEpisodeStatistics
    from morl_baselines.common.evaluation import policy_evaluation_mo, seed_everything
    from morl_baselines.common.weights import equally_spaced_weights

    torch.set_num_threads(arguments.threads)
    seed_everything(arguments.seed)
    limit = {} if arguments.max_episode_steps is None else {"max_episode_steps": arguments.max_episode_steps}
    try:
        env, selection_env, evaluation_env = (
            MORecordEpisodeStatistics(mo_gymnasium.make(arguments.env, **limit), gamma=arguments.gamma)
            for _ in range(3)
        )
    except (gymnasium.error.Error, AttributeError) as error:
        parser.error(f"--env {arguments.env}: no MO-Gymnasium environment to be had: {error}")
    kind = gymnasium.spaces.Box if arguments.peer in CONTINUOUS else gymnasium.spaces.Discrete
    if not isinstance(env.action_space, kind):
        parser.error(f"--env {arguments.env}: {arguments.peer} needs actions of a {kind.__name__} space")
    objectives = env.unwrapped.reward_space.shape[0]
    if len(arguments.reference_point) != objectives:
        parser.error(f"--reference-point needs {objectives} numbers, got {len(arguments.reference_point)}")
    if arguments.eval_preferences < objectives:
        parser.error(f"--eval-preferences must be at least {objectives} here, got {arguments.eval_preferences}")
    reference_point = np.array(arguments.reference_point)
    preferences = equally_spaced_weights(objectives, arguments.eval_preferences)

    found: list[list[float]] = []  # the returns of the last evaluation

    def evaluate() -> float:
        # MO-Gymnasium's minecart draws its ore from NumPy's global generator: the training gets its stream back.
        state = np.random.get_state()  # noqa: NPY002
        np.random.seed(EVALUATION_SEED)  # noqa: NPY002
        evaluation_env.reset(seed=EVALUATION_SEED)
        returns = [policy_evaluation_mo(agent, evaluation_env, w, rep=arguments.eval_episodes)[3] for w in preferences]
        np.random.set_state(state)  # noqa: NPY002
        found[:] = np.array(returns).tolist()
        return float(moocore.hypervolume(np.array(returns), ref=reference_point, maximise=True))

    now = time.perf_counter if arguments.clock == "wall" else time.process_time
    clock = Clock(now, arguments.seconds, arguments.eval_every, evaluate)
    env.reset(seed=arguments.seed)
    env.action_space.seed(arguments.seed)
    agent = build_agent(arguments.peer, TimedEnv(env, clock, "train"), arguments.gamma, arguments.seed)
    with contextlib.suppress(TimeUp), contextlib.redirect_stdout(io.StringIO()):  # GPI-LS prints its every step
        chosen_on = TimedEnv(selection_env, clock, "selection")
        train(arguments.peer, agent, chosen_on, reference_point, arguments.iteration_steps)
    clock.record()

    packages = ("morl-baselines", "torch", "mo-gymnasium", "gymnasium", "numpy", "moocore")
    result = {
        "peer": arguments.peer,
        "versions": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in packages},
        "env": arguments.env,
        "clock": arguments.clock,
        "threads": arguments.threads,
        "seed": arguments.seed,
        "gamma": arguments.gamma,
        "reference_point": arguments.reference_point,
        "max_episode_steps": env.spec.max_episode_steps,
        "eval_preferences": arguments.eval_preferences,
        "eval_episodes": arguments.eval_episodes,
        "iteration_steps": arguments.iteration_steps,
        "hyper_parameters": HYPER_PARAMETERS[arguments.peer],
        "steps": clock.steps["train"],
        "train_seconds": clock.seconds["train"],
        "steps_per_second": clock.steps["train"] / clock.seconds["train"],
        "selection_steps": clock.steps["selection"],
        "selection_seconds": clock.seconds["selection"],
        "evaluation_seconds": clock.seconds["evaluation"],
        "history": clock.history,
        "returns": found,
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{arguments.peer}, {arguments.threads} thread(s): {result['steps_per_second']:.1f} steps/s")


if __name__ == "__main__":
    main()
