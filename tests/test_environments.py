"""Environments by name: the registry, entry points, modules, and errors."""

import contextlib
import os
import subprocess
import sys

import gymnasium
import pytest

import morl
from morl import registry
from morl.cli import main
from morl.envs.classic.deep_sea_treasure import DeepSeaTreasure
from morl.envs.classic.minecart import Minecart
from morl.envs.gymnasium.from_gymnasium import HostEnvironment
from morl.errors import UserError, blame


def test_names_give_the_jax_native_one_first():
    assert morl.make("minecart-v0") == Minecart()
    assert morl.make("minecart-deterministic-v0") == Minecart(deterministic=True)
    assert morl.make("deep-sea-treasure-concave-v0") == DeepSeaTreasure("concave")
    assert morl.make("minecart-v0", frame_skip=2) == Minecart(frame_skip=2)
    assert morl.make("morl/minecart-v0") == Minecart()
    assert isinstance(morl.make("minecart-v0", backend="host"), HostEnvironment)
    assert isinstance(morl.make("minecart-rgb-v0"), HostEnvironment)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("minecart-v9",), "unknown environment 'minecart-v9'; did you mean .*minecart-v0"),
        (("four-rooms-v0",), "did you mean four-room-v0"),
        (("nowhere:thing-v0",), "cannot import module 'nowhere' of environment 'nowhere:thing-v0'"),
        (("minecart-v0", "tpu"), "unknown backend 'tpu'; allowed: jax, host"),
        (("minecart-rgb-v0", "jax"), "'minecart-rgb-v0' has no JAX-native environment; allowed backend: host"),
        (("CartPole-v1",), "CartPole-v1 has a scalar reward"),
    ],
)
def test_names_that_cannot_be_made(call, message):
    with pytest.raises(UserError, match=message):
        morl.make(*call)


@pytest.mark.parametrize("id", ["minecart-v0", "fruit-tree-v0", "resource-gathering-v0"])
def test_unknown_keywords_are_named_with_the_known_ones(id):
    with pytest.raises(UserError, match="has no keyword 'colour'; allowed: "):
        morl.make(id, colour="red")


def test_ours_are_in_gymnasiums_registry_once():
    ours = [id for id in gymnasium.registry if id.startswith("morl/")]
    assert len(ours) == len([spec for spec in morl.registry.env_specs().values() if spec.entry_point])
    from morl.environments import register_all

    register_all()
    assert ours == [id for id in gymnasium.registry if id.startswith("morl/")]
    assert gymnasium.spec("morl/minecart-v0").max_episode_steps == 1000


class EntryPoint:
    """Stand-in for an installed package's entry point."""

    def __init__(self, name, value):
        self.name, self.value = name, "package:SPEC"
        self.loads = value
        self.dist = type("Distribution", (), {"name": "a-package"})

    def load(self):
        if isinstance(self.loads, Exception):
            raise self.loads
        return self.loads


@pytest.fixture
def plug_ins(monkeypatch):
    """Install entry points, and remove them again."""
    registered = dict(registry._ENVS)

    def install(**values):
        found = [EntryPoint(name, value) for name, value in values.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: found if group == "morl.environments" else [])
        monkeypatch.setattr(registry, "_asked", set())

    yield install
    for id in set(registry._ENVS) - set(registered):
        del registry._ENVS[id]
        gymnasium.registry.pop(f"morl/{id}", None)


def spec_of(id):
    return morl.EnvSpec(
        id,
        "a test",
        ("treasure", "time"),
        (0.0, -50.0),
        entry_point="morl.envs.classic.deep_sea_treasure:DeepSeaTreasure",
    )


def test_packages_add_environments_by_entry_point(plug_ins, capsys):
    plug_ins(one=spec_of("plug-one-v0"), two=[spec_of("plug-two-v0"), spec_of("plug-three-v0")])
    assert {"plug-one-v0", "plug-two-v0", "plug-three-v0", "minecart-v0"} <= set(morl.registry.env_specs())
    assert morl.make("plug-two-v0") == DeepSeaTreasure()
    assert gymnasium.make("morl/plug-three-v0").reset(seed=0)[0].tolist() == [0, 0]
    assert main(["envs"]) == 0
    assert "plug-one-v0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (ImportError("No module named 'numpie'"), r"ImportError: No module named 'numpie'"),
        ("text", r"it must name a morl\.EnvSpec or a list of them, not 'text'"),
        (3, r"it must name a morl\.EnvSpec or a list of them, not 3"),
        (
            spec_of("minecart-v0"),
            r"environment 'minecart-v0' is already registered \(morl.envs.classic.minecart:Minecart\);"
            r" the other \(morl.envs.classic.deep_sea_treasure:DeepSeaTreasure\) needs a new id",
        ),
        (spec_of("my/env-v0"), r"environment id 'my/env-v0' must be letters, digits"),
    ],
)
def test_a_broken_package_costs_nothing_but_a_warning(plug_ins, value, why):
    plug_ins(broken=value, sound=spec_of("plug-one-v0"))
    with pytest.warns(UserWarning, match=rf"environments of a-package not loaded \(broken = 'package:SPEC'\): {why}"):
        specs = morl.registry.env_specs()
    assert "plug-one-v0" in specs
    assert specs["minecart-v0"].entry_point == "morl.envs.classic.minecart:Minecart"
    morl.registry.env_specs()  # and only once


def test_a_module_in_the_working_directory_registers_its_own(plug_ins, tmp_path, monkeypatch):
    plug_ins()
    (tmp_path / "my_envs_of_test.py").write_text(
        "import morl\n"
        "morl.register_env(morl.EnvSpec('mine-v0', '', ('a', 'b'), (0.0, -50.0),"
        " entry_point='morl.envs.classic.deep_sea_treasure:DeepSeaTreasure'))\n"
    )
    (tmp_path / "my_broken_envs_of_test.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    assert morl.make("my_envs_of_test:mine-v0") == DeepSeaTreasure()
    with pytest.raises(
        UserError,
        match=r"cannot import module 'my_broken_envs_of_test' .*: ZeroDivisionError: division by zero \(.*:1\)$",
    ):
        morl.make("my_broken_envs_of_test:mine-v0")


def test_what_is_known_asks_no_package(plug_ins, monkeypatch):
    """Load no package for a known environment, and none twice, even while it is being loaded."""

    class Curious(EntryPoint):
        def load(self):
            loads.append(self.name)
            assert morl.registry.env_spec("nobody-has-it-v0") is None
            return self.loads

    loads = []
    plug_ins()
    monkeypatch.setattr(registry, "entry_points", lambda group: [Curious("curious", spec_of("plug-one-v0"))])
    assert morl.make("minecart-v0") == Minecart()
    assert loads == []
    assert morl.make("plug-one-v0") == DeepSeaTreasure()
    assert loads == ["curious"]


def test_an_entry_point_that_leads_nowhere(plug_ins):
    plug_ins()
    for entry_point, why in (("nowhere.at_all:Env", "No module named 'nowhere'"), ("json:Env", "no attribute 'Env'")):
        id = f"{entry_point.partition(':')[0]}-v0"
        morl.register_env(morl.EnvSpec(id, "", ("a", "b"), (0.0, 0.0), entry_point=entry_point))
        with pytest.raises(UserError, match=rf"cannot load '{entry_point}': .*{why}"):
            morl.make(id)


def test_a_package_that_cannot_be_imported_is_one_line_on_the_command_line(tmp_path):
    """Read the metadata that pip writes, in a process of its own."""
    for name, text in (("broken", "1 / 0"), ("sound", "import morl\nSPEC = " + SOUND)):
        (tmp_path / f"a_{name}_one.py").write_text(text)
        info = tmp_path / f"{name}_envs-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-envs\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[morl.environments]\n{name} = a_{name}_one:SPEC\n")
    command = [sys.executable, "-m", "morl", "envs"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert "mine-v0" in done.stdout
    assert "minecart-v0" in done.stdout
    (line,) = done.stderr.splitlines()
    assert line == (
        "morl: warning: environments of broken-envs not loaded (broken = 'a_broken_one:SPEC'):"
        " ZeroDivisionError: division by zero (a_broken_one.py:1)"
    )


SOUND = "morl.EnvSpec('mine-v0', '', ('a', 'b'), (0.0, 0.0), entry_point='nowhere:Env')"


def test_a_library_is_not_blamed_for_what_passes_through_it():
    @contextlib.contextmanager
    def around():
        yield

    @around()
    def one():
        raise ValueError("first line\nsecond line")

    with pytest.raises(ValueError, match="first") as caught:
        one()
    line = one.__wrapped__.__code__.co_firstlineno + 2
    assert blame(caught.value) == f"ValueError: first line ({os.path.relpath(__file__)}:{line})"
