"""Runs read as numbers, and the command that repeats them."""

import shlex

import numpy as np
import pytest

from morl.analysis.results import read, read_front
from morl.cli.train import parse
from morl.errors import UserError
from morl.registry import agent_spec, load
from morl.training.setup import prepare
from tests.runs.written_runs import points, write_run

PLANE = ("a", "b")


def test_numbers_of_a_run(dst_run):
    (result,) = read([dst_run.path])
    assert (result.agent, result.env, result.label) == ("cmorl", "deep-sea-treasure-v0", "dst")
    assert (result.objectives, result.units) == (("treasure", "time"), ("", "steps"))
    assert (result.gamma, result.episodes, result.reference_point.tolist()) == (1.0, 2, [0.0, -25.0])
    for seed, front in dst_run.fronts.items():
        np.testing.assert_array_equal(result.tables[seed]["returns"], front.returns)
        assert len(result.history[seed]["hypervolume"]) == 8
    assert len(result.true_front) == 10


def test_the_command_repeats_the_settings(dst_run):
    (result,) = read([dst_run.path])
    morl, train, agent, *flags = shlex.split(result.command)
    assert (morl, train, agent) == ("morl", "train", "cmorl")
    assert {"--steps=250000", "--learning-rate=0.003"} <= set(flags)
    assert not any(flag.startswith("--clip") for flag in flags)  # the default
    settings, config = parse(agent, load(agent_spec(agent).config), flags)
    assert prepare(agent, settings, config).resolved(settings) == result.settings


def test_a_run_of_an_environment_that_is_not_here(tmp_path):
    run = write_run(tmp_path / "x", PLANE, {3: points(0, 4, 2)}, env="nowhere:Else-v0")
    (result,) = read([run])
    assert (result.units, result.true_front, list(result.tables)) == (("", ""), None, [3])


def test_without_the_agent_and_the_environment_the_numbers_are_read(tmp_path):
    """A plug-in's settings are shown as they are, and the front has everything but policies."""
    run = write_run(tmp_path / "x", PLANE, {3: points(0, 4, 2)}, env="nowhere:Else-v0", agent="other:agent", own=0.5)
    (result,) = read([run])
    assert (result.agent, result.env, result.settings["own"]) == ("other:agent", "nowhere:Else-v0", 0.5)
    assert result.command == f"morl train other:agent --config {run / 'config.yaml'}"
    front = read_front(run).fronts[3]
    np.testing.assert_array_equal(front.returns, points(0, 4, 2))
    assert (front.gamma, front.episodes, front.kind, front.labelled) == (0.9, 128, "policies", False)
    with pytest.raises(UserError, match=r"only the numbers of this front were read; morl\.load reads its policies"):
        front.policy([0.5, 0.5])
    (run / "objects.csv").write_text("seed,id,object\n" + "".join(f"3,{i},text {i}\n" for i in range(4)))
    assert read_front(run).fronts[3].objects == ("text 0", "text 1", "text 2", "text 3")
    (run / "candidates.csv").write_text("")
    assert read_front(run).fronts[3].labelled


def test_the_true_front_needs_the_environment_and_not_the_agent(tmp_path):
    run = write_run(tmp_path / "x", ("treasure", "time"), {3: points(0, 4, 2)}, agent="other:agent")
    (result,) = read([run])
    assert result.true_front is not None
    assert result.units == ("", "steps")


def test_runs_of_one_name_are_told_apart(tmp_path):
    runs = [write_run(tmp_path / x / "run", PLANE, {0: points(0, 4, 2)}) for x in "ab"]
    assert [result.label for result in read(runs)] == [str(run) for run in runs]


def damaged(path, what):
    run = write_run(path / "other", PLANE, {0: points(0, 3, 2)})
    if what == "no config":
        (run / "config.yaml").unlink()
    elif what == "no front":
        (run / "front.csv").unlink()
    elif what == "no metrics":
        (run / "metrics.csv").unlink()
    elif what == "words":
        (run / "metrics.csv").write_text("step,seed,hypervolume\n1,0,much\n")
    elif what == "format":
        (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("format: 3", "format: 2"))
    elif what == "empty":
        (run / "front.csv").write_text("")
    return run


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no config", "is not a run directory"),
        ("no front", "the run has not finished"),
        ("no metrics", "cannot read .*metrics.csv"),
        ("words", "holds something that is not a number"),
        ("format", "has run format 2; this version of morl reads format 3"),
        ("empty", "does not hold a front"),
    ],
)
def test_damage_is_told_in_one_line(what, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read([damaged(tmp_path, what)])


@pytest.mark.parametrize(
    ("objectives", "settings", "message"),
    [
        (("a", "c"), {}, "its objectives is a, c, not a, b"),
        (PLANE, {"gamma": 0.5}, r"its discount is 0.5, not 0.9"),
        (PLANE, {"env": "minecart-v0"}, "its environment is minecart-v0, not deep-sea-treasure-v0"),
    ],
)
def test_what_does_not_compare_is_refused(objectives, settings, message, tmp_path):
    one = write_run(tmp_path / "one", PLANE, {0: points(0, 3, 2)})
    two = write_run(tmp_path / "two", objectives, {0: points(0, 3, 2)}, **settings)
    with pytest.raises(UserError, match=message):
        read([one, two])
    with pytest.raises(UserError, match="given twice"):
        read([one, tmp_path / "two" / ".." / "one"])
