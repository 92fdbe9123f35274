"""Studies on Ray with an agent of the user's own that takes no time: results, failures, resuming."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip("ray")
pytest.importorskip("optuna")

from morl.errors import UserError
from morl.settings import SearchSettings
from morl.tune import Study, StudySettings, on_ray
from tests.tune.toy import ToyConfig, steps_of

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray warns
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def ray_here():
    with on_ray.cluster(StudySettings()):
        yield


def study(out, number, *, space=None, config=None, **more):
    settings = StudySettings(num_samples=number, modules=("tests.tune.toy",), **{"held_out_seeds": 0, **more})
    return Study("toy", SearchSettings(out=out, num_seeds=2), config, settings, space)


class Notes:
    """Reporter that keeps the headline and the notes."""

    def __init__(self):
        self.texts = []

    def start(self, headline, path):
        self.texts.append(headline)

    def update(self, trials, active):
        pass

    def note(self, text):
        self.texts.append(text)


def test_a_study_from_its_start_to_what_it_leaves(tmp_path):
    out, notes = tmp_path / "study", Notes()
    result = study(out, 5, held_out_seeds=3).run(notes)
    assert result.finished
    assert len(result.trials) == len(result.grid) == 5
    assert result.trials[0].params == {"rate": 1e-3, "kind": "plain"}  # the defaults
    assert result.best.score == max(t.score for t in result.trials.values() if t.state == "finished")
    assert {t.state for t in result.trials.values()} <= {"finished", "pruned"}
    assert result.grid.get_best_result().metrics["score"] >= result.best.score
    assert set(result.held_out.seeds) == {100_000, 100_001, 100_002}
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == [t.state for t in result.trials.values()]
    best = yaml.safe_load((out / "best.yaml").read_text())
    assert best["agent"] == "toy"
    assert best["rate"] == result.best.params["rate"]
    from morl.cli.train import parse

    _, config = parse("toy", ToyConfig, ["--config", str(out / "best.yaml")])
    assert config.rate == result.best.params["rate"]
    for name in ("scores.png", "parallel.png", "held_out.png", "held_out.csv"):
        assert (out / name).stat().st_size > 0
    assert len(list((out / "tensorboard").glob("*/events*"))) == 5
    again = Study.resume(out).run()
    assert again.grid is None
    assert again.held_out.as_csv() == result.held_out.as_csv()
    assert again.held_out.p_value == result.held_out.p_value
    assert again.best == result.best


def test_a_trial_that_fails_is_a_failed_trial_with_its_reason(tmp_path):
    troubles = ["none", "raise", "nan", "kill"]
    space = {"trouble": {"choice": troubles}}
    result = study(tmp_path / "study", 5, space=space, scheduler="none", searcher="random", search_seed=18).run()
    says = {"raise": "RuntimeError: it broke", "nan": "the score is nan at step 10", "kill": "its process ended: "}
    found = {}
    for trial in result.trials.values():
        kind = trial.params["trouble"]
        found.setdefault(kind, []).append(trial)
        assert trial.state == ("finished" if kind == "none" else "failed"), trial
        assert says.get(kind, "") in trial.reason
        assert "no reason given" not in trial.reason
    assert set(found) == set(troubles)
    assert len(result.grid.errors) == sum(len(found[kind]) for kind in says)


def test_a_study_all_of_whose_trials_fail_says_why(tmp_path):
    config = ToyConfig(trouble="raise")
    with pytest.raises(UserError, match="none of 2 trials finished: RuntimeError: it broke"):
        study(tmp_path / "study", 2, config=config).run()
    rows = list(csv.DictReader((tmp_path / "study" / "results.csv").read_text().splitlines()))
    assert [(row["state"], "it broke" in row["reason"]) for row in rows] == [("failed", True)] * 2


def test_a_study_that_cannot_start_is_not_in_the_way_of_the_next_try(tmp_path, monkeypatch):
    @contextlib.contextmanager
    def fails(settings):
        raise UserError("Ray cannot be started on this machine: why")
        yield

    monkeypatch.setattr(on_ray, "cluster", fails)
    for _ in range(2):
        with pytest.raises(UserError, match="on this machine: why"):
            study(tmp_path / "study", 2).run()
    assert not (tmp_path / "study").exists()


def test_a_full_disk_ends_the_study(tmp_path):
    with pytest.raises(UserError, match="No space left on device"):
        study(tmp_path / "study", 4, config=ToyConfig(trouble="full")).run()
    journal = [json.loads(line) for line in (tmp_path / "study" / "journal.jsonl").read_text().splitlines()]
    assert not [record for record in journal if record["event"] == "end"]  # it is no fault of the trial


def test_a_stopped_study_goes_on_where_it_was(tmp_path):
    out = tmp_path / "study"
    begun = time.monotonic()

    def enough():
        return len(list((out / "trials").glob("*/starts.jsonl"))) == 2 or time.monotonic() - begun > 60

    first = study(out, 3, config=ToyConfig(seconds=0.1), scheduler="none", max_concurrent=2).run(should_stop=enough)
    assert not first.finished
    running = [n for n, trial in first.trials.items() if trial.state == "started"]
    assert running
    second = Study.resume(out).run()
    assert second.finished
    assert len(second.trials) == 3
    for number in range(3):
        steps = steps_of(out / "trials" / f"{number:05}")
        assert [step for _, step in steps] == list(range(1, 9))  # none twice
    assert len({pid for n in running for pid, _ in steps_of(out / "trials" / f"{n:05}")}) > len(running)


@pytest.mark.slow
def test_a_killed_driver_loses_no_trial_and_repeats_none(tmp_path):
    out = tmp_path / "study"
    command = [sys.executable, "-m", "morl", "tune", "toy", "--modules", "tests.tune.toy", "--out", str(out)]
    command += ["--num-samples", "5", "--scheduler", "none", "--held-out-seeds", "0", "--seconds", "0.2"]
    driver = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    journal, until = out / "journal.jsonl", time.monotonic() + 200
    while time.monotonic() < until:
        time.sleep(0.1)
        if journal.exists() and journal.read_text().count('"state": "finished"') >= 2:
            break
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    ended = {r["trial"]: r["result"] for r in records if r["event"] == "end"}
    given = {r["trial"]: r["params"] for r in records if r["event"] == "start"}
    assert 2 <= len(ended) < 5
    result = Study.resume(out).run()
    assert result.finished
    assert {n: result.trials[n].result for n in ended} == ended
    assert {n: result.trials[n].params for n in given} == given
    assert all(trial.state == "finished" for trial in result.trials.values())
    for number in range(5):
        assert [step for _, step in steps_of(out / "trials" / f"{number:05}")] == list(range(1, 9))
