"""Findings of check-env: none for our environments, and the faults of broken ones."""

import inspect
import random
import re
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import morl
from morl import registry
from morl.cli import main
from morl.envs.base import Objective
from morl.envs.checks.check import check_env
from morl.errors import UserError
from morl.registry import EnvSpec, register_env
from tests.envs.extras import native_specs

# skips minutes of compilation, and the second minecart
SUITE = {f"mec-{name}-v0" for name in ("devices", "deadlines", "local", "bursty", "trace", "failures", "dag")}
LONG = {"mec-offloading-v0", "minecart-deterministic-v0"} | SUITE
NATIVE = [pytest.param(spec.id, marks=[pytest.mark.slow] * (spec.id in LONG)) for spec in native_specs()]


def fixes(report):
    return {finding.subject: finding.text for finding in report.findings if finding.status == "fix"}


@pytest.mark.parametrize("id", NATIVE)
def test_ours_pass(id):
    report = check_env(id)
    assert fixes(report) == {}
    assert report.passed()
    ok = {finding.subject for finding in report.findings if finding.status == "ok"}
    assert ok >= {"made", "attributes", "registration", "jit", "pure functions", "steps", "Gymnasium's own checker"}
    assert not any(finding.subject == "reference point" for finding in report.findings)


class Sound(gymnasium.Env):
    """Walk on 0..9 that ends at the edges, without faults."""

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
    """Fault: rewards grow with the number of episodes played."""

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


class DoubleReward(Sound):
    def reward(self, action):
        return super().reward(action).astype(float)


class SharedViews(Sound):
    """Fault: a new array each time that shares its memory."""

    def __init__(self):
        super().__init__()
        self.kept = np.zeros(2, np.float32)

    def observe(self):
        self.kept[0] = self.place
        return self.kept[:1]


class SameObservation(Sound):
    """Fault: one object is returned each time, though never edited."""

    def __init__(self):
        super().__init__()
        self.place_of = [np.array([place], np.float32) for place in range(10)]

    def observe(self):
        return self.place_of[self.place]


class FourValues(Sound):
    def step(self, action):
        return super().step(action)[:4]


class OldReset(Sound):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class ListInfo(Sound):
    def step(self, action):
        return (*super().step(action)[:4], [])


class EditsAction(Sound):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)

    def step(self, action):
        action *= 0.5
        return super().step(0)


class TwoActions(Sound):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)])


class DrawnWhenMade(Sound):
    """Fault: another instance gives other results."""

    def __init__(self):
        super().__init__()
        self.bonus = np.random.default_rng().uniform(0, 0.1)

    def reward(self, action):
        return np.array([self.bonus, 0.0], np.float32)


class ReadsGlobal(Sound):
    """Fault: reads the global generator without drawing from it."""

    def draw(self):
        return float(np.random.get_state()[1][0])  # noqa: NPY002


class IgnoresSeed(Sound):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=1)


class CannotBeMade(Sound):
    def __init__(self):
        raise RuntimeError("no licence")


def function_that_returns_something_else():
    return 3


@pytest.mark.parametrize(
    ("env", "subject", "text"),
    [
        (NoRewardSpace, "reward_space", "must be a gymnasium.spaces.Box of shape (R,) with R >= 2, not None"),
        (OneReward, "reward_space", "with R >= 2, not Box(-1.0, 1.0, (1,), float32)"),
        (TwoActions, "action_space", "must be of one array, not a Tuple"),
        (ListReward, "reward", "must be a NumPy array of float32 and shape (2,), not a list (step 1 of episode 1)"),
        (LongReward, "reward", "and shape (2,), not of shape (3,) (step "),
        (WholeReward, "reward", "of float32 and shape (2,) as reward_space says, not of int64"),
        (DoubleReward, "reward", "of float32 and shape (2,) as reward_space says, not of float64"),
        (NanReward, "reward", "[0.0, nan] is not finite (step "),
        (LargeReward, "reward", "is outside of reward_space"),
        (FarObservation, "observations", "is not in Box(0.0, 9.0, (1,), float32)"),
        (SharedReward, "shared objects", "the reward of step 1 of episode 1 and of step 2 of episode 1 are one object"),
        (SharedInfo, "shared objects", "the info of step 1 of episode 1 changed afterwards"),
        (SharedViews, "shared objects", "the observation of the reset of episode 1 changed afterwards"),
        (SameObservation, "shared objects", "are one object: return new ones"),
        (GlobalNumPy, "global random state", "numpy.random was drawn from: draw from self.np_random"),
        (GlobalPython, "global random state", "random was drawn from: draw from self.np_random"),
        (DrawsForNothing, "global random state", "random was drawn from"),
        (ReadsGlobal, "global random state", "decides the "),
        (Remembers, "same seed", "gave another reward at step 1 of episode 1 ([0.01"),
        (DrawnWhenMade, "same seed", "in another instance; draw from self.np_random"),
        (IgnoresSeed, "Gymnasium's own checker", "does not call `super().reset(seed=seed)`"),
        (BothFlags, "terminated and truncated", "are both set at step "),
        (NumberFlag, "steps", "terminated must be a bool, not 0 (step 1 of episode 1)"),
        (Raises, "steps", "step 1 of episode 1 raised IndexError: list index out of range ("),
        (FourValues, "steps", "step 1 of episode 1 returned 4 values; it must return (observation, reward, term"),
        (OldReset, "steps", "the reset of episode 1 returned a ndarray; it must return (observation, info)"),
        (ListInfo, "info", "must be a dictionary, not a list"),
        (EditsAction, "steps", "changed the action it was given: copy it first"),
        (CannotBeMade, "made", "raised RuntimeError: no licence ("),
        (function_that_returns_something_else, "made", "must be a gymnasium.Env or a functional environment, not int"),
    ],
)
def test_each_fault_is_found(env, subject, text):
    found = fixes(check_env(env))
    assert text in found[subject], found


class Letters(Sound):
    """Environment with a space of its own inside of its observations."""

    def __init__(self, part, value):
        super().__init__()
        self.value = value
        self.observation_space = spaces.Dict(a=spaces.Tuple([self.observation_space, part]))
        self.action_space = spaces.MultiDiscrete([2, 600])

    def observe(self):
        return {"a": (super().observe(), self.value)}

    def step(self, action):
        return super().step(action[0])


class Mission(spaces.Space):
    def __init__(self):
        super().__init__((), str)

    def sample(self, mask=None, probability=None):
        return "go"

    def contains(self, x):
        return isinstance(x, str)


@pytest.mark.parametrize(
    ("part", "value", "kind"),
    [(Mission(), "go", "Mission"), (spaces.Sequence(spaces.Discrete(1)), (), "Sequence")],
    ids=["own", "sequence"],
)
def test_spaces_that_no_agent_takes_are_told_as_training_tells_them(part, value, kind):
    gymnasium.register("morl-test/Letters-v0", lambda: Letters(part, value))
    try:
        report = check_env("morl-test/Letters-v0")
        with pytest.raises(UserError) as error:
            morl.make("morl-test/Letters-v0")
    finally:
        del gymnasium.registry["morl-test/Letters-v0"]
    assert f"morl-test/Letters-v0 has a {kind} observation space at ['a'][1]; allowed: one of arrays" in str(
        error.value
    )
    assert fixes(report)["agents"] == f"none can train: {error.value}"


def test_which_agents_can_train_is_told():
    report = check_env(partial(Letters, spaces.Text(2), "ab"))
    assert "agents" not in fixes(report), report
    lines = [str(finding) for finding in report.findings if finding.subject == "agents"]
    assert lines[0] == "ok    agents: cmorl, d3po, ppo: can train"
    assert any(line.startswith("note  agents: capql, dsac, gmorl, gpi-ls: cannot: action space") for line in lines)


class Leaves(Sound):
    def __init__(self):
        raise SystemExit(0)


@pytest.mark.parametrize(
    ("entry_point", "said"),
    [
        (f"{__name__}:Absent", "AttributeError: module 'tests.envs.checks.test_check' has no attribute 'Absent'"),
        ("tests.absent:Absent", "No module named 'tests.absent'"),
        (Leaves, r"SystemExit: 0 (tests/envs/checks/test_check.py:"),
        (CannotBeMade, r"RuntimeError: no licence (tests/envs/checks/test_check.py:"),
    ],
)
def test_check_and_training_say_the_same_of_what_no_registration_makes(entry_point, said, monkeypatch):
    spec = gymnasium.envs.registration.EnvSpec("morl-test/Unmade-v0", entry_point=entry_point)
    monkeypatch.setitem(gymnasium.registry, spec.id, spec)
    assert said in fixes(check_env(spec.id))["made"]
    with pytest.raises(UserError, match=re.escape(said)):
        morl.make(spec.id)


def test_a_builtin_that_shows_no_signature_is_one_line():
    assert "raised TypeError" in fixes(check_env("builtins:max", env_kwargs={"depth": 3}))["made"]
    with pytest.raises(UserError, match="max cannot make an environment: TypeError"):
        morl.make("builtins:max")


def test_where_something_is_raised_is_told():
    line = Raises.step.__code__.co_firstlineno + 1
    assert fixes(check_env(Raises))["steps"].endswith(f"test_check.py:{line})")


def test_a_sound_one_passes_and_global_generators_are_left_alone():
    random.seed(1)
    state = random.getstate()
    report = check_env(Sound)
    assert fixes(report) == {}
    assert not [finding for finding in report.findings if finding.status == "skip"]
    assert random.getstate() == state
    check_env(GlobalPython)
    assert random.getstate() == state


def test_one_that_is_made_already():
    """Check that two checks are skipped without a registration, from which another instance could be made."""
    env = Sound()
    report = check_env(env)
    assert fixes(report) == {}
    assert [f.subject for f in report.findings if f.status == "skip"] == ["Gymnasium's own checker"]
    env.reset(seed=0)  # still open
    assert "reward" in fixes(check_env(ListReward()))


class Timed(Sound):
    """Environment that ends after 50 steps with the given ``flags``."""

    def __init__(self, flags=(True, False)):
        super().__init__()
        self.flags = flags

    def reset(self, *, seed=None, options=None):
        self.left = 50
        return super().reset(seed=seed)

    def step(self, action):
        obs, reward, _, _, info = super().step(action)
        self.place = 5
        self.left -= 1
        return obs, reward, *(flag and self.left == 0 for flag in self.flags), info


gymnasium.register("morl-test/Timed-v0", entry_point=Timed, max_episode_steps=50)


def test_time_limits():
    """Check that an own limit set as ``terminated`` is a fault, and Gymnasium's TimeLimit is not."""
    assert "every episode terminates at step 50" in fixes(check_env("morl-test/Timed-v0"))["time limit"]
    limited = gymnasium.wrappers.TimeLimit(Sound(), 6)  # from 5 the edges are 4 and 5 steps away
    assert "terminated and truncated" not in fixes(check_env(gymnasium.wrappers.TimeLimit(Sound(), 4)))
    assert fixes(check_env(limited)) == {}
    assert fixes(check_env(lambda: Timed((False, True)))) == {}
    report = check_env(lambda: Timed((False, False)))
    assert report.passed()
    (note,) = [f for f in report.findings if f.subject == "time limit" and f.status == "note"]
    assert note.text == "no episode ended in 1000 steps; register it with max_episode_steps"


def test_what_the_registration_says():
    name = "morl-test/Sound-v0"
    gymnasium.register(name, entry_point=Sound, max_episode_steps=20)
    spec = EnvSpec(name, "", ("edge", "effort"), (5.0, -100.0))
    try:
        register_env(spec)
        report = check_env(name)
        assert report.passed()
        (note,) = [f for f in report.findings if f.subject == "reference point"]
        assert "on average, worse than [5.0, -100.0] in edge" in note.text
        registry._ENVS[name] = EnvSpec(name, "", ("a", "b", "c"), (0.0,) * 3)
        assert fixes(check_env(name))["registration"] == "names 3 objectives; the reward has 2"
    finally:
        registry._ENVS.pop(name, None)
        gymnasium.registry.pop(name)


@pytest.mark.parametrize(
    ("id", "subject", "text"),
    [
        ("four-room-v0", "global random state", "random was drawn from"),
        ("breakable-bottles-v0", "reward", "not a list"),
        ("fishwood-v0", "terminated and truncated", "are both set at step 200 of episode 1"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_known_faults_of_mo_gymnasium_are_found(id, subject, text):
    """Check MO-Gymnasium's environments without repairs, by id and by instance."""
    assert text in fixes(check_env(id, "host"))[subject]
    raw = gymnasium.make(id, disable_env_checker=True).unwrapped
    assert text in fixes(check_env(raw))[subject]


class State(NamedTuple):
    place: jax.Array


@dataclass(frozen=True)
class SoundJax:
    """Functional environment with the given fault, if any."""

    fault: str = ""

    id = "sound-v0"
    action_space = spaces.Discrete(2)
    reward_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    @property
    def max_episode_steps(self):
        return {"limit": 0, "own limit": 10, "endless": None}.get(self.fault, 20)

    @property
    def reference_point(self):
        if self.fault == "reference shape":
            return np.zeros(3)
        return np.array([500.0 if self.fault == "reference point" else -20.0, -20.0])

    @property
    def observation_space(self):
        high = {"far": 3, "endless": 1000}.get(self.fault, 100)
        return spaces.Box(-high, high, (1,), np.int32 if self.fault == "observation" else np.float32)

    @property
    def objectives(self):
        return (Objective("a"), Objective("a" if self.fault == "objectives" else "b"))

    @property
    def default_params(self):
        return {"name": "text"} if self.fault == "default_params" else jnp.float32(1.0)

    def reset(self, key, params):
        place = {"kind": jnp.int32(0), "weak": 0.0}.get(self.fault, jnp.float32(0.0))
        if self.fault == "random start":
            place = jax.random.uniform(key)
        state = (place,) if self.fault == "structure" else State(place)
        return state, jnp.asarray(place, jnp.float32)[None]

    def step(self, key, state, action, params):
        place = jnp.asarray(state[0], jnp.float32) + params
        if self.fault == "impure":
            COUNTER[0] += 1
            place = place + COUNTER[0]
        if self.fault == "frozen":  # Python sees it once where it is compiled
            place = place + len(COUNTER)
            COUNTER.append(0)
        if self.fault == "numpy":
            place = place + np.random.random()  # noqa: NPY002
        if self.fault == "self":
            object.__setattr__(self, "kept", place)
        if self.fault == "raises" and action > 0:  # a branch on a traced value
            place = -place
        if self.fault == "asks numpy":
            place = place + np.sin(place)
        if self.fault == "traced":  # not what Python does
            place = place + (1.0 if isinstance(place, jax.core.Tracer) else 0.0)
        noise = 0.5 if self.fault == "fixed" else jax.random.uniform(key)
        reward = jnp.stack([jnp.asarray(noise, jnp.float32), -action.astype(jnp.float32)])
        if self.fault == "reward":
            reward = reward[:1]
        if self.fault == "large":
            reward = reward + jnp.where(place > 5, 7.0, 0.0)
        if self.fault == "nan":
            reward = reward / jnp.where(place == 5, 0.0, 1.0)
        terminated = place > (1000 if self.fault == "endless" else 9)
        truncated = terminated if self.fault == "both" else jnp.bool_(False)
        if self.fault == "terminated":
            terminated = terminated.astype(jnp.float32)[None]
        info = [] if self.fault == "info" else {}
        result = State(place), place[None], reward, terminated, truncated, info
        return result[:5] if self.fault == "step" else result

    def true_front(self, gamma=1.0):
        return {"front": np.array([[1.0, 1.0], [0.0, 0.0]]), "columns": np.ones((2, 3))}.get(
            self.fault, np.array([[1.0, 0.0]])
        )


COUNTER = [0]


@pytest.mark.parametrize(
    ("fault", "subject", "text"),
    [
        ("objectives", "objectives", "must be 2 morl.envs.base.Objective of different names"),
        ("default_params", "default_params", "must be a pytree of arrays; it holds a str"),
        ("reference shape", "reference_point", "must be 2 finite numbers"),
        ("limit", "max_episode_steps", "must be None or an integer of at least 1, not 0"),
        (
            "observation",
            "observation of reset",
            "must be a JAX array of int32 and shape (1,), not float32 of shape (1,)",
        ),
        ("reward", "reward", "must be a JAX array of float32 and shape (2,), not float32 of shape (1,)"),
        ("terminated", "terminated", "must be a JAX array of bool and shape (), not bool of shape (1,)"),
        ("info", "info", "must be a dictionary, not a list"),
        ("step", "step", "must return (state, observation, reward, terminated, truncated, info)"),
        ("raises", "jit", "TracerBoolConversionError: "),
        ("asks numpy", "jit", "use jax.numpy in place of NumPy"),
        ("self", "jit", "reset or step sets self.kept: keep it in the state"),
        ("kind", "state", ".place is int32 of shape () after reset but float32 of shape () after step"),
        ("structure", "state", "has another structure after reset"),
        ("impure", "pure functions", "step gives another state called again than by itself"),
        ("frozen", "pure functions", "step gives another state called again than by itself"),
        ("numpy", "pure functions", "numpy.random was drawn from, which is frozen under jit"),
        ("traced", "pure functions", "step gives another state compiled than by itself"),
        ("far", "observations", "[4.0] after a step is not in Box"),
        ("large", "reward", "at step 6 of an episode is not in reward_space"),
        ("nan", "reward", "at step 5 of an episode is not in reward_space"),
        ("both", "terminated and truncated", "are both set at step 10 of an episode"),
        ("own limit", "time limit", "every episode terminates at step 10, its max_episode_steps"),
        ("front", "true_front", "1 of its 2 points are dominated by others"),
        ("columns", "true_front", "must return finite returns of shape (n, 2), not of (2, 3)"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_each_fault_of_a_functional_one_is_found(fault, subject, text):
    found = fixes(check_env(SoundJax(fault)))
    assert text in found[subject], found


def test_numbers_of_python_in_a_state_are_arrays():
    assert check_env(SoundJax("weak")).passed()


@pytest.mark.parametrize(
    ("fault", "subject", "text"),
    [
        ("", "randomness", "the start is fixed, the steps are random"),
        ("fixed", "randomness", "the start is fixed, the steps are not random"),
        ("random start", "randomness", "the start is random, the steps are random"),
        ("reference point", "reference point", "worse than [500.0, -20.0] in a: "),
        ("endless", "time limit", "no episode ended in 200 x 8 steps; give it max_episode_steps"),
    ],
)
def test_notes(fault, subject, text):
    report = check_env(SoundJax(fault))
    assert report.passed(), report
    (note,) = [f for f in report.findings if (f.status, f.subject) == ("note", subject)]
    assert text in note.text


def test_the_place_in_the_users_file_is_told():
    lines, first = inspect.getsourcelines(SoundJax.step)
    line = first + next(i for i, text in enumerate(lines) if "a branch on a traced value" in text)
    text = fixes(check_env(SoundJax("raises")))["jit"]
    assert f"test_check.py:{line}); use jnp.where or jax.lax.cond" in text


def test_attributes_that_are_missing_and_one_that_cannot_be_compiled_once():
    class Partial(SoundJax):
        reference_point = property()
        __hash__ = None

    assert fixes(check_env(Partial()))["reference_point"] == "is missing; see morl.envs.base.Environment"
    Partial.reference_point = SoundJax.reference_point
    assert "make it a dataclass(frozen=True)" in fixes(check_env(Partial()))["hash"]


def test_an_environment_that_is_not_what_it_is_registered_as():
    spec = EnvSpec("other-v0", "", ("a", "b"), (-20.0, -20.0), entry_point=f"{__name__}:SoundJax", max_episode_steps=20)
    try:
        register_env(spec)
        registry_text = fixes(check_env("other-v0"))["registration"]
    finally:
        registry._ENVS.pop("other-v0", None)
    assert registry_text == "id is 'sound-v0' in the environment but 'other-v0' in its EnvSpec"


def test_a_sound_functional_one_passes():
    assert fixes(check_env(SoundJax())) == {}


def test_what_cannot_be_checked():
    with pytest.raises(
        UserError, match="env must be an id, a functional environment, a Gymnasium environment or what makes"
    ):
        check_env(3)
    with pytest.raises(UserError, match="did you mean minecart-v0"):
        check_env("minecrat-v0")


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("deep-sea-treasure-v0", 0, "deep-sea-treasure-v0: nothing to fix"),
        ("fishwood-v0 --backend host", 1, "FIX   terminated and truncated: are both set at step 200"),
        ("CartPole-v1", 1, "FIX   reward_space: must be a gymnasium.spaces.Box of shape (R,) with R >= 2, not None"),
        ("deep-sea-treasure-v0 --seed -1", 2, "seed must be at least 0"),
        ("deep-sea-treasure-v0 --env-kwargs map concave", 0, "deep-sea-treasure-v0: nothing to fix"),
        ("deep-sea-treasure-v0 --env-kwargs maps concave", 2, "has no keyword 'maps'; allowed: map"),
        ("deep-sea-treasure-v0 --env-kwargs map convicted", 1, "FIX   made: "),
        ("tests.walks:JaxWalk --env-kwargs kind dent", 0, "tests.walks:JaxWalk: nothing to fix"),
        ("tests.walks:READY --env-kwargs kind dent", 2, "the tests.walks:READY given is made already"),
        ("tests.walks:RegisteredWalk-v0 --env-kwargs length 3 max_episode_steps 2", 0, "v0: nothing to fix"),
        ("tests.walks:RegisteredWalk-v0 --env-kwargs size 3", 2, "allowed: length, render_mode, max_episode_steps"),
        ("tests.walks:listed --env-kwargs lengths [3,4] names {'a':{'b':5}}", 0, "tests.walks:listed: nothing to fix"),
        ("", 2, "ID is missing: morl check-env ID"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_the_command(line, code, message, capsys):
    assert main(["check-env", *line.split()]) == code
    captured = capsys.readouterr()
    assert message in (captured.err if code == 2 else captured.out)
