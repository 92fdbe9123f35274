"""File of a user's answers in the run directory, written after each one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from morl.analysis.preference.posterior import Answer
from morl.errors import UserError
from morl.runs.directory import read_config
from morl.runs.files import write_text
from morl.runs.front import Front

FORMAT = 1
HEAD = "# Answers of a user about pairs of policies of front.csv, by their ids; `morl prefer` goes on from them.\n"
ANEW = "--restart begins anew"


def answers_path(run: Path, training_seed: int) -> Path:
    """Return the file of the answers about the front of a training seed."""
    return run / f"answers-{training_seed}.yaml"


def fingerprint(front: Front) -> str:
    """Return a text that differs for another front: of its objectives and returns."""
    names = "\0".join(front.objectives).encode()
    return hashlib.sha256(names + np.ascontiguousarray(front.returns, np.float64).tobytes()).hexdigest()[:16]


def write_answers(path: Path, front: Front, answers: Sequence[Answer]) -> None:
    """Write all answers, or leave the file as it is.

    Raises:
        UserError: it cannot be written.
    """
    rows = [{"a": a, "b": b, "better": None if better is None else "a" if better else "b"} for a, b, better in answers]
    content = {"format": FORMAT, "front": fingerprint(front), "answers": rows}
    try:
        write_text(path, HEAD + yaml.safe_dump(content, sort_keys=False))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def read_answers(path: Path, front: Front) -> list[Answer]:
    """Read the answers about a front; none where there is no file.

    Raises:
        UserError: answers about another front, or something else.
    """
    if not path.exists():
        return []
    content = read_config(path)
    if content.get("format") != FORMAT or not isinstance(content.get("answers"), list):
        raise UserError(f"{path} does not hold answers of this version of morl; {ANEW}")
    if content.get("front") != fingerprint(front):
        raise UserError(f"{path} holds answers about another front than that of front.csv; {ANEW}")
    return [_answer(path, row, len(front)) for row in content["answers"]]


def _answer(path: Path, row: Any, size: int) -> Answer:
    """Return an answer of the file.

    Raises:
        UserError: it is none about two policies of the front.
    """
    if isinstance(row, dict) and row.keys() == {"a", "b", "better"} and row["better"] in ("a", "b", None):
        first, second = row["a"], row["b"]
        if all(type(x) is int and 0 <= x < size for x in (first, second)) and first != second:
            return Answer(first, second, None if row["better"] is None else row["better"] == "a")
    raise UserError(f"{path} has an entry that is no answer about two policies: {row}; {ANEW}")
