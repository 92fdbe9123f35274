"""Run directories: what a training writes, and how it is read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morl.lazy import lazy_names

if TYPE_CHECKING:
    from morl.runs.directory import Run as Run
    from morl.runs.front import Front as Front
    from morl.runs.front import Policy as Policy

__getattr__ = lazy_names(
    __name__,
    {"Run": "morl.runs.directory:Run", "Front": "morl.runs.front:Front", "Policy": "morl.runs.front:Policy"},
)
