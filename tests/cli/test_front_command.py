"""``morl front`` on a run of two seeds: drawn, as JSON, as a picture."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from morl.cli import main
from morl.cli.front import _print, as_json, describe, weights_text


def run(capsys, *args):
    code = main(["front", *map(str, args)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_it_is_drawn(dst_run, capsys):
    code, out, _ = run(capsys, dst_run.path)
    assert code == 0
    assert out.count("●") == sum(map(len, dst_run.fronts.values()))
    assert out.splitlines()[-1] == f"picture: {dst_run.path / 'front.png'}"
    assert "best for" in out
    assert "trained for" not in out


def test_the_weights_a_policy_is_best_for(dst_run):
    """Row 0 has them in two digits, row 1 in as many as it takes; without a bonus there is no column of it."""
    front = replace(
        dst_run.front,
        ranges=np.array([[[0.0, 0.25], [0.75, 1.0]], [[0.99912, 0.99931], [0.5, 0.5]], *[[[np.nan] * 2] * 2] * 9])[
            : len(dst_run.front)
        ],
    )
    assert weights_text(front.best_for[0]) == "0–0.25 0.75–1"
    assert weights_text(np.array([[0.99912, 0.99931], [0.5, 0.5]])) == "0.9991–0.9993 0.5"
    assert weights_text(np.full((2, 2), np.nan)) == "no linear preference"
    header, row = describe(5, front, [0]).splitlines()[1:3]
    assert header.split("  ")[1].strip() == "best for"
    assert "0–0.25 0.75–1" in row
    alone = replace(front, without_bonus=front.returns - 77.0)
    header, row = describe(5, alone, [0]).splitlines()[1:3]
    assert "treasure without bonus  time without bonus  steps" in header
    assert row.split()[-3:-1] == [f"{x - 77:.4g}" for x in front.returns[0]]
    shown = as_json(5, alone, [0])["policies"][0]
    assert shown["without_bonus"] == alone.without_bonus[0].tolist()
    assert shown["best_for"] == [[0.0, 0.25], [0.75, 1.0]]
    conditional = describe(5, replace(front, conditional=True), [0]).splitlines()[1]
    assert conditional.split()[:4] == ["id", "preference", "best", "for"]


def test_json(dst_run, capsys):
    shown = json.loads(run(capsys, dst_run.path, "--json")[1])
    assert [front["seed"] for front in shown] == [5, 6]
    np.testing.assert_array_equal([policy["returns"] for policy in shown[1]["policies"]], dst_run.fronts[6].returns)
    assert shown[0]["hypervolume"] == dst_run.front.hypervolume()
    (one,) = json.loads(run(capsys, dst_run.path, "--json", "--seed", 6, "--preference", 0.5, 0.5)[1])
    assert [policy["id"] for policy in one["policies"]] == [dst_run.fronts[6].assign([0.5, 0.5])]


def test_picture(dst_run, capsys, tmp_path):
    path = tmp_path / "a.png"
    code, out, _ = run(capsys, dst_run.path, "--seed", 5, "--png", path)
    assert code == 0
    assert out.splitlines()[-1] == f"picture: {path}"
    with Image.open(path) as picture:
        assert picture.width > 300
    code, _, err = run(capsys, dst_run.path, "--png", path)
    assert (code, err) == (2, f"morl front: error: {path} exists already; choose another name\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--csv", "--json"], "give --csv or --json, not both"),
        (["--png", "a.gif"], "cannot write a picture to a.gif; allowed: .png"),
    ],
)
def test_mistakes(flags, message, capsys):
    code, _, err = run(capsys, "x", *flags)
    assert (code, err.count("\n")) == (2, 1)
    assert err.endswith(f"{message}\n")


def test_a_hypervolume_of_zero_is_explained(dst_run, capsys):
    front = dst_run.front
    beyond = replace(front, reference_point=front.returns.max(axis=0))
    _print({5: front, 6: beyond}, {5: [0], 6: [0]}, draw=False)
    notes = re.findall(r"^note: .*", capsys.readouterr().out, re.MULTILINE)
    assert len(notes) == 1
    assert notes[0].startswith("note: the hypervolume is 0, as no policy exceeds ")


def test_the_best_policy_and_mixture_for_a_utility(dst_run, capsys):
    """The worst of treasure and time is best at the first treasure; a linear utility takes no mixture."""
    code, out, _ = run(capsys, dst_run.path, "--utility", "max-min", "--json")
    assert code == 0
    for row in json.loads(out):
        returns = dst_run.fronts[row["seed"]].returns
        assert row["policy_utility"] == pytest.approx(returns.min(axis=1).max(), rel=1e-5)
        assert row["utility"] >= row["policy_utility"]
        assert sum(row["shares"].values()) == pytest.approx(1, abs=0.01)
    code, out, _ = run(capsys, dst_run.path, "--utility", "linear", "--preference", "0.9", "0.1")
    assert code == 0
    assert "best policy" in out
    assert "1.000 of policy" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--utility", "gin"], "unknown utility 'gin'; did you mean gini"),
        (["--utility", "tchebycheff"], "tchebycheff needs utility_point"),
        (["--utility-point", "1", "2"], "give --utility"),
        (["--utility", "gini", "--csv"], "give it without --utility"),
    ],
)
def test_mistakes_about_utilities_are_told_in_one_line(args, message, dst_run, capsys):
    code, _, err = run(capsys, dst_run.path, *args)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
