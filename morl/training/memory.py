"""Memory of a training, from shapes alone: refused in one line before anything is allocated, compiled or written.

The factors of the parts are those that the compiled programs were seen to take (XLA's own figures, and the resident
memory of runs); the estimate is within about 1.5 of the peak where one part is large.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from morl.errors import UserError
from morl.settings import TrainSettings
from morl.training.backends.devices import devices_each
from morl.training.backends.environment import WATCHED
from morl.training.evaluation import MAX_STEPS
from morl.training.rollout import start
from morl.training.setup import Setup
from morl.types import PyTree

SHARE = 0.8  # of the free memory that a training may take
LEARNERS = 3.0  # a list, a stack and the device's at the start; later before and after an update, and gradients
REPLAY = 1.3  # updated in place; some of it twice at the start
ARCHIVE = 3.0  # before and after an insertion, and both together in between
HOST_STEPS = 12.0  # observations of a rollout on the host: as stepped, stacked, on devices, and what is yet to be freed
MOST_UPDATES = 2**31 - 1  # counted in int32
# Settings that lower the networks: those that the agent names for its updates, or all where it names none.
WIDTHS = ("hidden", "critic_hidden", "width", "num_blocks", "channels", "blocks", "embedding_size")
VARIATION = ("variation_children", "variation_episodes", "variation_first_episodes", "archive_capacity", "num_seeds")


class Part(NamedTuple):
    """Share of a training's memory.

    Attributes:
        name: in words.
        size: bytes.
        settings: fields that lower it, the best first.
    """

    name: str
    size: float
    settings: tuple[str, ...]


def fitting(setup: Setup, settings: TrainSettings, devices: Sequence[jax.Device]) -> list[jax.Device]:
    """Return the devices that a training fits in the memory of, and check that its updates can be counted.

    They are those given, or one for each policy where not enough is free for two (:mod:`.backends.sharding`). Allocates
    nothing.

    Raises:
        UserError: it takes more than 80 % of the free memory of the device; the message says which settings to lower.
    """
    if setup.agent.updates > MOST_UPDATES:
        raise UserError(
            f"steps: {settings.steps:,} are {setup.agent.updates:,} updates of a policy, and at most {MOST_UPDATES:,} "
            "can be counted; lower steps"
        )
    free = free_memory(devices[0])
    available = math.inf if free is None else free * (len(devices) if devices[0].platform != "cpu" else 1)
    policies = settings.num_seeds * len(setup.agent.preferences)
    for number in (len(devices), min(len(devices), policies)):
        copies = devices_each(setup.agent.learner, policies, number)
        parts = sorted(estimate(setup, settings, copies), key=lambda part: -part.size)
        needed = sum(part.size for part in parts)
        if needed <= SHARE * available:
            return list(devices[:number])
    names = {field.name for of in (type(settings), type(setup.config)) for field in dataclasses.fields(of)}
    if settings.num_seeds == 1:
        names.discard("num_seeds")
    largest = [part for part in parts[:3] if part.size > 0.1 * needed]
    each = "; ".join(
        f"{part.name} {_text(part.size)}, by {' or '.join(name for name in part.settings if name in names)}"
        for part in largest
    )
    raise UserError(
        f"the training needs about {_text(needed)} of memory, and {_text(SHARE * available)} may be used, "
        f"{SHARE:.0%} of what is free; lower the largest: {each}"
    )


def estimate(setup: Setup, settings: TrainSettings, copies: int = 1) -> list[Part]:
    """Return the parts of a training's memory at its peak, in bytes over all policies and seeds.

    ``copies`` is on how many devices each policy is.
    """
    agent, seeds = setup.agent, settings.num_seeds
    learner = agent.learner
    policies = copies * seeds * len(agent.preferences)
    networks, replay, policy = _learner_bytes(learner)
    if agent.extension is not None:
        networks = max(networks, _learner_bytes(agent.extension.learner)[0])
    widths = tuple(name for name in WIDTHS if name in agent.update_settings) or WIDTHS
    counts = ("num_policies", "num_seeds")
    archived = settings.archive_capacity if not setup.conditional else 0
    episodes = ("eval_episodes", "final_episodes", "num_preferences", "max_support", *counts)
    return [
        Part(
            "networks and optimisers",
            LEARNERS * policies * networks,
            (*widths, "max_support", *counts, "initial", "rounds"),
        ),
        Part("replay", REPLAY * policies * replay, ("replay_capacity", *counts)),
        Part("rollouts", policies * _rollout_bytes(setup), ("num_envs", "rollout_steps", "batch", *counts)),
        Part("updates", policies * agent.update_bytes, (*agent.update_settings, *counts)),
        Part("archive", ARCHIVE * seeds * archived * policy, ("archive_capacity", *widths, "num_seeds")),
        Part("evaluations", _evaluation_bytes(setup, settings, policies), episodes),
        Part("variation", _variation_bytes(setup, settings, policy), VARIATION),
    ]


def _rollout_bytes(setup: Setup) -> float:
    """Return the bytes of a rollout of one policy."""
    learner = setup.agent.learner
    if setup.spec.solution_set.endswith(":LabelledObjects"):
        return 0.0
    rows: int = learner.num_envs * learner.rollout_steps
    observation = _space_bytes(setup.env.observation_space)
    step: int = 2 * observation + _space_bytes(setup.env.action_space) + 8 * len(setup.objectives) + 4
    if setup.has_objects:
        horizon: int = setup.env.horizon
        return rows * (horizon + 1) * step
    on_host = (HOST_STEPS - 2) * observation * (setup.backend == "host")
    return rows * (step + on_host) + _acting_bytes(setup, learner.num_envs, greedy=False)


def _learner_bytes(learner: Any) -> tuple[int, int, int]:
    """Return the bytes of one learner's networks and optimiser, of its replay, and of its policy.

    They are 0 for a learner whose ``init`` cannot run on abstract arrays, as one from another package may not.
    """
    try:
        state = jax.eval_shape(learner.init, jax.random.key(0))
        policy = jax.eval_shape(learner.policy, state)
    except Exception:  # any: it is told of where it matters, when it is made
        return 0, 0, 0
    replay = _tree_bytes(state.replay)
    return _tree_bytes(state) - replay, replay, _tree_bytes(policy)


def _evaluation_bytes(setup: Setup, settings: TrainSettings, policies: int) -> float:
    """Return the bytes of the environments of one evaluation, and of the returns of the last one."""
    numbers = 8 * (2 * len(setup.objectives) + 1)
    width = min(WATCHED, setup.agent.num_preferences) if setup.conditional else 1
    rows = setup.agent.num_preferences if setup.conditional else settings.archive_capacity
    final = settings.num_seeds * rows * settings.final_episodes * numbers
    if setup.spec.solution_set.endswith(":LabelledObjects"):
        return 0.0
    observation = _space_bytes(setup.env.observation_space)
    acting = 0.0
    if not setup.has_objects:
        acting = policies * width * _acting_bytes(setup, settings.eval_episodes, greedy=True)
    if setup.backend == "host":
        return final + acting + policies * settings.eval_episodes * 3 * observation
    if setup.has_objects:
        horizon: int = setup.env.horizon
        steps = width * settings.eval_episodes * (horizon + 1)
        return final + policies * steps * (observation + _space_bytes(setup.env.action_space))
    env = setup.env
    with contextlib.suppress(Exception):  # any: the environment is the user's, and is told of when it is stepped
        one = jax.eval_shape(lambda key: start(env, env.default_params, key), jax.random.key(0))
        observation = _tree_bytes(one)
    return final + acting + policies * width * settings.eval_episodes * 3 * observation


def _variation_bytes(setup: Setup, settings: TrainSettings, policy: int) -> float:
    """Return the bytes of the agent's last stage, if it has one, see :meth:`morl.types.Variation.size`."""
    variation = getattr(setup.agent, "variation", None)
    if variation is None:
        return 0.0
    episode = _space_bytes(setup.env.observation_space) * (setup.env.max_episode_steps or MAX_STEPS)
    return float(variation.size(policy, episode, settings.archive_capacity, settings.num_seeds))


def _acting_bytes(setup: Setup, rows: int, *, greedy: bool) -> float:
    """Return the bytes of the layers in which one policy chooses actions for so many observations, about.

    They are twice the largest result of an operation; 0 for a learner that cannot run on abstract arrays.
    """
    learner: Any = setup.agent.learner
    shape: Any = jax.ShapeDtypeStruct
    try:
        space = learner.observation_space
        policy = jax.eval_shape(lambda key: learner.policy(learner.init(key)), jax.random.key(0))
        obs = shape((rows, *space.shape), space.dtype)
        preference = shape((len(setup.objectives),) if greedy else (rows, len(setup.objectives)), np.float32)
        key = jax.eval_shape(lambda: jax.random.key(0))
        found = jax.make_jaxpr(partial(learner.act, greedy=greedy))(policy, obs, preference, key)
    except Exception:  # any: it is told of where it matters, when it acts
        return 0.0
    return 2.0 * _largest_result(found.jaxpr)


def _largest_result(program: Any) -> int:
    """Return the bytes of the largest result of an operation of a jaxpr, or of one inside it."""
    largest = 0
    for operation in program.eqns:
        largest = max(largest, *(_tree_bytes(x.aval) for x in operation.outvars), 0)
        for inner in jax.tree.leaves(operation.params, is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                largest = max(largest, _largest_result(inner))
    return largest


def _space_bytes(space: Any) -> int:
    return math.prod(space.shape or ()) * np.dtype(space.dtype or np.float32).itemsize


def _tree_bytes(tree: PyTree) -> int:
    leaves = [x for x in jax.tree.leaves(tree) if hasattr(x, "dtype")]
    return sum(math.prod(x.shape) * getattr(x.dtype, "itemsize", 8) for x in leaves)


@contextlib.contextmanager
def exhaustion() -> Iterator[None]:
    """Raise UserError in place of an error of NumPy or XLA that says that memory was not enough."""
    advice = "; lower num_envs, num_policies, num_seeds, hidden or what else is stored"
    try:
        yield
    except MemoryError as error:
        raise UserError(f"out of memory ({str(error) or 'of the host'}){advice}") from error
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(f"out of memory on the device ({str(error).splitlines()[0]}){advice}") from error


def free_memory(device: jax.Device) -> int | None:
    """Return the free bytes of a device, of this machine's memory for a CPU; None where they are not known."""
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else limit - stats.get("bytes_in_use", 0)
    return min((n for n in (_of_machine(), _of_control_group(), _of_process()) if n is not None), default=None)


def _of_machine() -> int | None:
    """Return the bytes that the machine has to give: Linux's estimate, else all there are."""
    with contextlib.suppress(OSError):
        if found := re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text()):
            return 1024 * int(found[1])
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_control_group() -> int | None:
    """Return the bytes that are left to this process's control group, as containers and cluster jobs have one."""
    free = []
    for limit, usage, stat in _control_groups():
        with contextlib.suppress(OSError, ValueError):
            inactive = re.search(r"^(?:total_)?inactive_file (\d+)", stat.read_text(), re.MULTILINE)
            held = int(usage.read_text()) - (int(inactive[1]) if inactive else 0)
            free.append(int(limit.read_text()) - held)  # "max" is no number: no limit
    return min(free, default=None)


def _control_groups(root: Path = Path("/sys/fs/cgroup")) -> Iterator[tuple[Path, Path, Path]]:
    """Yield files of limit, usage and statistics of the groups of this process, the innermost first (v2 and v1)."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            names = (
                ("memory.max", "memory.current")
                if not controllers
                else ("memory.limit_in_bytes", "memory.usage_in_bytes")
            )
            base = root / controllers
            inner = base / path.lstrip("/")
            for group in (inner, *inner.parents):
                if group.is_relative_to(base):
                    yield group / names[0], group / names[1], group / "memory.stat"


def _of_process() -> int | None:
    """Return the bytes of address space that are left by ``ulimit -v``."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return limit - pages * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError):
        return None


def _text(size: float) -> str:
    """Return bytes in words."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size / 1e6:,.0f} MB"
