"""Tables of equations in the documentation name functions that exist, where they say."""

import importlib
import inspect
import re
from functools import reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMED = re.compile(r"\| `((?:agents|morl)/[a-z0-9_/]+\.py): ([\w.]+)` \|$", re.MULTILINE)


@pytest.mark.parametrize(("page", "rows"), [("cmorl.md", 20), ("ppo.md", 6), ("d3po.md", 13), ("gpi-ls.md", 14)])
def test_every_equation_is_where_its_table_says(page, rows):
    found = NAMED.findall((ROOT / "docs" / page).read_text())
    assert len(found) == rows
    for path, name in found:
        assert (ROOT / path).is_file()
        module = importlib.import_module("morl." + path.removeprefix("morl/").removesuffix(".py").replace("/", "."))
        function = reduce(getattr, name.split("."), module)
        assert Path(inspect.getsourcefile(function)).resolve() == (ROOT / path).resolve(), name
