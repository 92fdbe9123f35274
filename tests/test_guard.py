"""A user's code raises whatever it likes: one line says whose it was, in which method and step."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import morl
import tests.tiny
from morl import registry
from morl.cli import main
from morl.envs.checks.check import check_env
from morl.errors import UserCodeError, UserError, closing, user_code, whole_traceback
from morl.guard import constructed, guarded
from morl.settings import TrainSettings
from tests.probes import Probe
from tests.tiny import Tiny, TinyConfig, Wanderer


class Odd(BaseException):
    """An error that is no Exception."""


ERRORS = (ValueError("bad"), KeyError("bad"), SystemExit(0), Odd("bad"), AttributeError("bad"), StopIteration())


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_whatever_is_raised_becomes_one_line(error):
    told = rf"^x-v0: step 3 raised {type(error).__name__}: .*test_guard"
    with pytest.raises(UserCodeError, match=told) as caught, user_code("x-v0", "step 3"):
        raise error
    assert str(caught.value).count("\n") == 0
    assert "in test_whatever_is_raised" in whole_traceback(caught.value)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("known")], ids=repr)
def test_ctrl_c_and_what_is_one_line_already_pass(error):
    with pytest.raises(type(error)) as caught, user_code("x-v0", "step"):
        raise error
    assert caught.value is error


def test_what_a_block_raises_is_not_hidden_by_closing():
    def fails():
        raise UserError("in closing")

    with pytest.raises(ZeroDivisionError), closing(SimpleNamespace(close=fails)):
        1 / 0  # noqa: B018
    with pytest.raises(UserError, match="in closing"), closing(SimpleNamespace(close=fails)):
        pass


class Mine:
    """An object of a user."""

    number = 3

    def method(self, x):
        return x + self.number

    def fails(self):
        raise ZeroDivisionError("by me")

    @property
    def broken(self):
        return self.nothing

    @property
    def part(self):
        return Mine()


class TestGuarded:
    @pytest.fixture
    def mine(self):
        return guarded(Mine(), "mine", "look at it", parts=("part",))

    def test_it_stands_for_the_object(self, mine):
        target = Mine()
        one, two = guarded(target, "mine"), guarded(target, "mine")
        assert one == two == target
        assert hash(one) == hash(target)
        assert isinstance(one, Mine)
        assert (one.number, one.method(1)) == (3, 4)
        assert one.method is one.method  # or JAX would compile it again
        assert not hasattr(one, "nothing")
        one.number = 5
        assert target.number == 5
        assert copy.copy(one).method(1) == 6

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda mine: mine.fails(), r"mine: fails raised ZeroDivisionError: by me \(.*\); look at it"),
            (lambda mine: mine.part.fails(), "mine: fails raised ZeroDivisionError: by me"),
            (lambda mine: mine.broken, "mine: broken raised AttributeError: 'Mine' object has no attribute 'nothing'"),
            (lambda mine: mine.method(), "mine: method raised TypeError"),
        ],
    )
    def test_it_names_what_failed(self, call, message, mine):
        with pytest.raises(UserCodeError, match=message):
            call(mine)

    def test_what_is_ours_is_left_as_it_is(self):
        env = morl.make("deep-sea-treasure-v0")
        assert guarded(env, "x") is env
        assert guarded(None, "x") is None

    def test_a_constructor(self):
        with pytest.raises(UserCodeError, match="mine: its constructor raised SystemExit: no licence"):
            constructed(lambda: (_ for _ in ()).throw(SystemExit("no licence")), "mine")


BROKEN = RuntimeError("broken")


class Faulty(gymnasium.Env):
    """Five steps; fails in one place."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)
    reward_space = spaces.Box(-1, 1, (2,), np.float32)
    made = 0

    def __init__(self, place="", error=BROKEN, render_mode=None):
        self.place, self.error, self.render_mode, self.steps = place, error, render_mode, None
        Faulty.made += 1
        self.at("constructor", Faulty.made > 1)  # the first one tells the spaces

    def at(self, place, now=True):
        if self.place == place and now:
            raise self.error

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at("reset")
        self.at("auto-reset", self.steps is not None)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        self.at("step", self.steps == 3)
        return np.zeros(2, np.float32), np.zeros(2, np.float32), False, self.steps == 5, {}

    def render(self):
        self.at("render")
        return np.zeros((2, 2, 3), np.uint8)

    def close(self):
        self.at("close", self.steps is not None)


class Seedless(Faulty):
    def reset(self):
        return super().reset()


gymnasium.register("morl-test/Faulty-v0", Faulty)
gymnasium.register("morl-test/Seedless-v0", Seedless)


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(0)], ids=repr)
@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("constructor", "its constructor"),
        ("reset", "reset"),
        ("auto-reset", "reset"),
        ("step", "step 3 of an episode"),
        ("close", "close"),
    ],
)
def test_every_method_of_a_host_environment(place, told, error, monkeypatch):
    monkeypatch.setattr(Faulty, "made", 0)

    def run():
        envs = morl.make("morl-test/Faulty-v0", place=place, error=error).make_vector(2)
        envs.reset(seed=0)
        for _ in range(6):
            envs.step([0, 0])
        envs.close()

    with pytest.raises(UserCodeError, match=rf"^morl-test/Faulty-v0: {told} raised {type(error).__name__}"):
        run()


def test_an_environment_without_a_seed_is_told_what_reset_takes():
    with pytest.raises(
        UserCodeError, match=r"argument 'seed'.*allowed: def reset\(self, \*, seed=None, options=None\)"
    ):
        morl.make("morl-test/Seedless-v0")


def test_all_environments_are_closed_where_one_raises():
    closed = []
    envs = morl.make("morl-test/Faulty-v0").make_vector(3)
    for i, env in enumerate(envs._envs.envs):
        env.unwrapped.at = lambda place, now=True, i=i: closed.append(i) or (i == 0 and place == "close" and 1 / 0)
    with pytest.raises(UserCodeError, match="close raised ZeroDivisionError"):
        envs.close()
    assert closed == [0, 1, 2]
    envs.close()
    assert closed == [0, 1, 2]


def test_vector_environments_of_others():
    def fails(*args, **kwargs):
        raise SystemExit("gone")

    envs = morl.make("morl-test/Faulty-v0").make_vector(2)
    envs._envs = SimpleNamespace(reset=fails, step=fails, close=fails)
    for call in (envs.reset, envs.close):
        with pytest.raises(UserCodeError, match=rf"^morl-test/Faulty-v0: {call.__name__} raised SystemExit: gone"):
            call()


@pytest.mark.parametrize("place", ["reset", "step", "close"])
def test_check_env_tells_what_to_fix(place):
    report = check_env(lambda: Faulty(place, SystemExit(0)))
    assert not report.passed()
    assert any("raised SystemExit" in finding.text for finding in report.findings if finding.status == "fix")


class Stuck(Probe):
    """A probe whose step cannot be traced."""

    def step(self, key, state, action, params):
        return {}[0]


def test_an_environment_in_jax_is_named_with_its_method():
    env = guarded(Stuck("choice"), "stuck-v0", "advice")
    with pytest.raises(UserCodeError, match=r"stuck-v0: step raised KeyError: 0 \(.*test_guard.py:\d+\); advice"):
        env.step(None, None, None, None)


class Leaving(Wanderer):
    def update(self, state, batch, key):
        raise SystemExit(0)


class LeavingAgent(Tiny):
    @property
    def learner(self):
        inner = super().learner
        return Leaving(inner.observations, inner.actions, inner.num_objectives, inner.step)


LEAVING = registry.AgentSpec("leaving", "of tests", "tests.test_guard:LeavingAgent", "tests.tiny:TinyConfig")
SMALL = {"steps": 128, "evaluations": 1, "eval_episodes": 1, "final_episodes": 1, "reference_point": (-9.0, -9.0)}


def test_an_agent_that_ends_the_process_is_named_and_its_traceback_logged(tmp_path):
    settings = TrainSettings(env="fruit-tree-v0", env_kwargs={"depth": 5}, out=tmp_path / "x", steps=640)
    with pytest.raises(UserCodeError, match=r"agent leaving: update raised SystemExit: 0"):
        morl.train("tests.test_guard:LEAVING", settings)
    assert "in update\n    raise SystemExit(0)" in (tmp_path / "x" / "log.txt").read_text()


class Shapeless(Wanderer):
    def init(self, key):
        return {}


class ShapelessAgent(Tiny):
    @property
    def learner(self):
        inner = super().learner
        return Shapeless(inner.observations, inner.actions, inner.num_objectives, inner.step)


SHAPELESS = registry.AgentSpec("shapeless", "of tests", "tests.test_guard:ShapelessAgent", "tests.tiny:TinyConfig")


def test_an_agent_that_breaks_its_contract_is_named_and_its_traceback_logged(tmp_path):
    settings = TrainSettings(env="fruit-tree-v0", env_kwargs={"depth": 5}, out=tmp_path / "x", steps=640)
    with pytest.raises(UserCodeError, match=r"agent shapeless: a training raised \w+: .*; see morl\.types\.Agent"):
        morl.train("tests.test_guard:SHAPELESS", settings)
    assert "Traceback (most recent call last)" in (tmp_path / "x" / "log.txt").read_text()


@dataclass(frozen=True)
class Picky:
    """Settings whose checks raise what they like."""

    size: int = 3

    def __post_init__(self):
        if self.size != 3:
            raise {1: KeyError("size"), 2: SystemExit(0), 4: Odd("bad"), 5: ValueError("size must be 3")}[self.size]


PICKY = registry.AgentSpec("picky", "of tests", "tests.tiny:Tiny", "tests.test_guard:Picky")


@pytest.mark.parametrize(("size", "name"), [(1, "KeyError"), (2, "SystemExit"), (4, "Odd"), (5, "ValueError")])
def test_settings_of_an_agent_that_raise_are_one_line_everywhere(size, name, tmp_path, monkeypatch, capsys):
    agent, told = "tests.test_guard:PICKY", f"settings Picky: its constructor raised {name}: "
    with pytest.raises(UserCodeError, match=told):
        morl.train(agent, "fruit-tree-v0", size=size, out=tmp_path / "x")
    with pytest.raises(UserCodeError, match=told):
        morl.train(agent, "fruit-tree-v0", Picky(), size=size, out=tmp_path / "x")
    (tmp_path / "settings.yaml").write_text(f"size: {size}")
    flags = ["--env", "fruit-tree-v0", "--out", str(tmp_path / "x")]
    for more in (["--size", str(size)], ["--config", str(tmp_path / "settings.yaml")]):
        for command in ("train", "tune"):
            if command == "tune" and "--config" in more:
                continue
            assert main([command, agent, *flags, *more]) == 2
            err = capsys.readouterr().err
            assert err.count("\n") == 1
            assert ("size must be 3" if size == 5 else told) in err
    monkeypatch.setattr(Picky, "__post_init__", lambda self: 1 / 0)  # the defaults
    with pytest.raises(UserCodeError, match="settings Picky: its constructor raised ZeroDivisionError"):
        morl.train(agent, "fruit-tree-v0", out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


@dataclass(frozen=True)
class Unwritable:
    """Settings with a value that no YAML holds."""

    how: Callable[[float], float] = abs


@dataclass(frozen=True)
class Late:
    """Settings whose default raises."""

    size: int = field(default_factory=lambda: 1 // 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"config": "Unwritable"},
            "settings Unwritable: how is a builtin_function_or_method, which config.yaml cannot",
        ),
        ({"config": "Late"}, "settings Late: its constructor raised ZeroDivisionError"),
        ({"config": "Mine"}, "'tests.test_guard:Mine' must name a dataclass of settings"),
        ({"settings": "Mine"}, "'tests.test_guard:Mine' must name a dataclass of settings"),
        ({"solution_set": "Mine"}, "agent odd: its solution set tests.test_guard:Mine has no kind; see"),
        ({"space": "Mine"}, "agent odd: tests.test_guard:Mine must be a mapping of settings to their domains"),
    ],
)
def test_registrations_of_an_agent_that_name_something_else(changes, message, tmp_path, monkeypatch, capsys):
    spec = registry.AgentSpec("odd", "of tests", "tests.tiny:Tiny", "tests.tiny:TinyConfig")
    spec = replace(spec, **{name: f"tests.test_guard:{value}" for name, value in changes.items()})
    monkeypatch.setitem(registry._AGENTS, "odd", spec)
    command = "tune" if "space" in changes else "train"
    assert main([command, "odd", "--env", "fruit-tree-v0", "--out", str(tmp_path / "x")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    if command == "train":
        with pytest.raises(UserError, match=re.escape(message)):
            morl.train("odd", "fruit-tree-v0", out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_what_makes_an_environment_may_leave_the_process():
    def leave(*args):
        raise SystemExit(0)

    with pytest.raises(UserCodeError, match=r"^leave cannot make an environment: SystemExit: 0 \(.*test_guard.py"):
        morl.train("ppo", leave)
    with pytest.raises(UserCodeError, match=r"^Shut: default_params raised SystemExit: 0"):
        morl.train("ppo", type("Shut", (), {"default_params": property(leave)})())
    shut = type("Shut", (Faulty,), {"__deepcopy__": leave, "__reduce__": leave})
    with pytest.raises(UserCodeError, match=r"^Shut cannot be copied: SystemExit: 0"):
        morl.train("ppo", shut(), **SMALL)


def test_a_close_that_raises_at_the_end_leaves_the_front(tmp_path, monkeypatch):
    monkeypatch.setitem(registry._AGENTS, "tiny", tests.tiny.SPEC)
    path = tmp_path / "x"
    settings = TrainSettings(env="morl-test/Faulty-v0", out=path, **SMALL)
    monkeypatch.setattr(Faulty, "close", lambda self: 1 / 0 if self.steps not in (None, 0) else None)
    with pytest.raises(UserCodeError, match=r"close raised ZeroDivisionError.*; the training has ended, and its"):
        morl.train("tiny", settings, TinyConfig(rounds=0))
    assert morl.load(path).finished
    log = (path / "log.txt").read_text()
    assert "Traceback (most recent call last)" in log
    assert "ZeroDivisionError: division by zero" in log


def test_verbose_prints_the_whole_traceback(tmp_path, monkeypatch, capsys):
    (tmp_path / "leaves_at_once.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    line = ["check-env", "leaves_at_once:x-v0"]
    assert main(line) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "cannot import module 'leaves_at_once'" in err
    assert main([*line, "--verbose"]) == 2
    told = capsys.readouterr().err
    assert told.endswith(err)
    assert "sys.exit(0)" in told
