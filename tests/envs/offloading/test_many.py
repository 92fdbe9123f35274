"""Many random systems and policies of the scenarios with one task a step, compared with the plain simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.envs.offloading import test_bursty, test_deadlines, test_failures, test_local, test_trace
from tests.envs.offloading.episodes import any_allowed, check

CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "deadlines": (test_deadlines.ENV, {"patience": test_deadlines.patience}),
    "local": (test_local.ENV, {"battery": test_local.battery}),
    "bursty": (test_bursty.ENV, {}),
    "trace": (test_trace.ENV, {}),
    "failures": (test_failures.ENV, {"changes": test_failures.changes}),
}


def last_allowed(t: int, mask: Any, rng: Any) -> int:
    """Return the last allowed action, so that one server gets almost all tasks."""
    return int(np.flatnonzero(mask)[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_random_systems(name: str) -> None:
    env, own = CASES[name]
    rng = np.random.default_rng(7)
    params = env.default_params
    for seed in range(60):
        speed, rate = rng.uniform(0.2, 3.0), 10 ** rng.uniform(-1.5, 1.0)
        changed = params._replace(frequency=params.frequency * np.float32(speed), rate=params.rate * np.float32(rate))
        check(env, 1000 + seed, (any_allowed, last_allowed)[seed % 2], changed, **own)
