"""Run directories: made, checked, and read back."""

from __future__ import annotations

import contextlib
import csv
import difflib
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from morl.errors import UserError
from morl.runs import storage
from morl.runs.front import Floats, Front
from morl.runs.front_csv import OBJECT_COLUMNS, parts, table_of

FORMAT = 3
RUNS = Path("runs")  # where runs are by default
PACKAGES = ("morlax", "jax", "jaxlib", "numpy", "optax", "equinox", "gymnasium", "mo-gymnasium", "moocore")


def create(out: Path | None, name: str) -> Path:
    """Make a new run directory: ``out``, or ``runs/<name>-<time>`` when none is given.

    Slashes and colons of the name, as in an agent ``module:name``, become dashes.

    Raises:
        UserError: ``out`` holds something already, or cannot be written.
    """
    named = RUNS / f"{re.sub('[/:]', '-', name)}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = out or named, 2
    while out is None and path.exists():
        path, number = named.with_name(f"{named.name}-{number}"), number + 1
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise UserError(f"{path} is not empty and a run never overwrites another; choose another --out")
        (path / "checkpoints").mkdir()
    except OSError as error:
        raise UserError(f"cannot write to the run directory {path}: {error.strerror}") from error
    except UserError:
        raise
    except ValueError as error:  # an impossible path
        raise UserError(f"{str(path)!r} cannot be a run directory: {error}") from error
    return path


def check_written(path: Path, file: str = "config.yaml", kind: str = "run directory") -> None:
    """Check that a directory is there and holds the file that makes it a run, or a study.

    Raises:
        UserError: it does not exist, with up to three names near it; it is a file; or it is of another kind, with the
            runs (studies) it holds.
    """
    try:
        if (path / file).is_file():
            return
        if not path.exists():
            raise UserError(f"{path} does not exist{_hint(_near(path, path.parent, file) or _near(path, RUNS, file))}")
        if not path.is_dir():
            raise UserError(f"{path} is a file, not a {kind}")
        inside = _holding(path, file)[-3:]
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    raise UserError(f"{path} is not a {kind}: it has no {file}{_hint(inside)}")


def _near(path: Path, folder: Path, file: str) -> list[Path]:
    """Return up to three directories of a folder that hold the file and have a name like that of a path."""
    found = {entry.name: entry for entry in _holding(folder, file)}
    return [found[name] for name in difflib.get_close_matches(path.name, found, n=3, cutoff=0.5)]


def _holding(folder: Path, file: str) -> list[Path]:
    """Return the directories in a folder that hold the file."""
    with contextlib.suppress(OSError):
        return sorted(entry for entry in folder.iterdir() if (entry / file).is_file())
    return []


def _hint(paths: Sequence[Path]) -> str:
    return f"; did you mean {' or '.join(map(str, paths))}?" if paths else ""


def check_own_files(path: Path) -> None:
    """Check that a run directory holds no links, so that a resumed run writes only inside it.

    Raises:
        UserError: naming the first of them, or what the directory lacks.
    """
    checkpoints = path / "checkpoints"
    if not checkpoints.is_dir():
        raise UserError(f"{path} cannot be resumed: it has no checkpoints/")
    for entry in (checkpoints, *path.iterdir(), *checkpoints.iterdir()):
        if entry.is_symlink():
            raise UserError(f"{entry} is a link; a run is resumed only in files of its own")
    if any(checkpoints.glob("labelled-*.json")):
        raise UserError(
            f"{path} was written by an earlier version of morl, whose labels this one cannot go on from; "
            "they are in checkpoints/labelled-SEED.json, and in candidates.csv where it was stopped"
        )


def check_module(what: str, module: str, path: Path) -> None:
    """Refuse to import a module from the directory that names it, which may come from somebody else.

    Args:
        what: whose module it is, for the error: ``agent mine:reinforce``.
        module: its name as the directory's settings have it; empty where they name none.
        path: the directory, of a run or a study.

    Raises:
        UserError: the working directory is inside that directory, or the module would be found there.
    """
    if not module:
        return
    own, parts = path.resolve(), module.split(".")
    if Path.cwd().resolve().is_relative_to(own):
        raise UserError(f"the {what} is of a module; do this from outside the run directory")
    packages = [Path(*parts[: i + 1]) for i in range(len(parts))]
    if any((Path(base) / package).resolve().is_relative_to(own) for base in ("", *sys.path) for package in packages):
        raise UserError(f"the {what} is of a module inside {path} itself, which is not imported")


def provenance(device: str, packages: Sequence[str] = ()) -> dict[str, Any]:
    """Return the origin of a run: versions, those of optional ``packages`` too, device, git state and command."""
    return {
        "format": FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join(["morl", *sys.argv[1:]]) if Path(sys.argv[0]).name == "morl" else "",
        "device": device,
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES} | _installed(packages),
        "git": _git_state(),
    }


def _installed(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _git_state() -> str | None:
    """Return the commit of the working directory, with ``-dirty`` if changed; ``None`` outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML mapping by the safe loader.

    Raises:
        UserError: missing, not YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # not text, not a path, or nested too deeply
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"{path} must hold a mapping of settings by name")
    return content


def read_settings(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a settings file: the settings by name, and the notes of the run that wrote it, if any.

    Raises:
        UserError: unreadable, or made by a version whose format this one does not know.
    """
    values = read_config(path)
    notes = values.pop("run", None)
    notes = notes if isinstance(notes, dict) else {}
    made_by = notes.get("format", FORMAT)
    if made_by != FORMAT:
        versions = notes.get("versions")
        # runs of before 0.1.0 was published call the distribution morl-jax
        version = str(versions.get("morlax", versions.get("morl-jax"))) if isinstance(versions, dict) else ""
        advice = f": pip install morlax=={version} reads it" if re.fullmatch(r"[\w.+-]{1,40}", version) else ""
        raise UserError(f"{path} has run format {made_by!r}; this version of morl reads format {FORMAT}{advice}")
    return values, notes


@dataclass(frozen=True)
class Run:
    """Run that has a front, read back. It stands for its path wherever one is asked for.

    Attributes:
        path: its directory.
        config: the resolved settings.
        fronts: one front for each training seed.
    """

    path: Path
    config: dict[str, Any]
    fronts: Mapping[int, Front]

    def __repr__(self) -> str:
        what = f"{self.config.get('agent')} on {self.config.get('env')}"
        fronts = ", ".join(f"seed {seed}: {len(front)} {front.kind}" for seed, front in list(self.fronts.items())[:4])
        more = f" and {len(self.fronts) - 4} more" if len(self.fronts) > 4 else ""
        return f"<Run {self.path}: {what}; {fronts}{more}>"

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def front(self) -> Front:
        """Front of the first seed."""
        return next(iter(self.fronts.values()))

    @property
    def finished(self) -> bool:
        """True if it was trained to its end; otherwise it can be resumed."""
        return not storage.states(self.path / "checkpoints")


def read_rows(path: Path) -> list[list[str]]:
    """Read the rows of a CSV file, header first.

    Raises:
        UserError: missing, or not CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {' '.join(str(error).split())}") from error


def read_fronts(path: Path, objectives: tuple[str, ...]) -> dict[int, dict[str, Floats]]:
    """Read the arrays of ``front.csv`` by seed, with the names they have in :class:`morl.runs.front.Front`.

    Those of earlier versions have no ``ranges`` of preferences.

    Raises:
        UserError: missing, of other columns, or not numbers.
    """
    rows = read_rows(path)
    places = parts(objectives, rows[0]) if rows else None
    if places is None or len(rows) < 2:
        raise UserError(f"{path} does not hold a front of the objectives {', '.join(objectives)}")
    if {*map(len, rows)} != {len(rows[0])}:
        raise UserError(f"{path} has rows of other lengths than its first")
    try:
        table = np.array(rows[1:], dtype=np.float64)
    except ValueError as error:
        raise UserError(f"{path} holds something that is not a number") from error
    fronts = {}
    for seed in dict.fromkeys(table[:, 0].tolist()):
        block = table[table[:, 0] == seed]
        if not seed.is_integer() or not np.array_equal(block[:, 1], np.arange(len(block))):
            raise UserError(f"{path} has lost its order: the ids of each seed count from 0 (column 2)")
        front = {name: block[:, place] for name, place in places.items()}
        front["length"] = front["length"][:, 0]
        if "ranges" in front:
            front["ranges"] = front["ranges"].reshape(len(block), len(objectives), 2)
        fronts[int(seed)] = front
    return fronts


def read_objects(path: Path, tables: Mapping[int, Mapping[str, Floats]]) -> dict[int, tuple[str, ...]]:
    """Read the texts of ``objects.csv`` by seed, for the fronts that :func:`read_fronts` has read.

    Raises:
        UserError: missing, or not of those fronts.
    """
    rows = read_rows(path)
    wanted = [(str(seed), str(i)) for seed, table in tables.items() for i in range(len(table["length"]))]
    if rows[:1] != [OBJECT_COLUMNS] or [tuple(row[:2]) for row in rows[1:]] != wanted or {*map(len, rows)} != {3}:
        raise UserError(f"{path} does not hold the objects of front.csv, one a row")
    return {seed: tuple(row[2] for row in rows[1:] if row[0] == str(seed)) for seed in tables}


def check_fronts(path: Path, fronts: Mapping[int, Front]) -> None:
    """Check that a written ``front.csv`` is read back as these fronts, number by number.

    Raises:
        OSError: it is not.
    """
    try:
        found = read_fronts(path, next(iter(fronts.values())).objectives)
    except UserError as error:
        raise OSError(f"front.csv cannot be read back: {error}") from error
    for seed, front in fronts.items():
        table = found.pop(seed, {})
        for part, written in table_of(front).items():
            read = table.get("ranges" if part == "best_for" else part, np.empty(0))
            if not np.array_equal(read, written, equal_nan=True):
                raise OSError(f"front.csv read back has other {part} of seed {seed} than were written")
    if found:
        raise OSError(f"front.csv read back has a seed {min(found)} that was not written")


def check_objects(path: Path, fronts: Mapping[int, Front]) -> None:
    """Check that a written ``objects.csv`` is read back as the objects of these fronts.

    Raises:
        OSError: it is not.
    """
    try:
        found = read_objects(path, {seed: {"length": front.length} for seed, front in fronts.items()})
    except UserError as error:
        raise OSError(f"objects.csv cannot be read back: {error}") from error
    if found != {seed: front.objects for seed, front in fronts.items()}:
        raise OSError("objects.csv read back has other objects than were written")
