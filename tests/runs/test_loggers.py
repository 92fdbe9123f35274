"""Loggers of a training: names, functions, trackers that were asked for, and what a failing one costs."""

import dataclasses
import importlib.util
import json
import math
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import morl
import tests.tiny
from morl import registry
from morl.cli import main
from morl.errors import MissingExtraError, UserError
from morl.registry import TRACKERS, check_loggers, check_loggers_installed, split_loggers
from morl.runs.loggers.base import Opening, scalars
from morl.runs.loggers.others import IDENTITIES, opened
from morl.settings import TrainSettings
from tests.tiny import TinyConfig
from tests.training.test_loop import metric_rows
from tests.training.test_resume import SETTINGS

SMALL = dataclasses.replace(SETTINGS, evaluations=2, checkpoint_minutes=None)
ROOT = Path(__file__).parents[2]
ROW = {"step": 20, "seed": 1, "hypervolume": 2.5, "igd_plus": math.nan, "return/fuel/max": 1}


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(registry._AGENTS, "tiny", tests.tiny.SPEC)


def train(out, **changes):
    return morl.train("tiny", SMALL, TinyConfig(rounds=0), out=out, reporter=False, **changes)


# --- Names ------------------------------------------------------------------------------------------------------------


def test_unknown_names_are_answered_by_the_nearest():
    check_loggers(["csv", "tensorboard", *TRACKERS, "mine.py:log"])
    with pytest.raises(UserError, match="unknown logger 'wand'; did you mean wandb"):
        TrainSettings(logger=("wand",))
    with pytest.raises(UserError, match="unknown logger 'tensorbord'"):
        morl.train("tiny", "deep-sea-treasure-v0", logger="tensorbord")
    assert TrainSettings(logger="csv mlflow").logger == ("csv", "mlflow")


def test_names_and_functions_are_told_apart():
    assert split_loggers(None) == ([], ())
    assert split_loggers(print) == ([print], ())
    assert split_loggers(["csv", print, "wandb"]) == ([print], ("csv", "wandb"))
    assert split_loggers("csv, wandb") == ([], ("csv", "wandb"))
    for given in (3, [3], {"wandb": 1}.values()):
        with pytest.raises(UserError, match="names and functions"):
            split_loggers(given)


def test_one_that_is_not_installed_is_refused_before_anything_is_written(tmp_path, monkeypatch, capsys):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "aim" else there(name, *rest))
    with pytest.raises(MissingExtraError, match=r"the logger aim needs the 'aim' extra: pip install"):
        check_loggers_installed(["csv", "aim"])
    assert main(["train", "ppo", "--logger", "aim", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_function_is_named_by_its_module(tmp_path, monkeypatch):
    (tmp_path / "my_loggers.py").write_text("rows = []\n\ndef log(row):\n    rows.append(row)\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = train(tmp_path / "run", logger="my_loggers:log").path
    import my_loggers

    assert [row["step"] for row in my_loggers.rows] == [int(row["step"]) for row in metric_rows(path)]
    assert not list(path.glob("events.*"))  # TensorBoard was not asked for
    with pytest.raises(UserError, match=r"'my_loggers' has no function 'lag'"):
        train(tmp_path / "other", logger="my_loggers:lag")


# --- Functions --------------------------------------------------------------------------------------------------------


def test_a_function_is_given_the_rows_of_metrics(tmp_path):
    rows = []
    path = train(tmp_path / "run", logger=rows.append).path
    written = metric_rows(path)
    assert [row["hypervolume"] for row in rows] == [float(row["hypervolume"]) for row in written]
    assert list(path.glob("events.*"))  # the named ones stay as they are set


def test_one_that_raises_is_left_out_and_the_training_goes_on(tmp_path):
    calls, rows = [], []

    def broken(row):
        calls.append(row)
        raise SystemExit("no room")

    run = train(tmp_path / "run", logger=[broken, rows.append])
    assert run.finished
    assert (len(calls), len(rows)) == (1, 2)
    log = (run.path / "log.txt").read_text()
    assert "logger broken: SystemExit: no room (" in log
    assert "); the training goes on without it\n" in log
    assert "Traceback" in log


def test_a_resumed_run_takes_functions_and_keeps_its_names(tmp_path):
    rows = []
    path = train(tmp_path / "run", logger="csv", should_stop=lambda: True).path
    with pytest.raises(UserError, match="has its settings"):
        morl.train(resume=path, logger="tensorboard")
    assert morl.train(resume=path, logger=rows.append, reporter=False).finished
    assert rows
    assert not list(path.glob("events.*"))


# --- Status -----------------------------------------------------------------------------------------------------------


def test_a_status_can_stop_the_training(tmp_path):
    seen = []

    def enough(status):
        seen.append(status)
        return status.evaluated

    run = train(tmp_path / "run", on_status=enough)
    assert not run.finished
    assert [status.evaluated for status in seen].count(True) == 1
    assert seen[-1].hypervolume
    rest = []
    resumed = morl.train(resume=run.path, on_status=rest.append, reporter=False)
    assert resumed.finished
    assert rest[-1].step == rest[-1].total
    whole = train(tmp_path / "whole")
    assert resumed.front.returns.tolist() == whole.front.returns.tolist()


def test_a_status_function_that_raises_ends_in_one_line(tmp_path):
    def broken(status):
        raise KeyError("speed")

    with pytest.raises(UserError, match=r"on_status: step 64 raised KeyError: 'speed'"):
        train(tmp_path / "run", on_status=broken)


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_progress_as_lines_of_json(tmp_path, capsys):
    flags = "--env deep-sea-treasure-v0 --steps 640 --evaluations 2 --rounds 0 --eval-episodes 2 --final-episodes 2"
    out = tmp_path / "run"
    assert main(["train", "tiny", *flags.split(), "--json", "--out", str(out)]) == 0
    told = capsys.readouterr()
    events = [json.loads(line) for line in told.out.splitlines()]
    assert told.err == ""
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]
    assert events[0]["run"] == events[-1]["run"] == str(out)
    status = [event for event in events if event["event"] == "status"]
    assert status[-1]["step"] == status[-1]["total"] == 640
    assert status[-1]["hypervolume"] == [float(metric_rows(out)[-1]["hypervolume"])]
    front = morl.load(out).front
    assert events[-1]["finished"] is True
    assert [(seed["policies"], seed["hypervolume"]) for seed in events[-1]["seeds"]] == [
        (len(front), front.hypervolume())
    ]
    assert main(["train", "--resume", str(out), "--json"]) == 0
    assert [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()] == ["end"]


# --- Trackers ---------------------------------------------------------------------------------------------------------


def test_only_finite_numbers_are_tracked():
    assert scalars(ROW) == {"seed_1/hypervolume": 2.5, "seed_1/return/fuel/max": 1.0}


def used(name, path):
    """Open a tracker, write to it, close it, and go on with it as a resumed run does; return its identity."""
    settings = {"env": "minecart-v0", "steps": 100, "reference_point": [0.0, 1.0], "out": None}
    logger = opened(name, Opening(path, settings))
    logger.write(ROW)
    logger.image("front", np.zeros((20, 30, 3), np.uint8), 20)
    logger.results(settings, {"final/hypervolume": 3.0}, 20)
    logger.close()
    again = opened(name, Opening(path, settings, 20, logger.identity))
    again.write({**ROW, "step": 30, "hypervolume": 7.5})
    again.close()
    assert again.identity == logger.identity
    return logger.identity


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_mlflow_has_the_metrics_of_a_run_and_of_its_resumption(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    identity = used("mlflow", tmp_path)
    client = mlflow.MlflowClient()
    run = client.get_run(identity)
    assert run.info.status == "FINISHED"
    assert run.data.params["env"] == "minecart-v0"
    assert run.data.metrics["final/hypervolume"] == 3.0
    history = client.get_metric_history(identity, "seed_1/hypervolume")
    assert [(metric.step, metric.value) for metric in history] == [(20, 2.5), (30, 7.5)]


def test_trackio_has_the_metrics_of_a_run_and_of_its_resumption(tmp_path):
    pytest.importorskip("trackio")
    script = "import sys, pathlib, tests.runs.test_loggers as t; t.used('trackio', pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path)}  # read when it is imported
    subprocess.run([sys.executable, "-c", script, tmp_path], env=environment, cwd=ROOT, check=True, capture_output=True)
    with sqlite3.connect(tmp_path / "morl.db") as database:
        rows = [(step, json.loads(found)) for step, found in database.execute("select step, metrics from metrics")]
    assert [(step, found["seed_1/hypervolume"]) for step, found in rows if "seed_1/hypervolume" in found] == [
        (20, 2.5),
        (30, 7.5),
    ]
    assert (20, {"final/hypervolume": 3.0}) in rows


def test_wandb_keeps_an_offline_run_in_the_run_directory(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    identity = used("wandb", tmp_path)
    files = list((tmp_path / "wandb").glob(f"offline-run-*-{identity}/run-{identity}.wandb"))
    assert len(files) == 2  # of the run, and of its resumption
    assert any(b"seed_1/hypervolume" in file.read_bytes() for file in files)


def test_aim_has_the_metrics_of_a_run_and_of_its_resumption(tmp_path, monkeypatch):
    aim = pytest.importorskip("aim")
    monkeypatch.chdir(tmp_path)
    run = aim.Run(used("aim", tmp_path), repo=str(tmp_path))
    found = {metric.name: metric.values.sparse_list()[1] for metric in run.metrics()}
    assert sorted(found["seed_1/hypervolume"]) == [2.5, 7.5]
    run.close()


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_resumed_run_goes_on_under_the_name_that_the_tracker_gave(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    path = train(tmp_path / "run", logger="mlflow", should_stop=lambda: True).path
    identity = json.loads((path / IDENTITIES).read_text())["mlflow"]
    assert morl.train(resume=path, reporter=False).finished
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        runs = database.execute("select run_uuid from runs").fetchall()
    assert runs == [(identity,)]
