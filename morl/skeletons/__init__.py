"""Skeletons of packages with an environment or an agent, for ``morl new``.

The folders ``env`` and ``agent`` hold the files, with ``.template`` at the end of their names, in which ``PACKAGE`` is
the module (my_env). In the texts ``$project`` is the name (my-env), ``$package`` the module and ``$title`` the class
(MyEnv).
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Literal, get_args

from morl.errors import UserError

Kind = Literal["env", "agent"]
SUFFIX = ".template"


def kind_of(name: str) -> Kind:
    """Return the kind that the end of a name tells: my-env or my-agent.

    Raises:
        UserError: it tells none.
    """
    for kind in get_args(Kind):
        if name == kind or name.endswith(f"-{kind}"):
            found: Kind = kind
            return found
    raise UserError(f"{name!r} ends neither in -env nor in -agent: give --kind env or --kind agent")


def check_name(name: str) -> None:
    """Check the name of a package.

    Raises:
        UserError: it is not lower-case words with hyphens, a word of Python, or a module that is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UserError(f"the name must be lower-case letters, digits and hyphens, such as my-env, not {name!r}")
    package = _package(name)
    if keyword.iskeyword(package) or package in sys.stdlib_module_names:
        raise UserError(f"the name must not be a word or a module of Python, as {name!r} is")
    if importlib.util.find_spec(package) is not None:
        raise UserError(f"there is a module {package!r} here already, which a package {name!r} would hide")


def write(name: str, kind: Kind, folder: Path) -> list[Path]:
    """Write a package into a new folder of its name; return its files, in order.

    Raises:
        UserError: a bad name, or there is such a folder.
    """
    check_name(name)
    target = folder / name
    try:
        target.mkdir()
    except FileExistsError:
        raise UserError(f"{target} exists already; choose another name, or remove it") from None
    except OSError as error:
        raise UserError(f"{target} cannot be made: {error.strerror}") from None
    words = {"project": name, "package": _package(name), "title": "".join(map(str.capitalize, name.split("-")))}
    written = []
    for place, source in _templates(files(__name__) / kind):
        path = target / place.removesuffix(SUFFIX).replace("PACKAGE", words["package"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(source.read_text(encoding="utf-8")).substitute(words), encoding="utf-8")
        written.append(path)
    return sorted(written)


def _package(name: str) -> str:
    return name.replace("-", "_")


def _templates(folder: Traversable, prefix: str = "") -> list[tuple[str, Traversable]]:
    """Return the place in the package, and the file, of each template of a folder."""
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _templates(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            found.append((prefix + entry.name, entry))
    return found
