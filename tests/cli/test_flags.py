"""Flags as they are checked before the parser reads them: every kind of value, given well and given wrongly."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from morl.errors import UserError
from morl.flags import check_flags, flags_of
from morl.parsing import from_mapping, parse


@dataclass(frozen=True)
class Group:
    rate: float = 0.5
    widths: tuple[int, ...] = (8, 8)
    beta: float | tuple[float, float] = 1.0

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise UserError(f"rate must be greater than 0, not {self.rate}")


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    group: Group
    num_steps: int = 10
    point: tuple[float, ...] | None = None
    out: Path | None = None
    kind: Literal["auto", "host"] = "auto"
    keywords: dict[str, bool | int | float | str] = field(default_factory=dict)
    wishes: tyro.conf.UseAppendAction[tuple[tuple[float, ...], ...]] = ()
    names: tuple[str, ...] = ()
    quiet: bool = False


def read(line):
    return parse(Options, line.replace("''", "\0").replace(" ", "\n").replace("\0", "").split("\n"), prog="morl it")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("x --point 0.7 0.3", "point", (0.7, 0.3)),
        ("x --point 0.7,0.3", "point", (0.7, 0.3)),
        ("x --point 0.7, 0.3", "point", (0.7, 0.3)),
        ("x --point=0.7,0.3", "point", (0.7, 0.3)),
        ("x --point=0.7 0.3", "point", (0.7, 0.3)),
        ("--point 0.7 0.3 x", "point", (0.7, 0.3)),
        ("--point=0.7,0.3 x", "point", (0.7, 0.3)),
        ("x --point -10,-25", "point", (-10.0, -25.0)),
        ("x --point -1e5 -2.5", "point", (-1e5, -2.5)),
        ("x --point=-1,-2", "point", (-1.0, -2.0)),
        ("x --point None", "point", None),
        ("x --out=-folder", "out", Path("-folder")),
        ("x --num-steps 1_000", "num_steps", 1000),
        ("x --num_steps=7", "num_steps", 7),
        ("x --wishes 0.5,0.5 --wishes 1 0", "wishes", ((0.5, 0.5), (1.0, 0.0))),
        ("x --names a,b c", "names", ("a,b", "c")),
        ("x --keywords depth 7 name -3", "keywords", {"depth": 7, "name": -3}),
        ("x --quiet", "quiet", True),
        ("x --quiet --no-quiet", "quiet", False),
        ("--quiet x", "run", Path("x")),
        ("x --widths 16,32", "group", Group(widths=(16, 32))),
        ("x --beta 1,2", "group", Group(beta=(1.0, 2.0))),
        ("x --beta 3", "group", Group(beta=3.0)),
    ],
)
def test_values(line, name, value):
    assert getattr(read(line), name) == value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--quiet", "RUN is missing: morl it RUN"),
        ("''", "RUN must not be empty: it is a path"),
        ("x y", "unexpected argument 'y' after x"),
        ("x --num-steps", "--num-steps needs a value: a whole number"),
        ("x --num-steps ten", "--num-steps must be a whole number, not 'ten'"),
        ("x --num-steps 1.5", "--num-steps must be a whole number, not '1.5'"),
        ("x --num-steps nan", "--num-steps must be a whole number, not 'nan'"),
        ("x --num-steps inf", "--num-steps must be a whole number, not 'inf'"),
        ("x --num-steps ''", "--num-steps must not be empty: it is a whole number"),
        ("x --num-steps 1 2", "unexpected argument '2' after --num-steps 1: --num-steps takes a whole number"),
        ("x --num-stpes 1", "unknown flag '--num-stpes'; did you mean --num-steps?"),
        ("x --zzz", "unknown flag '--zzz'; see morl it --help"),
        ("x -q", "unknown flag '-q'; see morl it --help"),
        ("x --run y", "unknown flag '--run'; see morl it --help"),
        ("x --no-num-steps", "unknown flag '--no-num-steps'; did you mean --num-steps?"),
        ("x --rate much", "--rate must be a number, not 'much'"),
        ("x --rate -1", "--rate must be greater than 0, not -1.0"),
        ("x --point a b", "--point must be numbers, not 'a'"),
        ("x --point 0.7,b", "--point must be numbers, not 'b'"),
        ("x --point", "--point needs a value: numbers"),
        ("x --keywords --quiet", "--keywords needs a value: a name and a value in turn"),
        ("x --widths 1.5", "--widths must be whole numbers, not '1.5'"),
        ("x --beta 1 2 3", "unexpected argument '3' after --beta 1 2: --beta takes a number or 2 numbers"),
        ("x --beta", "--beta needs a value: a number or 2 numbers"),
        ("x --out", "--out needs a value: a path"),
        ("x --out ''", "--out must not be empty: it is a path"),
        ("x --kind hots", "--kind must be one of auto, host, not 'hots'; did you mean host?"),
        ("x --kind", "--kind needs a value: one of auto, host"),
        ("x --quiet=yes", "--quiet takes no value, not 'yes'"),
        ("x --quiet yes", "unexpected argument 'yes' after --quiet: --quiet takes no value"),
        ("x --keywords depth", "--keywords takes a name and a value in turn, and 'depth' has no value"),
    ],
)
def test_mistakes(line, message):
    with pytest.raises(UserError) as error:
        read(line)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widths": ["a"]}, "here.yaml: widths must be whole numbers, not 'a'"),
        ({"rate": [1, 2]}, "here.yaml: unexpected argument '2' after rate 1: rate takes a number"),
        ({"rate": -1}, "here.yaml: rate must be greater than 0, not -1.0"),
    ],
)
def test_settings_of_a_file_have_their_names(values, message):
    with pytest.raises(UserError) as error:
        from_mapping(Group, values, source="here.yaml")
    assert str(error.value) == message


@dataclass(frozen=True)
class First:
    a: int = 1


@dataclass(frozen=True)
class Choice:
    which: First | Group = field(default_factory=First)


def length(text: str) -> int:
    return len(text)


@dataclass(frozen=True)
class Own:
    count: int = 0
    pairs: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Made:
    when: Annotated[int, tyro.conf.arg(constructor=length)] = 0


def test_what_is_not_known_here_is_left_to_the_parser():
    assert flags_of(Choice) is None
    assert check_flags(["which:group", "--which.rate", "1"], Choice, prog="it") == ["which:group", "--which.rate", "1"]
    assert flags_of(Made) is None
    assert parse(Own, ["--pairs", "1", "a", "2", "b", "--count", "3"], prog="it") == Own(3, ((1, "a"), (2, "b")))
    with pytest.raises(UserError, match="unknown flag '--pars'; did you mean --pairs"):
        parse(Own, ["--pars", "abc"], prog="it")
