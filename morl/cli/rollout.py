"""``morl rollout RUN``."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from morl.analysis.offline.settings import BehaviourSettings, check_log_path
from morl.cli.table import paragraph, table
from morl.errors import UserError
from morl.parsing import parse

if TYPE_CHECKING:
    from morl.analysis.playback import Episode

COMMAND = (50, "RUN [flags]", "run the policy that fits a preference and show what it does, as a video or log too")


@dataclass(frozen=True)
class RolloutOptions:
    """Run the greedy policy of a front that fits a preference and show what it does; samplers (mogfn) draw actions.

    Returns are printed without discount and at the run's own (γ). The same seed gives the same episodes. With --log
    many episodes of sampled actions are written with their probabilities, for morl evaluate --from-log.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    acting: BehaviourSettings
    preference: tuple[float, ...] | None = None
    """Weights of the objectives that sum to 1; selects the policy with the largest weighted return."""
    policy: int | None = None
    """Select a policy by its id in front.csv instead."""
    training_seed: int | None = None
    """Training seed of the front, in a run of several seeds; by default the first seed."""
    episodes: int = 1
    """Episodes to run."""
    seed: int = 0
    """Seed of the first episode; episode i has this seed + i."""
    max_steps: int | None = None
    """Steps after which an episode is cut short; by default the environment's own limit."""
    video: Path | None = None
    """Write an animation, a new .gif, .webp or .png file, or a video, a new .mp4 file (it needs the 'video' extra)."""
    trace: Path | None = None
    """Write every observation, action and reward: a new CSV file."""
    log: Path | None = None
    """Write a log instead, with the probability of every action: a new .npz or .parquet file (which needs the 'parquet'
    extra). Episodes run side by side: give --episodes 1000 or so."""

    def __post_init__(self) -> None:
        for name in ("episodes", "max_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, not {value}")
        if self.seed < 0:
            raise UserError(f"seed must be at least 0, not {self.seed}")
        if self.log is None:
            if self.acting != BehaviourSettings():
                raise UserError("--behaviour, --epsilon and --mixture are for --log")
            return
        check_log_path(self.log)
        for name in ("max_steps", "video", "trace"):
            if getattr(self, name) is not None:
                raise UserError(f"--log has whole episodes and no pictures: leave out --{name.replace('_', '-')}")


def main(args: Sequence[str]) -> int:
    """Run the episodes, print their returns, and write video and trace if asked to."""
    options = parse(RolloutOptions, args, prog="morl rollout")
    if options.log is not None:
        return write_log(options)
    if (options.preference is None) == (options.policy is None):
        raise UserError("give --preference or --policy, one of the two")
    from morl.viz import video as videos

    if options.video is not None:
        videos.check_path(options.video)
    if options.trace is not None:
        videos.check_new_file(options.trace)
        if options.video is not None and options.trace.resolve() == options.video.resolve():
            raise UserError(f"--video and --trace are both {options.trace}; choose two names")
    from morl.analysis.playback import play

    playback = play(options.run, options.preference, policy=options.policy, training_seed=options.training_seed)
    if options.video is not None:
        playback.check_picture()
    with contextlib.ExitStack() as stack:
        video = None
        if options.video is not None:
            video = stack.enter_context(videos.Video(options.video, playback.fps))
        episodes = []
        for episode in playback.episodes(
            options.episodes,
            seed=options.seed,
            max_steps=options.max_steps,
            on_frame=None if video is None else video.add,
        ):
            episodes.append(episode)
            if video is not None:
                video.end_episode()
        if video is not None:
            video.save()
    objectives = playback.setup.objectives
    print(describe(episodes, objectives, f"policy {playback.policy.id} of {options.run} on {playback.setup.env.id}"))
    if video is not None:
        left_out = f", the most an animation holds: {video.left_out} are not in it" if video.left_out else ""
        print(f"video: {video.path} ({len(video)} pictures{left_out})")
    if options.trace is not None:
        write_trace(options.trace, episodes, objectives)
        print(f"trace: {options.trace}")
    return 0


def write_log(options: RolloutOptions) -> int:
    """Record a log, print its mean returns, and return the exit code."""
    from morl.analysis.offline.recording import ONLY_ITSELF, record_log
    from morl.viz.video import check_new_file

    path = options.log
    assert path is not None  # noqa: S101  # see main()
    check_new_file(path)
    log = record_log(
        options.run,
        path,
        options.preference,
        policy=options.policy,
        episodes=options.episodes,
        seed=options.seed,
        training_seed=options.training_seed,
        settings=options.acting,
    )
    mean, error = log.mean_returns()
    print(f"{log.behaviour}, of {options.run} on {log.env}; {len(log.lengths)} episodes, γ = {log.gamma:g}:")
    rows = [[name, f"{x:.5g}", f"{e:.2g}"] for name, x, e in zip(log.objectives, mean, error, strict=True)]
    print(table(["objective", "mean return", "standard error"], rows, right=(1, 2)))
    if log.deterministic:
        print(paragraph(f"note: {ONLY_ITSELF}"))
    print(f"log: {path} ({len(log)} steps)")
    return 0


def describe(episodes: Sequence[Episode], objectives: Sequence[str], title: str) -> str:
    """Return a title and a table with a row per episode and their mean."""
    gamma = episodes[0].gamma
    header = ["episode", *objectives, *(f"{name} (γ = {gamma:g})" for name in objectives), "steps", "ended"]
    numbers = [np.concatenate([e.returns, e.discounted, [len(e.rewards)]]) for e in episodes]
    ends = ["terminated" if e.terminated else "truncated" if e.truncated else "cut short" for e in episodes]
    rows = [[str(i), *(f"{x:.5g}" for x in row), end] for i, (row, end) in enumerate(zip(numbers, ends, strict=True))]
    if len(episodes) > 1:
        rows.append(["mean", *(f"{x:.5g}" for x in np.mean(numbers, axis=0)), ""])
    return f"{title}\n{table(header, rows, right=range(len(header) - 1))}"


def write_trace(path: Path, episodes: Sequence[Episode], objectives: Sequence[str]) -> None:
    """Write a CSV file with one row per step; each number of an array has its own column."""
    first = episodes[0]
    observed, acted = first.observations[0].size, first.actions[0].size
    header = [
        *("episode", "step"),
        *(f"obs_{i}" for i in range(observed)),
        *(f"action_{i}" for i in range(acted)),
        *objectives,
        *("terminated", "truncated"),
    ]
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for number, episode in enumerate(episodes):
                last = len(episode.rewards) - 1
                for t, (obs, action, reward) in enumerate(
                    zip(episode.observations, episode.actions, episode.rewards, strict=False)
                ):
                    parts = [*np.ravel(obs).tolist(), *np.ravel(action).tolist(), *reward.tolist()]
                    ends = (int(t == last and episode.terminated), int(t == last and episode.truncated))
                    writer.writerow([number, t, *parts, *ends])
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
