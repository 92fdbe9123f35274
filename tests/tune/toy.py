"""Agent for tests of studies: it learns nothing, compiles nothing and takes as long as it is told."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml

from morl.errors import UserError
from morl.loading import settings_of
from morl.registry import AgentSpec, register_agent
from morl.search_space import Choice, Parameter, Real, log_real
from morl.training import loop
from morl.training.loop import Status


@dataclass(frozen=True)
class ToyConfig:
    """Settings of a front that is best at rate 0.01 and with kind good; ``trouble`` names what goes wrong half-way."""

    rate: float = 1e-3
    kind: str = "plain"
    bonus: float = 0.0
    budget: int = 8
    seconds: float = 0.0
    trouble: str = "none"

    def __post_init__(self):
        if not 0 < self.rate < 1:
            raise UserError(f"rate must be between 0 and 1, not {self.rate}")


SPACE = {
    "rate": Parameter(log_real(1e-4, 1e-1), live=True),
    "kind": Parameter(Choice(("plain", "good"))),
    "bonus": Parameter(Real(0.0, 0.1), when={"kind": ("good",)}),
}
register_agent(
    AgentSpec(
        name="toy",
        summary="of tests",
        entry_point="tests.tune.toy:train",
        config="tests.tune.toy:ToyConfig",
        settings="morl.settings:SearchSettings",
        space="tests.tune.toy:SPACE",
    )
)


def quality(config, seed):
    """Return the first objective of the front, between 0 and 1."""
    value = 1 - abs(np.log10(config.rate) + 2) / 3
    return 0.6 * value + (0.2 + config.bonus if config.kind == "good" else 0.0) + 0.01 * np.sin(seed)


def search(settings, config, *, resume, reporter, should_stop):
    """Take one step at a time and write each down, so that tests see which process took it."""
    path = resume or settings.out
    if resume:
        _, settings, config = settings_of(path)
    else:
        (path / "checkpoints").mkdir(parents=True)
        values = {"agent": "toy", "seed": settings.seed, "num_seeds": settings.num_seeds, **vars(config)}
        (path / "config.yaml").write_text(yaml.safe_dump(values))
        (path / "metrics.csv").write_text("step,hypervolume\n")
    done = len((path / "metrics.csv").read_text().splitlines()) - 1
    for step in range(done + 1, config.budget + 1):
        time.sleep(config.seconds)
        if step == config.budget // 2:
            trouble(config.trouble)
        value = quality(config, settings.seed) * step / config.budget
        with (path / "metrics.csv").open("a") as file:
            file.write(f"{step},{value}\n")
        with (path / "starts.jsonl").open("a") as file:
            file.write(json.dumps([os.getpid(), step]) + "\n")
        should_stop()
        number = float("nan") if config.trouble == "nan" and step > config.budget // 2 else value
        reporter.update(Status(step * settings.num_seeds, 0, 1.0, (number,), (number,), (1,), (), evaluated=True))
    fronts = {
        seed: front([quality(config, seed), 1.0]) for seed in range(settings.seed, settings.seed + settings.num_seeds)
    }
    return SimpleNamespace(path=path, fronts=fronts, finished=True)


def front(point):
    """Return a stand-in for a front of one point: what a study reads, its returns and hypervolume above 0."""
    return SimpleNamespace(returns=np.array([point]), hypervolume=lambda: float(np.prod(point)))


def train(agent="toy", env=None, config=None, *, resume=None, **options):
    """Stand in for the training loop where the agent is this one, which then needs no environment."""
    if resume is not None and (Path(resume) / "config.yaml").is_file():
        agent = settings_of(Path(resume))[0]
    if agent == "toy":
        return search(env, config, resume=resume, **options)
    return the_loop(agent, env, config, resume=resume, **options)


the_loop, loop.train = loop.train, train


def trouble(kind):
    if kind == "raise":
        raise RuntimeError("it broke")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "full":
        raise OSError(28, "No space left on device")


def steps_of(path: Path):
    """Return [process id, step] of every step that a run took."""
    return [json.loads(line) for line in (path / "starts.jsonl").read_text().splitlines()]
