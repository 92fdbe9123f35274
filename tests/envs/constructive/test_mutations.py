"""Mutations: the steps there and back, and which edits are allowed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from morl.envs.constructive.mutations import Mutations, Params
from morl.errors import UserError
from tests.envs.constructive.constructing import check_backward_steps, follow

KEY = jax.random.key(0)
SMALL = Mutations(num_letters=3, lengths=(2, 4), num_bases=2, max_edits=2)
BLANK = 3


class WithBases(Mutations):
    """Bases of two lengths: one string can grow, the other shrink."""

    @property
    def default_params(self):
        return Params(jnp.array([[0, 1, BLANK, BLANK], [2, 2, 1, BLANK]], jnp.int32))


TASK = WithBases(num_letters=3, lengths=(2, 4), num_bases=2, max_edits=2)


def edit(place, symbol):
    return TASK.num_bases + place * 4 + symbol


STOP = TASK.action_space.n - 1


@pytest.mark.parametrize("task", [TASK, SMALL], ids=["lengths", "default"])
def test_backward_steps(task):
    for seed in range(6):
        check_backward_steps(task, seed)


def allowed(obs):
    return np.flatnonzero(TASK.action_mask(np.asarray(obs))).tolist()


def test_allowed_steps_by_hand():
    _, start = TASK.reset(KEY, TASK.default_params)
    assert allowed(start) == [0, 1]
    (_, chosen, *_), (_, shorter, _, done) = follow(TASK, [1, edit(2, BLANK)])
    letters = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 2), (2, BLANK), (3, 0), (3, 1), (3, 2)]
    assert allowed(chosen) == [edit(*pair) for pair in letters]
    assert not done
    # at the smallest length; the deleted place is not edited again
    assert allowed(shorter) == [edit(0, 0), edit(0, 1), edit(1, 0), edit(1, 1), STOP]


def test_strings_by_hand():
    seen = follow(TASK, [0, STOP, edit(2, 2), edit(3, 1)])
    assert [obs[:4].tolist() for _, obs, *_ in seen] == [[0, 1, 3, 3], [0, 1, 3, 3], [0, 1, 2, 3], [0, 1, 2, 1]]
    assert [bool(done) for *_, done in seen] == [False, False, False, True]  # stop was too early, the end came itself
    assert np.flatnonzero(TASK.backward_mask(seen[-1][0])).tolist() == [3]  # the letter that was appended last


def test_every_string_within_the_edits_is_built():
    """Compare a breadth-first search with all strings of allowed lengths that differ at one or two places."""
    params, step = TASK.default_params, jax.jit(TASK.step)
    state, obs = TASK.reset(KEY, params)
    ends, frontier = set(), [(state, obs)]
    while frontier:
        state, obs = frontier.pop()
        for action in allowed(obs):
            after, seen, _, done, *_ = step(KEY, state, action, params)
            if done:
                ends.add((int(after.chosen), *after.letters.tolist()))
            else:
                frontier.append((after, seen))
    strings = [row for row in np.ndindex(4, 4, 4, 4) if 2 <= sum(x < 3 for x in row) == len(whole(row))]
    wanted = {
        (k, *row)
        for k, base in enumerate(np.asarray(params.bases).tolist())
        for row in strings
        if 1 <= sum(a != b for a, b in zip(row, base, strict=True)) <= 2
    }
    assert ends == wanted


def whole(row):
    """Return the letters before the first blank."""
    return row[: row.index(BLANK)] if BLANK in row else row


@pytest.mark.parametrize("edits", [0, 3])
def test_edits_are_checked(edits):
    with pytest.raises(UserError, match=f"max_edits must be from 1 to the fewest letters, 2, not {edits}"):
        Mutations(num_letters=3, lengths=(2, 4), max_edits=edits)
