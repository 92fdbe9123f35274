"""``morl prefer``: questions in the terminal, a utility that answers, what is printed, mistakes in one line."""

import io
import json
import re
import shutil

import numpy as np
import pytest

from morl.cli import main
from tests.runs.written_runs import points, write_run

RETURNS = points(1, 12, 2) * [20.0, 10.0] - [0.0, 20.0]


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "x", ("treasure", "time"), {0: RETURNS})


def prefer(capsys, *args):
    code = main(["prefer", *map(str, args)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_questions_in_the_terminal(run, capsys, monkeypatch):
    """A word that is no answer is asked again; the end of the input ends the questions and names a policy."""
    monkeypatch.setattr("sys.stdin", io.StringIO("what\nA\n=\nb\n"))
    code, out, err = prefer(capsys, run, "--sure", 1)
    assert (code, err) == (0, "")
    assert [int(n) for n in re.findall(r"question (\d+) of at most 10", out)] == [1, 2, 3, 4]
    assert out.count("a, b, = (as good), r (one episode of each) or q (stop): ") == 5
    for block in out.split("question ")[1:]:
        drawn = "".join(block.splitlines()[6:])
        assert drawn.count("A") == drawn.count("B") == 1
        assert "treasure" in block
        assert "time (steps)" in block
    named = int(re.search(r"^policy (\d+), after 3 answers$", out, re.M)[1])
    assert f"watch it: morl rollout {run} --policy {named}" in out
    assert out.endswith(f"answers: {run / 'answers-0.yaml'}\n")
    weights = re.search(r"^weights for --preference: (.*)$", out, re.M)[1]
    again = json.loads(prefer(capsys, run, "--questions", 3, "--json")[1])
    assert (again["policy"], again["answers"]) == (named, 3)
    assert main(["front", str(run), "--preference", *weights.split()]) == 0
    assert re.search(rf"^ *{named}  ", capsys.readouterr().out, re.M)


def test_an_interrupt_says_how_to_go_on(run, capsys, monkeypatch):
    class Interrupted(io.StringIO):
        def readline(self, *args):
            if line := super().readline(*args):
                return line
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Interrupted("a\n"))
    code, _, err = prefer(capsys, run, "--sure", 1)
    assert code == 130
    assert err == f"\ninterrupted: 1 answer in {run / 'answers-0.yaml'}; to go on: morl prefer {run}\n"


def test_episodes_on_request(dst_run, tmp_path, capsys, monkeypatch):
    run = shutil.copytree(dst_run.path, tmp_path / "dst")
    monkeypatch.setattr("sys.stdin", io.StringIO("r\nq\n"))
    code, out, _ = prefer(capsys, run, "--training-seed", 6)
    assert code == 0
    assert re.findall(r"^([AB]): policy \d+$", out, re.M) == ["A", "B"]
    assert out.count("terminated") == 2
    assert "no answers yet" in out


@pytest.mark.parametrize(
    ("flags", "worth"),
    [
        (["linear", "--preference", "0.2", "0.8"], RETURNS @ [0.2, 0.8]),
        (["max-min", "--utility-point", "0", "-20"], (RETURNS - [0.0, -20.0]).min(axis=1)),
        (["tests.cli.test_prefer_command:root_of_treasure"], np.sqrt(RETURNS[:, 0] + 1) + 0.1 * RETURNS[:, 1]),
    ],
)
def test_a_utility_answers(flags, worth, run, capsys):
    found = json.loads(prefer(capsys, run, "--utility", *flags, "--json")[1])
    assert worth[found["policy"]] >= worth.max() - 0.03 * np.ptp(worth)
    assert found["probability_within_2_percent"] >= found["probability_best"]


def root_of_treasure(returns):
    return (returns[0] + 1) ** 0.5 + 0.1 * returns[1]


def several(returns):
    return returns


def log_of_treasure(returns):
    import jax.numpy as jnp

    return jnp.log(returns[0] - 5 + 6 * (returns[0] == 0)) + returns[1]


def test_a_utility_from_a_file(run, tmp_path, capsys):
    file = tmp_path / "user.yaml"
    file.write_text("utility: linear\npreference: [0.2, 0.8]\n")
    found = prefer(capsys, run, "--utility", file, "--json")[1]
    assert found == prefer(capsys, run, "--utility", "linear", "--preference", 0.2, 0.8, "--json", "--restart")[1]
    file.write_text("utilty: linear\n")
    code, _, err = prefer(capsys, run, "--utility", file)
    assert (code, err.count("\n")) == (2, 1)
    assert "utility" in err
    file.write_text("preference: [0.2, 0.8]\n")
    code, _, err = prefer(capsys, run, "--utility", file)
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--questions", "0"], "questions must be a whole number of at least 1, not 0"),
        (["--sure", "2"], "sure must be above 0 and at most 1, not 2"),
        (["--seed", "-1"], "--seed must be at least 0, not -1"),
        (["--training-seed", "4"], "seed 4 is not in this run; it has 0"),
        (["--preference", "0.5", "0.5"], "are of a utility; give --utility"),
        (["--utility", "gin"], "unknown utility 'gin'; did you mean gini"),
        (["--utility", "linear", "--preference", "1", "1"], "add up to 1, not 2"),
        (["--utility", "tests.cli.test_prefer_command:several"], "must return one number"),
        (["--utility", "tests.cli.test_prefer_command:log_of_treasure"], "must be finite; for policy "),
        (["--utility", "no.yaml"], "cannot read no.yaml"),
    ],
)
def test_mistakes_are_one_line(args, message, run, capsys):
    code, _, err = prefer(capsys, run, *args)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert not (run / "answers-0.yaml").exists()


def test_a_front_of_one_policy(tmp_path, capsys):
    run = write_run(tmp_path / "one", ("a", "b"), {0: [[1.0, 2.0]]})
    code, _, err = prefer(capsys, run)
    assert (code, err.count("\n")) == (2, 1)
    assert "has one policy" in err
