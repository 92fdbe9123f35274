"""Mistakes of every kind in every command: one line that says what was wrong and what is allowed, and exit code 2."""

import shlex

import pytest

from morl.cli import main
from tests.runs.written_runs import write_run

WEIGHTS = "a preference here has 2 weights, one for each of treasure, time, not"
POINT = "the reference point has 2 finite numbers, one for each of treasure, time, not"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run of two objectives, without policies: these mistakes are found before any is read."""
    path = tmp_path_factory.mktemp("mistakes")
    write_run(path / "run", ("treasure", "time"), {0: [[2.0, -3.0], [1.0, -1.0]]})
    return path


# Of each command: nothing, an unknown flag, a value that is missing, empty, of another type, not a number, out of
# range, unknown or too much.
CASES = [
    ("frnt", "morl: error: unknown command 'frnt'; did you mean front?"),
    ("agents all", "morl agents: error: agents takes no arguments, not 'all'"),
    ("front", "RUN is missing: morl front RUN"),
    ("front ''", "RUN must not be empty: it is a path"),
    ("front run run2", "unexpected argument 'run2' after run"),
    ("front run --sed 1", "unknown flag '--sed'; did you mean --seed?"),
    ("front run --seed", "--seed needs a value: a whole number"),
    ("front run --seed x", "--seed must be a whole number, not 'x'"),
    ("front run --seed 3", "seed 3 is not in this run; it has 0"),
    ("front run --preference", "--preference needs a value: numbers"),
    ("front run --preference ''", f"{WEIGHTS} none"),
    ("front run --preference a b", "--preference must be numbers, not 'a'"),
    ("front run --preference 1", f"{WEIGHTS} 1 (1)"),
    ("front run --preference 0.5,0.3,0.2", f"{WEIGHTS} 3 (0.5 0.3 0.2)"),
    ("front run --preference nan 1", "the weights of a preference are finite and at least 0, not nan 1"),
    ("front run --preference 0.7 0.7", "the weights of a preference add up to 1, not 1.4; did you mean 0.5 0.5?"),
    ("front run --reference-point 0", f"{POINT} 1 (0)"),
    ("front run --reference-point 0 nan", f"{POINT} 0 nan"),
    ("front run --reference-point 0,-inf", f"{POINT} 0 -inf"),
    ("front run --reference-point 0 0 --csv", "--csv prints no hypervolume; give it without --reference-point"),
    ("front run --json yes", "unexpected argument 'yes' after --json: --json takes no value"),
    ("front run --png a.gif", "cannot write a picture to a.gif; allowed: .png"),
    ("front run --png no/a.png", "cannot write no/a.png: No such file or directory"),
    ("evaluate run --episodes 0", "--episodes must be at least 1, not 0"),
    ("evaluate run --episodes nan", "--episodes must be a whole number, not 'nan'"),
    ("evaluate run --gamma nan", "--gamma must be at least 0 and at most 1, not nan"),
    ("evaluate run --device gup", "--device must be one of auto, cpu, gpu, tpu, not 'gup'; did you mean gpu?"),
    ("evaluate run --reference-point 0 0 0", f"{POINT} 3 (0 0 0)"),
    ("evaluate run --out a.txt", "cannot write numbers to a.txt; allowed: .csv"),
    ("evaluate run --out no/a.csv", "cannot write no/a.csv: No such file or directory"),
    ("evaluate run --overwrite", "--overwrite is for --out, the file to write over"),
    ("rollout run", "give --preference or --policy, one of the two"),
    ("rollout run --preference 0.7", f"{WEIGHTS} 1 (0.7)"),
    ("rollout run --policy 0.5", "--policy must be a whole number, not '0.5'"),
    ("rollout run --policy 0 --max-steps 0", "--max-steps must be at least 1, not 0"),
    ("rollout run --policy 0 --seed -1", "--seed must be at least 0, not -1"),
    ("rollout run --policy 0 --video a.avi", "cannot write a video to a.avi; allowed: .gif, .webp, .png, .mp4"),
    ("sample run", "give --preference, weights of the objectives that sum to 1"),
    ("sample run --preference 1 0 --n 2.5", "--n must be a whole number, not '2.5'"),
    ("sample run --preference 1 0 --n 0", "--n must be at least 1, not 0"),
    ("sample run --preference 1 0", "morl sample cannot work on a run of cmorl: its policies draw no objects"),
    ("fill", "RUN is missing: morl fill RUN"),
    ("fill run --members 1", "--members must be at least 2 and at most 16, not 1"),
    ("compare", "RUN is missing: morl compare RUN"),
    ("compare run run", "run is given twice"),
    ("compare run --by sed", "--by must be one of settings, run, not 'sed'"),
    ("compare run --resamples 1", "--resamples must be at least 100, not 1"),
    ("compare run --reference-point 1", f"{POINT} 1 (1)"),
    ("report", "RUN is missing: morl report RUN"),
    ("report run --reference-point 1", f"{POINT} 1 (1)"),
    ("report run --out no/a.html", "cannot write no/a.html: No such file or directory"),
    ("export run", "--out is missing: give a path"),
    ("export run --out a.pt2 --format tourch", "not 'tourch'; did you mean torch?"),
    ("tensorboard run --port 99999", "--port must be at least 0 and at most 65535, not 99999"),
    ("check-env", "ID is missing: morl check-env ID"),
    ("check-env ''", "ID must not be empty: it is a text"),
    ("check-env minecart-v0 --backend cuda", "--backend must be one of jax, host, not 'cuda'"),
    ("check-env minecart-v0 --seed x", "--seed must be a whole number, not 'x'"),
    ("train cmorl --gamma", "--gamma needs a value: a number"),
    ("train cmorl --config ''", "--config must not be empty: it is a path"),
    ("train cmorl --hidden 64,x", "--hidden must be whole numbers, not 'x'"),
    ("train cmorl --hidden", "--hidden needs a value: whole numbers"),
    ("train cmorl --learning-rate inf", "--learning-rate must be greater than 0 and finite, not inf"),
    ("train cmorl --env-kwargs", "--env-kwargs needs a value: a name and a value in turn"),
    ("train mogfn --beta 1 2 3", "unexpected argument '3' after --beta 1 2: --beta takes a number or 2 numbers"),
    ("train cmorl --anneal=maybe", "--anneal takes no value, not 'maybe'"),
    ("train --resume ''", "--resume must not be empty: it is a path"),
    ("tune cmorl --num-samples 0", "--num-samples must be at least 1, not 0"),
    ("tune cmorl --searcher tpee", "--searcher must be one of tpe, random, bohb, not 'tpee'; did you mean tpe?"),
    ("tune cmorl --space", "--space needs a value: texts"),
    ("tune --resume", "--resume needs a value: a path"),
    ("tune --resume x --num-samples x", "--num-samples must be a whole number, not 'x'"),
]


@pytest.mark.parametrize(("line", "message"), CASES)
def test_one_line_and_exit_code_2(line, message, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    code = main(shlex.split(line))
    out, err = capsys.readouterr()
    assert err.endswith(f"{message}\n")
    assert err.startswith("morl")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sorted(folder.rglob("*")) == before
