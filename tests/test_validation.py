"""Settings in Python are checked and converted as flags are: every field of every settings dataclass."""

import dataclasses
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin

import numpy as np
import pytest

from morl.errors import UserError
from morl.parsing import from_mapping, parse
from morl.registry import agent_specs, load
from morl.settings import EvaluateSettings, SearchSettings, TrainSettings
from morl.tune.settings import StudySettings
from morl.validation import convert_fields, field_types, whole_number

CLASSES = list(
    dict.fromkeys(
        [TrainSettings, SearchSettings, EvaluateSettings, StudySettings]
        + [load(spec.config) for spec in agent_specs(plug_ins=False).values()]
    )
)
FIELDS = [
    pytest.param(cls, name, hint, id=f"{cls.__name__}.{name}")
    for cls in CLASSES
    for name, hint in field_types(cls).items()
]


def inner(hint):
    """Return the type of a field without None."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and type(None) in get_args(hint) else hint


class Nothing:
    """An object that no setting takes."""


def alike(default, hint):
    """Return the value of a field as other types that mean the same."""
    kind = inner(hint)
    if kind is bool:
        return [np.bool_(default), str(default), str(default).lower()]
    if kind is int and default is not None:
        return [np.int64(default), float(default), np.float32(default), np.array(default), f"{default}", f"{default}.0"]
    if kind is float and default is not None:
        return [np.float64(default), np.array(default), repr(default)]
    if kind is Path:
        return ["some/where", Path("some/where")]
    if get_origin(kind) is Literal or kind is str:
        return [np.str_(default)] if default is not None else []
    if get_origin(kind) is tuple and default:
        return [list(default), np.array(default), " ".join(map(str, default)), ", ".join(map(str, default))]
    return []


@pytest.mark.parametrize(("cls", "name", "hint"), FIELDS)
def test_what_means_the_same_is_the_same(cls, name, hint):
    default = getattr(cls(), name)
    for value in alike(default, hint):
        settings = cls(**{name: value})
        found = getattr(settings, name)
        assert found == (Path("some/where") if inner(hint) is Path else default), value
        kind = inner(hint)
        assert type(found) is type(default) or (default is None and isinstance(found, kind)), value


@pytest.mark.parametrize(("cls", "name", "hint"), FIELDS)
def test_an_object_is_refused_in_one_line(cls, name, hint):
    for value in [Nothing()] + ([True] if inner(hint) in (int, float) else []):
        with pytest.raises(UserError, match=name) as refused:
            cls(**{name: value})
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": Nothing()}, "env must be an id such as minecart-v0, not Nothing; an environment itself is given to"),
        ({"steps": 0.5}, "steps must be a whole number, not 0.5"),
        ({"steps": "many"}, "steps must be a whole number, not 'many'"),
        ({"steps": None}, "steps must be a whole number, not None"),
        ({"overlap": 1}, "overlap must be true or false, not 1"),
        ({"gamma": "high"}, "gamma must be a number, not 'high'"),
        ({"device": "gpus"}, "unknown device 'gpus'; did you mean gpu"),
        ({"on_nan": "stopp"}, "unknown on_nan 'stopp'; did you mean stop"),
        ({"backend": "Jax"}, "unknown backend 'Jax'; did you mean jax"),
        ({"device": 3}, "device must be auto or cpu or gpu or tpu, not 3"),
        ({"reference_point": {"a": 1}}, "reference_point must be a list, in order, not"),
        ({"reference_point": "0 low"}, "each of reference_point must be a number, not 'low'"),
        ({"out": 3}, "out must be a path, not 3"),
        ({"out": ""}, "out must be a path, not ''"),
        ({"env_kwargs": ["depth", 7]}, "env_kwargs must be a mapping of names to values"),
    ],
)
def test_messages(changes, message):
    with pytest.raises(UserError) as refused:
        TrainSettings(**changes)
    assert str(refused.value).startswith(message)


def test_the_values_of_a_caller_in_python():
    settings = TrainSettings(
        out="runs/x", steps=1e6, reference_point="0 -25", gamma=1, env_kwargs={"depth": np.int32(7), "x": np.float32(1)}
    )
    assert settings.out == Path("runs/x")
    assert settings.steps == 1_000_000
    assert settings.reference_point == (0.0, -25.0)
    assert [type(value) for value in settings.env_kwargs.values()] == [int, float]
    config = load(agent_specs()["mogfn"].config)(beta=[1, 8], hidden=64)
    assert (config.beta, config.hidden) == ((1.0, 8.0), (64,))


def test_a_class_of_a_user_with_other_types_is_left_alone():
    @dataclasses.dataclass
    class Own:
        count: int = 3
        anything: object = None
        table: dict = dataclasses.field(default_factory=dict)

    own = Own(count=1e3, anything=Nothing)
    convert_fields(own)
    assert type(own.count) is int
    assert own.anything is Nothing


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e6", 1_000_000),
        ("1_000_000", 1_000_000),
        ("2.5e3", 2500),
        ("7.0", 7),
        ("-1e2", -100),
        ("1e25", 10**25),
        ("1.5", None),
        ("1e-3", None),
        ("inf", None),
        ("nan", None),
        ("1e999999999", None),
        ("many", None),
    ],
)
def test_whole_numbers_as_texts(text, number):
    assert whole_number(text) == number


def test_whole_numbers_as_flags_and_in_yaml():
    assert parse(TrainSettings, ["--steps", "1e6", "--seed=2.0"], prog="x") == TrainSettings(steps=1_000_000, seed=2)
    for value in ("1e6", 1e6, "1_000_000", 1_000_000):
        assert from_mapping(TrainSettings, {"steps": value}, source="x").steps == 1_000_000
    config = load(agent_specs()["cmorl"].config)
    assert parse(config, ["--hidden", "1e2", "64"], prog="x").hidden == (100, 64)
    with pytest.raises(UserError, match="steps"):
        parse(TrainSettings, ["--steps", "1e-6"], prog="x")


@dataclass(frozen=True)
class Left:
    size: int = 1


@dataclass(frozen=True)
class Right:
    text: str = ""


@dataclass(frozen=True)
class Odd:
    """Settings of kinds that the flags do not know: a list, and a choice between dataclasses."""

    sizes: list[int] = field(default_factory=list)
    how: Left | Right = field(default_factory=Left)
    steps: int = 1
    name: str = ""


def test_whole_numbers_beside_what_the_flags_do_not_know():
    found = parse(Odd, ["--sizes", "1e2", "3", "--steps=2.0", "--name", "1e2", "left", "--size", "5"], prog="x")
    assert found == Odd([100, 3], Left(5), 2, "1e2")
    only = make_dataclass("Only", [("sizes", list[int], field(default_factory=list))])
    assert parse(only, ["--sizes", "1e2", "3.0"], prog="x").sizes == [100, 3]


def test_numbers_of_other_kinds_stay_as_they_are():
    settings = parse(TrainSettings, ["--env-kwargs", "size", "1.0", "--gamma", "1e0"], prog="x")
    assert settings.env_kwargs == {"size": 1.0}
    assert type(settings.env_kwargs["size"]) is float
    assert settings.gamma == 1.0
