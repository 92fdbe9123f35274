"""Share of the intervals of a log that hold the true hypervolume: 100 logs of 1000 episodes of the front's mixture."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

CASES = {
    "minecart-deterministic": "--env minecart-deterministic-v0 --steps 300000",
    "mec-offloading, 2 servers": "--env mec-offloading-v0 --env-kwargs num_edges 2 --steps 200000",
}
TRAINING = "--num-policies 6 --evaluations 5 --final-episodes 32"
TRUTH = 4096  # episodes of each policy behind the true returns
EPSILON = 0.02
STORED = 10  # logs after which the numbers so far are stored


def trained(case: str, folder: Path) -> tuple[Path, str]:
    """Return the run directory of a case, trained unless it is there, and the command."""
    out = folder / case.split(",")[0]
    words = f"train ppo {CASES[case]} {TRAINING}"
    if not (out / "front.csv").exists():
        subprocess.run([sys.executable, "-m", "morl", *words.split(), "--out", str(out)], check=True)
    return out, f"morl {words}"


class Case:
    """Front of a run with compiled functions that record logs of it and judge it.

    Args:
        run: run directory.
        resamples: of the bootstrap.
    """

    def __init__(self, run: Path, resamples: int) -> None:
        from morl.analysis.offline.behaviour import Behaviour
        from morl.analysis.offline.evaluation import Judge
        from morl.analysis.offline.policies import action_model
        from morl.analysis.offline.recording import recorder
        from morl.analysis.offline.settings import LogSettings
        from morl.loading import front_of_seed, fronts_of, setup_of

        self.setup, settings = setup_of(run)
        self.front = front_of_seed(fronts_of(run, self.setup, settings), None)
        mask = getattr(self.setup.env, "action_mask", None)
        model = action_model(self.setup.agent.learner, self.setup.env.action_space, "sampled", mask)
        self._recorders = {epsilon: recorder(self.setup, Behaviour(model, epsilon)) for epsilon in (0.0, EPSILON)}
        self._judge, self._resamples = Judge(model, LogSettings(resamples=resamples), self.setup.gamma), resamples

    def record(self, rows: list[int], episodes: int, seed: int, epsilon: float) -> Any:
        """Return a log of the policies of these rows."""
        import jax

        from morl.analysis.offline.recording import collected, policies_of

        steps = self._recorders[epsilon](*policies_of(self.front, rows), episodes, jax.random.key(seed))
        return collected(self.setup, steps, seed, "")

    def truth(self) -> tuple[Any, Any]:
        """Return the returns (P, R) of sampled actions by many episodes, and their standard errors."""
        found = [self.record([row], TRUTH, 10**6 + row, 0.0).mean_returns() for row in range(len(self.front))]
        means, errors = zip(*found, strict=True)
        return np.array(means), np.array(errors)

    def judged(self, episodes: int, seed: int) -> Any:
        """Return the front judged by a new log of the mixture of all its policies."""
        from morl.analysis.offline.compiled import prepared

        log = self.record(list(range(len(self.front))), episodes, seed, EPSILON)
        return self._judge(self.front, prepared(log, self._resamples, seed))


def ends(samples: Any) -> dict[str, tuple[float, float]]:
    """Return intervals of a statistic (1 + B,) by three kinds of bootstrap, by name."""
    from morl.analysis.offline.intervals import percentile

    corrected = percentile(samples[1:], samples[0])
    low, high = np.quantile(samples[1:], [0.025, 0.975])
    return {
        "corrected": (float(corrected[0]), float(corrected[1])),
        "percentile": (low, high),
        "basic": (2 * samples[0] - high, 2 * samples[0] - low),
    }


def row_of(judged: Any, returns: Any, volume: float) -> dict[str, Any]:
    """Return what one log says of the true hypervolume and returns (P, R), by estimator."""
    from morl.analysis.offline.intervals import hypervolumes

    row: dict[str, Any] = {"effective": [round(x, 1) for x in judged.effective.tolist()]}
    if len(judged.judged) < len(returns):
        return row
    for name, each in judged.estimates.items():
        volumes = hypervolumes(each.samples, judged.front.reference_point)
        row[name] = {
            "hypervolume": float(volumes[0]),
            "deviation": float(volumes[1:].std()),
            "held": {kind: bool(low <= volume <= high) for kind, (low, high) in ends(volumes).items()},
            "width": each.hypervolume.high - each.hypervolume.low,
            "returns_held": float(((each.low <= returns) & (returns <= each.high)).mean()),
        }
    return row


def measure(case: str, folder: Path, logs: int, episodes: int, resamples: int) -> Iterator[dict[str, Any]]:
    """Yield the shares of intervals that hold the truth over the logs so far, now and then and at the end."""
    from morl.ops.metrics import hypervolume_estimate

    if case not in CASES:
        raise SystemExit(f"unknown case {case!r}; known: {', '.join(CASES)}")
    run, command = trained(case, folder)
    subject, began = Case(run, resamples), time.perf_counter()
    returns, errors = subject.truth()
    volume, _ = hypervolume_estimate(returns, subject.front.reference_point)
    shifted = [hypervolume_estimate(returns + end * errors, subject.front.reference_point)[0] for end in (-1, 1)]
    print(f"{case}: true hypervolume {volume:.6g}, {time.perf_counter() - began:.0f} s", flush=True)
    about = {
        "command": command,
        "policies": len(returns),
        "episodes": episodes,
        "resamples": resamples,
        "epsilon": EPSILON,
        "truth": {
            "episodes": TRUTH,
            "hypervolume": volume,
            "one_error_of_all_returns": (shifted[1] - shifted[0]) / 2,
            "returns": returns.tolist(),
        },
    }
    rows: list[dict[str, Any]] = []
    for seed in range(logs):
        rows.append(row_of(subject.judged(episodes, seed), returns, volume))
        print(f"{case}: log {seed}, {rows[-1]}, {time.perf_counter() - began:.0f} s", flush=True)
        if len(rows) % STORED == 0 or len(rows) == logs:
            effective = [row["effective"] for row in rows]
            yield {
                **about,
                "logs": len(rows),
                "estimators": {name: summary(rows, name, volume) for name in ("pdis", "snpdis", "dr")},
                "effective": [float(np.min(effective)), float(np.median(effective))],
                "not_judged": sum("dr" not in row for row in rows),
                "seconds": round(time.perf_counter() - began),
            }


def summary(rows: list[dict[str, Any]], name: str, volume: float) -> dict[str, Any]:
    """Return the numbers of one estimator over all logs that could be judged."""
    some = [row[name] for row in rows if name in row]
    values = np.array([each["hypervolume"] for each in some])
    return {
        "held": {kind: sum(each["held"][kind] for each in some) for kind in some[0]["held"]},
        "returns_held": float(np.mean([each["returns_held"] for each in some])),
        "bias": float(values.mean() - volume),
        "deviation": float(values.std(ddof=1)),
        "bootstrap_deviation": float(np.mean([each["deviation"] for each in some])),
        "width": float(np.median([each["width"] for each in some])),
    }
