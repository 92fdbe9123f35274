"""Questions about a run: answers kept in its directory, resumed, refused where they are of another front."""

import shutil

import numpy as np
import pytest
import yaml

import morl
from morl.analysis.preference.session import Session, prefer
from morl.errors import UserError
from tests.runs.written_runs import points, write_run

RETURNS = points(0, 30, 3)


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "x", ("a", "b", "c"), {3: RETURNS, 4: RETURNS[:5]})


def likes_b(one, other):
    return one.returns[1] > other.returns[1]


def test_answers_are_kept_and_gone_on_from(run, tmp_path):
    """Five questions and five more are the ten of one go."""
    shutil.copytree(run, tmp_path / "other")
    whole = morl.prefer(run, likes_b, sure=1)
    half = prefer(tmp_path / "other", likes_b, questions=5, sure=1)
    assert len(half.answers) == 5
    rest = prefer(tmp_path / "other", likes_b, sure=1)
    assert rest.answers == whole.answers
    assert (rest.policy, rest.verdict.close) == (whole.policy, whole.verdict.close)
    assert whole.path == run / "answers-3.yaml"
    assert RETURNS[whole.policy, 1] >= RETURNS[:, 1].max() - 0.02
    assert whole.verdict.importance.argmax() == 1
    rows = yaml.safe_load(whole.path.read_text())["answers"]
    assert rows[0] == {"a": whole.answers[0].first, "b": whole.answers[0].second, "better": rows[0]["better"]}
    asked = []
    prefer(run, lambda a, b: asked.append(a) or True)
    assert asked == []  # ten there are already
    prefer(run, lambda a, b: asked.append(a) or True, questions=2, restart=True, training_seed=3)
    assert len(asked) == len(yaml.safe_load(whole.path.read_text())["answers"]) == 2


def test_it_stops_when_it_is_sure_and_when_the_user_does(run):
    found = prefer(run, likes_b, questions=50, sure=0.9, training_seed=4)
    assert found.verdict.close >= 0.9
    assert len(found.answers) < 10
    assert found.path.name == "answers-4.yaml"

    def leaves(a, b):
        raise EOFError

    left = prefer(run, leaves)
    assert left.answers == ()
    assert not left.path.exists()


def test_an_interrupt_leaves_the_answers(run):
    said = iter([True, None, False])

    def interrupted(a, b):
        try:
            return next(said)
        except StopIteration:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        prefer(run, interrupted)
    assert [answer.better for answer in Session(run).answers] == [True, None, False]


def test_answers_about_another_front_are_refused(run):
    path = prefer(run, likes_b, questions=2).path
    text = path.read_text()
    lines = (run / "front.csv").read_text().splitlines()
    (run / "front.csv").write_text("\n".join([*lines[:30], *lines[31:]]) + "\n")  # seed 3 loses its last policy
    with pytest.raises(UserError, match=r"answers-3.yaml holds answers about another front than .*; --restart begins"):
        Session(run)
    assert path.read_text() == text
    assert Session(run, restart=True).answers == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "does not hold answers of this version"),
        ({"answers": 3}, "does not hold answers of this version"),
        ({"answers": [{"a": 1, "b": 1, "better": "a"}]}, "no answer about two policies"),
        ({"answers": [{"a": 1, "b": 30, "better": "a"}]}, "no answer about two policies"),
        ({"answers": [{"a": 1, "b": 2, "better": ["a"]}]}, "no answer about two policies"),
        ({"answers": ["a"]}, "no answer about two policies"),
    ],
)
def test_what_is_no_file_of_answers(run, change, message):
    path = prefer(run, likes_b, questions=2).path
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        Session(run)


def test_what_is_no_answer(run):
    with pytest.raises(UserError, match="answer must return True, False or None, not 'a'"):
        prefer(run, lambda a, b: "a")
    with pytest.raises(UserError, match=r"answer: a call on policies \d+ and \d+ raised ZeroDivisionError"):
        prefer(run, lambda a, b: 1 / 0)
    assert prefer(run, lambda a, b: np.bool_(True), questions=1).answers[0].better is True


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"questions": 0}, "questions must be a whole number of at least 1, not 0"),
        ({"sure": 0.0}, "sure must be above 0 and at most 1"),
        ({"training_seed": 7}, "seed 7 is not in this run; it has 3, 4"),
    ],
)
def test_what_cannot_be_asked(run, limits, message):
    with pytest.raises(UserError, match=message):
        prefer(run, likes_b, **limits)


def test_one_policy_is_no_choice(tmp_path):
    run = write_run(tmp_path / "x", ("a", "b"), {0: [[1.0, 2.0]]})
    with pytest.raises(UserError, match="has one policy: there is nothing to choose between"):
        Session(run)
