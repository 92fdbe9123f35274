"""Environments of other suites under the contract, by a small suite of our own that is always there."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import morl
from morl.cli import main
from morl.envs.checks.check import check_env
from morl.errors import UserError
from morl.registry import SUITES, SuiteSpec, suite_of

NAMES = ["reward", "metrics.effort"]


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """Register the suite, and find its module and its functions by name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setitem(SUITES, "toy", SuiteSpec("toy", "numpy", "walks", "toy_suite"))


def test_ids_of_suites():
    assert suite_of("toy:walk") == (SUITES["toy"], "walk")
    assert suite_of("toy") is None
    assert suite_of("minecart-v0") is None
    assert suite_of("module:walk") is None


def test_named_numbers_are_the_rewards_and_the_episode_ends_once():
    env = morl.make("toy:walk", objectives=NAMES, far=2)
    assert [objective.name for objective in env.objectives] == NAMES
    assert env == morl.make("toy:walk", objectives=NAMES, far=2)  # compiled once
    assert env != morl.make("toy:walk", objectives=NAMES, far=3)
    assert env != morl.make("toy:walk", objectives=NAMES[::-1], far=2)
    key, params = jax.random.key(0), env.default_params
    state, obs = env.reset(key, params)
    rewards, flags = [], []
    for _ in range(3):
        before = dict(state)
        following, obs, reward, terminated, truncated, info = env.step(key, state, jnp.int32(1), params)
        assert state == before  # the suite's step changes a copy
        state = following
        rewards.append(np.asarray(reward).tolist())
        flags.append((bool(terminated), bool(truncated)))
    assert rewards == [[1.0, -1.0], [2.0, -1.0], [3.0, -1.0]]
    assert flags == [(False, False), (True, False), (True, False)]  # and goes on from there: nothing is reset
    np.testing.assert_array_equal(obs, [3.0])
    assert set(info) == {"reward", "metrics.right", "metrics.effort"}


def test_a_function_is_given_the_step_as_the_suite_sees_it():
    env = morl.make("toy:sprint", reward="toy_suite:places")
    assert [objective.name for objective in env.objectives] == [f"objective_{i}" for i in range(4)]
    key = jax.random.key(0)
    state, _ = env.reset(key, ())
    state, *_ = env.step(key, state, jnp.int32(1), ())
    _, _, reward, *_ = env.step(key, state, jnp.int32(0), ())
    np.testing.assert_array_equal(reward, [2, 0, -1, 0])
    named = morl.make("toy:sprint", reward=lambda *step: [step[3]["reward"], 1], objectives="a,b")
    assert [objective.name for objective in named.objectives] == ["a", "b"]
    np.testing.assert_array_equal(named.step(key, state, jnp.int32(1), ())[2], [4.0, 1.0])


@pytest.mark.parametrize(
    ("id", "kwargs", "message"),
    [
        ("toy:wlak", {}, r"unknown environment of toy 'wlak'; did you mean walk\? There are: sprint, walk"),
        ("toi:walk", {}, r"No module named 'toi'; did you mean toy\? Suites: .*toy"),
        ("toy:walk", {}, "give --objectives, two or more of metrics.effort, metrics.right, reward; or a reward func"),
        ("toy:walk", {"objectives": ["reward", "effort"]}, r"unknown objective of toy:walk 'effort'; did you mean met"),
        ("toy:walk", {"objectives": ["reward"]}, "objectives must be two or more different names"),
        ("toy:walk", {"objectives": ["reward", "map"]}, "unknown objective of toy:walk 'map'"),
        ("toy:walk", {"reward": "toy_suite:one"}, r"two or more numbers, shape \(R,\), not an array of shape \(\)"),
        ("toy:walk", {"reward": "toy_suite:matrix"}, r"not an array of shape \(2, 2\)"),
        ("toy:walk", {"reward": "toy_suite:nested"}, "not numbers that are arrays"),
        ("toy:walk", {"reward": "toy_suite:broken"}, "the reward function raised KeyError: 'nothing'"),
        ("toy:walk", {"reward": "toy_suite:plcaes"}, r"unknown function of toy_suite 'plcaes'; did you mean places"),
        ("toy:walk", {"reward": "places"}, "reward must be module:function, not 'places'"),
        ("toy:walk", {"reward": 7}, "reward must be module:function or a function, not 7"),
        (
            "toy:walk",
            {"reward": "toy_suite:places", "objectives": ["a", "b"]},
            "the reward function returns 4 numbers; objectives are a, b",
        ),
        ("toy:walk", {"objectives": NAMES, "colour": "red"}, "cannot be made with {'colour': 'red'}: TypeError"),
        ("toy:walk", {"backend": "host"}, "'toy:walk' is compiled with JAX; allowed backend: jax"),
    ],
)
def test_mistakes(id, kwargs, message):
    with pytest.raises(UserError, match=message) as error:
        morl.make(id, **kwargs)
    assert "\n" not in str(error.value)


def test_a_suite_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(SUITES, "toy", SuiteSpec("toy", "nobody_has_it", "walks", "toy_suite"))
    with pytest.raises(UserError, match=r"an environment of toy needs the 'toy' extra: pip install 'morlax\[toy\]'"):
        morl.make("toy:walk")


def test_the_contract_is_kept_and_a_reference_point_asked_for(capsys):
    report = check_env("toy:walk", env_kwargs={"objectives": NAMES})
    assert report.passed(), report
    assert "none: a training needs --reference-point; random actions return [" in str(report)
    train = ["train", "ppo", "--env", "toy:walk", "--objectives", ",".join(NAMES)]
    assert main(train) == 2
    assert "toy:walk has no reference point of its own; give --reference-point" in capsys.readouterr().err


def test_the_command_line_trains_and_what_it_wrote_is_read(tmp_path, capsys):
    out = tmp_path / "run"
    sizes = ["--steps", "512", "--num-policies", "2", "--num-envs", "4", "--rollout-steps", "16", "--hidden", "8"]
    ends = ["--evaluations", "1", "--eval-episodes", "2", "--final-episodes", "2", "--out", str(out)]
    flags = ["--env", "toy:walk", "--objectives", "reward,metrics.effort", "--reference-point", "-99", "-30"]
    assert main(["train", "ppo", *flags, *sizes, *ends]) == 0
    assert (out / "front.csv").read_text().splitlines()[0].count("metrics.effort") >= 1
    run = morl.load(out)
    assert run.config["env_kwargs"] == {"objectives": NAMES}
    assert run.front.objectives == tuple(NAMES)
    assert main(["evaluate", str(out), "--episodes", "2"]) == 0
    assert main(["front", str(out)]) == 0
    assert "metrics.effort" in capsys.readouterr().out
    assert main(["envs", "toy"]) == 0
    assert capsys.readouterr().out.splitlines() == ["toy:sprint", "toy:walk"]
    assert main(["envs"]) == 0
    assert "toy:NAME" in capsys.readouterr().out
    assert main(["envs", "toi"]) == 2
    assert "unknown suite 'toi'; did you mean toy?" in capsys.readouterr().err
