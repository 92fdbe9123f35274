"""The journal, the next trial by it, and what searchers learn from it; without Ray."""

import math

import numpy as np
import pytest

from morl.errors import UserError
from morl.search_space import Choice, Parameter, Real, log_real
from morl.tune import heldout, ledger, searchers
from morl.tune.journal import Journal, Trial
from morl.tune.ledger import Ledger

SPACE = {
    "rate": Parameter(log_real(1e-4, 1.0)),
    "kind": Parameter(Choice(((1,), (2, 2)))),
    "more": Parameter(Real(0.0, 1.0), when={"kind": ((2, 2),)}),
}
OWN = {"rate": 0.01, "kind": (1,), "more": 0.5}


class Counting:
    """Searcher that proposes the number of its calls and keeps the trials it learns from."""

    def __init__(self):
        self.calls, self.known = 0, []

    def propose(self, number):
        self.calls += 1
        return {"rate": self.calls}

    def learn(self, trial):
        self.known.append((trial.number, trial.state))


def make(path, number=4, **more):
    journal = Journal(path / "journal.jsonl")
    return Ledger(journal, Counting(), number, first={"rate": 0}, stop=path / "stop", **more)


def message(steps, score, **more):
    return {"score": score, "steps": steps, "hypervolume": score, "expected_utility": score, "seconds": 1.0, **more}


def test_every_end_of_a_trial(tmp_path):
    study = make(tmp_path, 6)
    for _ in range(6):
        study.next()
    assert study.next() is None
    for number in range(6):
        study.heard(number, message(10, 0.1 * number))
    study.heard(0, message(20, 0.9, final=True, stderr=0.1, cache_hits=3, seeds={"0": {}}))
    study.over(0)
    study.over(1)
    study.heard(2, {"failed": "it broke"})
    study.over(2, failure="ignored")
    study.over(3, failure="its process ended: killed")
    study.over(4, failure="gone", lost=True)
    assert not study.finished
    assert study.next().number == 4
    study.heard(4, {"stopped": True})
    study.over(4)
    study.over(5, params={"rate": 7})
    states = {n: (t.state, t.reason) for n, t in study.journal.trials.items()}
    assert states == {
        0: ("finished", ""),
        1: ("pruned", ""),
        2: ("failed", "it broke"),
        3: ("failed", "its process ended: killed"),
        4: ("started", ""),
        5: ("pruned", ""),
    }
    values = {"score": 0.9, "steps": 20, "hypervolume": 0.9, "expected_utility": 0.9, "seconds": 1}
    assert study.journal.trials[0].result == {**values, "stderr": 0.1, "cache_hits": 3}
    assert study.journal.trials[5].params == {"rate": 7}
    assert ledger.best(study.journal.trials).number == 0
    assert len(study.searcher.known) == 5
    study.journal.close()


def test_a_trial_that_takes_machines_with_it_is_not_run_for_ever(tmp_path):
    study = make(tmp_path, 1)
    for _ in range(ledger.LOSSES):
        assert study.next().number == 0
        study.over(0, failure="its process ended: gone", lost=True)
    assert study.next() is None
    assert (study.journal.trials[0].state, study.journal.trials[0].reason) == ("failed", "its process ended: gone")
    study.journal.close()


def test_what_was_running_is_run_again_and_nothing_else(tmp_path):
    study = make(tmp_path)
    first = [study.next() for _ in range(3)]
    study.heard(1, message(20, 0.5, final=True))
    study.over(1)
    study.journal.close()  # as a killed driver leaves it, but for half a line
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"event": "end", "trial": 2, "sta')
    again = make(tmp_path)
    assert again.journal.trials[1].score == 0.5
    order = [again.next() for _ in range(4)]
    assert [trial and trial.number for trial in order] == [0, 2, 3, None]
    assert [order[0].params, order[1].params] == [first[0].params, first[2].params]
    assert again.searcher.calls == 1  # for the fourth alone
    again.journal.close()


def test_one_process_at_a_time(tmp_path):
    study = make(tmp_path)
    with pytest.raises(UserError, match="is running in another process"):
        Journal(tmp_path / "journal.jsonl")
    study.journal.close()
    Journal(tmp_path / "journal.jsonl").close()


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[1]",
        "junk",
        '{"event": "end", "trial": 3, "state": "finished"}',
        '{"event": "start", "trial": "../x", "params": {}}',
        '{"event": "start", "trial": 0, "params": 3}',
        '{"event": "dance", "trial": 0}',
        '{"event": "report", "trial": 0, "steps": 1, "score": "high"}',
        '{"event": "end", "trial": 0, "state": "won"}',
        '{"event": "end", "trial": 0, "state": "finished", "result": {}}',
        '{"event": "end", "trial": 0, "state": "finished", "result": {"score": NaN}}',
    ],
)
def test_a_damaged_journal_is_one_line(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "start", "trial": 0, "params": {}}\n' + line + "\n")
    with pytest.raises(UserError, match="is damaged in line 2"):
        Journal(path)


def test_a_full_disk_leaves_no_half_line(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.start(0, {})
    inner = journal._file

    class Full:
        def write(self, data):
            inner.write(data[:5])
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(inner, name)

    journal._file = Full()
    with pytest.raises(OSError, match="No space"):
        journal.start(1, {})
    journal.close()
    again = Journal(tmp_path / "journal.jsonl")
    assert list(again.trials) == [0]
    again.close()


def test_a_run_directory_that_cannot_be_written_ends_the_study(tmp_path):
    study = make(tmp_path)
    study.next()
    study.heard(0, {"unwritable": "cannot write to the run directory"})
    with pytest.raises(UserError, match="cannot write"):
        study.over(0)
    assert study.journal.trials[0].state == "started"
    study.journal.close()


def test_stopping_tells_trials_and_waits_for_them(tmp_path):
    wish = []
    study = make(tmp_path, should_stop=lambda: bool(wish))
    study.next()
    assert not study.must_end()
    wish.append(1)
    assert not study.must_end()
    assert (tmp_path / "stop").exists()
    assert study.next() is None
    study.heard(0, {"stopped": True})
    study.over(0)
    assert study.must_end()
    assert study.finished
    study.journal.close()


def test_results_as_a_table(tmp_path):
    trials = {
        0: Trial(0, {"rate": 0.1}, "finished", {5: 0.2}, {"score": 0.5, "steps": 10, "seconds": 2.0}),
        1: Trial(1, {"rate": 0.2, "kind": [2, 2]}, "failed", {}, {}, "it broke, badly"),
    }
    assert ledger.results_csv(trials, ["rate", "kind"]).splitlines() == [
        "trial,state,score,stderr,hypervolume,expected_utility,steps,seconds,rate,kind,reason",
        "0,finished,0.5,,,,10,2.0,0.1,,",
        '1,failed,,,,,,,0.2,"[2, 2]","it broke, badly"',
    ]


def past(number, rate, state="finished", kind=(1,)):
    """Return a trial as JSON gives it back, with a score that is best at a rate of 0.01."""
    score = -abs(math.log10(rate) + 2)
    params = {"rate": rate, "kind": list(kind), **({"more": 0.2} if len(kind) == 2 else {})}
    result = {"score": score, "steps": 100.0} if state == "finished" else {}
    return Trial(number, params, state, {10: score - 1}, result)


def told(kind, seed=0):
    searcher = searchers.make(kind, SPACE, OWN, seed)
    rng = np.random.default_rng(0)
    for number in range(40):
        state = ("finished", "pruned", "failed")[number % 3]
        searcher.learn(past(number, 10 ** rng.uniform(-4, 0), state, ((1,), (2, 2))[number % 2]))
    return searcher


def test_a_searcher_that_is_told_goes_where_scores_are_best():
    pytest.importorskip("optuna")
    spread = {}
    for kind in ("tpe", "random"):
        searcher = told(kind)
        rates = [searcher.propose(number)["rate"] for number in range(1, 31)]
        spread[kind] = np.abs(np.log10(rates) + 2).mean()
    assert spread["tpe"] < 0.7 * spread["random"]


def test_the_same_trials_give_the_same_proposals():
    pytest.importorskip("optuna")
    one, two, other = told("tpe"), told("tpe"), told("tpe", seed=1)
    proposals = [[s.propose(100 + i) for i in range(3)] for s in (one, two, other)]
    assert proposals[0] == proposals[1] != proposals[2]


def test_a_resumed_study_is_not_proposed_the_same_settings_again():
    pytest.importorskip("optuna")
    whole, resumed = (searchers.make("random", SPACE, OWN, 0) for _ in range(2))
    proposals = [whole.propose(number) for number in range(1, 7)]
    for number, params in enumerate(proposals[:3], 1):
        resumed.learn(Trial(number, params, "finished", {}, {"score": 0.5}))
    assert [resumed.propose(number) for number in range(4, 7)] == proposals[3:]


def test_trials_of_another_space_are_no_obstacle():
    pytest.importorskip("optuna")
    searcher = searchers.make("tpe", SPACE, OWN, 0)
    searcher.learn(Trial(0, {"rate": 5.0, "gone": 3}, "finished", {}, {"score": 1.0}))
    searcher.learn(Trial(1, {}, "finished", {}, {"score": 1.0}))
    searcher.learn(Trial(2, {"rate": 0.1}, "pruned"))
    assert searcher.propose(3)["rate"] < 1


def test_bohb_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(searchers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install hpbandster ConfigSpace"):
        searchers.make("bohb", SPACE, OWN, 0)
    with pytest.raises(UserError, match="'tune' extra"):
        searchers.make("tpe", SPACE, OWN, 0)


@pytest.mark.filterwarnings("ignore")
def test_bohb_goes_where_scores_are_best():
    pytest.importorskip("hpbandster")
    searcher = told("bohb")
    rates = [searcher.propose(i)["rate"] for i in range(40)]
    assert np.abs(np.log10(rates) + 2).mean() < 0.7


def test_held_out_seeds_are_compared_in_pairs():
    best = {seed: {"score": 1.0 + seed, "hypervolume": 10.0} for seed in range(5)}
    default = {seed: {"score": 0.5 + seed + 0.01 * seed, "hypervolume": 9.0} for seed in range(5)}
    found = heldout.compare(best, default)
    assert found.p_value == pytest.approx(2 / 2**5)  # all five differences one way: the least that five seeds can give
    assert found.difference.value == pytest.approx(0.48)
    assert 0.4 < found.difference.low < 0.48 < found.difference.high < 0.5
    assert found.mean_best.low < found.mean_best.value == 3.0 < found.mean_best.high
    none = heldout.compare(best, best)
    assert none.p_value == 1.0
    assert (none.difference.low, none.difference.high) == (0.0, 0.0)
    assert np.isnan(heldout.compare({0: best[0]}, {0: default[0]}).p_value)
    assert found.as_csv().splitlines()[1] == "0,1.0,0.5,10.0,9.0"
