"""Storage of policies and of trainings under way: the only module that knows the formats.

Policies are stored by Orbax. A training under way is one file, a zip archive of NumPy arrays with a checksum for each:
it is there whole or not at all, and a damaged one is noticed. Both hold arrays only, nothing that could run, and what
is read is held to the shapes and types that the run's settings imply before anything is made of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.lib import format as npy

from morl.errors import UserError
from morl.ops.running_statistics import RunningStats
from morl.types import PyTree

_STATE = re.compile(r"state-(\d{6,})\.npz")
NOTES = "notes.json"
_PLAIN = re.compile(r"[\w/.,=+@-]*")  # what Orbax takes as it is: its glob, its URLs and its C++ do not see more in it
_MAX_NOTES = 2**28  # bytes
_MAX_HEADER = 4096  # bytes, of an array in the archive
# Ends of names of arrays that earlier versions did not write, and their values: units of running statistics, and the
# standard errors and numbers of episodes of an archive, where 0 is unknown.
_ADDED = {".unit.npy": 1, "['kept'].stderr.npy": 0, "['kept'].episodes.npy": 0}


@contextlib.contextmanager
def replacing(path: Path, tree: PyTree) -> Iterator[None]:
    """Write a pytree of arrays to a directory completely or not at all; the block runs before it replaces another.

    Raises:
        OSError: it cannot be written, or what is read back is not what was written.
    """
    import orbax.checkpoint as ocp

    temporary = path.with_name(f".{path.name}.tmp")
    arrays = jax.tree.map(np.asarray, tree)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with _plain_path(temporary) as plain, ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(plain, arrays)
        _check_read_back(temporary, arrays)
        yield
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _check_read_back(path: Path, arrays: PyTree) -> None:
    """Raise OSError unless the pytree that was written to ``path`` is read back bit for bit."""
    try:
        found = load(path, arrays)
    except UserError as error:
        raise OSError(f"what was written cannot be read back: {error.__cause__ or error}") from error
    for one, other in zip(jax.tree.leaves(arrays), jax.tree.leaves(found), strict=True):
        if one.tobytes() != other.tobytes():
            raise OSError("what was read back is not what was written")


@contextlib.contextmanager
def _plain_path(path: Path) -> Iterator[Path]:
    """Give an absolute path of plain characters to a path: itself, or one through a link in a temporary directory.

    Orbax 0.12 merges what it writes by a glob over the whole path, so that ``[1]`` in a name matches nothing, and ``*``
    matches the directories beside it; ``gs:`` is a cloud's to it.
    """
    path = path.absolute()
    if _PLAIN.fullmatch(str(path)):
        yield path
        return
    roots = [root for root in (tempfile.gettempdir(), "/tmp", "/var/tmp") if _PLAIN.fullmatch(root)]  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="morl-", dir=next(filter(os.path.isdir, roots))) as directory:
        link = Path(directory) / "link"
        link.symlink_to(path.parent, target_is_directory=True)
        yield link / path.name  # of this library's choice


def load(path: Path, like: PyTree) -> Any:
    """Read a pytree of the shapes and dtypes of ``like``, as NumPy arrays.

    Raises:
        UserError: nothing there, damaged, or of other shapes.
    """
    import orbax.checkpoint as ocp

    if not path.is_dir():
        raise UserError(f"no checkpoint at {path}")
    template = jax.tree.map(lambda x: np.empty(np.shape(x), np.asarray(x).dtype), like)
    try:
        with _plain_path(path) as plain, ocp.StandardCheckpointer() as checkpointer:
            try:
                restored = checkpointer.restore(plain, template)
            except (ValueError, KeyError):
                restored = _with_units(template, checkpointer.restore(plain, _without_units(template)))
    except (ValueError, KeyError, OSError) as error:
        reason = "it is damaged, or does not hold what the run's config.yaml describes"
        raise UserError(f"cannot read the checkpoint {path}: {reason}") from error
    for (where, wanted), got in zip(jax.tree.leaves_with_path(template), jax.tree.leaves(restored), strict=True):
        if wanted.shape != got.shape or wanted.dtype != got.dtype:
            raise UserError(
                f"cannot read the checkpoint {path}: {jax.tree_util.keystr(where)} is {got.dtype}{list(got.shape)}, "
                f"and the run's config.yaml wants {wanted.dtype}{list(wanted.shape)}"
            )
    return restored


def _is_stats(x: Any) -> bool:
    return isinstance(x, RunningStats)


def _without_units(tree: PyTree) -> PyTree:
    """Return running statistics as earlier versions wrote them, by name: without units, which were 1."""

    def older(x: Any) -> Any:
        return {"mean": x.mean, "var": x.var, "seen": x.seen} if _is_stats(x) else x

    return jax.tree.map(older, tree, is_leaf=_is_stats)


def _with_units(like: PyTree, restored: PyTree) -> PyTree:
    """Return what :func:`_without_units` describes as running statistics, with units of 1."""

    def newer(x: Any, old: Any) -> Any:
        return RunningStats(**old, unit=np.ones_like(x.unit)) if _is_stats(x) else old

    return jax.tree.map(newer, like, restored, is_leaf=_is_stats)


def states(directory: Path) -> list[Path]:
    """Return the files of trainings under way in a directory, the newest first."""
    found = [(int(match[1]), path) for path in directory.glob("state-*.npz") if (match := _STATE.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def save_state(directory: Path, tree: PyTree, notes: dict[str, Any], keep: int) -> Path:
    """Write a training under way to a new file of its own, and delete all but the ``keep`` newest ones.

    Args:
        directory: of these files.
        tree: arrays.
        notes: what JSON can hold.
        keep: at least 1.

    Raises:
        OSError: it cannot be written and read back; then it is not there, and those before it are untouched.
    """
    before = states(directory)
    number = int(_STATE.fullmatch(before[0].name)[1]) + 1 if before else 1  # type: ignore[index]
    path = directory / f"state-{number:06}.npz"
    temporary = directory / f".{path.name}.tmp"
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(NOTES, json.dumps(notes))
                for name, array in _members(tree).items():
                    with archive.open(name, "w", force_zip64=True) as member:
                        npy.write_array(member, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        with zipfile.ZipFile(temporary) as archive:
            if damaged := archive.testzip():
                raise OSError(f"{damaged} read back is not what was written")
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync(directory)
    forget_states(directory, keep)
    return path


def final_state(directory: Path) -> Path:
    """Return the path of the last state of a finished training."""
    return directory / "final.npz"


def finish_states(directory: Path) -> Path | None:
    """Make the newest training under way the last state of a finished one, and delete the others; return it."""
    kept = states(directory)
    if kept:
        kept[0].replace(final_state(directory))
    forget_states(directory)
    return final_state(directory) if kept else None


def reopen_states(directory: Path) -> None:
    """Make the last state of a finished training that of one under way, unless there is one."""
    if not states(directory) and final_state(directory).exists():
        final_state(directory).replace(directory / "state-000001.npz")


def forget_states(directory: Path, keep: int = 0) -> None:
    """Delete all but the ``keep`` newest trainings under way, and leftovers of interrupted writing."""
    for path in states(directory)[keep:]:
        path.unlink(missing_ok=True)
    for path in directory.glob(".state-*.npz.tmp"):
        path.unlink(missing_ok=True)


def load_notes(path: Path) -> dict[str, Any]:
    """Read the notes of a training under way; their values are not checked.

    Raises:
        UserError: damaged.
    """
    with _readable(path) as archive:
        info = archive.getinfo(NOTES)
        if info.file_size > _MAX_NOTES or info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{NOTES} is not what was written")
        notes = json.loads(archive.read(NOTES))
        if not isinstance(notes, dict):
            raise ValueError(f"{NOTES} is not a mapping")
        return notes


def load_state(path: Path, like: PyTree) -> Any:
    """Read a pytree of NumPy arrays of the shapes and dtypes of ``like`` from the file of a training under way.

    Raises:
        UserError: damaged, or of other shapes.
    """
    wanted = _members(like)
    arrays = []
    with _readable(path) as archive:
        held = set(archive.namelist())
        absent = [end for end in _ADDED if not any(name.endswith(end) for name in held)]
        older = {name: _ADDED[end] for name in wanted for end in absent if name.endswith(end)}
        if surplus := held ^ ({NOTES, *wanted} - older.keys()):
            raise ValueError(f"{min(surplus)} is not in both the file and what the run's config.yaml describes")
        for name, model in wanted.items():
            if name in older:
                arrays.append(np.full_like(model, older[name]))
                continue
            info = archive.getinfo(name)
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > model.nbytes + _MAX_HEADER:
                raise ValueError(f"{name} is larger than the run's config.yaml describes")
            with archive.open(name) as member:
                found = _header(member)
            if found != (model.shape, model.dtype):
                raise ValueError(f"{name} is {found}, and the run's config.yaml wants {(model.shape, model.dtype)}")
            with archive.open(name) as member:
                arrays.append(npy.read_array(member, allow_pickle=False))
    leaves, structure = jax.tree.flatten(like)
    typed = [array.view(np.asarray(leaf).dtype) for array, leaf in zip(arrays, leaves, strict=True)]
    return jax.tree.unflatten(structure, typed)


def _members(tree: PyTree) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of a pytree by their names in an archive, of types that NumPy's format knows."""
    members = {}
    for where, leaf in jax.tree.leaves_with_path(tree):
        array = np.asarray(leaf, order="C")
        if array.dtype.kind == "V":  # bfloat16 and its like
            array = array.view(f"u{array.dtype.itemsize}")
        members[f"{jax.tree_util.keystr(where)}.npy"] = array
    return members


def _header(member: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and dtype in the header of an array in an archive."""
    if npy.read_magic(member) != (1, 0):
        raise ValueError("an array is of another format")
    shape, _, dtype = npy.read_array_header_1_0(member, max_header_size=_MAX_HEADER)
    return shape, dtype


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive at a path; any error in reading it becomes one UserError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except Exception as error:  # a damaged or crafted file can raise any error, from three libraries
        text = " ".join(str(error).split())
        raise UserError(f"cannot read the checkpoint {path}: it is damaged ({text or type(error).__name__})") from error


def _sync(directory: Path) -> None:
    """Sync a directory, so that a file's new name survives a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
