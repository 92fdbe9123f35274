"""Random input, of the kind that a slip of the hand or ill will produces: nothing may come of it but a one-line error.

Each attempt takes a random generator and a directory to write in, and returns what went wrong, or None.
"""

import contextlib
import io
import json
import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

from morl.cli import commands, main
from morl.errors import UserError
from morl.parsing import field_names, from_mapping
from morl.runs import storage
from morl.runs.directory import read_fronts
from morl.settings import TrainSettings
from morl.tune.journal import Journal
from morl.tune.study import Study
from morl.tune.study_file import FORMAT

WORDS = (
    *("cmorl", "gmorl", "dsac", "minecart-v0", "no-such-env", "--env", "--steps", "--seed", "--num-seeds", "--out"),
    *("--hidden", "--env-kwargs", "--reference-point", "--gamma", "--config", "--protocol", "paper", "--resume"),
    *("--preference", "--episodes", "--csv", "--video", "--format", "--help", "-h", "--no-csv", "--on-nan", "skip"),
    *("0", "-1", "1e9", "nan", "inf", "0.5", "999999999999999999999", "", "=", "--", "-", "../..", "/dev/null"),
    *("--env=", "--steps=x", "--seed=1", "ü", "\x00", "a b", "None", "true", "[1]", "{}", "!!python/object:os.system"),
)
YAML = (
    "env: minecart-v0",
    "steps: 100",
    "steps: [1, 2]",
    "hidden: {a: 1}",
    "agent: cmorl",
    "agent: [cmorl]",
    "x: !!python/object/apply:os.system ['touch pwned']",
    "a: &a [*a]",
    "- 1",
    "run: {format: 99}",
    "run: 3",
    "env_kwargs: {depth: !!binary aGk=}",
    "gamma: .nan",
    "seed: 0x10",
    "? {}",
    "\t",
    "[" * 3000,
    "\x00",
    "1: 2",
    "env: 2001-01-01",
)


class _TrainedError(UserError):
    """A command line that would have trained, or searched."""


def _trained(*_, **__):
    raise _TrainedError("it would have trained")


def command_line(rng: random.Random, place: Path) -> str | None:
    """``morl`` with random arguments, in a directory of its own."""
    config = place / "junk.yaml"
    config.write_text("\n".join(rng.choices(YAML, k=rng.randrange(1, 4))), encoding="utf-8")
    command = rng.choice([*commands(), "no-such-command", ""])
    if command in ("check-env",):  # a valid id would be checked, which takes long
        args = [command, rng.choice(["no-such-env", "", "../x", "a:b", "--help"])]
    else:
        args = [command, *rng.choices([*WORDS, str(config), f"--config={config}", str(place)], k=rng.randrange(7))]
    before = sorted(os.listdir(place))
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()) as errors,
            mock.patch("morl.training.loop.train", _trained),
            mock.patch("morl.tune.study.Study.run", _trained),
            mock.patch("tensorboard.program.TensorBoard.main", return_value=0),  # would serve for ever
        ):
            code = main(args)
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException as error:
        return f"{args}: {error!r}"
    if code not in (0, 2):
        return f"{args}: exit code {code}"
    if code == 2 and errors.getvalue().strip().count("\n"):
        return f"{args}: more than one line: {errors.getvalue()}"
    if sorted(os.listdir(place)) != before:
        return f"{args}: wrote {set(os.listdir(place)) - set(before)}"
    return None


def settings_file(rng: random.Random, place: Path) -> str | None:
    """Settings by name of random values."""
    values = [None, True, -1, 0, 7, 1e400, float("nan"), "x", "", "-x", [], [1, "a"], {}, {"a": 1}, [[1]], "\x00", b"b"]
    names = [*field_names(TrainSettings), "no_such"]
    chosen = {rng.choice(names): rng.choice(values) for _ in range(rng.randrange(4))}
    try:
        from_mapping(TrainSettings, chosen, source="junk")
    except UserError:
        return None
    except BaseException as error:
        return f"{chosen}: {error!r}"
    return None


def front_file(rng: random.Random, place: Path) -> str | None:
    """A front.csv with bytes changed."""
    names = ("a", "b")
    lines = ["seed,id,preference_a,preference_b,a,b,a_stderr,b_stderr,a_undiscounted,b_undiscounted"]
    lines[0] += ",a_undiscounted_stderr,b_undiscounted_stderr,length"
    lines += [f"0,{i}," + ",".join(["0.5"] * 11) for i in range(3)]
    data = bytearray("\n".join(lines).encode())
    for _ in range(rng.randrange(4)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    data = data[: rng.choice([len(data), rng.randrange(len(data))])]
    path = place / "front.csv"
    path.write_bytes(data)
    return _read(lambda: read_fronts(path, names), path)


def state_file(rng: random.Random, place: Path) -> str | None:
    """A checkpoint with bytes changed: an error, or what was written."""
    tree = {"a": np.arange(6.0).reshape(2, 3), "b": [np.int32(3), np.zeros(0, np.float32)]}
    path = storage.save_state(place, tree, {"x": 1}, keep=1)
    data = bytearray(path.read_bytes())
    for _ in range(rng.randrange(1, 5)):
        begin = rng.randrange(len(data))
        data[begin : begin + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(9))
    path.write_bytes(data)
    try:
        notes = storage.load_notes(path)
        loaded = storage.load_state(path, tree)
    except UserError:
        return None
    except BaseException as error:
        return repr(error)
    finally:
        path.unlink()
    whole = np.array_equal(loaded["a"], tree["a"]) and loaded["b"][0] == 3 and json.dumps(notes) == '{"x": 1}'
    return None if whole else "other numbers than were written"


def journal(rng: random.Random, place: Path) -> str | None:
    """A study's journal with values put in place of others, and bytes changed."""
    values = [None, -1, 0, 1, 1e400, float("nan"), "x", "finished", [], {}, {"score": 1.0}, {"0": {"score": 2.0}}]
    names = ["event", "trial", "params", "steps", "score", "state", "result", "reason", "name", "results"]
    records = [
        {"event": "start", "trial": 0, "params": {"learning_rate": 0.1}},
        {"event": "report", "trial": 0, "steps": 10, "score": 0.5},
        {"event": "end", "trial": 0, "state": "finished", "result": {"score": 0.5}},
        {"event": "held_out", "name": "default", "results": {"7": {"score": 0.5}}},
    ]
    for _ in range(rng.randrange(4)):
        rng.choice(records)[rng.choice(names)] = rng.choice(values)
    path = place / "journal.jsonl"
    path.write_bytes(_changed("".join(json.dumps(record) + "\n" for record in records), rng))
    return _read(lambda: Journal(path).close(), path)


def study(rng: random.Random, place: Path) -> str | None:
    """A study.yaml with bytes changed."""
    text = f"""format: {FORMAT}
agent: cmorl
study: {{num_samples: 3, scheduler: asha, searcher: tpe}}
training: {{env: fruit-tree-v0, steps: 20000, num_seeds: 1}}
config: {{num_policies: 3}}
space: {{learning_rate: {{log: [0.001, 0.01]}}}}
"""
    path = place / "study.yaml"
    path.write_bytes(_changed(text, rng))
    with warnings.catch_warnings(action="ignore"):  # of environments' older versions
        return _read(lambda: Study.resume(place), path)


def _changed(text: str, rng: random.Random) -> bytes:
    data = bytearray(text.encode())
    for _ in range(rng.randrange(3)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _read(act: Callable[[], object], path: Path) -> str | None:
    data = path.read_bytes()
    try:
        act()
    except UserError:
        return None
    except BaseException as error:
        return f"{data!r}: {error!r}"
    finally:
        path.unlink()
    return None


ATTEMPTS = {
    "command lines": command_line,
    "settings": settings_file,
    "front.csv": front_file,
    "checkpoints": state_file,
    "journals of studies": journal,
    "study.yaml": study,
}
