"""The README keeps its word: its Python runs, and its test command is what CI runs."""

import re
from pathlib import Path

import pytest

from tests.docs.shortened import shortened

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(shortened(block), "README.md", "exec"), {})


def test_every_link_into_the_repository_exists():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_commands_of_the_readme_are_commands():
    from morl.cli import commands

    used = set(re.findall(r"^(?:\.venv/bin/)?morl ([\w-]+)", README, re.M)) | set(
        re.findall(r"bin/morl ([\w-]+)", README)
    )
    assert used == set(commands())
