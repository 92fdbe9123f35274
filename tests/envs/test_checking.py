"""What morl check-env finds: nothing in ours, and in a broken environment what is broken."""

import random
from dataclasses import dataclass
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from morl.cli import main
from morl.envs.base import Objective
from morl.envs.checking import check_env
from morl.errors import UserError
from morl.registry import env_specs

NATIVE = [spec.id for spec in env_specs().values() if spec.backend == "jax"]


def fixes(report):
    return {finding.subject: finding.text for finding in report.findings if finding.status == "fix"}


@pytest.mark.parametrize("id", NATIVE)
def test_ours_pass(id):
    report = check_env(id)
    assert fixes(report) == {}
    assert report.passed()
    assert {"jit, vmap and scan agree", "the same seed repeats"} <= {f.subject for f in report.findings}


class Sound(gymnasium.Env):
    """A walk on 0..9 that ends at the edges; nothing is wrong with it."""

    def __init__(self):
        self.observation_space = spaces.Box(0, 9, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.reward_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 5
        return self.observe(), {}

    def observe(self):
        return np.array([self.place], np.float32)

    def step(self, action):
        self.place += 1 if self.draw() < 0.3 + 0.4 * action else -1
        terminated = self.place in (0, 9)
        return self.observe(), self.reward(action), terminated, False, {}

    def draw(self):
        return self.np_random.random()

    def reward(self, action):
        return np.array([float(self.place == 9), -float(action)], np.float32)


class NoRewardSpace(Sound):
    def __init__(self):
        super().__init__()
        del self.reward_space


class OneReward(Sound):
    def __init__(self):
        super().__init__()
        self.reward_space = spaces.Box(-1.0, 1.0, (1,), np.float32)


class ListReward(Sound):
    def reward(self, action):
        return super().reward(action).tolist()


class LongReward(Sound):
    def reward(self, action):
        return np.zeros(3 if self.place == 8 else 2, np.float32)


class WholeReward(Sound):
    def reward(self, action):
        return np.array([0, 1])


class NanReward(Sound):
    def reward(self, action):
        return np.array([0.0, np.nan if self.place == 2 else 0.0], np.float32)


class LargeReward(Sound):
    def reward(self, action):
        return super().reward(action) * 7


class FarObservation(Sound):
    def observe(self):
        return super().observe() + (20 if self.place == 7 else 0)


class SharedReward(Sound):
    def __init__(self):
        super().__init__()
        self.kept = np.zeros(2, np.float32)

    def reward(self, action):
        self.kept[:] = super().reward(action)
        return self.kept


class SharedInfo(Sound):
    def __init__(self):
        super().__init__()
        self.kept = {}

    def step(self, action):
        self.kept["place"] = self.place
        return (*super().step(action)[:4], self.kept)


class GlobalNumPy(Sound):
    def draw(self):
        return np.random.random()  # noqa: NPY002


class GlobalPython(Sound):
    def draw(self):
        return random.random()


class DrawsForNothing(Sound):
    def draw(self):
        random.random()
        return super().draw()


class Remembers(Sound):
    """Its episodes get better with each one that went before."""

    count = 0

    def reset(self, *, seed=None, options=None):
        self.count += 1
        return super().reset(seed=seed)

    def reward(self, action):
        return np.array([min(1.0, self.count / 100), 0.0], np.float32)


class BothFlags(Sound):
    def step(self, action):
        obs, reward, terminated, _, info = super().step(action)
        return obs, reward, terminated, terminated, info


class NumberFlag(Sound):
    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, int(terminated), truncated, info


class Raises(Sound):
    def step(self, action):
        return [][self.place]


@pytest.mark.parametrize(
    ("env", "subject", "text"),
    [
        (NoRewardSpace, "reward_space", "must be a gymnasium.spaces.Box of shape (R,) with R >= 2, not None"),
        (OneReward, "reward_space", "with R >= 2, not Box(-1.0, 1.0, (1,), float32)"),
        (ListReward, "reward", "must be a NumPy array of shape (2,), not a list"),
        (LongReward, "reward", "must have shape (2,), not (3,)"),
        (WholeReward, "reward", "must be of floats, not of int64"),
        (NanReward, "reward", "[0.0, nan] is not finite (step "),
        (LargeReward, "reward", "is outside of reward_space"),
        (FarObservation, "observation", "is not in Box(0.0, 9.0, (1,), float32)"),
        (SharedReward, "shared reward", "new one"),
        (SharedInfo, "shared info", "new one"),
        (GlobalNumPy, "the same seed repeats", "draw from self.np_random"),
        (GlobalPython, "the same seed repeats", "draw from self.np_random"),
        (DrawsForNothing, "global random state", "was drawn from (numpy.random or random)"),
        (Remembers, "the same seed repeats", "start every episode from nothing but that"),
        (BothFlags, "terminated and truncated", "are both set at step "),
        (NumberFlag, "terminated", "must be a bool, not 0"),
        (Raises, "rewards and observations", "raised IndexError: list index out of range ("),
    ],
)
def test_each_fault_is_found(env, subject, text):
    found = fixes(check_env(env))
    assert text in found[subject], found


def test_a_sound_one_passes_and_global_generators_are_left_alone():
    random.seed(1)
    state = random.getstate()
    report = check_env(Sound)
    assert fixes(report) == {}
    assert random.getstate() == state
    check_env(GlobalPython)
    assert random.getstate() == state


def test_one_without_an_end_gets_a_hint():
    class Endless(Sound):
        def step(self, action):
            obs, reward, _, _, info = super().step(action)
            self.place = 5
            return obs, reward, False, False, info

    report = check_env(Endless)
    assert report.passed()
    (note,) = [f for f in report.findings if f.subject == "ends"]
    assert "no episode ended in 1000 steps; register it with max_episode_steps" in note.text


@pytest.mark.parametrize(
    ("id", "subject"),
    [
        ("four-room-v0", "global random state"),
        ("breakable-bottles-v0", "reward"),
        ("fishwood-v0", "terminated and truncated"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_known_faults_of_mo_gymnasium_are_found(id, subject):
    assert subject in fixes(check_env(id, "host"))


class State(NamedTuple):
    place: jax.Array


@dataclass(frozen=True)
class SoundJax:
    """A functional environment with nothing wrong, unless told."""

    fault: str = ""

    id = "sound-v0"
    max_episode_steps = 20
    action_space = spaces.Discrete(2)
    reward_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    reference_point = np.array([-20.0, -20.0])

    @property
    def observation_space(self):
        return spaces.Box(-100, 100, (1,), np.int32 if self.fault == "observation" else np.float32)

    @property
    def objectives(self):
        return (Objective("a"), Objective("a" if self.fault == "objectives" else "b"))

    @property
    def default_params(self):
        return {"name": "text"} if self.fault == "default_params" else jnp.float32(1.0)

    def reset(self, key, params):
        place = 0 if self.fault == "weak" else jnp.float32(0.0)
        return State(place), jnp.asarray(place, jnp.float32)[None]

    def step(self, key, state, action, params):
        place = jnp.asarray(state.place, jnp.float32) + params
        if self.fault == "impure":
            COUNTER[0] += 1
            place = place + COUNTER[0]
        if self.fault == "raises" and action > 0:  # a branch on a traced value
            place = -place
        reward = jnp.stack([jax.random.uniform(key), -action.astype(jnp.float32)])
        if self.fault == "reward":
            reward = reward[:1]
        terminated = place > 9
        if self.fault == "terminated":
            terminated = terminated.astype(jnp.float32)
        result = State(place), place[None], reward, terminated, jnp.bool_(False), {}
        return result[:5] if self.fault == "step" else result

    def true_front(self, gamma=1.0):
        return np.array([[1.0, 1.0], [0.0, 0.0]]) if self.fault == "front" else np.array([[1.0, 0.0]])


COUNTER = [0]


@pytest.mark.parametrize(
    ("fault", "subject", "text"),
    [
        ("observation", "observation", "must be int32 of shape (1,) as observation_space says, not float32"),
        ("objectives", "objectives", "must be 2 morl.envs.base.Objective of different names"),
        ("default_params", "default_params", "must be a pytree of arrays; it holds a str"),
        ("weak", "state", ".place is int32 of shape () after reset but float32 of shape () after step"),
        ("impure", "jit, vmap and scan agree", "it must be a pure function"),
        ("raises", "jit, vmap and scan agree", "raised TracerBoolConversionError"),
        ("reward", "reward", "must be float32 of shape (2,), not float32 of (1,)"),
        ("terminated", "terminated", "must be one bool array"),
        ("step", "step", "must return (state, observation, reward, terminated, truncated, info)"),
        ("front", "true_front(gamma)", "1 of its points are dominated by others"),
    ],
)
def test_each_fault_of_a_functional_one_is_found(fault, subject, text):
    found = fixes(check_env(SoundJax(fault)))
    assert text in found[subject], found


def test_a_sound_functional_one_passes():
    assert fixes(check_env(SoundJax())) == {}


def test_what_cannot_be_checked():
    with pytest.raises(UserError, match="env must be an id, a functional environment or what makes"):
        check_env(3)
    with pytest.raises(UserError, match="did you mean minecart-v0"):
        check_env("minecrat-v0")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("deep-sea-treasure-v0", 0, "deep-sea-treasure-v0: nothing to fix"),
        ("fishwood-v0 --backend host", 1, "FIX   terminated and truncated: are both set at step 200"),
        ("CartPole-v1", 2, "CartPole-v1 has a scalar reward"),
        ("deep-sea-treasure-v0 --seed -1", 2, "seed must be at least 0"),
        ("", 2, "Missing from morl check-env: ID"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_the_command(line, code, message, capsys):
    assert main(["check-env", *line.split()]) == code
    captured = capsys.readouterr()
    assert message in (captured.err if code == 2 else captured.out)
