"""``morl prefer RUN``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from morl.cli.table import paragraph, table, terminal_width
from morl.errors import UserError
from morl.parsing import from_mapping, parse
from morl.words import counted

if TYPE_CHECKING:
    from morl.analysis.preference.session import Offer, Preferred, Session

COMMAND = (45, "RUN [flags]", "find the policy you like best by comparing pairs of a run's front")


@dataclass(frozen=True)
class UtilityUser:
    """A user that answers by a utility."""

    utility: str | None = None
    """Answer for the user by a utility of the returns: a name of ``morl train ppo --utility``, module:function, or a
    YAML file that holds the settings utility, preference, utility_point, utility_widths and utility_power."""
    preference: tuple[float, ...] | None = None
    """Weights of the utility that sum to 1; by default the even ones."""
    utility_point: tuple[float, ...] = ()
    """Point of the utility, one number per objective; as of ``morl train ppo``."""
    utility_widths: tuple[float, ...] = ()
    """Widths of the utility, one number per objective; by default 1."""
    utility_power: float = 1.0
    """Power of the utility."""

    def __post_init__(self) -> None:
        if self.utility is None and (self.preference or self.utility_point or self.utility_widths):
            raise UserError("preference, utility_point and utility_widths are of a utility; give --utility")


@dataclass(frozen=True)
class PreferOptions:
    """Find the policy of a run's front that you like best: it asks which of two is better, and names one.

    Answers are kept in the run directory, in answers-SEED.yaml, and a second call goes on from them.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    questions: int = 10
    """Most answers in all, with those of earlier calls."""
    sure: float = 0.95
    """Probability of being within 2 % of the best at which no more is asked; 1 asks all questions."""
    training_seed: int | None = None
    """Training seed of the front, in a run of several seeds; by default the first seed."""
    restart: bool = False
    """Begin anew: the first answer replaces those of earlier calls."""
    seed: int = 0
    """Seed of the method; with the same answers the same one asks the same questions."""
    json: bool = False
    """Print the result as JSON; the questions go to standard error."""
    user: UtilityUser = UtilityUser()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"seed must be at least 0, not {self.seed}")


def main(args: Sequence[str]) -> int:
    """Ask, and print which policy the answers speak for."""
    options = parse(PreferOptions, args, prog="morl prefer")
    user = _user(options.user)
    from morl.analysis.preference.session import Session, check_limits

    check_limits(options.questions, options.sure)
    session = Session(options.run, options.training_seed, options.restart, options.seed)
    if user.utility is None:
        answer: Callable[[Offer, Offer], bool | None] = Terminal(session, options).ask
    else:
        answer = _answers_by_utility(user, session)
    try:
        found = session.ask(answer, options.questions, options.sure)
    except KeyboardInterrupt:
        kept = f"{counted(len(session.answers), 'answer')} in {session.path}" if session.answers else "no answer yet"
        print(f"\ninterrupted: {kept}; to go on: morl prefer {options.run}", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps(as_json(session, found), indent=1))
    else:
        print(describe(session, found))
    return 0


def _user(given: UtilityUser) -> UtilityUser:
    """Return the settings of the utility, from its file if one is given."""
    if given.utility is None or not given.utility.endswith((".yaml", ".yml", ".json")):
        return given
    from morl.runs.directory import read_config

    if given.preference or given.utility_point or given.utility_widths:
        raise UserError(f"the weights and the shape of the utility are in {given.utility}; give them there")
    user = from_mapping(UtilityUser, read_config(Path(given.utility)), source=given.utility)
    if user.utility is None:
        raise UserError(f"{given.utility} names no utility")
    return user


def _answers_by_utility(user: UtilityUser, session: Session) -> Callable[[Offer, Offer], bool | None]:
    from morl.analysis.preference.users import utility_user

    assert user.utility is not None  # noqa: S101  # asked before
    shape = {"point": user.utility_point, "widths": user.utility_widths, "power": user.utility_power}
    return utility_user(user.utility, session.front, user.preference, **shape)


class Terminal:
    """Questions in the terminal.

    Args:
        session: of the questions.
        options: of the command.
    """

    def __init__(self, session: Session, options: PreferOptions) -> None:
        from morl.analysis.results import units_of

        self._session, self._options = session, options
        self._file = sys.stderr if options.json else sys.stdout
        units = units_of(session.result)
        self._names = [
            f"{name} ({unit})" if unit else name for name, unit in zip(session.front.objectives, units, strict=True)
        ]

    def ask(self, a: Offer, b: Offer) -> bool | None:
        """Show two policies and return which one is better.

        Raises:
            EOFError: the user stops, or the input ends.
        """
        number, most = len(self._session.answers) + 1, self._options.questions
        self._print(f"\nquestion {number} of at most {most}: which one is better?\n\n{self._shown(a, b)}\n")
        rolled = self._session.front.objects is None
        words = {"a": True, "b": False, "=": None}
        prompt = f"a, b, = (as good){', r (one episode of each)' if rolled else ''} or q (stop): "
        while True:
            print(prompt, end="", file=self._file, flush=True)
            said = sys.stdin.readline()
            if not said or said.strip().lower() in ("q", "quit"):
                self._print("")
                raise EOFError
            said = said.strip().lower()
            if said in words:
                return words[said]
            if said == "r" and rolled:
                self._roll_out(a, b)

    def _shown(self, a: Offer, b: Offer) -> str:
        from morl.viz.sketch import sketch

        front = self._session.front
        rows = [
            [name, *(f"{x.returns[k]:.4g}" + (f" ± {x.stderr[k]:.2g}" if x.stderr[k] > 0 else "") for x in (a, b))]
            for k, name in enumerate(self._names)
        ]
        if front.objects is not None:
            rows.append(["object", front.objects[a.id], front.objects[b.id]])
        marked = {"A": a.id, "B": b.id}
        encoding = self._file.encoding or "ascii"
        drawn = sketch(front.returns, front.objectives, encoding, terminal_width(), marked)
        return f"{table(['', 'A', 'B'], rows, right=[1, 2])}\n\n{drawn}"

    def _roll_out(self, a: Offer, b: Offer) -> None:
        """Print an episode of each policy, from the same start."""
        from morl.analysis.playback import play
        from morl.cli.rollout import describe as described

        for letter, offer in (("A", a), ("B", b)):
            try:
                playback = play(self._options.run, policy=offer.id, training_seed=self._session.training_seed)
                episodes = list(playback.episodes(seed=len(self._session.answers)))
            except UserError as error:
                self._print(paragraph(f"cannot run an episode: {error}"))
                return
            self._print(f"\n{described(episodes, self._session.front.objectives, f'{letter}: policy {offer.id}')}")
        self._print("")

    def _print(self, text: str) -> None:
        print(text, file=self._file)


def describe(session: Session, found: Preferred) -> str:
    """Return which policy the answers speak for and how sure that is, in words."""
    front, verdict = session.front, found.verdict
    several = len(session.result.tables) > 1
    where = f" of seed {found.training_seed}" if several else ""
    thing = "object" if front.objects is not None else "policy"
    after = f"after {counted(len(found.answers), 'answer')}"
    rows = [
        [name, f"{x:.4g} ± {e:.2g}", f"{w:.2f} ± {s:.2f}"]
        for name, x, e, w, s in zip(
            front.objectives,
            found.returns,
            front.stderr[found.policy],
            verdict.importance,
            verdict.importance_sd,
            strict=True,
        )
    ]
    seed = f" --training-seed {found.training_seed}" if several else ""
    lines = [
        f"{thing} {found.policy}{where}, {after}"
        + (f": {front.objects[found.policy]}" if front.objects is not None else ""),
        table(["", "return", "importance"], rows, right=[1, 2]),
        paragraph(
            f"probability that it is the best of {len(front)}: {verdict.best:.2f}; that its utility is within 2 % of "
            f"the best: {verdict.close:.2f}"
        ),
        paragraph(
            "importance: weight of an objective, counted in its range over the front, ± standard deviation of what the "
            f"answers leave open; probability that you weigh the objectives linearly: {verdict.linear:.2f}"
        ),
    ]
    if verdict.preference is not None:
        lines.append(f"weights for --preference: {' '.join(f'{w:g}' for w in verdict.preference)}")
    else:
        lines.append(f"weights for --preference: the answers speak for none that has this {thing}")
    if front.objects is None:
        lines.append(f"watch it: morl rollout {session.result.path}{seed} --policy {found.policy}")
    lines.append(f"answers: {found.path}" if found.answers else "no answers yet")
    return "\n".join(lines)


def as_json(session: Session, found: Preferred) -> dict[str, Any]:
    """Return the result as JSON values."""
    verdict = found.verdict
    return {
        "policy": found.policy,
        "seed": found.training_seed,
        "objectives": list(session.front.objectives),
        "returns": found.returns.tolist(),
        "answers": len(found.answers),
        "probability_best": verdict.best,
        "probability_within_2_percent": verdict.close,
        "importance": verdict.importance.tolist(),
        "importance_sd": verdict.importance_sd.tolist(),
        "preference": None if verdict.preference is None else verdict.preference.tolist(),
        "probability_linear": verdict.linear,
    }
