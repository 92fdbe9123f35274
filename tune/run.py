"""A study by one call, with settings by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from morl.envs.objects import from_object
from morl.errors import UserError, unknown_name
from morl.guard import made_settings
from morl.parsing import field_names
from morl.registry import agent_spec, load_settings
from morl.renaming import current_names
from morl.tune.ledger import Reporter
from morl.tune.settings import TRAINING, StudySettings
from morl.tune.study import Study, StudyResult


def run_study(
    agent: str = "cmorl",
    env: Any = None,
    *,
    space: Mapping[str, Any] | None = None,
    resume: Path | str | None = None,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    **changes: Any,
) -> StudyResult:
    """Search for an agent's settings on an environment, as ``morl tune`` does.

    >>> import morl
    >>> found = morl.run_study("cmorl", "minecart-v0", num_samples=20, gamma=0.98, out="studies/x")  # doctest: +SKIP

    Args:
        agent: a registered agent.
        env: id of an environment, ``module:Name``, or an object that has one of the two (:func:`morl.train`): trials
            run in processes of their own, which make it again.
        space: changes to the space that the agent declares, see :class:`morl.tune.Study`. Settings of the agent that
            are given are not searched.
        resume: directory of a study to go on with, instead of all settings but those that a resumed study takes.
        reporter: shows the progress.
        should_stop: polled all the time; once true, trials write checkpoints and the study ends, to be resumed.
        changes: settings by name: of the study (:class:`morl.tune.StudySettings`), of the trials' trainings
            (:class:`morl.TrainSettings`; by default 3 seeds and 100 000 steps) and of the agent.

    Raises:
        UserError: unknown or impossible settings; a study that cannot be run (:meth:`morl.tune.Study.run`).
    """
    if resume is not None:
        if env is not None or space is not None:
            raise UserError("a study that is resumed has its environment and its space; give none beside resume")
        return Study.resume(resume, **changes).run(reporter, should_stop)
    spec = agent_spec(agent)
    classes: list[Any] = [StudySettings, load_settings(spec.settings), load_settings(spec.config)]
    values = current_names(changes, *classes, source="run_study")
    names = [field_names(cls) for cls in classes]
    for name in values:
        if not any(name in some for some in names):
            raise unknown_name("setting", name, [each for some in names for each in some])
    study, training, own = ({name: value for name, value in values.items() if name in some} for some in names)
    defaults = {name: value for name, value in TRAINING.items() if name in names[1]}
    if isinstance(env, str):
        training["env"] = env
    elif env is not None:
        given = from_object(env, training.get("env_kwargs", {}))
        if given.id.startswith("<"):
            raise UserError(
                f"trials run in processes of their own and cannot make {given.id} again: give an id or module:Name"
            )
        training |= {"env": given.id, "env_kwargs": dict(given.kwargs)}
    fixed = dict.fromkeys(name for name in own if name in spec.declared_space())
    return Study(
        agent,
        made_settings(classes[1], **{**defaults, **training}),
        made_settings(classes[2], **own),
        StudySettings(**study),
        {**fixed, **(space or {})},
    ).run(reporter, should_stop)
