"""Compiled programs are kept from one command to the next."""

import os
import subprocess
import sys
import time

import pytest

from morl.training.backends import compile_cache

PROGRAM = """
import os
from morl import cli
cli.main([{flags}"agents"])
import jax, jax.numpy as jnp
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((3, 3), jnp.float32))
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("JAX_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def run(flags=""):
    subprocess.run([sys.executable, "-c", PROGRAM.format(flags=flags)], check=True, capture_output=True)


def test_a_command_keeps_what_it_compiled_for_the_next(home):
    run()
    programs = {file.name for file in home.glob("morl/compiled/*/*-cache")}
    assert any("lambda" in name for name in programs)  # named after the function
    run()
    assert {file.name for file in home.glob("morl/compiled/*/*-cache")} == programs


def test_a_command_can_do_without(home):
    run('"--no-compile-cache", ')
    assert not (home / "morl").exists()


def test_a_folder_of_the_user_stays(home):
    environ = {compile_cache.FOLDER: "/elsewhere"}
    compile_cache.turn_on(environ)
    assert environ == {compile_cache.FOLDER: "/elsewhere"}


def test_no_folder_is_no_mistake(home):
    (home / "morl").write_text("a file in the way")
    environ = {}
    compile_cache.turn_on(environ)
    assert environ == {}
    assert compile_cache.default_folder().parent == home / "morl" / "compiled"


def test_programs_longest_unused_go_first(home, monkeypatch):
    monkeypatch.setattr(compile_cache, "MOST_BYTES", 250)
    folder = compile_cache.default_folder()
    folder.mkdir(parents=True)
    for index, name in enumerate("abc"):
        (folder / name).write_bytes(bytes(100))
        os.utime(folder / name, (time.time() - 100 + index,) * 2)
    compile_cache.turn_on({})
    assert {file.name for file in folder.iterdir()} == {"c", compile_cache.TIDIED}
    for name in "ab":
        (folder / name).write_bytes(bytes(100))
    compile_cache.turn_on({})  # on the same day
    assert len(list(folder.iterdir())) == 4
