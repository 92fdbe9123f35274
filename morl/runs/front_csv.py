"""Files of a front: ``front.csv``, ``objects.csv`` of objects, and tables of policies evaluated again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Literal, get_args

import numpy as np

from morl.errors import UserError
from morl.runs.csv import csv_text
from morl.runs.front import Floats, Front

Goal = Literal["trained_for", "preference"]  # policies of one preference each; or one that takes the preference
GOALS: tuple[Goal, ...] = get_args(Goal)
OBJECT_COLUMNS = ["seed", "id", "object"]


def goal_of(front: Front) -> Goal:
    """Return how the columns of a front's preferences begin."""
    return "preference" if front.conditional or front.objects is not None else "trained_for"


def columns(
    objectives: Sequence[str], goal: Goal = "trained_for", *, best_for: bool = True, without_bonus: bool = False
) -> list[str]:
    """Return the header of ``front.csv``.

    Args:
        objectives: R names.
        goal: how the columns of the preferences begin.
        best_for: whether there are columns of the ranges of preferences; earlier versions had none.
        without_bonus: whether there are columns of returns without the bonus for being alive.
    """
    return [
        "seed",
        "id",
        *(f"{goal}_{name}" for name in objectives),
        *(
            f"{name}{suffix}"
            for suffix in ("", "_stderr", "_undiscounted", "_undiscounted_stderr")
            for name in objectives
        ),
        "length",
        *(f"best_for_{name}_{end}" for name in objectives for end in ("from", "to") if best_for),
        *(f"{name}_without_bonus" for name in objectives if without_bonus),
    ]


def parts(objectives: Sequence[str], header: Sequence[str]) -> dict[str, slice] | None:
    """Return where a header has the parts of a front, by their names in :class:`Front`; None of another header."""
    number = len(objectives)
    for goal, best_for, without_bonus in product(GOALS, (True, False), (True, False)):
        if [*header] == columns(objectives, goal, best_for=best_for, without_bonus=without_bonus):
            break
    else:
        return None
    names = ("preferences", "returns", "stderr", "undiscounted", "undiscounted_stderr")
    widths = {**dict.fromkeys(names, number), "length": 1}
    widths |= {"ranges": 2 * number} if best_for else {}
    widths |= {"without_bonus": number} if without_bonus else {}
    ends = np.cumsum([2, *widths.values()]).tolist()
    return {name: slice(begin, end) for name, begin, end in zip(widths, ends[:-1], ends[1:], strict=True)}


def objectives_of(header: Sequence[str]) -> tuple[str, ...]:
    """Return the R names of the objectives in a header of ``front.csv``; none in another header."""
    number = (header.index("length") - 2) // 5 if "length" in header else 0
    return tuple(header[2 + number : 2 + 2 * number])


def check_objectives(names: Sequence[str], number: int) -> None:
    """Check names of objectives, which become columns of ``front.csv``.

    Raises:
        UserError: not so many, one twice, one that is no name, or that another column has.
    """
    if len(names) != number:
        raise UserError(f"objectives must be {number} names, one for each number of the reward, not {len(names)}")
    for name in names:
        if not name.isprintable() or name != name.strip() or not name or name.startswith("-") or set(name) & set(',"'):
            raise UserError(f"objectives must be names such as speed, not {name!r}")
    for goal in GOALS:
        header = columns(names, goal, without_bonus=True)
        if twice := [name for name in (*names, *header) if header.count(name) > 1]:
            raise UserError(
                f"objectives must be different names, and no other columns of front.csv: {twice[0]} is twice"
            )


def to_csv(fronts: Mapping[int, Front]) -> str:
    """Return ``front.csv``: one row per policy, by training seed; floats read back exactly."""
    rows = [
        [seed, i, *numbers] for seed, front in fronts.items() for i, numbers in enumerate(_numbers(table_of(front)))
    ]
    return csv_text(_header(next(iter(fronts.values()))), rows)


def _header(front: Front) -> list[str]:
    return columns(front.objectives, goal_of(front), without_bonus=front.without_bonus is not None)


def table_of(front: Front) -> dict[str, Floats]:
    """Return the numbers of a front by part, in the order of :func:`columns`."""
    names = ("preferences", "returns", "stderr", "undiscounted", "undiscounted_stderr", "length", "best_for")
    table: dict[str, Floats] = {name: getattr(front, name) for name in names}
    return table if front.without_bonus is None else {**table, "without_bonus": front.without_bonus}


def _numbers(table: Mapping[str, Floats]) -> Iterator[list[float]]:
    """Yield the numbers of each row of a table."""
    for i in range(len(table["length"])):
        yield [float(x) for part in table.values() for x in np.ravel(part[i])]


def evaluations_csv(fronts: Mapping[int, Front], tables: Mapping[int, Mapping[str, Floats]], seed: int) -> str:
    """Return CSV of policies evaluated again: one row per policy and preference, those that fell off the front too.

    The columns are those of ``front.csv``, then ``in_front`` (1 if no other policy dominates it now), ``episodes``,
    ``evaluation_seed``, ``gamma``, and ``object`` where the rows are objects: of these the non-dominated ones only.

    Args:
        fronts: by training seed, as they are now.
        tables: :func:`morl.runs.front.evaluation_table` of all their policies, by training seed.
        seed: seed of the episodes.
    """
    more = ["in_front", "episodes", "evaluation_seed", "gamma"]
    first, rows = next(iter(fronts.values())), []
    for training_seed, front in fronts.items():
        about: list[Any] = [front.episodes, seed, front.gamma]
        if front.objects is None:
            numbers = enumerate(_numbers(_table_of_all(front, tables[training_seed])))
            rows += [[training_seed, i, *row, int(i in front.evaluated), *about] for i, row in numbers]
        else:
            numbers = enumerate(_numbers(table_of(front)))
            rows += [[training_seed, i, *row, 1, *about, front.objects[i]] for i, row in numbers]
    return csv_text([*_header(first), *more, *(["object"] if first.objects else [])], rows)


def _table_of_all(front: Front, table: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return the numbers of all evaluated rows by part; those not in the front are the best for no preference."""
    ranges = np.full((*table["returns"].shape, 2), np.nan)
    ranges[list(front.evaluated)] = front.best_for
    whole = {**table, "best_for": ranges}
    return {name: whole[name] for name in table_of(front)}


def objects_csv(fronts: Mapping[int, Front]) -> str:
    """Return ``objects.csv``: the text of the object of each row of ``front.csv``."""
    rows = ([seed, i, text] for seed, front in fronts.items() for i, text in enumerate(front.objects or ()))
    return csv_text(OBJECT_COLUMNS, rows)
