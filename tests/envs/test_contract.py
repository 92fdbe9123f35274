"""Results of environments in JAX are converted in one place, and what cannot be converted is told in one line."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import morl
from morl import registry
from morl.envs import widths
from morl.envs.base import Objective
from morl.envs.checks.check import check_env
from morl.envs.contract import CONSTRUCTIVE, NEEDED, front_violation, violations
from morl.errors import UserError
from morl.registry import EnvSpec
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
    runners = start_batch(env, env.default_params, jax.random.key(0), 3)

    def advance(runners, key):
        return jax.vmap(lambda key, one: step(env, env.default_params, key, one, jnp.int32(0)))(
            jax.random.split(key, 3), runners
        )

    _, out = jax.lax.scan(advance, runners, jax.random.split(jax.random.key(1), 7))
    np.testing.assert_array_equal(out.reward, np.broadcast_to([1.0, 2.0], (7, 3, 2)))
    np.testing.assert_array_equal(out.truncated[:, 0], np.arange(1, 8) == 5)
    assert not out.terminated.any()
    kinds = (out.next_obs.dtype, out.reward.dtype, out.terminated.dtype, out.truncated.dtype)
    assert kinds == (np.float32, np.float32, bool, bool)


def test_flags_other_than_0_are_true():
    env = Loose("endless", change=lambda _: {"terminated": 1, "truncated": jnp.float32(2)})
    state, _ = widths.reset(env, jax.random.key(0), env.default_params)
    *_, terminated, truncated, _ = widths.step(env, jax.random.key(0), state, jnp.int32(0), env.default_params)
    assert terminated
    assert truncated


@pytest.mark.parametrize(("change", "subject"), REFUSED.values(), ids=list(REFUSED))
def test_other_results_are_refused_by_the_check_and_by_training_alike(change, subject):
    env = Loose("endless", change=change)
    (first, text), *_ = violations(env)
    assert first == subject
    told = [finding for finding in check_env(env).findings if finding.status == "fix"]
    assert (told[0].subject, told[0].text) == (first, " ".join(text.split()))


class Walked(Probe):
    """Probe with a mask and backward steps, as far as attributes go."""

    observation_key = "place"
    horizon = 3
    num_backward_actions = 2
    max_episode_steps = None

    def action_mask(self, obs):
        return jnp.ones(2, jnp.int8)

    def backward_mask(self, state):
        return jnp.ones(2, jnp.int8)

    def backward_step(self, state, action, params):
        return state, jnp.zeros(2), action


def altered(without="", **changes):
    """Return a probe without an attribute, or with other ones."""
    members = {**vars(Probe), **vars(Walked), "id": "altered-v0", **changes}
    names = members.keys() - {*without.split(), "__dict__", "__weakref__"}
    env = type("Altered", (), {name: members[name] for name in names})("choice")
    fields = vars(env)  # a probe sets some of them itself
    fields.update({name: value for name, value in changes.items() if name in fields})
    for name in without.split():
        fields.pop(name, None)
    return env


WRONG = [
    ("observation_space", {"observation_space": None}),
    ("observation_space", {"observation_space": spaces.Dict({"a": spaces.Discrete(2)})}),
    ("action_space", {"action_space": 3}),
    ("reward_space", {"reward_space": spaces.Box(-1, 1, (1,))}),
    ("objectives", {"objectives": ("a", "b")}),
    ("objectives", {"objectives": 2}),
    ("objectives", {"objectives": (Objective("a"), Objective("a"))}),
    ("reference_point", {"reference_point": [0.0]}),
    ("reference_point", {"reference_point": [[0.0], 1]}),
    ("reference_point", {"reference_point": ("low", "low")}),
    ("max_episode_steps", {"max_episode_steps": 2.5, "without": "backward_step"}),
    ("max_episode_steps", {"max_episode_steps": 5}),
    ("action_mask", {"action_space": spaces.Box(-1, 1, (1,))}),
    ("horizon", {"horizon": 0}),
    ("num_backward_actions", {"num_backward_actions": True}),
    ("hash", {"__hash__": None}),
    ("default_params", {"default_params": ("text",)}),
    ("true_front", {"true_front": lambda self, gamma: [[1.0, 2.0, 3.0]]}),
    ("true_front", {"true_front": lambda self, gamma: [[1.0, 2.0], [3.0]]}),
]
LACKING = [(name, {"without": name}) for name in dict.fromkeys((*NEEDED, *CONSTRUCTIVE)) if name != "backward_step"]


@pytest.mark.parametrize(("subject", "changes"), [*WRONG, *LACKING], ids=lambda x: x if isinstance(x, str) else "")
def test_attributes_are_refused_by_the_check_and_by_training_alike(subject, changes, tmp_path, monkeypatch):
    spec = EnvSpec("altered-v0", "", ("a", "b"), (-10.0, -10.0), entry_point=f"{__name__}:altered", kwargs=changes)
    monkeypatch.setitem(registry._ENVS, "altered-v0", spec)
    env = altered(**changes)
    if subject == "true_front":
        told = front_violation(env.true_front(0.9), 2)
    else:
        told = {f.subject: f.text for f in check_env("altered-v0").findings if f.status == "fix"}[subject]
    with pytest.raises(UserError) as refused:
        morl.train("ppo", "altered-v0", steps=10**6, out=tmp_path / "x")
    assert str(refused.value) == f"altered-v0: {subject}: {told}; morl check-env altered-v0 tells what to fix"
    assert not list(tmp_path.iterdir())
