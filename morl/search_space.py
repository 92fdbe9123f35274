"""Search spaces of hyper-parameters: the domain of each setting, declared beside an agent's settings.

They are plain data and import no JAX. A space is a mapping from names of settings to :class:`Parameter`, ordered so
that a setting with a condition comes after those that the condition looks at.
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
    """Real numbers from ``low`` to ``high``, uniform, or with ``log`` uniform in their logarithm."""

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
        """Return it as plain values for YAML."""
        return {"log" if self.log else "real": [self.low, self.high]}


@dataclass(frozen=True)
class Integer:
    """Whole numbers from ``low`` to ``high``, both included; uniform, or with ``log`` uniform in their logarithm."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            if isinstance(end, bool) or not isinstance(end, int):
                raise UserError(f"the ends of whole numbers are whole numbers, not {end!r}")
        _check_ends(self.low, self.high, self.log)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"whole numbers {self.low} to {self.high}{', logarithmic' if self.log else ''}"

    def plain(self) -> dict[str, Any]:
        """Return it as plain values for YAML."""
        return {"int_log" if self.log else "int": [self.low, self.high]}


@dataclass(frozen=True)
class Choice:
    """Choice among at least two values."""

    options: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise UserError(f"a choice needs at least two values, not {list(self.options)}")
        if len(set(self.labels)) < len(self.options):
            raise UserError(f"a choice must have each value once, not {list(self.options)}")

    def __contains__(self, value: object) -> bool:
        return label(value) in self.labels

    def __str__(self) -> str:
        return " | ".join(self.labels)

    @property
    def labels(self) -> list[str]:
        """Text of each option, all different."""
        return [label(option) for option in self.options]

    def plain(self) -> dict[str, Any]:
        """Return it as plain values for YAML."""
        return {"choice": [list(x) if isinstance(x, tuple) else x for x in self.options]}


Domain = Real | Integer | Choice


def log_real(low: float, high: float) -> Real:
    """Return real numbers that are uniform in their logarithm."""
    return Real(low, high, log=True)


@dataclass(frozen=True)
class Parameter:
    """Setting that is searched.

    Attributes:
        domain: the values it may take.
        live: whether it may change during a training, as population-based training does: a number that neither the
            shape of an array nor any state depends on.
        when: other settings and their values under which it is searched; otherwise it keeps its own value.
    """

    domain: Domain
    live: bool = False
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        conditions = [f"{name} is {' or '.join(map(label, values))}" for name, values in self.when.items()]
        return f"{self.domain}, when {' and '.join(conditions)}" if conditions else str(self.domain)

    def active(self, values: Mapping[str, Any]) -> bool:
        """Return whether it is searched where the settings have these values."""
        return all(label(values[name]) in map(label, allowed) for name, allowed in self.when.items())

    def plain(self) -> dict[str, Any]:
        """Return it as plain values for YAML."""
        when = {name: [list(x) if isinstance(x, tuple) else x for x in xs] for name, xs in self.when.items()}
        return {**self.domain.plain(), **({"when": when} if when else {})}


Space = Mapping[str, Parameter]


def label(value: Any) -> str:
    """Return a value as a text."""
    return value if isinstance(value, str) else json.dumps(value)


def walk(space: Space, settings: Mapping[str, Any], choose: Callable[[str, Domain], Any]) -> dict[str, Any]:
    """Return a point of a space: a value for each parameter that is searched, given those chosen before it.

    Args:
        space: the space.
        settings: values by name of the settings that are not searched.
        choose: returns a value for a name and a domain.
    """
    values, chosen = dict(settings), {}
    for name, parameter in space.items():
        if parameter.active(values):
            values[name] = chosen[name] = choose(name, parameter.domain)
    return chosen


def checked(space: Space, settings: Mapping[str, Any], source: str) -> Space:
    """Return the space after checking its names and the order of its conditions.

    Args:
        space: the space.
        settings: values of all settings by name.
        source: where the space comes from, for errors.

    Raises:
        UserError: a name that is no setting, or a condition on a setting that is searched later.
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
    """Return a space with changes from YAML or flags, and the settings that they fix.

    Args:
        space: the space that the agent declares.
        changes: by name, a mapping such as ``{log: [1e-4, 1e-2]}`` with a domain (``real``, ``log``, ``int``,
            ``int_log`` or ``choice``) and possibly ``when``; or a value to fix; or ``None`` not to search the setting.
        source: where the changes come from, for errors.

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
    # a setting that is searched anew comes before those whose conditions look at it
    looked_at = {other for parameter in searched.values() for other in parameter.when} - set(space)
    first = {name: parameter for name, parameter in searched.items() if name in looked_at}
    return {**first, **searched}, fixed


def plain(space: Space) -> dict[str, Any]:
    """Return a space as plain values, in the form that :func:`overridden` reads."""
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
    """Return a number, also from a text: YAML 1.1 reads 1e-4 as a text.

    Raises:
        UserError: something that is no number.
    """
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
