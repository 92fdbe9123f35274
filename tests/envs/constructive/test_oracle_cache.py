"""Objectives on disk: computed once for all runs, by version, and by several processes at once."""

import json
import multiprocessing
import sqlite3
from contextlib import closing

import numpy as np
import pytest

import morl
from morl.envs.constructive.oracle import Counts, Oracle, OracleError
from morl.envs.constructive.oracle_cache import AT_ONCE, OracleCache
from morl.errors import UserError

ASKED = []
OPENED = []


@pytest.fixture(autouse=True)
def closed():
    yield
    while OPENED:
        OPENED.pop().close()


def thirds(x):
    """Return two objectives of an object, which float32 and text must not change."""
    ASKED.append(x)
    return len(str(x)) / 3, 1e-17


def oracle(path, name="thirds 1", **options):
    OPENED.append(Oracle(thirds, 2, "thirds-v0", cache=OracleCache(str(path), name), **options))
    return OPENED[-1]


def rows_of(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM objectives ORDER BY oracle, object").fetchall()


def test_another_run_computes_nothing_again(tmp_path):
    ASKED.clear()
    objects = ["AC'T", ((1, 2, 0), (3, 0, 1)), "ü", *map(str, range(2 * AT_ONCE))]
    with_none = Oracle(thirds, 2, "thirds-v0")(objects)
    first = oracle(tmp_path / "a.db")
    np.testing.assert_array_equal(first(objects), with_none)
    first.close()
    again = oracle(tmp_path / "a.db")
    ASKED.clear()
    found = again([*objects, "new"])
    assert ASKED == ["new"]
    np.testing.assert_array_equal(found, [*with_none, np.float32(thirds("new"))])
    assert again.counts == Counts(len(objects) + 1, len(objects) + 1, on_disk=len(objects))


def test_another_version_computes_anew(tmp_path):
    oracle(tmp_path / "a.db")(["A"])
    newer = oracle(tmp_path / "a.db", name="thirds 2")
    newer(["A"])
    assert newer.counts.on_disk == 0
    assert rows_of(tmp_path / "a.db") == [
        (name, "'A'", json.dumps([1 / 3, 1e-17])) for name in ("thirds 1", "thirds 2")
    ]


def fill(path, begin):
    mine = oracle(path)
    for i in range(begin, begin + 60, 3):
        mine([str(j) for j in range(i, i + 6)])


def test_two_processes_write_at_once(tmp_path):
    path = tmp_path / "a.db"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=fill, args=(path, begin)) for begin in (0, 30)]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    wanted = {(repr(str(i)), json.dumps(thirds(i))) for i in range(93)}
    assert {row[1:] for row in rows_of(path)} == wanted


def test_worker_processes_give_the_same(tmp_path):
    alone, shared = oracle(tmp_path / "a.db"), oracle(tmp_path / "b.db", processes=2)
    objects = [str(i) for i in range(30)]
    np.testing.assert_array_equal(shared(objects), alone(objects))
    shared.close()
    assert rows_of(tmp_path / "a.db") == rows_of(tmp_path / "b.db")


def write(path, numbers):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE objectives SET numbers = ?", (numbers,))


def test_a_file_that_is_spoilt_is_one_line(tmp_path):
    path = tmp_path / "a.db"
    oracle(path)(["A"])
    write(path, "[1.0]")
    with pytest.raises(OracleError, match=r"thirds-v0: its oracle gave \(1.0,\) for 'A'; allowed: 2 finite numbers"):
        oracle(path)(["A"])
    write(path, "[1.0")
    with pytest.raises(OracleError, match="thirds-v0: cannot read the oracle cache"):
        oracle(path)(["A"])


def test_the_tasks_take_the_path_of_a_file(tmp_path):
    pytest.importorskip("RNA", reason="needs the chem extra")
    path = tmp_path / "a.db"
    kept = morl.make("dna-folding-v0", "jax", oracle_cache=str(path))
    plain = morl.make("dna-folding-v0", "jax")
    strands = ["GGGGTTTTCCCC", "ACGTACGTAC"]
    np.testing.assert_array_equal(kept.oracle(strands), plain.oracle(strands))
    kept.oracle.forget()
    np.testing.assert_array_equal(kept.oracle(strands), plain.oracle(strands))
    assert kept.oracle.counts == Counts(2, 2, on_disk=2)
    kept.oracle.close()
    (tmp_path / "notes.txt").write_text("my notes")
    for wrong, said in {
        str(tmp_path): "it is a folder",
        str(tmp_path / "no" / "a.db"): "there is no folder",
        str(tmp_path / "notes.txt"): "it is no cache of an oracle, but another file",
        "": "oracle_cache must be the path of a file",
        3: "oracle_cache must be the path of a file",
    }.items():
        with pytest.raises(UserError, match=said):
            morl.make("dna-folding-v0", "jax", oracle_cache=wrong)
