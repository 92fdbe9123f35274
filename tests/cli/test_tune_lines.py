"""Lines that a study prints where there is no terminal."""

from morl.cli.tune import _Terminal
from morl.tune.journal import Trial


def test_a_line_for_each_trial_below_the_names_of_the_columns(capsys):
    results = {"score": 0.987654, "hypervolume": 1234.5, "expected_utility": -3.25, "steps": 12000, "seconds": 4.2}
    finished = Trial(number=0, params={"rate": 0.1}, state="finished", result=results)
    failed = Trial(number=11, params={}, state="failed", reason="it broke")
    reporter = _Terminal(2)
    reporter.update([finished], {})
    reporter.update([finished, failed], {})
    names, *lines = capsys.readouterr().err.splitlines()
    assert names.split() == ["done", "trial", "state", "score", "HV", "EU", "steps", "seconds"]
    assert [line.split() for line in lines] == [
        ["1/2", "0", "finished", "0.9877", "1234.5", "-3.25", "12,000", "4"],
        ["2/2", "11", "failed"],
    ]
    ends = [names.index(name) + len(name) for name in ("trial", "score", "HV", "EU", "steps", "seconds")]
    cells = ["0", "0.9877", "1234.5", "-3.25", "12,000", "4"]
    assert [lines[0][:end].split()[-1] for end in ends] == cells  # below their names
