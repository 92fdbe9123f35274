"""The examples of a user's own environment, agent and metric do what they say, run as a user runs them."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import morl
from morl import registry

EXAMPLES = Path(__file__).parents[2] / "examples"
PACKAGES = ("jax_env_package", "own_agent", "own_metric")
MORL = str(Path(sys.executable).with_name("morl"))
FAST = [
    *["--steps", "4096", "--num-policies", "4", "--num-envs", "8", "--rollout-steps", "16", "--hidden", "16"],
    *["--evaluations", "2", "--eval-episodes", "2", "--final-episodes", "2"],
]


def run(*command, cwd, path=None, text=None):
    """Standard output of a command given a text; ``path`` holds packages besides those that are installed."""
    before = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}
    if path:
        env["PYTHONPATH"] = os.pathsep.join([str(path), *before])
    done = subprocess.run(
        command, cwd=cwd, env=env, input=text, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


EVERY = """
import sys
from morl.cli import main
for line in sys.stdin.read().splitlines():
    print("#", line, flush=True)
    try:
        code = main(line.split())
    except SystemExit as stop:  # of --help
        code = stop.code
    assert code == 0, line
"""


def run_all(lines, *, cwd, path=None):
    """Return the standard output of each of several morl commands, run in one process, which is started once.

    Like the console script it does not have the working directory on its path.
    """
    told = run(sys.executable, "-P", "-c", EVERY, cwd=cwd, path=path, text="\n".join(lines))
    parts = re.split(r"^# (.*)$", told, flags=re.M)[1:]
    assert parts[::2] == lines
    return parts[1::2]


@pytest.mark.parametrize(
    ("folder", "id", "flags", "objectives"),
    [
        (
            "gymnasium_env",
            "thermostat:Thermostat-v0",
            ["--reference-point", "-1000", "-150"],
            "objective_0,objective_1",
        ),
        pytest.param("scalar_with_info", "shop:Shop-v0", [], "profit,holding", marks=pytest.mark.slow),
    ],
)
def test_a_module_is_checked_and_trained_on_from_its_folder(folder, id, flags, objectives, tmp_path):
    out = tmp_path / "run"
    train = ["train", "cmorl", "--env", id, "--out", str(out), *flags, *FAST]
    checked, _, front = run_all([f"check-env {id}", " ".join(train), f"front {out} --csv"], cwd=EXAMPLES / folder)
    assert "FIX" not in checked
    assert objectives in front


@pytest.fixture(scope="module", autouse=True)
def registrations():
    """Forget what the examples register in this process, for the tests that list environments."""
    before = [dict(known) for known in (registry._ENVS, gymnasium.registry)]
    yield
    for known, then in zip((registry._ENVS, gymnasium.registry), before, strict=True):
        for id in known.keys() - then.keys():
            del known[id]
    for name in ("home_battery", "shop", "thermostat"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder with the examples' packages as pip installs them: an environment, an agent and a metric."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    packages = [shutil.copytree(EXAMPLES / name, source / name) for name in PACKAGES]
    tools = tmp_path_factory.mktemp("tools")  # of all builds; by itself pip fetches them for each
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "--target"]
    run(*pip, str(tools), "setuptools>=77,<84", cwd=tools)
    run(*pip, str(target), "--no-build-isolation", *map(str, packages), cwd=target, path=tools)
    return target


def test_the_installed_package_is_listed_and_works_by_its_id(installed, tmp_path):
    out = tmp_path / "run"
    train = ["train", "cmorl", "--env", "home-battery-v0", "--out", str(out), *FAST]
    lines = ["envs", "check-env home-battery-v0", " ".join(train)]
    listed, report, _ = run_all(lines, cwd=tmp_path, path=installed)
    assert re.search(r"^home-battery-v0 +jax +money, wear +-20 -200 +buy power cheap", listed, re.M)
    assert "FIX" not in report
    assert "reference point: random" not in report
    assert "money,wear" in (out / "front.csv").read_text()


OWN_AGENT = EXAMPLES / "own_agent"
LITTLE = ["--env", "deep-sea-treasure-v0", "--steps", "8192", "--evaluations", "2", "--eval-episodes", "2"]


@pytest.fixture(scope="module")
def reinforce_run(tmp_path_factory):
    """A run of the agent of a module in the working directory."""
    out = tmp_path_factory.mktemp("runs") / "reinforce"
    flags = [*LITTLE, "--final-episodes", "2", "--out", str(out)]
    told = run(MORL, "train", "reinforce:reinforce", *flags, cwd=OWN_AGENT)
    assert f"front: {out / 'front.csv'}" in told
    return out


def test_every_command_works_on_a_run_of_an_own_agent(reinforce_run, tmp_path):
    """Run the commands in other processes, which know the agent only by what the run has written down."""
    run_path, out = str(reinforce_run), tmp_path
    assert "agent: reinforce:reinforce\n" in (reinforce_run / "config.yaml").read_text()
    lines = {
        f"front {run_path}": r"discounted returns, mean",
        f"evaluate {run_path} --episodes 2": r"mean ± standard error of 2 greedy episodes",
        f"rollout {run_path} --preference 0.5 0.5": r"episode  treasure +time",
        f"compare {run_path}": r"reinforce:reinforce",
        f"report {run_path} --out {out}/report.html": r"report: ",
        f"train --resume {run_path}": r"front: ",
        "train reinforce:SPEC --help": r"Step size of the gradient\. \(default: 0\.3\)",
        "tune --show-space reinforce:reinforce": r"learning_rate +0\.3 +0\.01 to 1, logarithmic",
    }
    if importlib.util.find_spec("torch"):
        lines[f"export {run_path} --policy 0 --out {out}/policy.pt2"] = r"largest difference"
    for line, part in zip(lines, run_all(list(lines), cwd=OWN_AGENT), strict=True):
        assert re.search(lines[line], part), (line, part)


@pytest.mark.slow
def test_an_own_agent_is_tuned(tmp_path):
    pytest.importorskip("ray")
    pytest.importorskip("optuna")
    study = tmp_path / "[1]*" / "study"  # a pattern to what reads its path as one
    flags = [*LITTLE, "--num-seeds", "1", "--final-episodes", "2", "--num-samples", "2", "--scheduler", "none"]
    told = run(MORL, "tune", "reinforce:reinforce", *flags, "--held-out-seeds", "0", "--out", str(study), cwd=OWN_AGENT)
    assert "2 trials: 2 finished" in told
    assert "agent: reinforce:reinforce" in (study / "best.yaml").read_text()
    trial = study / "trials" / "00001"
    again, evaluated = run_all([f"tune --resume {study}", f"evaluate {trial} --episodes 2"], cwd=OWN_AGENT)
    assert "2 trials: 2 finished" in again
    assert "mean ± standard error of 2 greedy episodes" in evaluated  # its policies act


def test_the_installed_agent_is_listed_and_works_by_its_name(installed, tmp_path):
    out = tmp_path / "run"
    train = ["train", "reinforce", *LITTLE, "--final-episodes", "2", "--out", str(out)]
    listed, _, front = run_all(["agents", " ".join(train), f"front {out}"], cwd=tmp_path, path=installed)
    assert "reinforce  REINFORCE with linear policies" in listed
    assert "agent: reinforce\n" in (out / "config.yaml").read_text()
    assert "treasure" in front


def test_the_installed_metric_is_measured_by_every_command(reinforce_run, installed, tmp_path):
    """Worst-case utility, of a package: evaluate and report it, and compare by it."""
    out = str(reinforce_run)
    lines = [f"evaluate {out} --episodes 2", f"compare {out} --json", f"report {out} --out {tmp_path}/report.html"]
    evaluated_as, compared_as, _ = run_all(lines, cwd=OWN_AGENT, path=installed)
    header, row = re.search(r"^(seed +HV.*)\n +(0 .*)$", evaluated_as, re.M).groups()
    evaluated = dict(zip(header.split(), row.replace("≈ ", "").split(), strict=True))
    assert "WCU: worst-case utility" in evaluated_as
    compared = json.loads(compared_as)
    assert compared["fronts"][0]["worst_case_utility"] == pytest.approx(float(evaluated["WCU"]), rel=1e-4)
    assert "worst_case_utility" in {mean["metric"] for mean in compared["interquartile_means"]}
    assert '"worst_case_utility":' in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_an_own_agent_from_python(tmp_path):
    shutil.copytree(OWN_AGENT, tmp_path / "here")
    assert "preference [1. 0.]: treasure" in run(sys.executable, "train.py", cwd=tmp_path / "here")


def test_the_package_in_gymnasiums_registry(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "jax_env_package")
    assert morl.make("home_battery:home-battery-v0").id == "home-battery-v0"
    env = gymnasium.make("home_battery:morl/home-battery-v0")
    env.reset(seed=0)
    step = env.step(np.array([0.5], np.float32))
    assert (step[1].shape, env.spec.max_episode_steps) == ((2,), 96)
    envs = gymnasium.make_vec("home_battery:morl/home-battery-v0", num_envs=3)
    envs.reset(seed=0)
    assert envs.step(np.zeros((3, 1), np.float32))[1].shape == (3, 2)


def test_what_is_charged_is_paid_for(monkeypatch):
    """Check by hand that 4 kWh into an empty battery cost 4 / 0.9 of the price, and come back at the price."""
    import jax
    import jax.numpy as jnp

    monkeypatch.syspath_prepend(EXAMPLES / "jax_env_package")
    env = morl.make("home_battery:home-battery-v0")
    params = env.default_params
    state, _ = env.reset(jax.random.key(0), params)
    state = state._replace(charge=jnp.float32(0.0), price=jnp.float32(0.5))
    state, _, reward, *_ = env.step(jax.random.key(1), state, jnp.array([1.0]), params)
    np.testing.assert_allclose(reward, [-0.5 * 4 / 0.9, -4.0], rtol=1e-6)
    state = state._replace(price=jnp.float32(0.3))
    state, _, reward, *_ = env.step(jax.random.key(2), state, jnp.array([-1.0]), params)
    np.testing.assert_allclose(reward, [0.3 * 4, -4.0], rtol=1e-6)
    assert state.charge == 0


def test_directly_as_gymnasium_environments(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "gymnasium_env")
    env = gymnasium.make("thermostat:Thermostat-v0")
    env.reset(seed=3)
    reward, truncated = np.zeros(2), False
    while not truncated:
        _, step_reward, terminated, truncated, _ = env.step(2)
        assert not terminated
        reward += step_reward
    assert reward[1] == -96.0  # 4 kW for a day

    monkeypatch.syspath_prepend(EXAMPLES / "scalar_with_info")
    shop = gymnasium.make("shop:Shop-v0")
    shop.reset(seed=3)
    for _ in range(30):
        _, vector, _, truncated, info = shop.step(2)
        assert info["scalar_reward"] == pytest.approx(vector.sum(), abs=1e-4)
        assert shop.get_wrapper_attr("reward_space").contains(vector)
    assert truncated


@pytest.mark.parametrize(
    ("script", "flags", "said"),
    [
        ("candidate_sequences.py", ["--objects", "20000"], r"all three: 8 candidates, on average \d\.\d edits apart"),
        pytest.param(
            "office_tariffs.py",
            ["--quick", "--tariffs", "solar"],
            r"no policy is comfortable 85% of the time|the cheapest that is comfortable 85%",
            marks=pytest.mark.slow,  # a minute of compilation and training
        ),
        pytest.param(
            "offloading_users.py",
            ["--quick"],
            r"the two send \d+% to different servers",
            marks=pytest.mark.slow,  # a minute of compilation
        ),
    ],
)
def test_examples_solve_something(script, flags, said, tmp_path):
    """Run each example at a small scale, with little training, and check what it prints and writes."""
    out = tmp_path / "runs"
    printed = run(sys.executable, str(EXAMPLES / script), *flags, "--out", str(out), cwd=tmp_path, path=EXAMPLES.parent)
    assert re.search(said, printed), printed
    assert list(out.rglob("front.csv"))


@pytest.mark.slow  # half a minute of compilation
def test_the_example_of_the_suite_chooses_a_rule(tmp_path):
    script = str(EXAMPLES / "offloading_suite.py")
    printed = run(sys.executable, script, "--quick", "--energy", "1", cwd=tmp_path, path=EXAMPLES.parent)
    assert re.search(r"greedy +3 on its front", printed), printed
    chosen = re.search(r"at most 1\.00 J: greedy, ([\d.]+) s and ([\d.]+) J an episode", printed)
    assert chosen is not None, printed
    assert float(chosen[2]) <= 1.0


def test_a_choice_of_the_examples_is_the_best_within_its_limit(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    from types import SimpleNamespace

    import office_tariffs
    import offloading_suite
    import offloading_users

    rules = np.array([[9.0, 1.0], [5.0, 2.0], [1.0, 3.0]])
    assert offloading_suite.within(rules, 2.5) == 1
    assert offloading_suite.within(rules, 0.5) is None
    days = [
        office_tariffs.Day(str(i), *numbers, 0.0) for i, numbers in enumerate([(0.9, 30.0), (0.86, 20.0), (0.5, 1)])
    ]
    assert office_tariffs.choose(days, 0.85) == days[1]
    assert office_tariffs.choose(days, 0.95) is None
    front = SimpleNamespace(undiscounted=np.array([[-1.0, -9.0], [-2.0, -5.0], [-4.0, -3.0]]))
    assert offloading_users.least(front, offloading_users.ENERGY, 5.0) == 1
    assert offloading_users.least(front, offloading_users.DELAY, 3.0) == 1
    assert offloading_users.limit(front, offloading_users.ENERGY, 0.5) == 6.0
    with pytest.raises(ValueError, match="the least is 3"):
        offloading_users.least(front, offloading_users.ENERGY, 2.0)


def test_what_the_office_costs():
    """Check by hand: one zone of 23 is heated at half power in the first hour of a day, and too warm by its end."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import office_tariffs
    finally:
        sys.path.remove(str(EXAMPLES))
    observations = np.full((1, 25, 24), 22.0)
    observations[..., -1] = 1.0
    observations[0, 0, -1] = 0.5
    observations[0, 1, 0] = 26.0
    actions = np.zeros((1, 24, 23))
    actions[0, 0, 0] = 0.5
    day = office_tariffs.measure("x", observations, actions, (0.2,) * 24)
    assert day.comfortable == pytest.approx(1 - 1 / (24 * 23))
    assert (day.kilowatt_hours, day.euros) == (pytest.approx(4.0), pytest.approx(0.4))
