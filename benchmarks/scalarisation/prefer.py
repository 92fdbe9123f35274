"""Preference elicitation with simulated users: questions until the policy that is named is within 2 % of the best.

Users have random utilities of returns that are counted in the ranges of the front: linear ones, and ones of six
families, none of which is the method's own. They make no mistakes. The method's question is held against other rules
with the same posterior: the largest expected information gain, and two policies at random.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

FRONTS = ("minecart-v0", "deep-sea-treasure-v0", "resource-gathering-v0", "fruit-tree-v0")
RULES = ("value", "information", "random")
KINDS = ("linear", "nonlinear")
QUESTIONS, CLOSE = 10, 0.02

Utility = Callable[[np.ndarray], np.ndarray]


def users(kind: str, size: int, number: int) -> Iterator[Utility]:
    """Yield utilities of points (n, R) in [0, 1]; non-linear ones are of six families in turn."""
    for i in range(number):
        generator = np.random.default_rng([KINDS.index(kind), i])
        w, target = generator.dirichlet(np.ones(size)), generator.uniform(0.3, 0.9, size)
        families: list[Utility] = [
            lambda x, w=w: -(w * (1 - x)).max(axis=1),  # Tchebycheff
            lambda x, w=w: np.log(x + 0.05) @ w,  # Nash welfare
            lambda x, w=w: np.exp(np.log(x + 0.3) @ w),  # Cobb-Douglas
            lambda x, w=w: np.sort(x, axis=1) @ np.sort(w)[::-1],  # generalised Gini
            lambda x, w=w, target=target: np.minimum(x / target, 1) @ w + 0.01 * x.mean(axis=1),  # targets
            lambda x, w=w: (1 - np.exp(-3 * x)) @ w,  # saturation
        ]
        yield (lambda x, w=w: x @ w) if kind == "linear" else families[i % len(families)]


def one_user(returns: np.ndarray, utility: Utility, rule: str, seed: int) -> tuple[list[float], float]:
    """Return the utility behind the best after 0 to 10 answers, in ranges of the front, and seconds a question."""
    from morl.analysis.preference.elicitation import Elicitation
    from morl.analysis.preference.utilities import normalised

    worth = utility(normalised(returns))
    worth = (worth - worth.min()) / np.ptp(worth)
    elicitation, generator = Elicitation(returns, seed), np.random.default_rng([7, seed])
    behind, started = [1 - worth[elicitation.verdict().policy]], time.process_time()
    for _ in range(QUESTIONS):
        if rule == "random":
            a, b = generator.choice(len(returns), 2, replace=False).tolist()
        elif (pair := elicitation.question(rule)) is None:
            break
        else:
            a, b = pair
        elicitation.tell(a, b, None if worth[a] == worth[b] else bool(worth[a] > worth[b]))
        behind.append(1 - worth[elicitation.verdict().policy])
    seconds = (time.process_time() - started) / max(1, len(behind) - 1)
    return behind + behind[-1:] * (QUESTIONS + 1 - len(behind)), seconds


def questions_until_close(behind: np.ndarray) -> np.ndarray:
    """Return for rows (users, 11) the answers after which the named policy is close and stays it; 11 if not by 10."""
    far = behind > CLOSE
    return np.where(far.any(axis=1), far.shape[1] - far[:, ::-1].argmax(axis=1), 0)


def measure(env_id: str, kind: str, rule: str, number: int) -> dict[str, Any]:
    """Return what a rule finds for users of a kind on the known front of an environment."""
    import morl
    from morl.registry import env_specs
    from morl.yardsticks.fronts import known_front

    spec = env_specs()[env_id]
    front = known_front(morl.make(env_id), spec.gamma, len(spec.objectives), env_id)
    assert front is not None
    found = [
        one_user(front.points, utility, rule, seed)
        for seed, utility in enumerate(users(kind, front.points.shape[1], number))
    ]
    behind = np.array([rows for rows, _ in found])
    until = questions_until_close(behind)
    row = {
        "front": env_id,
        "of": front.phrase,
        "policies": len(front.points),
        "objectives": front.points.shape[1],
        "users": kind,
        "number": number,
        "rule": rule,
        "median": float(np.median(until)),
        "ninth_decile": float(np.quantile(until, 0.9)),
        "close_after_4": float((behind[:, 4] <= CLOSE).mean()),
        "close_after_8": float((behind[:, 8] <= CLOSE).mean()),
        "behind_after_8": float(behind[:, 8].mean()),
        "users_by_questions": np.bincount(until, minlength=QUESTIONS + 2).tolist(),
        "cpu_ms_a_question": 1000 * float(np.median([seconds for _, seconds in found])),
    }
    print(row, flush=True)
    return row
