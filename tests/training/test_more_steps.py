"""A finished run is given more steps: it goes on from its last state, on the schedule of that many."""

import dataclasses
import shutil

import numpy as np
import pytest

import morl
import tests.tiny
from morl import registry
from morl.cli import main
from morl.errors import UserError
from morl.runs import storage
from morl.training.resumption import extended_stages
from tests.tiny import TinyConfig
from tests.training.test_loop import metric_rows
from tests.training.test_resume import AGENTS, SETTINGS

SMALL = dataclasses.replace(SETTINGS, evaluations=2, checkpoint_minutes=None)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(registry._AGENTS, "tiny", tests.tiny.SPEC)


def start(out, agent="tiny", config=None, **changes):
    return morl.train(agent, dataclasses.replace(SMALL, out=out, **changes), config or AGENTS[agent]).path


def final(path):
    """Return notes and arrays of the last state of a finished run."""
    with np.load(storage.final_state(path / "checkpoints")) as arrays:
        found = {name: arrays[name] for name in arrays.files if "trainer" in name}
    return storage.load_notes(storage.final_state(path / "checkpoints"))["progress"], found


@pytest.fixture(scope="module")
def one_stage(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._AGENTS, "tiny", tests.tiny.SPEC)
        return start(tmp_path_factory.mktemp("runs") / "one", config=TinyConfig(rounds=0))


def copied(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def test_its_learners_are_those_of_a_run_that_was_asked_for_as_many(one_stage, tmp_path):
    path = copied(one_stage, tmp_path)
    run = morl.train(resume=path, steps=1280)
    assert run.finished
    assert run.config["steps"] == morl.load(path).config["steps"] == 1280
    whole = start(tmp_path / "whole", config=TinyConfig(rounds=0), steps=1280)
    (progress, found), (_, wanted) = final(path), final(whole)
    assert (progress["stages"], progress["updates"], progress["steps"]) == ([20], 20, 1280)
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert [row["step"] for row in metric_rows(path)] == ["320", "640", "1280"]
    assert morl.train(resume=path).config["steps"] == 1280  # left alone
    assert "MiB" in (path / "log.txt").read_text()


def test_one_that_is_stopped_again_goes_on_to_the_new_end(one_stage, tmp_path):
    path = copied(one_stage, tmp_path)
    assert not morl.train(resume=path, steps=1280, should_stop=lambda: True).finished
    run = morl.train(resume=path)
    assert run.finished
    assert final(path)[0]["steps"] == 1280


def test_a_second_stage_gets_further_rounds(tmp_path):
    path = start(tmp_path / "run")
    before, _ = final(path)
    assert before["stages"] == [6, 2, 2]
    assert morl.train(resume=path, steps=1280).finished
    progress, _ = final(path)
    assert progress["stages"] == [6, *[2] * 7]
    assert (progress["stage"], progress["updates"], progress["steps"]) == (7, 2, 1280)


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["cmorl", "d3po", "gmorl", "gpi-ls", "mogfn", "dsac"])
def test_every_agent(agent, tmp_path):
    env = {"env": "hypergrid-v0", "env_kwargs": {}} if agent == "mogfn" else {}
    path = start(tmp_path / "run", agent, **env)
    assert morl.train(resume=path, steps=1280).finished
    assert 640 < final(path)[0]["steps"] <= 1280
    assert int(metric_rows(path)[-1]["step"]) == final(path)[0]["steps"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (640, "has done 640 steps; give --steps more, not 640"),
        (64, "has done 640 steps; give --steps more, not 64"),
        (650, "--steps 650 is not a whole update of every policy more than"),
        (0, "steps must be a whole number of at least 1, not 0"),
        (1e4 + 0.5, "steps must be a whole number, not 10000.5"),
    ],
)
def test_mistakes(steps, message, one_stage):
    before = {file: file.stat().st_mtime_ns for file in one_stage.rglob("*")}
    with pytest.raises(UserError, match=message):
        morl.train(resume=one_stage, steps=steps)
    assert {file: file.stat().st_mtime_ns for file in one_stage.rglob("*")} == before


def test_a_run_without_its_last_state_says_so(one_stage, tmp_path, capsys):
    path = copied(one_stage, tmp_path)
    storage.final_state(path / "checkpoints").unlink()
    assert main(["train", "--resume", str(path), "--steps", "9999"]) == 2
    assert capsys.readouterr().err == (
        f"morl train: error: {path} cannot be given more steps: no last state was kept (by --checkpoints-kept 0 or an "
        "earlier version)\n"
    )


def test_no_last_state_is_kept_where_none_is_wanted(tmp_path):
    path = start(tmp_path / "run", config=TinyConfig(rounds=0), checkpoints_kept=0, steps=64, evaluations=1)
    assert [entry.name for entry in (path / "checkpoints").iterdir()] == ["front"]


def test_an_agent_whose_first_stage_is_shorter_than_what_was_done(tmp_path, monkeypatch):
    """Stages of the run win over what the agent plans for more steps."""
    monkeypatch.setattr("morl.training.resumption.written_stages", lambda path: ([6, 2, 2], 0, 6, 384))
    longer = type("Longer", (), {"updates": 3, "extension": type("E", (), {"rounds": 5, "updates": 2})})
    assert extended_stages(tmp_path, longer, 999) == [6, 2, 2, 2]
