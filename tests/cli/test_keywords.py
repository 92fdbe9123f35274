"""Keywords of environments keep value and type through flags, configuration files and settings."""

import dataclasses

import pytest
import yaml

import morl
from morl import keywords
from morl.cli.evaluate import EvaluateOptions
from morl.errors import UserError
from morl.parsing import from_mapping, parse, plain_fields, to_flags
from morl.settings import EvaluateSettings, SearchSettings, TrainSettings

VALUES = [
    *(7, -3, 1.5, -1e-7, True, False, None),
    *("a", "two words", "7", "1e3", "True", "false", "null", "[1]", "{a", '"quoted"', "-dash", "", "A,V,C", "a: b"),
    *([1, 2.5], [], [[1, 2], ["x", None]], {"a": 1, "b": {"c": [True, "7"]}}, {}, [{"a": -1}]),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_keep_their_type_through_flags_and_files(value):
    settings = TrainSettings(env_kwargs={"other": 1, "key": value})
    written = yaml.safe_load(yaml.safe_dump(plain_fields(settings)))
    del written["out"]
    for read in (
        from_mapping(TrainSettings, written, source="config.yaml"),
        parse(TrainSettings, to_flags(TrainSettings, {"env_kwargs": settings.env_kwargs}, source="x"), prog="x"),
    ):
        assert read.env_kwargs == {"other": 1, "key": value}
        assert type(read.env_kwargs["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, 2]", [1, 2]),
        ("[[1,2],[3,4]]", [[1, 2], [3, 4]]),
        ("{a: 1, b: [x, 2.5]}", {"a": 1, "b": ["x", 2.5]}),
        ('{"a": true}', {"a": True}),
        ("true", True),
        ("False", False),
        ("null", None),
        ("'7'", "7"),
        ("no", "no"),
        ("7", 7),
        ("1.5", 1.5),
    ],
)
def test_flags_take_lists_and_mappings(text, value):
    for cls in (TrainSettings, SearchSettings, EvaluateSettings):
        assert parse(cls, ["--env-kwargs", "key", text, "depth", "7"], prog="x").env_kwargs == {
            "key": value,
            "depth": 7,
        }
    nested = parse(EvaluateOptions, ["RUN", "--env-kwargs", "key", text], prog="x")
    assert nested.evaluation.env_kwargs == {"key": value}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": object()}, "env_kwargs: a must be true or false, a number, a text, a list or a mapping, not object"),
        ({"a": [1, {"b": b"x"}]}, r"env_kwargs: a\[1\]\['b'\] must be .*, not bytes"),
        ({"a": {(1, 2): 3}}, r"env_kwargs: a has the name \(1, 2\); allowed: texts and whole numbers"),
        ({3: 1}, "env_kwargs: 3 must be the name of a keyword, not int"),
    ],
)
def test_other_values_are_refused(given, message):
    for cls in (TrainSettings, SearchSettings, EvaluateSettings):
        with pytest.raises(UserError, match=message):
            cls(env_kwargs=given)


def test_broken_yaml_is_refused():
    with pytest.raises(
        UserError, match=r"env_kwargs: key '\[1, 2' is no list, mapping or quoted text of YAML: .*allowed"
    ):
        parse(TrainSettings, ["--env-kwargs", "key", "[1, 2"], prog="x")
    assert keywords.from_text("key", 3) == 3


def test_environments_in_jax_take_lists_for_tuples():
    given = morl.make("ngrams-v0", ngrams=["A", "V"], lengths=[4, 6])
    assert given == morl.make("ngrams-v0", ngrams=("A", "V"), lengths=(4, 6))
    assert dataclasses.is_dataclass(given)
    assert isinstance(hash(given), int)
