"""What a hyper-parameter search may choose: the domain of each setting, declared beside an agent's settings.

Plain data that imports no JAX. A space is a mapping from the names of settings to :class:`Parameter`, in an order in
which conditions come after what they look at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from morl.errors import UserError, unknown_name

Value = bool | int | float | str | tuple[Any, ...]


@dataclass(frozen=True)
class Real:
    """Numbers from ``low`` to ``high``, evenly or, with ``log``, evenly in their logarithm."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_ends(self.low, self.high, self.log)

    def __contains__(self, value: object) -> bool:
        return _is_number(value) and self.low <= value <= self.high  # type: ignore[operator]

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else ''}"

    def plain(self) -> dict[str, Any]:
        """As YAML has it."""
        return {"log" if self.log else "real": [self.low, self.high]}


@dataclass(frozen=True)
class Integer:
    """Whole numbers from ``low`` to ``high``, both included; evenly or, with ``log``, evenly in their logarithm."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            if isinstance(end, bool) or not isinstance(end, int):
                raise UserError(f"whole numbers are from one whole number to another, not {end!r}")
        _check_ends(self.low, self.high, self.log)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"whole numbers {self.low} to {self.high}{', logarithmic' if self.log else ''}"

    def plain(self) -> dict[str, Any]:
        """As YAML has it."""
        return {"int_log" if self.log else "int": [self.low, self.high]}


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    options: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise UserError(f"a choice is of at least two values, not {list(self.options)}")
        if len(set(self.labels)) < len(self.options):
            raise UserError(f"a choice has each value once, not {list(self.options)}")

    def __contains__(self, value: object) -> bool:
        return label(value) in self.labels

    def __str__(self) -> str:
        return " | ".join(self.labels)

    @property
    def labels(self) -> list[str]:
        """A text for each option, none twice."""
        return [label(option) for option in self.options]

    def plain(self) -> dict[str, Any]:
        """As YAML has it."""
        return {"choice": [list(x) if isinstance(x, tuple) else x for x in self.options]}


Domain = Real | Integer | Choice


def log_real(low: float, high: float) -> Real:
    """Numbers evenly spread in their logarithm."""
    return Real(low, high, log=True)


@dataclass(frozen=True)
class Parameter:
    """A setting that is searched.

    Attributes:
        domain: its values.
        live: a number that no array's shape and no state depends on, so that it may be changed while a training goes on
            (population-based training).
        when: it is searched only where these other settings have one of these values; else it keeps its own.
    """

    domain: Domain
    live: bool = False
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        conditions = [f"{name} is {' or '.join(map(label, values))}" for name, values in self.when.items()]
        return f"{self.domain}, when {' and '.join(conditions)}" if conditions else str(self.domain)

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether it is searched where other settings have these values."""
        return all(label(values[name]) in map(label, allowed) for name, allowed in self.when.items())

    def plain(self) -> dict[str, Any]:
        """As YAML has it."""
        when = {name: [list(x) if isinstance(x, tuple) else x for x in xs] for name, xs in self.when.items()}
        return {**self.domain.plain(), **({"when": when} if when else {})}


Space = Mapping[str, Parameter]


def label(value: Any) -> str:
    """A value as a text."""
    return value if isinstance(value, str) else json.dumps(value)


def walk(space: Space, settings: Mapping[str, Any], choose: Callable[[str, Domain], Any]) -> dict[str, Any]:
    """A point of a space: what ``choose`` gives for each parameter that is searched, given those before it.

    Args:
        space: to choose from.
        settings: values of all settings otherwise, by name.
        choose: from a name and a domain to a value.
    """
    values, chosen = dict(settings), {}
    for name, parameter in space.items():
        if parameter.active(values):
            values[name] = chosen[name] = choose(name, parameter.domain)
    return chosen


def checked(space: Space, settings: Mapping[str, Any], source: str) -> Space:
    """The space, if all its names are settings and conditions look at settings, searched ones before.

    Raises:
        UserError: naming the first that is not.
    """
    before: set[str] = set()
    for name, parameter in space.items():
        for used in (name, *parameter.when):
            if used not in settings:
                raise UserError(f"{source}: {unknown_name('setting', used, settings)}")
        for condition in parameter.when:
            if condition in space and condition not in before:
                raise UserError(f"{source}: {name} depends on {condition}, which has to come before it")
        before.add(name)
    return space


def overridden(space: Space, changes: Mapping[str, Any], source: str) -> tuple[Space, dict[str, Any]]:
    """A space with changes from YAML or flags, and the settings that they fix.

    Args:
        space: as the agent declares it.
        changes: by name, a mapping such as ``{log: [1e-4, 1e-2]}`` with a domain (``real``, ``log``, ``int``,
            ``int_log`` or ``choice``) and perhaps ``when``; or a value, which is then not searched; or nothing, to
            leave the setting as it is.
        source: for errors.

    Raises:
        UserError: a mapping that is no domain.
    """
    searched, fixed = dict(space), {}
    for name, change in changes.items():
        if isinstance(change, Mapping):
            known = searched.get(name)
            parameter = _parameter(change, f"{source}: {name}")
            if known is not None:  # a domain alone leaves the condition as it is declared
                parameter = replace(parameter, live=known.live, when=parameter.when or known.when)
            searched[name] = parameter
            continue
        searched.pop(name, None)
        if change is not None:
            fixed[name] = _frozen(change)
    return searched, fixed


def plain(space: Space) -> dict[str, Any]:
    """As :func:`overridden` reads it."""
    return {name: parameter.plain() for name, parameter in space.items()}


KINDS = ("real", "log", "int", "int_log", "choice")


def _parameter(written: Mapping[Any, Any], where: str) -> Parameter:
    kinds = [kind for kind in written if kind != "when"]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        raise UserError(f"{where}: a domain is one of {', '.join(KINDS)}, such as {{log: [1e-4, 1e-2]}}")
    kind, values = kinds[0], written[kinds[0]]
    if not isinstance(values, list | tuple) or (kind != "choice" and len(values) != 2):
        expected = "a list of values" if kind == "choice" else "the lowest and the highest value, [low, high]"
        raise UserError(f"{where}: {kind} takes {expected}")
    when = written.get("when", {})
    if not isinstance(when, Mapping):
        raise UserError(f"{where}: when takes settings and the values they have to have, {{extension: [ipo]}}")
    conditions = {
        str(name): tuple(map(_frozen, allowed if isinstance(allowed, list | tuple) else [allowed]))
        for name, allowed in when.items()
    }
    try:
        return Parameter(_domain(kind, values), when=conditions)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _domain(kind: str, values: list[Any] | tuple[Any, ...]) -> Domain:
    if kind == "choice":
        return Choice(tuple(map(_frozen, values)))
    low, high = values
    if kind.startswith("int"):
        return Integer(low, high, log=kind == "int_log")
    return Real(_number(low), _number(high), log=kind == "log")


def _number(value: Any) -> float:
    """YAML 1.1 takes 1e-4 for a text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    elif _is_number(value):
        return float(value)
    raise UserError(f"{value!r} is not a number")


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    if isinstance(value, str):
        try:
            return float(value) if any(c.isdigit() for c in value) else value
        except ValueError:
            return value
    if isinstance(value, bool | int | float):
        return value
    raise UserError(f"a setting is true or false, a number, a text or a list, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_ends(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"the lowest value must be below the highest one, not {low:g} and {high:g}")
    if log and low <= 0:
        raise UserError(f"a logarithmic domain begins above 0, not at {low:g}")
