"""Protocol of a measurement: everything that two tables must share for their numbers to compare."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from morl.ops import metrics
from morl.quality import NUM_PREFERENCES
from morl.registry import env_spec
from morl.words import counted
from morl.yardsticks.coverage import hidden_objectives
from morl.yardsticks.fronts import KnownFront, known_front
from morl.yardsticks.stored import Anchor, plain, stored

Floats = NDArray[np.float64]

_SHOWN = {  # of a protocol as a mapping, the names that tell two apart, in words
    "env": "environment",
    "keywords": "keywords",
    "package": "package",
    "max_episode_steps": "time limit",
    "gamma": "discount",
    "episodes": "episodes",
    "reference_point": "reference point",
    "tight_reference_point": "tight reference point",
    "known_front": "known front",
    "preferences": "preferences",
}


@dataclass(frozen=True, eq=False)
class Protocol:
    """Environment, discount, yardsticks and sizes behind the numbers of a front.

    Attributes:
        env: id of the environment.
        keywords: it was made with.
        package: the package it comes from, with its version.
        max_episode_steps: its time limit, if any.
        gamma: discount.
        objectives: R names.
        reference_point: (R,) the published one, or the one that was asked for.
        known_front: front that others are measured against, with the tight reference point; if there is one.
        anchors: returns of policies that do not learn.
        episodes: greedy episodes behind each policy's return.
        preferences: number of equally spaced preferences that utilities are averaged over.
    """

    env: str
    keywords: Mapping[str, Any]
    package: str
    max_episode_steps: int | None
    gamma: float
    objectives: tuple[str, ...]
    reference_point: Floats
    known_front: KnownFront | None
    anchors: tuple[Anchor, ...]
    episodes: int
    preferences: int = NUM_PREFERENCES

    @property
    def tight_reference(self) -> Floats | None:
        """Tight reference point (R,) of the known front, if there is one."""
        return None if self.known_front is None else self.known_front.tight_reference

    @cached_property
    def _anchor_points(self) -> dict[str, Floats]:
        """Points (k, R) of each anchor by its name, with the single bests of the known front."""
        points = {anchor.name: anchor.returns[None] for anchor in self.anchors}
        if self.known_front is not None:
            points["each objective's best"] = self.known_front.single_bests
        return points

    def as_dict(self) -> dict[str, Any]:
        """Return the protocol as plain values, as ``config.yaml`` keeps it."""
        front = self.known_front
        tight = self.tight_reference
        return {
            "env": self.env,
            "keywords": plain(self.keywords),
            "package": self.package,
            "max_episode_steps": self.max_episode_steps,
            "gamma": float(self.gamma),
            "episodes": self.episodes,
            "preferences": self.preferences,
            "reference_point": [float(x) for x in self.reference_point],
            "tight_reference_point": None if tight is None else [float(f"{x:.7g}") for x in tight],
            "known_front": None if front is None else f"{front.phrase}, {counted(len(front.points), 'point')}",
            "anchors": {anchor.name: [float(x) for x in anchor.returns] for anchor in self.anchors},
        }

    def describe(self) -> list[str]:
        """Return the protocol in three lines or less: what was measured, against what, and the trivial policies."""
        keywords = "".join(f" {name}={value}" for name, value in self.keywords.items())
        limit = "no time limit" if self.max_episode_steps is None else f"{self.max_episode_steps} steps at most"
        lines = [
            f"protocol: {self.env}{keywords} ({self.package}, {limit}), γ = {self.gamma:g}, "
            f"{counted(self.episodes, 'episode')} each, {self.preferences} equally spaced preferences",
            f"yardsticks: reference point {vector(self.reference_point)}; {self._describe_front()}",
        ]
        return [*lines, *self.describe_anchors()]

    def _describe_front(self) -> str:
        front = self.known_front
        if front is None:
            return "no known or best-found front is stored, so there is no tight reference point"
        source = f" ({front.source})" if front.source else ""
        return (
            f"tight {vector(front.tight_reference)}, of {front.phrase}, {counted(len(front.points), 'point')}{source}"
        )

    def describe_anchors(self) -> list[str]:
        """Return a line with the hypervolumes of trivial policies at both reference points; none without any."""
        if not self._anchor_points:
            return []
        tight = self.tight_reference
        cells = []
        for name, points in self._anchor_points.items():
            text = f"{name} {metrics.hypervolume_estimate(points, self.reference_point)[0]:.4g}"
            if tight is not None:
                text += f" / {share(self._tight_share(points))}"
            cells.append(text)
        what = "hypervolume" if tight is None else "hypervolume / share of the known front's at the tight reference"
        return [f"anchors ({what}): {', '.join(cells)}"]

    def _tight_share(self, points: Floats) -> float:
        from morl.yardsticks.coverage import hypervolume_tight

        return math.nan if self.known_front is None else hypervolume_tight(points, self.known_front.points)[0]

    def notes(self, points: ArrayLike, what: str = "policy") -> list[str]:
        """Return warnings about the hypervolumes of a front (n, R): why one is 0, and which objectives are hidden.

        Args:
            points: (n, R).
            what: the word for a point.
        """
        return [*self.no_hypervolume(points, what), *self.hidden(points)]

    def no_hypervolume(self, points: ArrayLike, what: str = "policy") -> list[str]:
        """Return why the hypervolume of a front (n, R) is 0, at the reference point and at the tight one, if it is."""
        tight, found = self.tight_reference, []
        if why := metrics.explain_no_hypervolume(points, self.reference_point, self.objectives, what):
            found.append(why)
        if tight is not None and (why := metrics.explain_no_hypervolume(points, tight, self.objectives, what)):
            found.append(f"at the tight reference point {vector(tight)} {why}")
        return found

    def hidden(self, points: ArrayLike) -> list[str]:
        """Return a line for each objective that the reference point hides on the known front, else on points (n, R)."""
        front = points if self.known_front is None else self.known_front.points
        return hidden_lines(front, self.reference_point, self.objectives)

    def describe_front(self, points: ArrayLike) -> str | None:
        """Return how a front (n, R) does at the tight reference point, in a phrase; None without a known front."""
        if self.known_front is None:
            return None
        from morl.yardsticks import coverage

        known = self.known_front.points
        value, exact = coverage.hypervolume_tight(points, known)
        return (
            f"at the tight reference {vector(self.known_front.tight_reference)} {'' if exact else 'about '}"
            f"{share(value)} of the hypervolume of {self.known_front.phrase}; "
            f"{coverage.covered_share(points, known):.0%} of its points are covered within 2 % of its range"
        )


def hidden_lines(front: ArrayLike, reference_point: ArrayLike, objectives: Sequence[str]) -> list[str]:
    """Return a line for each objective that a reference point hides on a front (n, R)."""
    points, reference = np.asarray(front, np.float64), np.asarray(reference_point, np.float64)
    lines = []
    for i in hidden_objectives(points, reference):
        low, high, bound = points[:, i].min(), points[:, i].max(), reference[i]
        lines.append(
            f"reference point {bound:g} in {objectives[i]} hides {objectives[i]}: its range over the front, {low:.4g} "
            f"to {high:.4g}, is {(high - low) / (low - bound):.2%} of the distance to the reference point, so that the "
            "hypervolume hardly depends on it"
        )
    return lines


def protocol_of(
    env: Any | None,
    *,
    id: str,
    keywords: Mapping[str, Any],
    gamma: float,
    objectives: Sequence[str],
    reference_point: ArrayLike,
    episodes: int,
) -> Protocol:
    """Return the protocol of an environment, with the yardsticks that the library has of it.

    Args:
        env: the environment; None where it is not installed.
        id: the id that it was made by, or its name.
        keywords: that it was made with.
        gamma: discount.
        objectives: R names.
        reference_point: (R,).
        episodes: greedy episodes a policy.
    """
    found = stored(id, keywords, gamma)
    return Protocol(
        env=id,
        keywords=dict(keywords),
        package="not installed" if env is None else package_of(env),
        max_episode_steps=getattr(env, "max_episode_steps", None),
        gamma=gamma,
        objectives=tuple(objectives),
        reference_point=np.asarray(reference_point, np.float64),
        known_front=known_front(env, gamma, len(objectives), id, keywords),
        anchors=tuple(anchor for anchor in found.anchors if len(anchor.returns) == len(objectives)),
        episodes=episodes,
    )


def package_of(env: Any) -> str:
    """Return the package that an environment comes from and its version, with that of its physics: text."""
    spec = getattr(env, "spec", None)  # Gymnasium's, of one on the host
    entry_point = type(env).__module__ if spec is None or spec.entry_point is None else spec.entry_point
    module = entry_point if isinstance(entry_point, str) else entry_point.__module__
    top = module.partition(":")[0].partition(".")[0]
    known = {"morl": ["morlax"], "mo_gymnasium": ["mo-gymnasium"], "gymnasium": ["gymnasium"]}
    names = known.get(top, [top])
    registered = env_spec(env.id)
    if registered is not None and registered.extra in ("mujoco",) and top != "morl":
        names = [*names, "mujoco"]
    texts = []
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            texts.append(f"{name} {version(name)}")
    return ", ".join(texts) or top


def differences(protocols: Iterable[tuple[str, Mapping[str, Any]]]) -> str | None:
    """Return a line that says how the protocols of runs differ; None where they are alike.

    Args:
        protocols: label of each run and its protocol, as :meth:`Protocol.as_dict` gives it; a name that a protocol of
            an older version lacks is left out of account.
    """
    rows = list(protocols)
    parts = []
    for name, words in _SHOWN.items():
        values: dict[str, list[str]] = {}
        for label, protocol in rows:
            if name in protocol:
                values.setdefault(_text(protocol[name]), []).append(label)
        if len(values) > 1:
            parts.append(f"{words} {', '.join(f'{value} ({_few(labels)})' for value, labels in values.items())}")
    return f"the runs have different protocols: {'; '.join(parts)}" if parts else None


def _few(labels: Sequence[str]) -> str:
    return ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_text(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return " ".join(_text(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def vector(numbers: ArrayLike) -> str:
    """Return numbers with four digits, and a space between."""
    return " ".join(f"{x:.4g}" for x in np.asarray(numbers, np.float64))


def share(value: float) -> str:
    """Return a share with three digits."""
    return f"{value:.3g}" if value < 1 else f"{value:.3f}"
