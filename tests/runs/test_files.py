"""Files are there whole, in UTF-8 and read back, or not at all."""

from pathlib import Path

import pytest

from morl.runs import files


def test_a_file_that_is_not_read_back_replaces_none(tmp_path, monkeypatch):
    path = tmp_path / "front.csv"
    files.write_text(path, "ü\r\n")
    assert path.read_bytes() == b"\xc3\xbc\r\n"
    write = Path.write_bytes
    for change in (lambda data: data[:-1], lambda data: data.replace(b"1", b"2"), lambda data: b""):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", lambda path, data, change=change: write(path, change(data)))
            with pytest.raises(OSError, match=r"front\.csv read back is not what was written"):
                files.write_text(path, "1,1\n")
        assert path.read_bytes() == b"\xc3\xbc\r\n"
        assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_its_readers_do_not_take_replaces_none(tmp_path):
    def check(written):
        assert written.read_text() == "new"
        raise OSError("not a table")

    with pytest.raises(OSError, match="not a table"):
        files.write_text(tmp_path / "a", "new", check)
    assert not list(tmp_path.iterdir())
