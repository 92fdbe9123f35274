"""MOGFN-AL: surrogate and acquisition, the sampler of edits, and searches that count, resume and find."""

import fcntl
import json
import shutil

import jax
import numpy as np
import pytest

import morl
from morl.agents.mogfn_al import loop as mogfn_al_loop
from morl.agents.mogfn_al import string_features, string_proposers
from morl.agents.mogfn_al.algorithm import MOGFNALConfig, MutationSampler, remembered
from morl.agents.mogfn_al.labels import Labelled, oracle_of
from morl.cli import main
from morl.envs.constructive.mutations import Mutations
from morl.envs.constructive.ngrams import NGrams
from morl.errors import UserError
from morl.settings import SearchSettings

ENV = NGrams()
TINY = {"rounds": 2, "round_size": 3, "initial": 8, "bases": 4, "max_edits": 2}
GFLOWNET = MOGFNALConfig(**TINY, updates=3, batch=8, pool=6, hidden=(8,), posterior_samples=4)
RANDOM = MOGFNALConfig(**TINY, proposer="random")


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
        monkeypatch.setattr(mogfn_al_loop, "oracle_of", lambda env: counting)
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
        seconds = tables[0][0].index("seconds")
        for row in tables[0] + tables[1]:
            row[seconds] = ""
        assert tables[0] == tables[1]

    def test_what_is_left_behind(self, whole):
        names = {path.name for path in whole.path.iterdir()}
        assert {"config.yaml", "metrics.csv", "log.txt", "front.csv", "front.png", "candidates.csv"} <= names
        config = (whole.path / "config.yaml").read_text()
        assert "agent: mogfn-al" in config
        assert "botorch: " in config
        assert len((whole.path / "metrics.csv").read_text().splitlines()) == 1 + 3
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
        asked = iter([False, False, True])
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

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda state: {**state, "values": state["values"][:-1]}, "it is damaged"),
            (lambda state: {**state, "strings": [[99] * 36] * 14}, "it is damaged"),
            (lambda state: {name: rows[:-1] for name, rows in state.items()}, "13 labels after round 1"),
        ],
    )
    def test_damaged_states(self, finished, tmp_path, capsys, spoil, message):
        copy = tmp_path / "copy"
        shutil.copytree(finished, copy)
        path = copy / "checkpoints" / "labelled-0.json"
        path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
        assert main(["train", "--resume", str(copy)]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("train mogfn-al --env hypergrid-v0", "searches strings, which hypergrid-v0 does not build"),
            ("train mogfn-al --bases 80", "bases must be at most initial = 64, not 80"),
            ("train mogfn-al --beta-start 9", "beta_start must be at most beta = 4.0, not 9.0"),
            ("train mogfn-al --pool 8", "pool must be at least round_size = 16, not 8"),
            ("train mogfn-al --max-edits 40", "max_edits must be from 1 to the fewest letters, 33, not 40"),
            ("train mogfn-al --proposer nsga", "invalid choice 'nsga'"),
            ("train mogfn-al --steps 9", "Unrecognized options: --steps"),
            ("train --resume nowhere", "nowhere is not a run directory"),
            ("train mogfn-al --resume nowhere", "a run is resumed with its own agent and settings"),
        ],
    )
    def test_mistakes(self, line, message, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(mogfn_al_loop.importlib.util, "find_spec", lambda name: name)
        assert main(line.split()) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    def test_without_the_extra(self, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(mogfn_al_loop.importlib.util, "find_spec", lambda name: None)
        assert main(["train", "mogfn-al"]) == 2
        assert "needs the 'bo' extra: pip install 'morl-jax[bo]'" in capsys.readouterr().err

    def test_a_run_that_another_process_writes_is_left_to_it(self, finished):
        with (finished / "log.txt").open("a") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            with pytest.raises(UserError, match="is being written by another process"):
                morl.train(resume=finished)

    def test_there_are_no_policies(self, finished, capsys):
        assert main(["front", str(finished)]) == 2
        assert "mogfn-al finds objects, not policies" in capsys.readouterr().err


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
