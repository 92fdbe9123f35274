"""Checks of a study before it starts, and output of the command; without Ray."""

import dataclasses
import os

import pytest
import yaml

import tests.tune.toy  # noqa: F401  # registers its agent
from morl.cli import main
from morl.errors import UserError
from morl.settings import SearchSettings, TrainSettings
from morl.tune import Study, StudySettings, resources, worker
from tests.tune.toy import ToyConfig

pytest.importorskip("optuna")


def made(**settings):
    return Study("toy", SearchSettings(), None, StudySettings(**settings))


def test_flags_and_files_change_the_space(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("rate: {log: [1e-3, 1e-2]}\nkind: good\n")
    found = made(space_file=file, space=("bonus={real: [0, 0.05]}", "budget={int: [4, 8]}"))
    assert {name: str(p) for name, p in found.space.items()} == {
        "rate": "0.001 to 0.01, logarithmic",
        "bonus": "0 to 0.05, when kind is good",
        "budget": "whole numbers 4 to 8",
    }
    assert found.config.kind == "good"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"space": ("rat={log: [1, 2]}",)}, "unknown setting 'rat'; did you mean rate"),
        ({"space": ("rate={log: [0.1, 2]}",)}, "rate cannot be 2.0: rate must be between"),
        ({"space": ("rate",)}, "NAME=DOMAIN"),
        ({"space": ("rate={log: [",)}, "--space rate"),
        ({"space": ("rate=", "kind=", "bonus=")}, "no settings to search"),
        ({"scheduler": "pbt"}, "needs checkpoints"),
        ({"modules": ("no_such_module",)}, "cannot import module 'no_such_module'"),
    ],
)
def test_mistakes_are_one_line(settings, says):
    with pytest.raises(UserError, match=says) as caught:
        made(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_samples": 0},
        {"searcher": "grid"},
        {"trial_cpus": 1.5},
        {"first_rung": 1.0},
        {"reduction": 1.0},
        {"scheduler": "pbt", "num_samples": 3},
        {"scheduler": "pbt", "searcher": "bohb"},
    ],
)
def test_settings_have_ranges(settings):
    with pytest.raises(UserError):
        StudySettings(**settings)


def test_a_directory_that_is_none_of_a_study(tmp_path, capsys):
    assert main(["tune", "--resume", str(tmp_path)]) == 2
    assert "is not a study: it has no study.yaml" in capsys.readouterr().err
    (tmp_path / "study.yaml").write_text("format: 1\nagent: toy\n")
    assert main(["tune", "--resume", str(tmp_path)]) == 2
    written = {"format": 1, "agent": "toy", "study": {"modules": ["os"]}, "training": {}, "config": {}, "space": {}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**written, "format": 9}))
    with pytest.raises(UserError, match="format 9"):
        Study.resume(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(written))
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        with pytest.raises(UserError, match="resume it from outside"):
            Study.resume(tmp_path)
    finally:
        os.chdir(here)
    (tmp_path / "trials").symlink_to("/tmp")
    with pytest.raises(UserError, match="is a link"):
        Study.resume(tmp_path)


def test_a_directory_that_cannot_be_written_is_exit_code_2(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    args = ["tune", "toy", "--out", str(tmp_path / "file" / "study")]
    assert main(args) == 2
    assert "cannot write" in capsys.readouterr().err


def test_show_space(capsys):
    assert main(["tune", "--show-space", "cmorl"]) == 0
    out = capsys.readouterr().out
    assert "barrier" in out
    assert "when extension is ipo" in out
    assert main(["tune", "--show-space", "cmrl"]) == 2
    assert "did you mean cmorl" in capsys.readouterr().err
    assert main(["tune", "--help"]) == 0
    assert main(["tune"]) == 0


def test_flags_of_the_agent_are_not_searched():
    from morl.cli.tune import _study

    study = _study("toy", ["--kind", "good", "--num-samples", "7", "--steps-of-nothing"][:4])
    assert set(study.space) == {"rate", "bonus"}
    assert (study.config.kind, study.settings.num_samples, study.training.num_seeds) == ("good", 7, 3)
    assert not set(study.held_out_seeds) & set(range(study.training.seed, study.training.seed + 3))


def test_a_study_of_an_agent_of_policies_is_checked_whole(tmp_path):
    from morl.agents.cmorl import CMORLConfig

    with pytest.raises(UserError, match="steps must be at least"):
        Study("cmorl", TrainSettings(steps=10), CMORLConfig())
    with pytest.raises(UserError, match="unknown environment"):
        Study("cmorl", TrainSettings(env="minecrt-v0"))
    found = Study("cmorl", TrainSettings(steps=100_000), settings=StudySettings(scheduler="pbt"))
    assert {"learning_rate", "barrier"} <= set(found.space)
    assert "hidden" not in found.space


def test_gpus_are_shared_by_the_memory_too():
    assert resources.environment(1, 0)["JAX_PLATFORMS"] == "cpu"
    assert resources.environment(1, 0.25)["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.225"
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in resources.environment(4, 1)
    assert resources.environment(4, 1)["OMP_NUM_THREADS"] == "4"


def test_trials_have_cores_of_their_own(tmp_path):
    """Start two processes at once, each of which takes one core."""
    import subprocess
    import sys

    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    code = "from morl.tune.resources import take_cores; print(take_cores(1), flush=True); input()"
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
    both = [subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range(2)]
    taken = [process.stdout.readline().strip() for process in both]
    for process in both:
        process.communicate("\n")
    assert len(set(taken)) == 2


def test_a_trial_without_ray(tmp_path, monkeypatch):
    """Check the messages of a worker for a new run, a finished one, a stopped one and one that fails."""
    job = worker.Job("toy", {"num_seeds": 2}, {}, "eu", (), str(tmp_path), 1, 0, False, str(tmp_path / "stop"))
    sent = []
    worker.execute(job, tmp_path / "run", {"rate": 0.01, "kind": "good"}, sent.append)
    assert [message["steps"] for message in sent[:-1]] == list(range(2, 18, 2))
    final = sent[-1]
    assert final["final"]
    assert final["score"] == final["expected_utility"] == pytest.approx((0.8 + 0.01 * 0.84 / 2 + 1) / 2, abs=1e-3)
    assert final["stderr"] > 0
    assert set(final["seeds"]) == {"0", "1"}
    again = []
    worker.execute(job, tmp_path / "run", {}, again.append)
    assert len(again) == 1
    assert again[0]["score"] == final["score"]
    (tmp_path / "stop").touch()
    stopped = []
    worker.execute(job, tmp_path / "other", {"rate": 0.01}, stopped.append)
    assert stopped == [{"stopped": True}]
    with pytest.raises(UserError, match="rate must be"):
        worker.execute(dataclasses.replace(job, stop=""), tmp_path / "third", {"rate": 2.0}, sent.append)
    assert sent[-1] == {"failed": sent[-1]["failed"]}
    assert ToyConfig().rate == 1e-3
