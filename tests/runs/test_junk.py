"""Junk input is one line and exit code 2; ``benchmarks/chaos.py fuzz`` tries ten thousand of each."""

import random
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morl.errors import UserError
from morl.runs import storage
from morl.training.progress import Progress, from_json
from tests.runs import junk

EXAMPLES = {"command lines": 60, "settings": 60, "front.csv": 100, "checkpoints": 100} | {
    "journals of studies": 100,
    "study.yaml": 30,
}


@pytest.mark.parametrize("name", junk.ATTEMPTS)
def test_junk_is_an_error_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @settings(max_examples=EXAMPLES[name], deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        assert junk.ATTEMPTS[name](random.Random(seed), tmp_path) is None

    check()
    assert not (tmp_path / "pwned").exists()


class Evil:
    def __reduce__(self):
        return (open, ("pwned", "w"))


def crafted(path, write):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.json", "{}")
        write(archive)


def test_a_pickle_in_a_checkpoint_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    like = {"a": np.zeros(3)}

    def write(archive):
        with archive.open("['a'].npy", "w") as member:
            np.lib.format.write_array(member, np.array([Evil()], object), allow_pickle=True)

    crafted(tmp_path / "state-000001.npz", write)
    with pytest.raises(UserError, match=r"cannot read the checkpoint .*wants"):
        storage.load_state(tmp_path / "state-000001.npz", like)
    assert not (tmp_path / "pwned").exists()


def test_nothing_larger_than_expected_is_read(tmp_path):
    """A compressed bomb, a huge array, and a member that no run has."""
    like = {"a": np.zeros(3)}
    path = tmp_path / "state-000001.npz"
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }".ljust(
        117
    )
    contents = [
        lambda a: a.writestr("['a'].npy", bytes(10**6), zipfile.ZIP_DEFLATED),
        lambda a: a.writestr("['a'].npy", header + b"\n"),
        lambda a: a.writestr("../../evil.npy", b""),
    ]
    for write, message in zip(contents, ["larger", "99999999999", r"\.\./\.\./evil"], strict=True):
        crafted(path, write)
        with pytest.raises(UserError, match=message):
            storage.load_state(path, like)
    assert sorted(tmp_path.iterdir()) == [path]


def test_progress_survives_json_with_numbers_of_any_size():
    progress = Progress(
        stage=1, steps=2**40, rows=2**33, seconds=0.1, taken=[{b"\x00\xff", b""}, set()], sums={"a": [0.1, 1e-40]}
    )
    progress.numbers = [3.0, 4.0]
    assert from_json(progress.as_json(), 2, 2, 2) == progress


@pytest.mark.parametrize(
    "change",
    [{"steps": -1}, {"stage": 2}, {"steps": 1.5}, {"rows": True}, {"taken": []}, {"taken": [["zz"]]}, {"numbers": [1]}],
)
def test_progress_that_cannot_be_is_refused(change):
    values = {**Progress(taken=[set()]).as_json(), **change}
    with pytest.raises(UserError, match="not those of the training"):
        from_json(values, 2, 1, 2)
    with pytest.raises(UserError):
        from_json({**values, "more": 1}, 2, 1, 2)
