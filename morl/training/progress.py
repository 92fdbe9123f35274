"""Progress of a training: what a checkpoint holds beside arrays, and what ``--resume`` goes on from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from morl.errors import UserError
from morl.types import MetricSums


@dataclass
class Progress:
    """Counted over the whole run unless it says otherwise. Whole numbers are Python's: none overflows.

    Attributes:
        stage: 0 for the first stage, k for the k-th round of the second.
        updates: of each policy in this stage.
        evaluations_in_stage: evaluations of this stage.
        since: updates since the last evaluation.
        learning: seconds of collecting and learning since then.
        sums: of metrics since then, by name, a number for each policy.
        numbers: updates behind the sums, for each policy.
        steps: of one seed, over all its policies.
        evaluations: which number the next one's keys are folded with.
        seconds: of work.
        rows: bytes of metrics.csv.
        stages: updates of each stage, as they are planned.
        told: remarks of the agent that were said, each once.
        taken: for each seed what the second stage has noted, see :class:`morl.types.Extension`.
    """

    stage: int = 0
    updates: int = 0
    evaluations_in_stage: int = 0
    since: int = 0
    learning: float = 0.0
    sums: dict[str, list[float]] = field(default_factory=dict)
    numbers: list[float] = field(default_factory=list)
    steps: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    rows: int = 0
    stages: list[int] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    taken: list[set[bytes]] = field(default_factory=list)

    def metric_sums(self) -> MetricSums | None:
        """Return the sums as a trainer takes them; None right after an evaluation."""
        if not self.numbers:
            return None
        metrics: Any = {name: np.array(values, np.float32) for name, values in self.sums.items()}
        return MetricSums(np.array(self.numbers, np.float32), metrics)  # type: ignore[arg-type]

    def add(self, sums: MetricSums, updates: int, steps: int, seconds: float) -> None:
        """Count ``updates`` updates more; ``steps`` is the total since, ``sums`` those since the last evaluation."""
        self.sums = {name: np.asarray(value).tolist() for name, value in sums.metrics.items()}
        self.numbers = np.asarray(sums.number).tolist()
        self.updates += updates
        self.since += updates
        self.steps += steps
        self.learning += seconds

    def evaluated(self) -> None:
        """Start counting anew after an evaluation."""
        self.evaluations_in_stage += 1
        self.evaluations += 1
        self.since, self.learning, self.sums, self.numbers = 0, 0.0, {}, []

    def next_stage(self) -> None:
        """Go on to the next stage."""
        self.stage, self.updates, self.evaluations_in_stage = self.stage + 1, 0, 0

    def as_json(self) -> dict[str, Any]:
        """Return the progress as JSON can hold it; floats are read back exactly."""
        return {**asdict(self), "taken": [sorted(note.hex() for note in notes) for notes in self.taken]}


def from_json(values: Any, num_policies: int, num_seeds: int, stages: int) -> Progress:
    """Read the progress that a checkpoint of so many policies, seeds and stages holds.

    Raises:
        UserError: it does not hold the progress of such a training.
    """
    try:
        values = {"stages": [], "told": [], **values}  # earlier versions had none
        if set(values) != {each.name for each in fields(Progress)}:
            raise ValueError("names")
        progress = Progress(**{**values, "taken": [{bytes.fromhex(x) for x in notes} for notes in values["taken"]]})
        counts = ("stage", "updates", "evaluations_in_stage", "since", "steps", "evaluations", "rows")
        whole = all(type(getattr(progress, name)) is int and getattr(progress, name) >= 0 for name in counts)
        times = all(0 <= float(getattr(progress, name)) < np.inf for name in ("learning", "seconds"))
        sums = progress.metric_sums()
        alike = sums is None or all(np.shape(x) == (num_policies,) for x in (sums.number, *sums.metrics.values()))
        if not (whole and times and alike and progress.stage < stages and len(progress.taken) == num_seeds):
            raise ValueError("values")
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise UserError("its notes are not those of the training that config.yaml describes") from error
    return progress
