"""``morl new`` writes packages whose own tests pass."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from morl.cli import main

ROOT = Path(__file__).parents[2]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
CASES = {
    "my-env": ["my_env/__init__.py", "my_env/environment.py"],
    "my-agent": ["my_agent/__init__.py", "my_agent/agent.py", "my_agent/config.py"],
}


def run(folder, *command):
    env = {**os.environ, "PYTHONPATH": str(folder), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def written(name, folder, monkeypatch):
    """Write a package into a folder, and return its own."""
    monkeypatch.chdir(folder)
    assert main(["new", name]) == 0
    return folder / name


@pytest.mark.parametrize("name", CASES)
def test_its_files(name, tmp_path, monkeypatch, capsys):
    folder = written(name, tmp_path, monkeypatch)
    package = name.replace("-", "_")
    files = ["README.md", *CASES[name], "pyproject.toml", f"tests/test_{package}.py"]
    told = capsys.readouterr().out.splitlines()
    assert told == [*(f"{name}/{file}" for file in files), f"next: cd {name} && python -m pytest"]
    texts = [(folder / file).read_text() for file in files]
    assert [text for text in texts if "$" in text or "template" in text] == []
    rules = ["--config", str(ROOT / "pyproject.toml"), "--ignore", "S101,D103,I001"]
    run(folder, sys.executable, "-m", "ruff", "check", *rules, ".")
    quick = {"my-env": "by_hand", "my-agent": "cannot_do"}[name]
    assert "1 passed" in run(folder, *PYTEST, "-k", quick)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_its_own_tests_pass_and_the_commands_know_it(name, tmp_path, monkeypatch):
    folder = written(name, tmp_path, monkeypatch)
    run(folder, *PYTEST)
    if name == "my-env":
        assert "nothing to fix" in run(folder, sys.executable, "-m", "morl", "check-env", "my_env:my-env-v0")
    else:
        assert "--learning-rate" in run(folder, sys.executable, "-m", "morl", "train", "my_agent:my-agent", "--help")


def test_another_name_takes_a_kind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "wind-farm", "--kind", "env"]) == 0
    assert 'id="wind-farm-v0"' in (tmp_path / "wind-farm" / "wind_farm" / "__init__.py").read_text()
    assert "class WindFarm:" in (tmp_path / "wind-farm" / "wind_farm" / "environment.py").read_text()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["there-env"], "there-env exists already; choose another name, or remove it"),
        (["My_Env"], "the name must be lower-case letters, digits and hyphens, such as my-env, not 'My_Env'"),
        (["../my-env"], "the name must be lower-case letters"),
        (["wind-farm"], "'wind-farm' ends neither in -env nor in -agent: give --kind env or --kind agent"),
        (["class", "--kind", "env"], "the name must not be a word or a module of Python, as 'class' is"),
        (["numpy", "--kind", "env"], "there is a module 'numpy' here already"),
        (["my-env", "--kind", "metric"], "--kind"),
    ],
)
def test_mistakes_are_one_line(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there-env").mkdir()
    assert main(["new", *args]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there-env"]
    assert list((tmp_path / "there-env").iterdir()) == []
