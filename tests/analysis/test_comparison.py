"""Comparisons of runs: numbers by hand, groups, refusals, and what is printed."""

import csv
import io
import json
import math

import pytest
from PIL import Image

import morl
from morl import registry
from morl.analysis.comparison import compare
from morl.analysis.results import read
from morl.cli import main
from morl.cli.compare import as_json
from morl.errors import UserError
from tests.runs.written_runs import write_run

PLANE = ("a", "b")


def boxes(*sides):
    """Fronts by seed of one point each, whose hypervolume above the origin is the square of a side."""
    return {seed: [[side, side]] for seed, side in enumerate(sides)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    same = {"env": "nowhere:X-v0", "reference_point": [0.0, 0.0]}
    small = write_run(folder / "small", PLANE, boxes(1, 1, 2, 10), **same)
    rest = write_run(folder / "rest", PLANE, {4: [[1, 1], [2, 0.5]]}, **same, processes=2)
    large = write_run(folder / "large", PLANE, boxes(3, 4, 2), **same, learning_rate=0.5)
    return [small, rest, large]


@pytest.fixture(scope="module")
def found(runs):
    return compare(read(runs), resamples=500)


def test_groups_are_settings_but_for_the_seed(found):
    assert found.groups == ["cmorl learning_rate=0.001", "cmorl learning_rate=0.5"]
    assert found.of(found.groups[0], "hypervolume").tolist() == [1, 1, 4, 100, 1.5]
    assert found.of(found.groups[1], "hypervolume").tolist() == [9, 16, 4]


def test_metrics_by_hand(found):
    """The best point of all is (10, 10); equally spread preferences weigh equal returns to themselves."""
    assert (found.known_front.kind, found.known_front.points.tolist()) == ("pooled", [[10, 10]])
    first = found.measured[0].values
    assert first["expected_utility"] == pytest.approx(1)
    assert first["igd_plus"] == pytest.approx(math.hypot(0.9, 0.9))  # a front of one point counts in its size
    assert math.isnan(first["sparsity"])  # of one point
    assert (first["epsilon_additive"], first["maximum_utility_loss"]) == (pytest.approx(0.9),) * 2
    assert (first["hypervolume_tight"], first["covered_share"]) == (0, 0)
    assert found.measured[3].values["hypervolume_tight"] == 1
    assert [front.values["cardinality"] for front in found.measured] == [1, 1, 1, 1, 2, 1, 1, 1]
    assert math.isnan(found.measured[4].values["sparsity"])  # of two


def test_means_and_probabilities_by_hand(found):
    """Check interquartile means, of five values without the least and the largest, and probabilities of improvement."""
    one, two = found.groups
    assert found.means[one, "hypervolume"].value == pytest.approx((1 + 1.5 + 4) / 3)
    assert found.means[two, "hypervolume"].value == pytest.approx((9 + 16 + 4) / 3)
    improvement = found.improvement[one, two, "hypervolume"]
    assert improvement.value == pytest.approx((3 + 0.5) / 15)  # 100 beats three, 4 equals one
    assert found.improvement[one, two, "igd_plus"].value == pytest.approx((3 + 0.5) / 15)  # less is better
    for name, interval in {**found.means, **found.improvement}.items():
        if name[-1] == "sparsity":  # which these fronts do not have
            assert math.isnan(interval.value)
            continue
        assert interval.low <= interval.value + 1e-12
        assert interval.value <= interval.high + 1e-12


def test_the_same_seed_gives_the_same_intervals(runs, found):
    results = read(runs)
    assert compare(results, resamples=500).means == found.means
    assert compare(results, resamples=500, seed=1).means != found.means


def test_a_further_metric_changes_no_interval(runs, found, monkeypatch):
    monkeypatch.setattr(registry, "_METRICS", dict(registry._METRICS))
    morl.register_metric(morl.MetricSpec("tenfold", "X", "more", 1, "tests.analysis.test_comparison:broken"))
    with pytest.warns(UserWarning, match="metric tenfold .* failed"):
        more = compare(read(runs), resamples=500)
    assert {key: mean for key, mean in more.means.items() if key[1] != "tenfold"} == found.means
    assert {key: share for key, share in more.improvement.items() if key[2] != "tenfold"} == found.improvement
    assert all(math.isnan(mean.value) for key, mean in more.means.items() if key[1] == "tenfold")


def broken(points):
    raise ZeroDivisionError


def test_metrics_without_a_better_way_decide_nothing(found):
    assert {metric for *_, metric in found.improvement} == {m.name for m in found.metrics} - {"cardinality"}


def test_reference_points(runs, tmp_path):
    lower = write_run(tmp_path / "x", PLANE, boxes(1), env="nowhere:X-v0", reference_point=[-1.0, 1.0])
    found = compare(read([runs[2], lower]), resamples=100)
    assert (found.reference_point.tolist(), found.own_reference) == ([-1.0, 0.0], False)
    assert found.measured[0].values["hypervolume"] == 12
    found = compare(read(runs), reference_point=[2, 2], resamples=100)
    assert found.of(found.groups[1], "hypervolume").tolist() == [1, 4, 0]
    notes = [front.note for front in found.measured if front.note]
    assert len(notes) == 7
    assert sum("as no policy exceeds 2 in " in note for note in notes) == 5
    assert all("at the tight reference point 9 9 the hypervolume is 0" in note for note in notes)
    with pytest.raises(UserError, match="the reference point has 2 finite numbers"):
        compare(read(runs), reference_point=[1, 2, 3])


def test_protocols_that_differ_are_told(runs, tmp_path, capsys):
    assert compare(read(runs), resamples=100).notes == ()
    other = write_run(tmp_path / "other", PLANE, boxes(5), env="nowhere:X-v0", final_episodes=3)
    found = compare(read([runs[0], other]), resamples=100)
    said = "the runs have different protocols: episodes 128 (small), 3 (other); "
    said += "reference point 0 0 (small), -10 -10 (other)"
    assert found.notes == (said,)
    shown = main(["compare", str(runs[0]), str(other), "--resamples", "100"]), capsys.readouterr().out
    assert f"note: {said}" in shown[1]


def test_hidden_objectives_and_zeros_are_told(tmp_path):
    fronts = {1: [[1.0, 9.0], [9.0, 1.0]], 2: [[-20.0, 20.0]]}
    run = write_run(tmp_path / "run", PLANE, fronts, env="nowhere:X-v0", reference_point=[-10.0, -5000.0])
    found = compare(read([run]), resamples=100)
    assert found.notes[0].startswith(
        f"reference point -5000 in {PLANE[1]} hides {PLANE[1]}: its range over the front, 1 to 20, "
    )
    assert found.measured[1].values["hypervolume"] == 0
    assert "as no policy exceeds -10 in" in found.measured[1].note
    shown = as_json(found)
    assert shown["notes"] == list(found.notes)
    assert [front["note"] for front in shown["fronts"]] == [front.note for front in found.measured]
    assert shown["protocol"]["reference_point"] == [-10, -5000]


def test_a_seed_does_not_count_twice(runs, tmp_path):
    again = write_run(tmp_path / "again", PLANE, boxes(1), env="nowhere:X-v0", reference_point=[0.0, 0.0])
    with pytest.raises(UserError, match=r"seed 0 of cmorl is both in .*small and in .*again, and would count twice"):
        compare(read([runs[0], again]))
    assert compare(read([runs[0], again]), by="run", resamples=100).groups == ["small", "again"]


def test_against_the_true_front(dst_run):
    found = compare(read([dst_run.path]), resamples=100)
    assert found.known_front.kind == "true"
    assert found.groups == ["cmorl"]
    assert [front.values["hypervolume"] for front in found.measured] == [
        f.hypervolume() for f in dst_run.fronts.values()
    ]


def run(capsys, *args):
    code = main(["compare", *map(str, args), "--resamples", "200"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_what_is_printed(runs, capsys, tmp_path):
    code, out, _ = run(capsys, *runs, "--png", tmp_path / "a.png")
    assert code == 0
    assert "1 than 2" in out
    assert "note: of 3 seeds an interval is too narrow" in out
    assert out.splitlines()[-1] == f"picture: {tmp_path / 'a.png'}"
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 1000
    rows = list(csv.DictReader(io.StringIO(run(capsys, *runs, "--csv")[1])))
    assert [float(row["hypervolume"]) for row in rows] == [1, 1, 4, 100, 1.5, 9, 16, 4]
    assert list(rows[0])[4:8] == ["hypervolume", "expected_utility", "igd_plus", "sparsity"]
    assert list(rows[0])[8:11] == ["hypervolume_tight", "hypervolume_box", "covered_share"]
    assert list(rows[0])[11:] == [
        *("largest_gap", "epsilon_additive", "maximum_utility_loss", "mean_utility_loss", "cardinality"),
        *("hypervolume_exact", "hypervolume_tight_exact", "hypervolume_box_exact"),
    ]
    assert rows[4]["cardinality"] == "2"
    shown = json.loads(run(capsys, runs[1], "--json")[1])
    assert shown["interquartile_means"][0] == {
        "group": "cmorl", "metric": "hypervolume", "value": 1.5, "low": None, "high": None,
    }  # fmt: skip
    assert "1 seed has no interval" in run(capsys, runs[1])[1]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "RUN is missing: morl compare RUN"),
        (["x"], "x does not exist"),
        (["x", "--by", "agent"], "--by must be one of settings, run, not 'agent'"),
        (["x", "--resamples", "5"], "resamples must be at least 100, not 5"),
        (["x", "--seed", "-1"], "seed must be at least 0, not -1"),
        (["x", "--csv", "--json"], "give --csv or --json, not both"),
        (["x", "--png", "a.pdf"], "cannot write a picture to a.pdf; allowed: .png"),
    ],
)
def test_mistakes(flags, message, capsys):
    assert main(["compare", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
