"""Schemes that do not learn: they see the whole state, meet the same episodes, and do what they say."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

import morl
from morl.envs.offloading import schemes
from morl.envs.offloading.deadlines import MecDeadlines
from morl.envs.offloading.devices import MecDevices
from tests.envs.offloading.episodes import compiled

DEVICES = MecDevices(devices=2, slots=6, edges=2)
DEADLINES = MecDeadlines(tasks=8, edges=2, patience=(4.0, 8.0))


@cache
def means(env: Any) -> dict[str, Any]:
    """Return the mean returns (N, R) of each scheme."""
    entries = schemes.catalogue(env, 3)
    return {
        name: np.asarray(schemes.evaluated(env, entry, episodes=64).undiscounted).mean(axis=1)
        for name, entry in entries.items()
    }


def test_the_vector_holds_the_state() -> None:
    state, _ = compiled(DEADLINES)[0](jax.random.key(0), DEADLINES.default_params)
    whole = schemes.Whole(DEADLINES)
    vector = jax.jit(whole.reset)(jax.random.key(0), DEADLINES.default_params)[1]
    assert vector.shape == whole.observation_space.shape
    for ours, theirs in zip(jax.tree.leaves(whole.state(vector)), jax.tree.leaves(state), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def check_means(found: dict[str, Any]) -> None:
    np.testing.assert_array_equal(found["cloud"][0], found["random"][2])  # the same episodes, all on the cloud
    fastest, thriftiest = found["greedy"][0], found["greedy"][1]
    assert found["least loaded"][0, 0] > found["random"][:, 0].max()
    assert fastest[0] > found["random"][:, 0].max()
    assert thriftiest[1] > max(found[name][:, 1].max() for name in ("cloud", "random", "least loaded"))
    assert fastest[1] < thriftiest[1]


def test_choices_in_a_state() -> None:
    env, params = DEADLINES, DEADLINES.default_params
    reset, step = compiled(env)
    state, _ = reset(jax.random.key(0), params)
    for t in range(5):
        state = step(jax.random.key(0), state, np.int32(t % 3), params)[0]
    rules = {
        "greedy": schemes.greedy((1.0, 1.0, 1.0)),
        "least loaded": schemes.least_loaded,
        "random": schemes.at_random,
    }

    @jax.jit
    def choices(state: Any) -> Any:
        weights, key = np.eye(3, dtype=np.float32), jax.random.key(0)
        found = {name: rule(env, np.float32(0.0), weights[1], state, key) for name, rule in rules.items()}
        return found, rules["greedy"](env, None, weights[0], state, key), env.outlook(state, params)

    found, fastest, outlook = choices(state)
    assert int(fastest) == np.argmax(outlook[:, 0])
    assert int(found["greedy"]) == np.argmax(outlook[:, 1])
    assert int(found["least loaded"]) == np.argmin(env.backlog(state, params))
    assert 1 <= int(found["random"]) < env.num_servers


@pytest.mark.slow
@pytest.mark.parametrize("env", [DEVICES, DEADLINES], ids=lambda env: env.id)
def test_schemes_meet_the_same_episodes_and_keep_their_order(env: Any) -> None:
    check_means(means(env))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "bursty", "trace", "failures", "dag"])
def test_schemes_of_every_scenario(name: str) -> None:
    env = morl.make(f"mec-{name}-v0")
    found = means(env)
    assert found["greedy"][1, 1] >= max(points[:, 1].max() for points in found.values()) - 1e-6
    assert found["greedy"][0, 0] > found["random"][:, 0].max()
    assert ("local" in found) == (name == "local")
    front = schemes.front(env, schemes.catalogue(env, 3)["greedy"], episodes=8)
    assert front.objectives == tuple(o.name for o in env.objectives)
    # what spares energy alone may wait longer, or lose more, than the reference point
    assert (front.undiscounted > env.reference_point).all(axis=1).sum() >= len(front) - 1
