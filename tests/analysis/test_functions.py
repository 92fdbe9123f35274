"""Functions of the public API that do what commands do."""

import numpy as np
import pytest

import morl
from morl.analysis import comparison, results
from morl.errors import UserError


def test_comparisons_are_those_of_the_command(dst_run):
    found = morl.compare_runs(dst_run, resamples=100)
    wanted = comparison.compare(results.read([dst_run.path]), resamples=100)
    assert found.means == wanted.means
    other = morl.compare_runs([str(dst_run.path)], reference_point=[-10, -50], resamples=100)
    assert np.array_equal(other.reference_point, [-10, -50])


def test_reports_are_written_where_the_command_writes_them(dst_run, tmp_path):
    assert morl.write_report(dst_run) == dst_run.path / "report.html"
    assert morl.write_report([dst_run], tmp_path / "page.html").read_text().startswith("<!")
    (dst_run.path / "report.html").unlink()
    with pytest.raises(UserError, match="is given twice"):
        morl.write_report([dst_run, dst_run], tmp_path / "twice.html")
