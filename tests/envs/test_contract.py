"""Results of environments in JAX are converted in one place, and what cannot be converted is told in one line."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.envs import widths
from morl.envs.checks.check import check_env
from morl.envs.contract import violations
from morl.training.diagnosis import environment_fault
from morl.training.rollout import start_batch, step
from tests.probes import Probe


@dataclasses.dataclass(frozen=True)
class Loose(Probe):
    """Probe of 5 steps that returns (1, 2), with results of other types put in by ``change``."""

    change: object = None

    def step(self, key, state, action, params):
        names = ("state", "obs", "reward", "terminated", "truncated", "info")
        results = dict(zip(names, super().step(key, state, action, params), strict=True))
        return tuple({**results, **self.change(results)}.values())


ACCEPTED = {
    "Python flags": lambda _: {"terminated": False, "truncated": False},
    "NumPy flags": lambda _: {"terminated": np.False_, "truncated": np.bool_(0)},
    "whole flags": lambda _: {"terminated": jnp.int32(0), "truncated": 0},
    "real flags": lambda _: {"terminated": jnp.float32(0), "truncated": 0.0},
    "a list of rewards": lambda got: {"reward": [got["reward"][0], got["reward"][1]]},
    "a tuple of Python's rewards": lambda _: {"reward": (1, 2.0)},
    "whole rewards": lambda _: {"reward": jnp.array([1, 2])},
    "half rewards": lambda _: {"reward": jnp.array([1, 2], jnp.float16)},
    "NumPy's rewards": lambda _: {"reward": np.array([1.0, 2.0])},
    "a list for an observation": lambda got: {"obs": [got["obs"][0], 0]},
    "a Python number in the state": lambda got: {"state": got["state"]._replace(cue=1.0)},
}

REFUSED = {
    "a text for a flag": (lambda _: {"terminated": "no"}, "jit"),
    "flags of one axis": (lambda _: {"truncated": [False]}, "truncated"),
    "no flag": (lambda _: {"terminated": None}, "terminated"),
    "a dictionary of rewards": (lambda _: {"reward": {"a": jnp.float32(1)}}, "reward"),
    "ragged rewards": (lambda _: {"reward": [[1.0], 2.0]}, "reward"),
    "three rewards": (lambda _: {"reward": [1, 2, 3]}, "reward"),
    "whole observations": (lambda _: {"obs": jnp.zeros(2, jnp.int32)}, "observation of step"),
    "another state": (lambda got: {"state": got["state"]._replace(cue=jnp.int32(1))}, "state"),
    "a larger state": (lambda got: {"state": (got["state"], 1)}, "state"),
    "no info": (lambda _: {"info": None}, "info"),
}


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=list(ACCEPTED))
def test_results_of_other_types_are_converted(change):
    env = Loose("endless", change=change)
    assert violations(env) == []
    assert environment_fault(env) is None
    runners = start_batch(env, (), jax.random.key(0), 3)

    def advance(runners, key):
        return jax.vmap(lambda key, one: step(env, (), key, one, jnp.int32(0)))(jax.random.split(key, 3), runners)

    _, out = jax.lax.scan(advance, runners, jax.random.split(jax.random.key(1), 7))
    np.testing.assert_array_equal(out.reward, np.broadcast_to([1.0, 2.0], (7, 3, 2)))
    np.testing.assert_array_equal(out.truncated[:, 0], np.arange(1, 8) == 5)
    assert not out.terminated.any()
    kinds = (out.next_obs.dtype, out.reward.dtype, out.terminated.dtype, out.truncated.dtype)
    assert kinds == (np.float32, np.float32, bool, bool)


def test_flags_other_than_0_are_true():
    env = Loose("endless", change=lambda _: {"terminated": 1, "truncated": jnp.float32(2)})
    state, _ = widths.reset(env, jax.random.key(0), ())
    *_, terminated, truncated, _ = widths.step(env, jax.random.key(0), state, jnp.int32(0), ())
    assert terminated
    assert truncated


@pytest.mark.parametrize(("change", "subject"), REFUSED.values(), ids=list(REFUSED))
def test_other_results_are_refused_by_the_check_and_by_training_alike(change, subject):
    env = Loose("endless", change=change)
    (first, text), *_ = violations(env)
    assert first == subject
    assert environment_fault(env) == f"{first}: {text}"
    told = [finding for finding in check_env(env).findings if finding.status == "fix"]
    assert (told[0].subject, told[0].text) == (first, " ".join(text.split()))
