"""Report: one interactive HTML file that shows runs and loads nothing from the network.

Its policy (Content-Security-Policy) lets exactly the style and the script below run, by their hashes, and nothing load.
What runs and users call things is data in it, never markup: the script only sets texts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from numpy.typing import ArrayLike

from morl.analysis.results import Result, Runs, paths_of, read
from morl.errors import UserError
from morl.report.data import report_data
from morl.runs.files import write_text

MARK = "<!-- report of morl -->"
SCRIPTS = ("elements.js", "views.js", "curves.js", "prefer.js", "page.js")


def html(results: Sequence[Result], reference_point: ArrayLike | None = None) -> str:
    """Return the HTML of the page; see :func:`write`."""
    parts = files("morl.report")
    style = parts.joinpath("page.css").read_text(encoding="utf-8")
    script = "".join(parts.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS)
    page = parts.joinpath("page.html").read_text(encoding="utf-8")
    values = {
        "mark": MARK,
        "style": style,
        "script": script,
        "data": _inert(json.dumps(report_data(results, reference_point), allow_nan=False, separators=(",", ":"))),
        "policy": f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'",
    }
    before, *pieces = page.split("{{")
    for piece in pieces:  # inserted values are not searched for placeholders
        name, _, text = piece.partition("}}")
        before += values[name] + text
    return before


def write(results: Sequence[Result], path: Path, reference_point: ArrayLike | None = None) -> None:
    """Write the page; only an older report is written over.

    Args:
        results: runs that can be shown together, see :func:`morl.analysis.results.read`.
        path: of the file.
        reference_point: (R,) of the hypervolume of their fronts; by default each run's own.

    Raises:
        UserError: the file is something else, or cannot be written; a reference point of another length.
    """
    text = html(results, reference_point)
    try:
        if path.exists():
            with path.open("rb") as file:
                if MARK.encode() not in file.read(200):
                    raise UserError(f"{path} exists and is not a report; choose another name")
        write_text(path, text)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _inert(text: str) -> str:
    """Return JSON in which no HTML parser finds the end of a script."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def write_report(runs: Runs, out: str | os.PathLike[str] | None = None) -> Path:
    """Write one HTML file that shows finished runs of one environment, as ``morl report`` does, and return its path.

    Args:
        runs: run directories, or one of them.
        out: the file; by default report.html, in the run directory or, for several runs, in the working directory.

    Raises:
        UserError: as for :func:`morl.compare_runs`, or a file that cannot be written or is no report.
    """
    paths = paths_of(runs)
    path = Path(out) if out is not None else (paths[0] if len(paths) == 1 else Path()) / "report.html"
    write(read(paths), path)
    return path
