"""Progress of a training as a person sees it: rates, time to go, and short texts of results."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

import morl
from morl.training import terminal
from morl.training.estimate import Estimate
from morl.training.reporter import Status
from morl.training.terminal import TerminalReporter, shown, times_text, watched
from morl.words import brief_repr, clock_text, counted, duration_text, rate_text


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (2.4e7, "24M steps/s"),
        (41_300, "41.3k steps/s"),
        (999.4, "999 steps/s"),
        (12, "12 steps/s"),
        (0.25, "0.25 steps/s"),
        (0.0599, "3.59 steps/min"),
        (5.99e-5, "0.216 steps/h"),
    ],
)
def test_rates_are_readable(rate, text):
    assert rate_text(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 second"),
        (40, "40 seconds"),
        (89, "89 seconds"),
        (100, "1.7 minutes"),
        (725, "12 minutes"),
        (12_600, "3.5 hours"),
        (200_000, "2.3 days"),
    ],
)
def test_durations_are_in_words(seconds, text):
    assert duration_text(seconds) == text


def test_plurals():
    assert [counted(n, "policy", "policies") for n in (0, 1, 2)] == ["0 policies", "1 policy", "2 policies"]
    assert counted(1200, "step") == "1,200 steps"


def test_time_passed_is_not_called_time_left():
    assert times_text(27, None) == "0:00:27"
    assert times_text(61, 0.0) == "0:01:01"
    assert times_text(6, 47.9) == "0:00:06, 0:00:47 left"
    assert clock_text(3725) == "1:02:05"


def test_the_time_to_go_is_told_once_when_it_is_known():
    estimate = Estimate()
    assert estimate.after(100, 60.0, 100_000) is None, "the first chunk is compiled"
    assert estimate.after(200, 1.0, 99_800) is None, "too little is measured"
    assert estimate.after(200, 2.0, 72_000, seeds=3) == (
        "about 12 minutes of training to go at 300 steps/s, evaluations not counted"
    )
    assert estimate.after(200, 2.0, 60_000) is None
    short = Estimate()
    assert [short.after(1000, 4.0, 1000) for _ in range(3)] == [None] * 3, "it is over before anybody has read that"


def test_on_a_terminal_there_is_a_bar():
    screen = Terminal()
    reporter = TerminalReporter(Console(file=screen, force_terminal=True, width=100))
    with reporter:
        reporter.start("headline", Path("runs/x"))
        assert (reporter.path, reporter.updated) == (Path("runs/x"), False)
        reporter._progress.refresh()
        assert "compiling..." in screen.getvalue()
        assert "left" not in screen.getvalue()
        reporter.note("a [line] of its own")
        reporter.update(Status(10, 100, 1200.0))
        reporter._progress.refresh()
    assert reporter.updated
    assert "headline" in screen.getvalue()
    assert "a [line] of its own" in screen.getvalue()
    assert "1.2k steps/s" in screen.getvalue()


def test_elsewhere_there_is_a_line_for_each_evaluation():
    page = io.StringIO()
    with TerminalReporter(Console(file=page)) as reporter:
        reporter.start("headline", Path("runs/x"))
        reporter.update(Status(10, 100, 0.01))
        reporter.update(Status(20, 100, 0.01, (5.0,), (1.0,), (3,), evaluated=True))
    assert page.getvalue().splitlines() == [
        "headline",
        "run directory: runs/x",
        "          20/100 steps  0.6 steps/min  HV 5 EU 1 front 3",
    ]


def test_who_is_shown_progress(monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert watched()
    with shown(None) as reporter:
        assert isinstance(reporter, TerminalReporter)
    with shown(False) as reporter:
        assert reporter is None
    mine = TerminalReporter()
    with shown(mine) as reporter:
        assert reporter is mine
    for name, value in (("stdout", io.StringIO()), ("stderr", io.StringIO()), ("stdout", None)):
        with monkeypatch.context() as patch:
            patch.setattr(sys, name, value)
            assert not watched()
    with monkeypatch.context() as patch:
        patch.setattr(terminal.multiprocessing, "parent_process", lambda: "a parent")
        assert not watched()
    with monkeypatch.context() as patch:
        patch.setenv("PYTEST_CURRENT_TEST", "this")
        assert not watched()
        with shown(None) as reporter:
            assert reporter is None


def test_in_a_notebook_lines_are_printed_in_its_cell(monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    page = io.StringIO()
    monkeypatch.setattr(sys, "stdout", page)
    shell = type("Shell", (), {"kernel": None})()
    monkeypatch.setitem(sys.modules, "IPython", type("IPython", (), {"get_ipython": staticmethod(lambda: shell)}))
    assert watched()
    with shown(None) as reporter:
        reporter.start("headline", Path("runs/x"))
    assert page.getvalue() == "headline\nrun directory: runs/x\n"


def test_results_say_what_they_are_in_one_short_line(dst_run):
    front = dst_run.front
    playback = morl.play(dst_run, [0.5, 0.5])
    (episode,) = playback.episodes()
    objects = (dst_run, front, front.at(0), playback, episode, playback.setup, morl.make("four-room-v0", "host"))
    for each in (*objects, morl.compare_runs(dst_run)):
        assert 10 < len(repr(each)) < 400, repr(each)
        assert "\n" not in repr(each)
    assert repr(dst_run).startswith(f"<Run {dst_run.path}: cmorl on deep-sea-treasure-v0; seed 5: ")
    assert repr(front) == f"<Front of {len(front)} policies: treasure, time; γ = 1>"
    assert brief_repr(episode).startswith("Episode(observations=")
