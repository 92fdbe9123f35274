"""Fronts judged by logs of themselves: on policy, greedily, by the command line; and logs of something else."""

import csv
import dataclasses

import numpy as np
import pytest

import morl
from morl.analysis.offline.evaluation import evaluate_log
from morl.analysis.offline.files import write_log
from morl.analysis.offline.recording import record_log
from morl.cli import main
from morl.errors import UserError


@pytest.fixture(scope="module")
def log(dst_run):
    return record_log(dst_run.path, mixture=True, epsilon=0.2, episodes=600, seed=1)


@pytest.fixture(scope="module")
def judged(dst_run, log):
    return evaluate_log(dst_run.path, log, resamples=200, min_effective=5)


def run(capsys, *args):
    code = main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_logs_are_whole_episodes_with_the_right_numbers(dst_run, log):
    assert len(log.lengths) == 600
    assert log.objectives == dst_run.front.objectives
    assert log.gamma == dst_run.front.gamma
    assert (log.probability > 0).all()
    assert (log.probability <= 1 + 1e-6).all()
    assert log.probability.std() > 0
    np.testing.assert_allclose(log.reward[:, 1], -1)  # time
    again = record_log(dst_run.path, mixture=True, epsilon=0.2, episodes=600, seed=1)
    np.testing.assert_array_equal(again.probability, log.probability)
    other = record_log(dst_run.path, mixture=True, epsilon=0.2, episodes=600, seed=2)
    assert len(other) != len(log) or (other.action != log.action).any()


def test_a_mixture_judges_all_its_policies(dst_run, log, judged):
    """The front's numbers are those of greedy actions on a deterministic task, which sampled ones come near."""
    front = judged.fronts[5]
    assert front.judged
    assert front.front.objectives == ("treasure", "time")
    known = dst_run.fronts[5].returns[list(front.judged)]
    for each in front.estimates.values():
        assert (each.low <= each.returns).mean() > 0.9
        assert (each.returns <= each.high).mean() > 0.9
        assert each.hypervolume.low <= each.hypervolume.value <= each.hypervolume.high
        assert ((each.non_dominated >= 0) & (each.non_dominated <= 1)).all()
    near = np.abs(front.estimates["snpdis"].returns - known) / np.ptp(known, axis=0)
    assert np.median(near) < 0.1
    assert (front.effective <= 600).all()
    assert (front.effective > 0).all()


def test_on_policy_every_estimator_is_the_mean(dst_run):
    """All weights are 1 where the behaviour is the policy itself."""
    log = record_log(dst_run.path, policy=2, episodes=64)
    front = evaluate_log(dst_run.path, log, resamples=100).fronts[5]
    assert front.effective[2] == pytest.approx(64, rel=1e-4)
    place = front.judged.index(2)
    for name in ("pdis", "snpdis"):
        np.testing.assert_allclose(front.estimates[name].returns[place], log.mean_returns()[0], rtol=1e-4)
    np.testing.assert_allclose(front.behaviour, log.mean_returns()[0], rtol=1e-5)


def test_greedy_logs_judge_themselves_alone(dst_run):
    log = record_log(dst_run.path, policy=1, behaviour="greedy", episodes=60)
    assert log.deterministic
    with pytest.raises(UserError, match="every action has probability 1: such a log can judge no policy but the one"):
        evaluate_log(dst_run.path, log)
    front = evaluate_log(dst_run.path, log, target="greedy", resamples=100).fronts[5]
    assert front.judged == (1,)
    np.testing.assert_allclose(front.estimates["dr"].returns[0], dst_run.fronts[5].returns[1], rtol=0.02)
    np.testing.assert_allclose(front.estimates["pdis"].returns[0], dst_run.fronts[5].returns[1], rtol=1e-5)
    assert any("not judged: 0" in note for note in front.notes)


def test_exploring_greedily_judges_greedy_policies(dst_run):
    log = record_log(dst_run.path, policy=0, behaviour="greedy", epsilon=0.1, episodes=400)
    front = evaluate_log(dst_run.path, log, target="greedy", resamples=100).fronts[5]
    assert 0 in front.judged
    place = front.judged.index(0)
    np.testing.assert_allclose(front.estimates["snpdis"].returns[place], dst_run.fronts[5].returns[0], rtol=1e-4)


def test_probabilities_that_are_not_the_behaviours_are_told_of(dst_run):
    log = record_log(dst_run.path, policy=2, episodes=100)
    halved = dataclasses.replace(log, probability=np.clip(log.probability * 0.8, 0, 1))
    notes = evaluate_log(dst_run.path, halved, resamples=100).fronts[5].notes
    assert any("the weights of policies should average 1, and do not for" in note for note in notes)


def test_by_the_command_line(dst_run, capsys, tmp_path):
    path, out = tmp_path / "log.npz", tmp_path / "out.csv"
    flags = ("--mixture", "--epsilon", 0.2, "--episodes", 200, "--log", path)
    code, text, err = run(capsys, "rollout", dst_run.path, *flags)
    assert (code, err) == (0, "")
    assert "treasure" in text
    assert f"log: {path} (" in text
    flags = ("--from-log", path, "--resamples", 100, "--min-effective", 5, "--out", out, "--estimator", "snpdis")
    code, text, err = run(capsys, "evaluate", dst_run.path, *flags)
    assert (code, err) == (0, "")
    assert "seed 6, by snpdis, with 95 % intervals" in text
    assert "SharpeRatio@3" in text
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert f"numbers: {out} ({len(rows)} rows)" in text
    known = evaluate_log(dst_run.path, path, resamples=100, min_effective=5)
    first = next(row for row in rows if row["estimator"] == "dr")
    place = known.fronts[5].judged.index(int(first["id"]))
    assert float(first["treasure_low"]) == known.fronts[5].estimates["dr"].low[place, 0]
    assert float(first["hypervolume"]) == known.fronts[5].estimates["dr"].hypervolume.value
    assert {row["judged"] for row in rows} <= {"0", "1"}
    code, text, err = run(
        capsys, "rollout", dst_run.path, "--policy", 0, "--behaviour", "greedy", "--log", tmp_path / "g.npz"
    )
    assert code == 0
    assert "note: every action has probability 1" in text


def test_a_log_of_something_else(dst_run, log, capsys, tmp_path):
    for change, message in (
        ({"env": "minecart-v0"}, "is of minecart-v0, the run of deep-sea-treasure-v0"),
        ({"env_kwargs": {"depth": 3}}, "with keywords {'depth': 3}, the run with {}"),
        ({"objectives": ("gold", "time")}, "has the objectives gold time, the run treasure time"),
        ({"gamma": 0.5}, "is for a discount of 0.5, the run for"),
        ({"observation": log.observation[:, :1]}, "observations of shape (1,); those of the run are (2,)"),
        ({"action": log.action + 9}, "an action is not in Discrete(4), in row 0"),
        ({"probability": log.probability + 1}, "probability is above 1, in row 0"),
    ):
        path = tmp_path / "other.npz"
        write_log(path, dataclasses.replace(log, **change))
        code, _, err = run(capsys, "evaluate", dst_run.path, "--from-log", path)
        assert (code, err.count("\n"), message in err) == (2, 1, True), err


def test_too_few_effective_episodes_are_refused(dst_run, log):
    with pytest.raises(UserError, match=r"cannot judge any policy: of its 600 episodes at most .* min_effective is 1e"):
        evaluate_log(dst_run.path, log, min_effective=1e6, resamples=100)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("rollout RUN --policy 0 --epsilon 0.1", "--behaviour, --epsilon and --mixture are for --log"),
        ("rollout RUN --policy 0 --log a.csv", "a.csv is no name of a log; allowed: .npz, .parquet"),
        ("rollout RUN --policy 0 --log a.npz --trace b.csv", "leave out --trace"),
        ("rollout RUN --policy 0 --mixture --log a.npz", "give a preference, the number of a policy, or mixture"),
        ("rollout RUN --policy 99 --log a.npz", "policy 99 is not in this front"),
        ("rollout RUN --policy 0 --log a.npz --epsilon 2", "--epsilon must be at least 0 and at most 1, not 2"),
        ("evaluate RUN --estimator dr --top-k 2", "are for --from-log"),
        (
            "evaluate RUN --from-log a.npz --episodes 3",
            "--episodes is for fresh episodes; leave it out with --from-log",
        ),
        ("evaluate RUN --from-log no.npz", "no.npz does not exist"),
        ("evaluate RUN --from-log no.npz --top-k 1", "--top-k must be at least 2, not 1"),
    ],
)
def test_mistakes_are_one_line(dst_run, flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *flags.replace("RUN", str(dst_run.path)).split())
    assert (code, err.count("\n"), message in err) == (2, 1, True), err
    assert not list(tmp_path.iterdir())


def test_public_names():
    assert morl.evaluate_log is evaluate_log
    assert morl.record_log is record_log
