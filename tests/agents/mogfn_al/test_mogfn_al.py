"""MOGFN-AL: surrogate and acquisition, the sampler of edits, and searches that count, resume and find."""

import fcntl
import shutil

import jax
import numpy as np
import pytest

import morl
from morl.agents.mogfn_al import MOGFNALConfig, string_features, string_proposers
from morl.agents.mogfn_al import agent as mogfn_al_agent
from morl.agents.mogfn_al.algorithm import ActiveLearner
from morl.agents.mogfn_al.labels import Labelled, oracle_of
from morl.agents.mogfn_al.mutation_sampler import MutationSampler, remembered
from morl.cli import main
from morl.constructive import labelling
from morl.envs.constructive.mutations import Mutations
from morl.envs.constructive.ngrams import NGrams
from morl.errors import UserError
from morl.runs import storage
from morl.settings import SearchSettings, TrainSettings

ENV = NGrams()
TINY = {"rounds": 2, "round_size": 3, "initial": 8, "bases": 4, "max_edits": 2}
GFLOWNET = MOGFNALConfig(**TINY, updates=3, batch=8, pool=6, hidden=(8,), posterior_samples=4)
RANDOM = MOGFNALConfig(**TINY, proposer="random")
GENETIC = MOGFNALConfig(**TINY, proposer="genetic")


def strings(*texts):
    blank = [len(ENV.alphabet)]
    return np.array([[*map(ENV.alphabet.index, text), *blank * (36 - len(text))] for text in texts], np.int32)


class Counting:
    """An oracle of N-grams that keeps what it was asked, and may fail at a call."""

    def __init__(self, fails_at=None):
        self.asked, self.fails_at, self._oracle = [], fails_at, oracle_of(ENV)

    def __call__(self, asked):
        self.asked += [row.tobytes() for row in asked]
        if self.fails_at is not None and len(self.asked) > self.fails_at:
            raise UserError("the oracle is out of order")
        return self._oracle(asked)


@pytest.fixture
def oracle(monkeypatch):
    def use(counting):
        monkeypatch.setattr(labelling, "oracle_of", lambda env: counting)
        return counting

    return use


def search(out, config, **kwargs):
    return morl.train("mogfn-al", SearchSettings(out=out), config, **kwargs)


class TestLabels:
    def test_the_oracle_is_that_of_the_task(self):
        found = oracle_of(ENV)(strings("AVCA" + "R" * 29, "AV" * 18))
        np.testing.assert_allclose(found, [[1 / 18, 1 / 18, 1 / 18], [1, 0, 0]], rtol=1e-6)

    def test_no_string_is_labelled_twice(self):
        known = Labelled(36, 3)
        first = strings("A" * 33, "V" * 33)
        known.label(Counting(), first, 0)
        assert len(known.fresh(strings("V" * 33, "C" * 34, "C" * 34))) == 1
        with pytest.raises(ValueError, match="labelled twice"):
            known.label(Counting(), first[:1], 1)

    def test_best_first_is_by_fronts_and_crowding(self):
        known = Labelled(36, 2)
        values = np.array([[0.1, 0.1], [1.0, 0.0], [0.0, 1.0], [0.5, 0.6], [0.45, 0.65], [0.4, 0.5]])
        known._add(strings(*("R" * (33 - i) + "A" * i for i in range(6))), values, np.zeros(6))
        assert known.best_first().tolist() == [1, 2, 3, 4, 5, 0]
        assert known.front().tolist() == [1, 3, 4, 2]

    def test_random_edits_stay_within_the_task(self):
        rng = np.random.default_rng(0)
        start = string_proposers.random_strings(ENV, 200, rng)
        for found in (start, string_proposers.mutated(ENV, start, 3, rng)):
            lengths = (found < 20).sum(axis=1)
            assert set(lengths) == {33, 34, 35, 36}
            np.testing.assert_array_equal(found == 20, np.arange(36) >= lengths[:, None])
        changed = (found != start).sum(axis=1)
        assert set(changed) <= {0, 1, 2, 3}
        assert changed.mean() > 1.5


def test_substrings_are_counted():
    rows = np.array([[0, 1, 0, 1, 4], [2, 4, 4, 4, 4]])
    counts = string_features.spectrum(rows, 4)
    assert counts.shape == (2, 4 + 16 + 64 + 256)
    np.testing.assert_array_equal(counts[0, :4], [2, 2, 0, 0])
    assert (counts[0, 4 + 1], counts[0, 4 + 4], counts[0, 4:20].sum()) == (2, 1, 3)
    assert (counts[0, 20 + 4], counts[0, 20 + 17], counts[0, 84 + 17]) == (1, 1, 1)  # 010, 101 and 0101
    assert counts[1].tolist() == [0, 0, 1, *[0] * 337]
    assert string_features.spectrum(strings("AV"), 20).shape == (1, 420)


class TestSurrogate:
    @pytest.fixture(scope="class")
    @staticmethod
    def fitted():
        pytest.importorskip("botorch")
        from morl.agents.mogfn_al.surrogate import Surrogate

        rng = np.random.default_rng(0)
        rows = string_proposers.random_strings(ENV, 24, rng)
        rows[:12, :2], rows[6:18, 2:4] = strings("AV")[0, :2], strings("CA")[0, :2]
        known = Labelled(36, 3)
        known.label(oracle_of(ENV), rows, 0)
        surrogate = Surrogate(known.strings, known.values, 20)
        front = known.strings[known.front()]
        return surrogate, surrogate.acquisition(front, np.zeros(3), samples=4, seed=0), known

    def test_it_knows_its_labels(self, fitted):
        surrogate, _, known = fitted
        np.testing.assert_allclose(surrogate.mean(known.strings), known.values, atol=0.01)

    def test_nothing_is_compiled_for_it(self, fitted):
        from botorch.acquisition.multi_objective import logei

        assert logei._C is None

    def test_all_at_once_is_the_same_as_one_by_one(self, fitted):
        """The joint posterior taken apart, against BoTorch's own of each candidate with the front."""
        import torch
        from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
        from botorch.sampling.normal import SobolQMCNormalSampler

        surrogate, acquisition, known = fitted
        rows = string_proposers.mutated(ENV, known.strings, 4, np.random.default_rng(1))[:5]
        direct = qLogNoisyExpectedHypervolumeImprovement(
            surrogate._model,
            ref_point=acquisition._function.ref_point,
            X_baseline=surrogate._features(known.strings[known.front()]),
            sampler=SobolQMCNormalSampler(torch.Size([4]), seed=0),
            cache_root=False,
        )
        with torch.no_grad():
            wanted = direct(surrogate._features(rows)[:, None]).numpy()
        np.testing.assert_allclose(acquisition(rows), wanted, atol=1e-6)

    def test_the_best_together_are_different(self, fitted):
        _, acquisition, known = fitted
        rows = string_proposers.mutated(ENV, known.strings, 4, np.random.default_rng(1))[:6]
        alone = acquisition(rows)
        chosen = acquisition.best(rows, 3)
        assert len(set(chosen)) == 3
        assert chosen[0] == alone.argmax()

    def test_strings_of_the_front_add_least(self, fitted):
        _, acquisition, known = fitted
        fresh = string_proposers.mutated(ENV, known.strings, 4, np.random.default_rng(1))
        assert acquisition(known.strings[known.front()]).max() < np.median(acquisition(fresh))


def test_the_sampler_learns_the_target_of_a_task_known_exactly():
    """Edits of two strings of two or three letters, in proportion to the power 2 of a value."""
    task = Mutations(num_letters=3, lengths=(2, 3), num_bases=2, max_edits=2)
    config = MOGFNALConfig(
        **{**TINY, "bases": 2, "max_edits": 2},
        updates=300,
        batch=128,
        beta=2.0,
        beta_start=0.5,
        learning_rate=5e-3,
        hidden=(32,),
    )
    bases = np.array([[0, 0, 3], [1, 2, 1]], np.int32)

    def log_value(rows):
        return np.log(0.1 + (rows == 1).sum(axis=1))

    sampler = MutationSampler(config, task)
    state, _ = sampler.train(bases, remembered(log_value)[0], jax.random.key(0))
    every = np.array([row for row in np.ndindex(4, 4, 4) if row[0] < 3 and row[1] < 3], np.int32)
    near = [every[np.isin((every != base).sum(axis=1), [1, 2])] for base in bases]
    target = {tuple(row): 0.0 for rows in near for row in rows}
    for rows in near:
        for row, value in zip(rows, np.exp(2 * log_value(rows)), strict=True):
            target[tuple(row)] += value  # an object is a string and what it was edited from
    total = sum(target.values())
    drawn = sampler.draw(state, bases, 4096, jax.random.key(1))
    seen, counts = np.unique(drawn, axis=0, return_counts=True)
    share = {tuple(row): count / 4096 for row, count in zip(seen, counts, strict=True)}
    assert share.keys() <= target.keys()
    distance = sum(abs(share.get(row, 0.0) - value / total) for row, value in target.items())
    untrained = sum(abs(1 / len(target) - value / total) for value in target.values())
    assert untrained > 0.5
    assert distance < 0.2


@pytest.mark.parametrize("proposer", ["random", "genetic"])
def test_budgets_are_exact_and_no_object_is_asked_for_twice(proposer, tmp_path, oracle):
    counting = oracle(Counting())
    config = MOGFNALConfig(**{**TINY, "rounds": 5}, proposer=proposer)
    found = search(tmp_path / "run", config)
    assert len(counting.asked) == len(set(counting.asked)) == config.budget == 23
    assert found.finished
    header, *rows = (tmp_path / "run" / "candidates.csv").read_text().splitlines()
    assert header == "seed,id,call,round,object,AV,VC,CA,in_front"
    assert len(rows) == 23
    assert [row.split(",")[3] for row in rows] == ["0"] * 8 + [str(i) for i in range(1, 6) for _ in range(3)]


class TestGFlowNet:
    @pytest.fixture(scope="class")
    @staticmethod
    def whole(tmp_path_factory):
        pytest.importorskip("botorch")
        return search(tmp_path_factory.mktemp("al") / "whole", GFLOWNET)

    @staticmethod
    def same(one, other):
        for name in ("candidates.csv", "front.csv"):
            assert (one / name).read_text() == (other / name).read_text()
        tables = [[row.split(",") for row in (run / "metrics.csv").read_text().splitlines()] for run in (one, other)]
        timed = [tables[0][0].index(name) for name in ("seconds", "steps_per_second")]
        for row in tables[0] + tables[1]:
            for place in timed:
                row[place] = ""
        assert tables[0] == tables[1]

    def test_what_is_left_behind(self, whole):
        names = {path.name for path in whole.path.iterdir()}
        assert {
            "config.yaml",
            "metrics.csv",
            "log.txt",
            "front.csv",
            "front.png",
            "objects.csv",
            "candidates.csv",
        } <= names
        config = (whole.path / "config.yaml").read_text()
        assert "agent: mogfn-al" in config
        assert "botorch: " in config
        header, *rows = (line.split(",") for line in (whole.path / "metrics.csv").read_text().splitlines())
        assert [int(row[header.index("step")]) for row in rows] == [8, 11, 14]
        assert [int(row[header.index("round")]) for row in rows] == [0, 1, 2]
        for name in ("loss", "log_z", "log_acquisition", "surrogate_error"):
            assert np.isfinite([float(row[header.index(name)]) for row in rows]).tolist() == [False, True, True]
        assert whole.finished

    def test_cut_off_in_a_round_and_resumed_it_is_the_same(self, whole, tmp_path, oracle):
        first = oracle(Counting(fails_at=8 + 3))
        with pytest.raises(UserError, match="out of order"):
            search(tmp_path / "run", GFLOWNET)
        assert len(first.asked) == 14  # the second round was asked for and its answers were lost
        rest = oracle(Counting())
        found = morl.train(resume=tmp_path / "run")
        assert rest.asked == first.asked[-3:]
        assert found.finished
        self.same(whole.path, tmp_path / "run")

    def test_stopped_between_rounds_and_resumed_it_is_the_same(self, whole, tmp_path):
        asked = iter([False, True])  # after the start, and after the first round
        found = search(tmp_path / "run", GFLOWNET, should_stop=lambda: next(asked))
        assert not found.finished
        assert len((tmp_path / "run" / "candidates.csv").read_text().splitlines()) == 1 + 8 + 3
        assert main(["train", "--resume", str(tmp_path / "run")]) == 0
        self.same(whole.path, tmp_path / "run")

    def test_resumed_when_finished_nothing_is_done(self, whole, tmp_path, oracle):
        copy = tmp_path / "copy"
        shutil.copytree(whole.path, copy)
        counting = oracle(Counting())
        assert morl.train(resume=copy).finished
        assert not counting.asked
        self.same(whole.path, copy)


class TestMistakes:
    @pytest.fixture(scope="class")
    @staticmethod
    def finished(tmp_path_factory):
        return search(tmp_path_factory.mktemp("al") / "random", RANDOM).path

    @pytest.fixture(scope="class")
    @staticmethod
    def stopped(tmp_path_factory):
        """A run with eleven labels, two rounds of three, and a checkpoint."""
        asked = iter([False, True])
        return search(tmp_path_factory.mktemp("al") / "stopped", RANDOM, should_stop=lambda: next(asked)).path

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda labels: labels.values.fill(np.nan), "a value is not finite"),
            (lambda labels: labels.strings.fill(99), "a string is not of this task"),
            (lambda labels: labels.number.fill(10), "10 labels are not those of whole rounds"),
            (lambda labels: labels.strings[0].__setitem__(1, labels.strings[0, 0]), "a string has two labels"),
            (lambda labels: labels.rounds.fill(1), "a label is of another round"),
        ],
    )
    def test_damaged_states(self, stopped, tmp_path, capsys, spoil, message):
        copy = tmp_path / "copy"
        shutil.copytree(stopped, copy)
        path = storage.states(copy / "checkpoints")[0]
        backend = labelling.LabellingBackend(ActiveLearner(RANDOM, ENV), [0], np.zeros(3))
        like = {"trainer": backend.saved(backend.init([jax.random.key(0)])), "kept": ()}
        tree, notes = storage.load_state(path, like), storage.load_notes(path)
        assert tree["trainer"].learning.number.tolist() == [11]
        spoil(tree["trainer"].learning)
        storage.save_state(copy / "checkpoints", tree, notes, keep=1)
        assert main(["train", "--resume", str(copy)]) == 2
        error = capsys.readouterr().err.splitlines()
        assert "the labels are damaged, or of another task: " + message in error[-1]

    def test_runs_of_another_format_are_refused(self, stopped, tmp_path, capsys):
        copy = tmp_path / "copy"
        shutil.copytree(stopped, copy)
        (copy / "checkpoints" / "labelled-0.json").write_text("{}")
        assert main(["train", "--resume", str(copy)]) == 2
        error = capsys.readouterr().err
        assert "was written by an earlier version of morl" in error
        assert error.count("\n") == 1

    def test_settings_of_other_agents(self):
        with pytest.raises(UserError, match="a run of mogfn-al takes a SearchSettings, not a TrainSettings"):
            morl.train("mogfn-al", TrainSettings(env="ngrams-v0"), RANDOM)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("train mogfn-al --env hypergrid-v0", "searches strings, which hypergrid-v0 does not build"),
            ("train mogfn-al --bases 80", "bases must be at most initial = 64, not 80"),
            ("train mogfn-al --beta-start 9", "--beta-start must be at most beta = 4.0, not 9.0"),
            ("train mogfn-al --pool 8", "pool must be at least round_size = 16, not 8"),
            ("train mogfn-al --max-edits 40", "max_edits must be from 1 to the fewest letters, 33, not 40"),
            ("train mogfn-al --proposer nsga", "--proposer must be one of gflownet, genetic, random, not 'nsga'"),
            ("train mogfn-al --steps 9", "unknown flag '--steps'"),
            ("train --resume nowhere", "nowhere does not exist"),
            ("train mogfn-al --resume nowhere", "a run is resumed with its own agent and settings"),
        ],
    )
    def test_mistakes(self, line, message, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(mogfn_al_agent.importlib.util, "find_spec", lambda name: name)
        assert main(line.split()) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    def test_without_the_extra(self, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(mogfn_al_agent.importlib.util, "find_spec", lambda name: None)
        assert main(["train", "mogfn-al"]) == 2
        assert "needs the 'bo' extra: pip install 'morlax[bo]'" in capsys.readouterr().err

    def test_a_run_that_another_process_writes_is_left_to_it(self, stopped):
        with (stopped / "log.txt").open("a") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            with pytest.raises(UserError, match="is being written by another process"):
                morl.train(resume=stopped)


class TestCommands:
    @pytest.fixture(scope="class")
    @staticmethod
    def run(tmp_path_factory):
        settings = SearchSettings(out=tmp_path_factory.mktemp("al") / "two", num_seeds=2)
        return morl.train("mogfn-al", settings, RANDOM)

    def test_the_front_is_of_labels(self, run):
        read = morl.load(run.path)
        assert list(read.fronts) == [0, 1]
        for seed, front in read.fronts.items():
            known = Labelled.from_arrays(front.params)
            assert len(known) == RANDOM.budget
            np.testing.assert_array_equal(front.returns, known.values[known.front()])
            np.testing.assert_array_equal(front.returns, run.fronts[seed].returns)
            assert front.objects == tuple(ENV.text(known.strings[i]) for i in known.front())
            assert front.length.tolist() == [len(text) for text in front.objects]
            assert not front.stderr.any()
            np.testing.assert_array_equal(front.undiscounted, front.returns)

    def test_front_report_and_compare(self, run, tmp_path, capsys):
        assert main(["front", str(run.path), "--seed", "1", "--preference", "0", "0", "1"]) == 0
        title, header, row, *note = capsys.readouterr().out.splitlines()
        assert all(line.startswith("note: the hypervolume is 0") for line in note)
        assert title.startswith("seed 1: ")
        assert title.endswith("; labelled")
        assert header.split() == ["id", "AV", "VC", "CA", "steps", "object"]
        assert row.split()[-1] in run.fronts[1].objects
        assert main(["report", str(run.path), "--out", str(tmp_path / "report.html")]) == 0
        page = (tmp_path / "report.html").read_text()
        assert '"measured": "of labelled objects"' in page or '"measured":"of labelled objects"' in page
        assert run.front.objects[0] in page
        other = morl.train("mogfn-al", SearchSettings(out=tmp_path / "genetic", num_seeds=2), GENETIC).path
        assert main(["compare", str(run.path), str(other)]) == 0
        shown = capsys.readouterr().out
        assert "proposer=random" in shown
        assert "proposer=genetic" in shown

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("evaluate {run}", "morl evaluate cannot work on a run of mogfn-al: its labels are exact"),
            ("rollout {run} --policy 0", "morl rollout cannot work on a run of mogfn-al: it holds labelled objects"),
            ("sample {run} --preference 1 0 0", "morl sample cannot work on a run of mogfn-al: it holds labelled"),
            (
                "export {run} --policy 0 --format jax --out {out}",
                "morl export cannot work on a run of mogfn-al: it holds labelled",
            ),
        ],
    )
    def test_what_cannot_work_is_one_line(self, run, tmp_path, line, reason, capsys):
        assert main(line.format(run=run.path, out=tmp_path / "a.jax").split()) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1
        with pytest.raises(UserError, match="there is no policy that acts"):
            run.front.policy([1.0, 0.0, 0.0])


def test_what_is_linked_is_not_written_to(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    path = search(tmp_path / "run", RANDOM).path
    (path / "log.txt").unlink()
    (path / "log.txt").symlink_to(elsewhere)
    with pytest.raises(UserError, match=r"log\.txt is a link"):
        morl.train(resume=path)
    assert elsewhere.read_text() == "mine"


@pytest.mark.slow
def test_more_is_found_than_by_random_edits(tmp_path):
    pytest.importorskip("botorch")
    kwargs = {"rounds": 6, "round_size": 8, "initial": 32, "bases": 8}
    volumes = {}
    for proposer in ("gflownet", "random"):
        config = MOGFNALConfig(**kwargs, proposer=proposer, updates=100)
        settings = SearchSettings(out=tmp_path / proposer, reference_point=(-0.05,) * 3)
        volumes[proposer] = morl.train("mogfn-al", settings, config).front.hypervolume()
    assert volumes["gflownet"] > 1.3 * volumes["random"]
