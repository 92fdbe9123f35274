"""MOGFN through the whole library: training, front of objects, evaluation, candidates, reading back, mistakes."""

import csv
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import morl
from morl.agents.mogfn import MOGFNConfig
from morl.agents.mogfn.presets import protocol
from morl.cli import main
from morl.cli.train import parse
from morl.constructive import metrics as gfn_metrics
from morl.constructive import sampling, sheets, streaming
from morl.constructive.sample_sets import best_objects
from morl.envs.constructive.hypergrid import HyperGrid
from morl.errors import UserError
from morl.loading import setup_of
from morl.ops.preferences import equally_spaced_weights
from morl.settings import EvaluateSettings
from morl.training.setup import prepare
from morl.types import Evaluation

GRID = HyperGrid(6)
TRAIN = [
    *["train", "mogfn", "--env", "hypergrid-v0", "--env-kwargs", "side", "6", "--steps", "25600", "--batch", "64"],
    *["--hidden", "32", "32", "--num-seeds", "2", "--seed", "3", "--evaluations", "2", "--eval-episodes", "12"],
    *["--final-episodes", "32", "--num-preferences", "11"],
]


def command(capsys, line, *args):
    code = main([*line.split(), *map(str, args)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two seeds of 400 updates on a grid of 6 x 6, by the command line."""
    out = tmp_path_factory.mktemp("mogfn") / "run"
    assert main([*TRAIN, "--out", str(out)]) == 0
    return morl.load(out)


def cells(front):
    """The place of each object among the grid's outcomes."""
    found = np.array([text.split() for text in front.objects], int)
    return found[:, 0] * GRID.side + found[:, 1]


class TestTraining:
    def test_it_learns_the_target_and_finds_the_front(self, run):
        learner = prepared(run).agent.learner
        exact = gfn_metrics.target(GRID.outcomes(), np.log(GRID.outcomes().values @ equally_spaced_weights(2, 11).T).T)
        fresh = learner.policy(learner.init(jax.random.key(0)))
        untrained = learner.distribution(fresh, learner.condition(equally_spaced_weights(2, 11)))
        assert gfn_metrics.l1_distance(untrained, exact.probability).mean() > 0.5
        last = [row for row in rows(run.path / "metrics.csv") if row["step"] == "25600"]
        assert [row["seed"] for row in last] == ["3", "4"]
        for row, front in zip(last, run.fronts.values(), strict=True):
            assert float(row["l1"]) < 0.15
            assert float(row["log_z_error"]) < 0.2
            assert float(row["hypervolume_share"]) > 0.999
            learnt = learner.distribution(front.params, learner.condition(equally_spaced_weights(2, 11)))
            found = gfn_metrics.l1_distance(learnt, exact.probability).mean()
            assert found == pytest.approx(float(row["l1"]), abs=1e-4)  # it is that sampler that was saved

    def test_steps_are_objects(self, run):
        log = (run.path / "log.txt").read_text()
        assert "2 seeds x 1 policy x 400 updates x 64 steps = 51,200 steps" in log
        assert "a step is one object built and rewarded" in log
        assert [row["step"] for row in rows(run.path / "metrics.csv")] == ["12800"] * 2 + ["25600"] * 2

    def test_metrics_are_of_their_ranges(self, run):
        best = GRID.outcomes().values
        for row in rows(run.path / "metrics.csv"):
            found = {name: float(row[name]) for name in ("r2", "top_10_reward", "top_10_diversity", "pc_entropy")}
            exact = gfn_metrics.r2(GRID.true_front(), equally_spaced_weights(2, 11))
            assert exact - 1e-6 <= found["r2"] < exact + 0.05
            assert 0.5 < found["top_10_reward"] <= best.max()
            assert 0.5 < found["top_10_diversity"] < 10
            assert 0 < found["pc_entropy"] <= np.log(len(GRID.true_front()))

    def test_the_front_is_of_objects_and_exact(self, run):
        for front in run.fronts.values():
            np.testing.assert_allclose(front.returns, GRID.outcomes().values[cells(front)], rtol=1e-6)
            np.testing.assert_allclose(np.sort(front.returns[:, 0]), np.sort(GRID.true_front()[:, 0]), rtol=1e-6)
            assert not front.stderr.any()
            steps = np.array([text.split() for text in front.objects], int)
            np.testing.assert_array_equal(front.length, steps.sum(axis=1) + (steps < GRID.side - 1).all(axis=1))
            lattice = {tuple(w) for w in equally_spaced_weights(2, 11).round(6).tolist()}
            assert {tuple(w) for w in front.preferences.tolist()} <= lattice

    def test_a_seed_alone_is_the_same_to_the_bit(self, run, tmp_path, capsys):
        """Repeat one seed of a run of two from its settings, on one device instead of two; its rows are the same."""
        out = tmp_path / "one"
        flags = f"train mogfn --config {run.path / 'config.yaml'} --seed 4 --num-seeds 1"
        assert command(capsys, flags, "--out", out)[0] == 0
        for name in ("front.csv", "objects.csv", "metrics.csv"):
            timed = ("seconds", "steps_per_second")
            one, both = (
                [{k: v for k, v in row.items() if k not in timed} for row in rows(path / name)]
                for path in (out, run.path)
            )
            assert one == [row for row in both if row["seed"] == "4"]
        assert one[0] != both[0]  # the seeds differ


def prepared(run):
    return setup_of(run.path)[0]


class TestAfterwards:
    def test_evaluation_draws_anew(self, run, capsys):
        again = morl.evaluate(run.path, EvaluateSettings(episodes=1, seed=1))[3]
        assert 0 < again.hypervolume() <= run.front.hypervolume()
        assert again.objects != morl.evaluate(run.path, EvaluateSettings(episodes=1, seed=2))[3].objects
        code, out, _ = command(capsys, "evaluate", run.path, "--episodes", 20)
        assert code == 0
        assert "the best of those drawn" in out

    def test_front_on_the_command_line(self, run, capsys):
        code, out, _ = command(capsys, "front", run.path, "--seed", 3, "--preference", "1", "0")
        assert code == 0
        assert out.splitlines()[1].split() == ["id", "drawn", "for", "branin", "currin", "steps", "object"]
        assert out.splitlines()[2].endswith(run.front.objects[0])

    def test_the_policy_of_a_preference_is_the_sampler_under_it(self, run):
        policy = run.front.policy([0.3, 0.7])
        np.testing.assert_array_equal(policy.preference, [0.3, 0.7])
        obs = np.zeros((20_000, 2), np.int32)
        taken = policy(obs, key=jax.random.key(0))
        learner = prepared(run).agent.learner
        steps = np.asarray(learner.distribution(run.front.params, learner.condition([0.3, 0.7])))[0]
        assert np.mean(taken == 2) == pytest.approx(steps[0], abs=0.01)  # stop at once: the object 0 0
        assert policy(obs[0]).shape == ()

    def test_rollouts_draw(self, run, tmp_path, capsys):
        video = tmp_path / "a.gif"
        code, out, _ = command(
            capsys, "rollout", run.path, "--preference", "0.3", "0.7", "--episodes", 6, "--video", video
        )
        assert code == 0
        ends = {tuple(line.split()[1:3]) for line in out.splitlines()[2:8]}
        assert len(ends) > 1
        allowed = {tuple(f"{x:.5g}" for x in row) for row in GRID.outcomes().values.astype(np.float32)}
        assert ends <= allowed
        assert video.stat().st_size > 0

    def test_a_lost_list_of_objects_is_one_line(self, run, tmp_path, capsys):
        import shutil

        copy = tmp_path / "copy"
        shutil.copytree(run.path, copy)
        (copy / "objects.csv").write_text("seed,id,object\n3,0,1 1\n")
        code, _, err = command(capsys, "front", copy)
        assert (code, err.count("\n")) == (2, 1)
        assert "does not hold the objects of front.csv" in err


class TestSample:
    def test_candidates_of_two_preferences(self, run, tmp_path, capsys):
        out, sheet = tmp_path / "c.csv", tmp_path / "best.png"
        code, shown, err = command(
            capsys,
            f"sample {run.path} --preference 0.3 0.7 --preference 1 0 --n 40 --top 3",
            "--out",
            out,
            "--sheet",
            sheet,
        )
        assert code == 0, err
        table = rows(out)
        assert [row["id"] for row in table] == [str(i) for i in range(80)]
        drawn = morl.sample(run.path, [[0.3, 0.7], [1, 0]], 40)
        learner = prepared(run).agent.learner
        distribution = np.asarray(learner.distribution(run.front.params, learner.condition([[0.3, 0.7], [1, 0]])))
        seen = [set(), set()]
        for i, row in enumerate(table):
            first, second = map(int, row["object"].split())
            place = first * GRID.side + second
            values = GRID.outcomes().values[place]
            weights = [[0.3, 0.7], [1.0, 0.0]][i // 40]
            assert [float(row["preference_branin"]), float(row["preference_currin"])] == weights
            assert [float(row["branin"]), float(row["currin"])] == pytest.approx(values.tolist(), rel=1e-5)
            assert float(row["reward"]) == pytest.approx(values @ weights, rel=1e-5)
            assert float(row["log_probability"]) <= np.log(distribution[i // 40][place]) + 1e-4
            assert float(row["novelty"]) == drawn.novelty[i] >= 1
            assert row["repeated"] == str(int(row["object"] in seen[i // 40]))
            seen[i // 40].add(row["object"])
        lines = shown.splitlines()
        assert lines[0].startswith("80 objects drawn at beta 1, ")
        assert [line.split()[0] for line in lines[2:8]] == ["0.3"] * 3 + ["1"] * 3
        assert float(lines[2].split()[2]) == pytest.approx(max(float(row["reward"]) for row in table[:40]), abs=1e-3)
        assert sheet.stat().st_size > 1000

    def test_seeds_and_what_is_known(self, run, tmp_path, capsys):
        known = tmp_path / "known.txt"
        known.write_text("0 0\n\n5 0\n")
        assert sampling.read_known(known) == ["0 0", "5 0"]
        one = morl.sample(run.path, [0.5, 0.5], 30, known=["0 0", "5 0"])
        expected = [min(a + b, 5 - a + b) for a, b in (map(int, text.split()) for text in one.objects)]
        np.testing.assert_array_equal(one.novelty, expected)
        assert one.objects == morl.sample(run.path, [0.5, 0.5], 30).objects
        assert one.objects != morl.sample(run.path, [0.5, 0.5], 30, seed=1).objects
        assert one.objects != morl.sample(run.path, [0.5, 0.5], 30, training_seed=4).objects
        assert len(one.unique()) == len(set(one.objects)) < 30
        out = tmp_path / "u.csv"
        code, _, _ = command(capsys, f"sample {run.path} --preference 0.5 0.5 --n 30 --unique --out", out)
        assert code == 0
        assert len(rows(out)) == len(one.unique())
        assert sampling.read_known(out) == list(one.unique().objects)

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_a_stream_has_the_same_draws_in_bounded_memory(self, run, tmp_path, capsys, monkeypatch, suffix):
        parquet = pytest.importorskip("pyarrow.parquet") if suffix == "parquet" else None
        monkeypatch.setattr(sampling, "BLOCK", 8)
        monkeypatch.setattr(streaming, "BLOCK", 8)
        monkeypatch.setattr(streaming, "GROUP", 16)
        flags = f"sample {run.path} --preference 0.3 0.7 --preference 1 0 --n 30 --top 3"
        assert command(capsys, flags, "--out", tmp_path / "all.csv")[0] == 0
        path = tmp_path / f"stream.{suffix}"
        code, shown, err = command(capsys, flags, "--stream", path)
        assert code == 0, err
        table = rows(path) if parquet is None else parquet.read_table(path).to_pylist()
        wanted = [
            {k: v for k, v in row.items() if k not in ("novelty", "repeated")} for row in rows(tmp_path / "all.csv")
        ]
        assert [{k: v if k == "object" else float(v) for k, v in row.items()} for row in table] == [
            {k: v if k == "object" else float(v) for k, v in row.items()} for row in wanted
        ]
        if parquet is not None:
            assert parquet.ParquetFile(path).num_row_groups == 4
        best = morl.sample(run.path, [[0.3, 0.7], [1, 0]], 30).best(3)
        printed = [line.split() for line in shown.splitlines()[2:8]]
        assert sorted(float(line[2]) for line in printed[:3]) == pytest.approx(sorted(best.rewards[:3]), abs=1e-3)
        assert shown.splitlines()[-1] == f"candidates: {path} (60)"

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_a_stream_that_is_ended_leaves_a_readable_file(self, run, tmp_path, monkeypatch, suffix):
        parquet = pytest.importorskip("pyarrow.parquet") if suffix == "parquet" else None
        monkeypatch.setattr(sampling, "BLOCK", 8)
        monkeypatch.setattr(streaming, "BLOCK", 8)
        options = {"seed": 0, "beta": None, "training_seed": None, "device": "auto"}
        source = sampling.open_source(run.path, [[0.5, 0.5], [1, 0]], 30, **options)
        seen = []

        def abort(rows):
            raise KeyboardInterrupt

        def number(path):
            return len(rows(path)) if parquet is None else parquet.read_table(path).num_rows

        stopped = tmp_path / f"stopped.{suffix}"
        done = streaming.stream(source, 30, stopped, 2, on_rows=seen.append, should_stop=lambda: len(seen) == 2)
        assert (done.rows, done.stopped, seen, number(stopped)) == (16, True, [8, 16], 16)
        aborted = tmp_path / f"aborted.{suffix}"
        with pytest.raises(KeyboardInterrupt):
            streaming.stream(source, 30, aborted, 2, on_rows=abort)
        assert number(aborted) == 8

    def test_mistakes(self, run, tmp_path, tmp_path_factory, capsys):
        other = tmp_path_factory.mktemp("cmorl")
        (other / "config.yaml").write_text("agent: cmorl\nenv: deep-sea-treasure-v0\n")
        there = tmp_path / "there.csv"
        there.write_text("a,b\n1,2\n")
        for line, message in (
            (f"sample {run.path}", "give --preference"),
            (f"sample {run.path} --preference 0.5 0.6", "add up to 1"),
            (f"sample {run.path} --preference 1", "a preference here has 2 weights"),
            (f"sample {run.path} --preference 1 0 --preference 1", "a preference here has 2 weights, one for each of"),
            (f"sample {run.path} --preference 1 0 --beta 2", "beta must be 1, as the sampler was trained"),
            (f"sample {run.path} --preference 1 0 --n 0", "--n must be at least 1"),
            (f"sample {run.path} --preference 1 0 --training-seed 9", "seed 9 is not in this run; it has 3, 4"),
            (f"sample {run.path} --preference 1 0 --out {there}", "exists already"),
            (f"sample {run.path} --preference 1 0 --known {there}", "has no column named object"),
            (f"sample {run.path} --preference 1 0 --known {tmp_path / 'none'}", "cannot read"),
            (f"sample {run.path} --preference 1 0 --sheet {tmp_path / 'a.pdf'}", "allowed: .png"),
            (f"sample {run.path} --preference 1 0 --top 0", "top must be at least 1"),
            (f"sample {run.path} --preference 1 0 --stream {there}", "exists already"),
            (f"sample {run.path} --preference 1 0 --stream {tmp_path / 'a.txt'}", "allowed: .csv, .parquet"),
            (f"sample {run.path} --preference 1 0 --stream {tmp_path / 'a.csv'} --unique", "give --stream or --unique"),
            (
                f"sample {other} --preference 1 0",
                "morl sample cannot work on a run of cmorl: its policies draw no objects",
            ),
            (f"sample {tmp_path} --preference 1 0", "is not a run directory"),
        ):
            code, out, err = command(capsys, line)
            assert (code, out) == (2, ""), line
            assert message in err, (line, err)
            assert err.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
        known = tmp_path / "known.txt"
        known.write_text("9 9\n")
        code, _, err = command(capsys, f"sample {run.path} --preference 1 0 --n 5 --known {known}")
        assert (code, err.count("\n")) == (2, 1)
        assert "a cell of this grid is two numbers from 0 to 5, not '9 9'" in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--env minecart-v0", "mogfn is for constructive tasks"),
        ("--env hypergrid-v0 --network transformer", "network transformer is for strings; hypergrid-v0 has none"),
        ("--env hypergrid-v0 --steps 100", "steps must be at least 128, the batch of one update, not 100"),
        ("--env hypergrid-v0 --beta 3 1", "beta must be a number of at least 0"),
        ("--env hypergrid-v0 --num-preferences 1", "--num-preferences must be at least 2"),
        ("--env hypergrid-v0 --preset papr", "unknown preset of mogfn 'papr'"),
        ("--env minecart-v0 --preset paper", "the preset paper of mogfn has no settings for 'minecart-v0'"),
        ("--env hypergrid-v0 --preset guided", "the preset guided of mogfn has no settings for 'hypergrid-v0'"),
        ("--env ngrams-v0 --env-kwargs ngrams A,V,a", "ngrams are of the letters"),
    ],
)
def test_mistakes_of_training_are_one_line(line, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = command(capsys, f"train mogfn {line}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("env", ["hypergrid-v0", "ngrams-v0"])
def test_published_settings(env):
    settings, config = parse("mogfn", MOGFNConfig, ["--env", env, "--preset", "paper", "--ema", "0.5"])
    agent = prepare("mogfn", settings, config).agent
    assert (agent.updates, config.batch, config.ema) == (settings.steps // 128, 128, 0.5)
    for name, value in protocol(env).items():
        found = getattr(settings if hasattr(settings, name) else config, name)
        assert found == (tuple(value) if isinstance(value, list) else value), name
    if env == "ngrams-v0":
        assert (config.beta, agent.updates, agent.num_preferences) == (96.0, 10_000, 1275)
        weights = equally_spaced_weights(3, 1275)
        assert len(weights) == 1275
        assert (weights * 49).round(6) == pytest.approx((weights * 49).round())


def test_settings_for_few_calls():
    settings, config = parse("mogfn", MOGFNConfig, ["--env", "ngrams-v0", "--preset", "guided"])
    assert prepare("mogfn", settings, config).agent.updates == 20_000 // 128
    assert (config.genetic_batch, config.gradient_steps, config.elite_share) == (96, 4, 0.5)


class TestParts:
    def test_of_equal_objects_the_preference_that_drew_most_counts(self):
        """Two preferences, four draws each, of objects at (1, 0), (0, 1) and (0, 0)."""
        values = np.array([[[1, 0], [1, 0], [0, 1], [0, 0]], [[0, 1], [1, 0], [0, 1], [0, 1]]], np.float32)
        names = np.array([["a", "b", "c", "d"], ["e", "f", "g", "h"]])
        drawn = Evaluation(values[None], values[None], np.ones((1, 2, 4), np.int32), names[None])
        trainer = SimpleNamespace(evaluate=lambda *_: drawn)
        preferences = np.array([[1.0, 0.0], [0.2, 0.8]])
        ((evaluation, params, behind),) = best_objects(trainer, {"x": np.ones((1, 3))}, preferences, None, 4)
        order = np.argsort(evaluation.objects[:, 0])
        assert evaluation.objects[order, 0].tolist() == ["a", "c"]
        np.testing.assert_array_equal(evaluation.discounted[order, 0], [[1, 0], [0, 1]])
        np.testing.assert_array_equal(behind[order], preferences)
        assert params["x"].shape == (3,)

    def test_levenshtein_of_many_is_that_of_each_pair(self):
        rng = np.random.default_rng(0)
        some = ["", "A", "kitten", *("".join(rng.choice(list("ACγ"), rng.integers(1, 9))) for _ in range(10))]
        others = [*some[::-1], "sitting"]
        expected = [[gfn_metrics.levenshtein(one, two) for two in others] for one in some]
        np.testing.assert_array_equal(gfn_metrics.levenshtein_distances(some, others), expected)
        assert gfn_metrics.levenshtein_distances(some, []).shape == (len(some), 0)

    def test_diversity_and_novelty(self):
        env = SimpleNamespace()  # neither words nor distances of its own
        assert sampling.texts(env, np.array([[1, 2], [3, 4], [1, 2]])) == ["1 2", "3 4", "1 2"]
        assert sampling.diversity(env, ["AB", "AC", "XY"]) == pytest.approx((1 + 2 + 2) / 3)
        assert sampling.diversity(env, ["AB"]) == 0
        np.testing.assert_array_equal(sampling.novelty(env, ["AB", "AB", "ACX"], []), [2, 2, 2])
        np.testing.assert_array_equal(sampling.novelty(env, ["AB", "ACX"], ["AB", "ABB"]), [0, 2])
        assert np.isnan(sampling.novelty(env, ["AB", "AB"], [])).all()

    def test_cells_know_their_distance(self):
        np.testing.assert_array_equal(GRID.distances(["1 1", "0 5"], ["2 4"]), [[4], [3]])
        with pytest.raises(UserError, match="a cell of this grid is two numbers from 0 to 5"):
            GRID.distances(["1 6"], ["0 0"])

    def test_a_sheet_needs_pictures(self, tmp_path):
        with pytest.raises(UserError, match="x draws no pictures"):
            sheets.check(SimpleNamespace(id="x"), tmp_path / "a.png")
