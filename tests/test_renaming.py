"""Settings under the names they had before: in files, as flags, in search spaces and in checkpoints."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import yaml

import morl
from morl import registry
from morl.cli import main
from morl.cli.train import parse as parse_train
from morl.errors import UserError
from morl.parsing import from_mapping, parse, to_flags
from morl.renaming import current_flags, current_names, old_names
from morl.search_space import Choice, Parameter, Real, log_real
from tests.tiny import SPEC, Tiny, TinyConfig


@dataclass(frozen=True)
class Small:
    RENAMED: ClassVar[Mapping[str, str]] = {"rate": "step_size", "warm_up": "learning_starts", "hindsight": "relabel"}

    step_size: float = 0.1
    """Step size."""
    learning_starts: int = 5
    """Steps before learning."""
    relabel: bool = True
    """Relabel preferences."""


@dataclass(frozen=True)
class Group:
    RENAMED: ClassVar[Mapping[str, str]] = {"seeds": "num_seeds"}

    small: Small = field(default_factory=Small)
    num_seeds: int = 1
    """Seeds."""


@dataclass(frozen=True)
class Renamed(TinyConfig):
    """Settings of the tiny agent after a renaming."""

    RENAMED: ClassVar[Mapping[str, str]] = {"stride": "step", "laps": "rounds"}


@dataclass(frozen=True)
class Swapped(Small):
    """Has a setting of its own under a name that another one had."""

    rate: float = 7.0
    """Not the step size."""


SPACE = {
    "step": Parameter(log_real(0.1, 1.0)),
    "rounds": Parameter(Choice((1, 2, 3)), when={"step": (0.5,)}),
}
AGENT = replace(
    SPEC, name="renamed", config="tests.test_renaming:Renamed", entry_point="tests.test_renaming:make",
    space="tests.test_renaming:SPACE",
)  # fmt: skip
LITTLE = ["--env", "deep-sea-treasure-v0", "--steps", "800", "--evaluations", "1"]
EPISODES = ["--eval-episodes", "1", "--final-episodes", "1"]


def make(config, task):
    return Tiny(config, task)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    registry.agent_specs()
    monkeypatch.setattr(registry, "_AGENTS", dict(registry._AGENTS))
    morl.register_agent(AGENT)


# --- Names ------------------------------------------------------------------------------------------------------------


def test_names_of_a_class_and_of_its_fields():
    assert old_names(Group) == {**Small.RENAMED, "seeds": "num_seeds"}
    assert "rate" not in old_names(Swapped)  # it has come to mean something else
    assert old_names(TinyConfig) == {}


def test_values_keep_their_order():
    now = current_names({"relabel": 1, "rate": 2, "other": 3}, Small, source="x")
    assert list(now.items()) == [("relabel", 1), ("step_size", 2), ("other", 3)]
    with pytest.raises(UserError, match=r"^x: rate is the old name of step_size; give one of the two$"):
        current_names({"rate": 1, "step_size": 1}, Small, source="x")


def test_a_file_may_have_old_names(capsys):
    values = {"rate": 0.3, "warm_up": 7, "relabel": False}
    assert from_mapping(Small, values, source="x") == Small(0.3, 7, False)
    assert to_flags(Small, values, source="x") == ["--step-size=0.3", "--learning-starts=7", "--no-relabel"]
    assert from_mapping(Swapped, {"rate": 3}, source="x") == Swapped(rate=3.0)
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match=r"^x: warm_up is the old name of learning_starts; give one of the two$"):
        from_mapping(Small, {"warm_up": 1, "learning_starts": 2}, source="x")
    with pytest.raises(UserError, match=r"^x: unknown setting 'rat'"):
        from_mapping(Small, {"rat": 1}, source="x")


@pytest.mark.parametrize(
    ("flags", "wanted", "notes"),
    [
        (["--rate", "0.3"], Small(step_size=0.3), ["--rate is called --step-size now"]),
        (["--rate=0.3"], Small(step_size=0.3), ["--rate is called --step-size now"]),
        (["--warm-up", "9"], Small(learning_starts=9), ["--warm-up is called --learning-starts now"]),
        (["--warm_up=9"], Small(learning_starts=9), ["--warm-up is called --learning-starts now"]),
        (["--no-hindsight"], Small(relabel=False), ["--hindsight is called --relabel now"]),
        (["--step-size", "0.3", "--no-relabel"], Small(step_size=0.3, relabel=False), []),
    ],
)
def test_old_flags_are_taken_with_a_note(flags, wanted, notes, capsys):
    assert parse(Group, [*flags, "--seeds", "3"], prog="x") == Group(wanted, 3)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"morl: note: {note}" for note in [*notes, "--seeds is called --num-seeds now"]]


def test_a_flag_under_both_names():
    for flags in (
        ["--rate", "1", "--step-size", "2"],
        ["--relabel", "--no-hindsight"],
        ["--warm_up=1", "--learning-starts=2"],
    ):
        with pytest.raises(UserError, match=r"^--[\w-]+ is called --[\w-]+ now; give one of the two$"):
            current_flags(flags, Small)
    assert current_flags(["rate", "--other=--rate"], Small) == ["rate", "--other=--rate"]  # values are left alone


# --- Trainings --------------------------------------------------------------------------------------------------------


def with_old_names(path):
    """Write the settings of a run as they were before the renaming."""
    text = path.read_text()
    assert "\nstep: " in text
    path.write_text(text.replace("\nstep: ", "\nstride: ").replace("\nrounds: ", "\nlaps: "))


def test_flags_files_and_runs_of_before(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "renamed", *LITTLE, *EPISODES, "--laps", "1", "--out", str(out)]) == 0
    told = capsys.readouterr().err
    assert told.count("morl: note: --laps is called --rounds now\n") == 1
    config = out / "config.yaml"
    assert yaml.safe_load(config.read_text())["rounds"] == 1
    returns = morl.load(out).front.returns.tolist()

    with_old_names(config)
    assert morl.load(out).front.returns.tolist() == returns
    assert morl.train(resume=out).front.returns.tolist() == returns
    settings, found = parse_train("renamed", Renamed, ["--config", str(config), "--step", "0.7"])
    assert (settings.steps, found) == (800, Renamed(0.7, 1))
    for command in ("evaluate", "compare", "report"):
        assert main([command, str(out)]) == 0
    assert "--rounds=1" in (out / "report.html").read_text()
    assert capsys.readouterr().err == ""

    config.write_text(config.read_text() + "step: 0.5\n")
    assert main(["evaluate", str(out)]) == 2
    assert (
        capsys.readouterr().err
        == f"morl evaluate: error: {config}: stride is the old name of step; give one of the two\n"
    )


def test_old_and_new_runs_are_one_group(tmp_path):
    from morl.analysis import comparison, results

    paths = [tmp_path / "new", tmp_path / "old"]
    for seed, path in enumerate(paths):
        assert main(["train", "renamed", *LITTLE, *EPISODES, "--seed", str(seed), "--out", str(path)]) == 0
    with_old_names(paths[1] / "config.yaml")
    assert comparison.compare(results.read(paths), resamples=100).groups == ["renamed"]


def test_a_training_of_before_goes_on(tmp_path, capsys):
    """Resume a run whose config.yaml and checkpoint have the old names; another value is refused as ever."""
    from morl.runs import storage
    from morl.tune.inheritance import rewritten

    out = tmp_path / "run"
    settings = morl.TrainSettings(
        env="deep-sea-treasure-v0", steps=800, evaluations=2, eval_episodes=1, final_episodes=1, out=out
    )
    stopped = []

    def should_stop():
        stopped.append(1)
        return len(stopped) > 1

    assert not morl.train("renamed", settings, Renamed(), should_stop=should_stop).finished
    with_old_names(out / "config.yaml")
    (state,) = storage.states(out / "checkpoints")
    notes = storage.load_notes(state)["settings"]
    old = {new: old for old, new in Renamed.RENAMED.items()}
    shutil.copy(state, tmp_path / "state")
    rewritten(tmp_path / "state", state, {"settings": {old.get(name, name): value for name, value in notes.items()}})
    assert {"stride", "laps"} <= storage.load_notes(state)["settings"].keys()

    config = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(config.replace("stride: 0.5", "stride: 0.6"))
    assert main(["train", "--resume", str(out)]) == 2
    assert "step was 0.5 when" in capsys.readouterr().err
    (out / "config.yaml").write_text(config)
    assert morl.train(resume=out).finished


# --- Studies ----------------------------------------------------------------------------------------------------------


def study(tmp_path, *flags, space=None):
    pytest.importorskip("optuna")
    from morl.tune import Study, StudySettings

    training = morl.TrainSettings(env="deep-sea-treasure-v0", steps=800)
    return Study("renamed", training, Renamed(), StudySettings(space=flags), space)


def test_search_spaces_may_have_old_names(tmp_path):
    made = study(tmp_path, "stride={real: [0.2, 0.4]}", "laps={choice: [1, 2], when: {stride: [0.3]}}")
    assert made.space["step"].domain == Real(0.2, 0.4)
    assert dict(made.space["rounds"].when) == {"step": (0.3,)}
    assert study(tmp_path, "laps=3").config.rounds == 3
    assert "rounds" not in study(tmp_path, space={"laps": None}).space
    with pytest.raises(UserError, match=r"^--space: laps is the old name of rounds; give one of the two$"):
        study(tmp_path, "laps=1", "rounds=2")


def test_an_old_flag_fixes_a_setting_of_a_study(capsys):
    pytest.importorskip("optuna")
    from morl.cli.tune import _study

    made = _study("renamed", [*LITTLE, "--laps", "3"])
    assert (made.config.rounds, list(made.space)) == (3, ["step"])
    assert capsys.readouterr().err == "morl: note: --laps is called --rounds now\n"


def test_a_study_of_before_is_read(tmp_path):
    made = study(tmp_path)
    from morl.tune import study_file

    study_file.write(tmp_path, "renamed", made.training, made.config, made.settings, made.space)
    path = tmp_path / study_file.NAME
    written = yaml.safe_load(path.read_text())
    written["config"] = {"stride": 0.25, "laps": 1}
    written["space"] = {"stride": {"real": [0.2, 0.4]}, "laps": {"choice": [1, 2], "when": {"stride": [0.25]}}}
    path.write_text(yaml.safe_dump(written))
    read = type(made).resume(tmp_path)
    assert read.config == Renamed(0.25, 1)
    assert read.space["step"].domain == Real(0.2, 0.4)
    assert dict(read.space["rounds"].when) == {"step": (0.25,)}
