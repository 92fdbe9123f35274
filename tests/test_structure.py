"""The package keeps its structure: imports point downwards without cycles; folders, files and functions stay small."""

import ast
import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.long import LONG

ROOT = Path(__file__).parents[1]
FOLDERS = ("morl", "envs", "agents", "tune")
AROUND = ("tests", "benchmarks", "examples", "docs")

# Layers of the package, the lowest first. A module imports from its own layer and from those below.
LAYERS = (
    (
        "errors",
        "guard",
        "lazy",
        "types",
        "validation",
        "flags",
        "parsing",
        "keywords",
        "registry",
        "settings",
        "search_space",
        "renaming",
        "words",
    ),
    ("ops", "distributions", "quality", "environments", "spaces", "yardsticks"),
    ("networks", "runs"),
    ("envs", "viz"),
    ("agents",),
    ("training", "constructive"),
    ("loading",),
    ("analysis",),
    ("report", "export", "skeletons", "tune", "cli", "__main__", ""),  # the last is morl/__init__.py
)
LAYER = {package: layer for layer, packages in enumerate(LAYERS) for package in packages}

# Imports that point upwards, each with its reason.
UPWARDS = {
    ("morl.envs.checks.constructive", "morl.training.backends.devices"): "checks run where trainings would",
    ("morl.envs.checks.jax", "morl.training.backends.devices"): "checks run where trainings would",
    ("morl.envs.mec.schemes", "morl.training.evaluation"): "fixed schemes are evaluated as policies are",
    ("morl.envs.offloading.schemes", "morl.training.evaluation"): "fixed schemes are evaluated as policies are",
    ("morl.training.resumption", "morl.loading"): "a training is resumed from its run directory",
    ("morl.training.backends.warm_start", "morl.loading"): "a training begins with the policies of another run",
}

# Packages whose __init__.py holds registrations or nothing; a module imported from them has an edge of its own.
PACKAGES = ("morl", "morl.agents", "morl.envs", "morl.training", "morl.training.backends", "morl.constructive")

MOST_MODULES = 20
MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_AN_ALGORITHM = 350
RIDDLES = ("What", "Of", "As", "Those", "Nothing", "Where", "That", "With")


@cache
def modules() -> dict[str, Path]:
    """Return the file of every module of the package by its dotted name, links to the top-level folders followed."""
    found = {}
    for folder, _, files in os.walk(ROOT / "morl", followlinks=True):
        for file in files:
            if file.endswith(".py"):
                path = Path(folder) / file
                parts = path.relative_to(ROOT).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(), str(path))


def imports_at_load(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield imports that run when the module is loaded: not those in functions, nor for type checkers only."""
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            yield statement
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from imports_at_load(statement.orelse)
        else:
            for part in ("body", "orelse", "finalbody"):
                yield from imports_at_load(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from imports_at_load(handler.body)


def module_named(name: str, known: dict[str, Path]) -> str | None:
    """Return the module that a dotted name is, or is a name in; None outside the package."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def edges_of(name: str, body: list[ast.stmt], known: dict[str, Path]) -> set[str]:
    """Return the modules that a module imports when it is loaded.

    The packages above an imported module are loaded with it; those that hold the importer are being loaded already.
    """
    targets = set()
    for statement in imports_at_load(body):
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            names = [f"{statement.module}.{alias.name}" for alias in statement.names]
        targets |= {module for each in names if (module := module_named(each, known))}
    above = {target.rsplit(".", up)[0] for target in targets for up in range(1, target.count(".") + 1)}
    above -= {name.rsplit(".", up)[0] for up in range(name.count(".") + 1)}
    return (targets | above) - {name}


@cache
def graph() -> dict[str, set[str]]:
    """Return what each module of the package imports when it is loaded."""
    known = modules()
    return {name: edges_of(name, tree(path).body, known) for name, path in known.items()}


def cycle_in(edges: dict[str, set[str]]) -> list[str]:
    """Return a cycle, its first module at the end again; an empty list if there is none."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        pending = [iter((start,))]
        while pending:
            for name in pending[-1]:
                if name in path:
                    return [*path[path.index(name) :], name]
                if name not in done:
                    path.append(name)
                    pending.append(iter(sorted(edges[name])))
                    break
            else:
                pending.pop()
                if path:
                    done.add(path.pop())
    return []


def package_of(name: str) -> str:
    """Return the package or module right below ``morl`` that a module belongs to."""
    return f"{name}.".split(".")[1]


def functions_of(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Yield the qualified name and the number of lines of each function, nested ones too."""
    for child in ast.iter_child_nodes(node):
        name = f"{prefix}{child.name}" if isinstance(child, ast.FunctionDef | ast.ClassDef) else prefix
        if isinstance(child, ast.FunctionDef):
            assert child.end_lineno is not None
            yield name, child.end_lineno - child.lineno + 1
        yield from functions_of(child, f"{name}." if name != prefix else prefix)


def docstrings_of(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring: of modules, classes, functions, and of fields, which are help texts."""
    for node in ast.walk(module):
        for statement in getattr(node, "body", []) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            if (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            ):
                yield statement.lineno, statement.value.value


# --- The checks check -------------------------------------------------------------------------------------------------


def test_a_cycle_is_found_and_told():
    edges = {"a": {"b"}, "b": {"c", "d"}, "c": {"d"}, "d": set(), "e": {"f"}, "f": {"g"}, "g": {"e", "d"}}
    assert cycle_in(edges) == ["e", "f", "g", "e"]
    edges["g"].remove("e")
    assert cycle_in(edges) == []


def test_imports_in_functions_and_for_types_do_not_count():
    text = """
import m.a
from m import b, name
if TYPE_CHECKING:
    import m.c
else:
    import m.d
try:
    from m.e.f import g
except ImportError:
    import m.h
class C:
    import m.i
    def method(self):
        import m.j
def function():
    import m.k
"""
    known = {name: Path() for name in ("m", *(f"m.{x}" for x in "abcdehijk"), "m.e.f")}
    found = edges_of("m.here", ast.parse(text).body, known)
    assert found == {"m.a", "m.b", "m", "m.d", "m.e", "m.e.f", "m.h", "m.i"} - {"m"} | {"m"}


def test_functions_are_measured():
    source = "class A:\n    def f(self):\n        def g():\n            pass\n        return g\n"
    assert dict(functions_of(ast.parse(source))) == {"A.f": 4, "A.f.g": 2}


# --- Imports ----------------------------------------------------------------------------------------------------------


def test_the_whole_package_is_read():
    names = modules()
    assert {"morl", "morl.envs.classic.minecart", "morl.agents.cmorl", "morl.tune.study"} <= set(names)
    assert sum(len(edges) for edges in graph().values()) > 500


def test_no_import_cycle():
    found = cycle_in(graph())
    assert not found, " -> ".join(found)


def test_every_package_has_a_layer():
    packages = {package_of(name) for name in modules()}
    assert packages == set(LAYER)


def test_imports_point_downwards():
    upwards = {
        (name, target)
        for name, targets in graph().items()
        for target in targets
        if LAYER[package_of(target)] > LAYER[package_of(name)] and target not in PACKAGES
    }
    assert upwards - set(UPWARDS) == set()
    assert set(UPWARDS) - upwards == set(), "not needed any more"


def test_mathematics_and_networks_know_nothing_above():
    """Check imports in functions too, where :func:`test_imports_point_downwards` does not look."""
    allowed = {"morl", "morl.ops", "morl.errors", "morl.types", "morl.validation"}
    for package, also in (("ops", set()), ("networks", {"morl.networks", "morl.spaces"})):
        for name, path in modules().items():
            if package_of(name) != package:
                continue
            found = {
                module.module or ""
                for module in ast.walk(tree(path))
                if isinstance(module, ast.ImportFrom) and (module.module or "").startswith("morl")
            }
            assert {".".join(each.split(".")[:2]) for each in found} <= allowed | also, name


# --- Sizes ------------------------------------------------------------------------------------------------------------


def test_no_folder_is_a_flat_drawer():
    folders = Counter(
        path.parent for folder in (*FOLDERS, "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
    )
    assert len(folders) > 30
    many = {str(folder.relative_to(ROOT)): n for folder, n in folders.items() if n > MOST_MODULES}
    assert many == {}


def test_functions_of_agents_fit_on_a_screen():
    lengths = {
        f"{path.relative_to(ROOT)}: {name}": lines
        for path in (ROOT / "agents").rglob("*.py")
        for name, lines in functions_of(tree(path))
    }
    assert len(lengths) > 200
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}


def test_algorithms_are_read_in_ten_minutes():
    lines = {path: len(path.read_text().splitlines()) for path in (ROOT / "agents").glob("*/algorithm.py")}
    assert len(lines) >= 6
    long = {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > MOST_LINES_OF_AN_ALGORITHM}
    assert long == {}


# --- Words ------------------------------------------------------------------------------------------------------------


def test_docstrings_open_with_a_verb_or_a_noun():
    paths = {path.resolve() for path in modules().values()}
    paths |= {path for folder in AROUND for path in (ROOT / folder).rglob("*.py")}
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in sorted(paths)
        for line, text in docstrings_of(tree(path))
        if re.match(rf"({'|'.join(RIDDLES)})\b", text)
    ]
    assert not found, "\n".join([f"{len(found)} docstrings:", *found])


def test_long_tests_that_are_named_are_there():
    for entry in LONG:
        path, _, name = entry.partition("::")
        function = name.partition("[")[0].rpartition("::")[2]
        assert f"def {function}(" in (ROOT / path).read_text(), entry
