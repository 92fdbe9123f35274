"""Filling of a run whose merged policies are known exactly, and the run directory that it leaves."""

import itertools
import json

import numpy as np
import pytest

import morl
from morl import registry
from morl.analysis.filling import fill as filling
from morl.analysis.results import read
from morl.cli import main
from morl.ops.pareto import non_dominated
from morl.runs.directory import read_settings
from morl.settings import FillSettings
from morl.types import Evaluation
from tests.analysis.filling.constants import returns_of

SMALL = {"candidates": 64, "rounds": 1, "members": 2}


@pytest.fixture(scope="module", autouse=True)
def agents():
    """Forget the agent of this module afterwards, which a training by ``module:name`` registers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_AGENTS", dict(registry._AGENTS))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    settings = {"steps": 24, "evaluations": 1, "eval_episodes": 2, "final_episodes": 3, "checkpoints_kept": 0}
    out = tmp_path_factory.mktemp("fill") / "run"
    agent, env = "tests.analysis.filling.constants:SPEC", "tests.probes:Probe"
    return morl.train(agent, env, env_kwargs={"kind": "steer"}, out=out, reporter=False, logger="csv", **settings)


@pytest.fixture(scope="module")
def filled(run):
    return morl.fill(run, out=run.path.with_name("filled"), **SMALL)


def actions_of(front):
    return np.asarray(front.params["action"], np.float64)[:, 0]


def test_the_front_is_filled_by_merges(run, filled):
    (report,) = filled.reports.values()
    np.testing.assert_allclose(actions_of(run.front), [0.6, 0.2, -0.2], atol=1e-6)
    front = filled.run.front
    assert (report.before, report.after) == (3, len(front))
    assert report.merges == len(front) - 3 > 15
    np.testing.assert_allclose(front.returns, returns_of(actions_of(front)), atol=1e-6)
    assert actions_of(front).min() > -0.2 - 1e-6  # beyond the ends everything is dominated
    assert actions_of(front).max() < 0.6 + 1e-6
    for row, shares in enumerate(report.shares):
        action = sum(share * actions_of(run.front)[i] for i, share in shares.items())
        assert action == pytest.approx(actions_of(front)[row], abs=1e-3)
    volumes = report.hypervolumes
    assert volumes["policies"] < volumes["filled"]
    # returns are strictly concave along the lines: merges exceed mixtures
    assert volumes["mixtures"] < volumes["filled"] < volumes["filled_mixtures"]


def test_interpolation_is_seen_to_be_exact(filled):
    (report,) = filled.reports.values()
    assert {line.ends for line in report.lines} == {(0, 1), (1, 2)}
    np.testing.assert_allclose(report.barriers, 0, atol=1e-6)
    for group in report.groups:
        np.testing.assert_allclose([group.fit, group.left_out], 1, atol=1e-6)


def test_the_cost_is_counted(run, filled):
    (report,) = filled.reports.values()
    # episodes have one step; two of each of the search, three of each that was confirmed, and of the run's own
    assert report.steps == 2 * (3 + report.tried) + 3 * (3 + report.promising)
    assert report.tried <= SMALL["candidates"]
    assert (filled.steps, filled.trained_steps) == (report.steps, 24)
    assert "environment steps" in filled.describe()


def test_the_run_directory_says_where_it_is_from(run, filled):
    settings, notes = read_settings(filled.run.path / "config.yaml")
    assert settings == read_settings(run.path / "config.yaml")[0]
    assert notes["filled"]["from"] == str(run.path)
    assert notes["filled"]["candidates"] == 64
    found = json.loads((filled.run.path / "fill.json").read_text())
    assert found == json.loads(filled.to_json())
    assert len(found["seeds"]["0"]["shares"]) == len(filled.run.front)
    (again,) = morl.load(filled).fronts.values()
    np.testing.assert_array_equal(again.returns, filled.run.front.returns)
    np.testing.assert_array_equal(again.params["action"], filled.run.front.params["action"])


def test_every_command_reads_it(run, filled, tmp_path, capsys):
    path = str(filled.run.path)
    preference = ["--preference", "0.5", "0.5"]
    for args in (
        ["front", path],
        ["evaluate", path, "--episodes", "2"],
        ["report", path, "--out", str(tmp_path / "a.html")],
        ["compare", str(run.path), path, "--resamples", "100"],
        ["rollout", path, *preference],
        ["export", path, *preference, "--out", str(tmp_path / "a.jax")],
    ):
        assert main(args) == 0, capsys.readouterr().err
        out, error = capsys.readouterr()
        assert "error" not in error
        assert args[0] != "compare" or "filled=yes" in out  # not one group of both
    source, of_it = (each for each in read([run.path, filled.run.path]))
    assert of_it.settings == source.settings


def test_only_confirmed_ones_enter(run, tmp_path, monkeypatch):
    """Estimates of the search that are luck alone bring every candidate to the confirmation, and few into the front."""
    evaluate, seen = filling._Filling._evaluate, itertools.count()

    def lucky(self, weights, stage, episodes):
        found = evaluate(self, weights, stage, episodes)
        if stage != filling.SEARCH:
            return found
        returns = np.array(found.discounted)
        for row in np.flatnonzero(~(weights == 1).any(axis=1)):
            place = next(seen) / SMALL["candidates"]
            returns[row] = 10 + place, 10 - place  # each is on a front that beats the run's own
        return found._replace(discounted=returns)

    monkeypatch.setattr(filling._Filling, "_evaluate", lucky)
    found = morl.fill(run, out=tmp_path / "run", **SMALL)
    (report,), front = found.reports.values(), found.run.front
    assert report.promising == report.tried
    assert 0 < report.merges < report.promising  # those beyond the ends are dominated after all
    assert report.before == 3
    np.testing.assert_allclose(front.returns, returns_of(actions_of(front)), atol=1e-6)
    assert non_dominated(front.returns).all()


def test_it_depends_on_the_seed_alone(run, filled, tmp_path):
    again = morl.fill(run, FillSettings(out=tmp_path / "a", **SMALL))
    np.testing.assert_array_equal(again.run.front.returns, filled.run.front.returns)
    other = morl.fill(run, out=tmp_path / "b", seed=1, **SMALL)
    assert not np.array_equal(other.run.front.returns, filled.run.front.returns)


def test_a_failure_leaves_no_directory(run, tmp_path, monkeypatch):
    def fail(*_: object) -> Evaluation:
        raise RuntimeError("no power")

    monkeypatch.setattr(filling._Filling, "_evaluate", fail)
    with pytest.raises(RuntimeError, match="no power"):
        morl.fill(run, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--candidates", "2"], "candidates must be at least 80, not 2"),
        (["--members", "1"], "members must be"),
        (["--max-envs", "4"], "--max-envs is for environments on the host"),
        (["--base", "median"], "base"),
    ],
)
def test_mistakes_are_one_line(run, flags, message, capsys):
    assert main(["fill", str(run.path), *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_runs_without_policies_to_merge(run, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("agent: capql\nenv: deep-sea-treasure-v0\nsteps: 100000\n")
    assert main(["fill", str(tmp_path)]) == 2
    assert "cannot work on a run of capql: its one policy takes every preference" in capsys.readouterr().err
    assert main(["fill", str(run.path), "--out", str(run.path)]) == 2
    assert "is not empty" in capsys.readouterr().err
