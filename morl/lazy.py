"""Names of a package that are loaded when they are first used, so that importing it stays cheap."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module ``__getattr__`` (PEP 562) for names that live in other modules, and have ``dir`` list them.

    Args:
        package: ``__name__`` of the package, which is being imported.
        names: ``module:Name`` by the name the package offers it under; ``module`` alone for a module.
    """
    module = sys.modules[package]

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        place, _, attribute = names[name].partition(":")
        imported = importlib.import_module(place)
        return getattr(imported, attribute) if attribute else imported

    def listed() -> list[str]:
        return sorted({*getattr(module, "__all__", vars(module)), *names})

    vars(module)["__dir__"] = listed
    return load
