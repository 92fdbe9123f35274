"""Policies and checkpoints are there, wherever they were written, or are said not to be."""

import os

import numpy as np
import pytest

from morl.errors import UserError
from morl.runs import storage

TREE = {"0": {"weights": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.array([np.nan, 1], np.float32)}}
ODD = ("hidden=[64,64]", "[!a]", "a*", "**", "a?b", "{x}", "a b", "ü日本", "a%20b", "a\nb", "a\\b", "gs:", "a\udcff")


@pytest.mark.parametrize("name", ODD)
def test_policies_below_any_name_are_read_back(name, tmp_path):
    path = tmp_path / name / "front"
    path.parent.mkdir()
    (tmp_path / name.replace("*", "beside")).mkdir(exist_ok=True)
    with storage.replacing(path, TREE):
        pass
    found = storage.load(path, TREE)
    np.testing.assert_array_equal(found["0"]["weights"], TREE["0"]["weights"])
    np.testing.assert_array_equal(found["0"]["bias"], TREE["0"]["bias"])
    assert [entry.name for entry in path.parent.iterdir()] == ["front"]


def test_the_temporary_directory_may_have_an_odd_name_too(tmp_path, monkeypatch):
    odd = tmp_path / "[1]"
    odd.mkdir()
    monkeypatch.setattr(storage.tempfile, "tempdir", str(odd))
    with storage.replacing(odd / "front", TREE):
        pass
    assert storage.load(odd / "front", TREE)["0"]["weights"].shape == (2, 3)


def test_policies_that_are_not_read_back_replace_none(tmp_path, monkeypatch):
    path = tmp_path / "front"
    with storage.replacing(path, TREE):
        pass
    other = {"0": {**TREE["0"], "bias": np.zeros(2, np.float32)}}
    for result in (TREE, UserError("damaged")):

        def load(path, like, result=result):
            if isinstance(result, Exception):
                raise result
            return result

        with monkeypatch.context() as patched:
            patched.setattr(storage, "load", load)
            with (
                pytest.raises(OSError, match=r"what was (read back is not what was )?written"),
                storage.replacing(path, other),
            ):
                pytest.fail("it goes on with policies that cannot be read")
    np.testing.assert_array_equal(storage.load(path, TREE)["0"]["bias"], TREE["0"]["bias"])
    assert os.listdir(tmp_path) == ["front"]


def test_a_checkpoint_that_is_not_read_back_is_not_there(tmp_path, monkeypatch):
    storage.save_state(tmp_path, TREE, {}, keep=2)
    monkeypatch.setattr(storage.zipfile.ZipFile, "testzip", lambda archive: "a.npy")
    with pytest.raises(OSError, match=r"a\.npy read back is not what was written"):
        storage.save_state(tmp_path, TREE, {}, keep=2)
    assert os.listdir(tmp_path) == ["state-000001.npz"]
