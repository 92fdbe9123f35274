"""Origin of a host environment's observations, found before a training by a few random steps."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morl.envs.gymnasium.masked import allowed_action
from morl.training.setup import Setup

STEPS, SEED = 32, 0  # the same for all runs, so that one can go on with what another has learnt


def with_found_origin(setup: Setup) -> Setup:
    """Return the setup with the origin of its observations; see :meth:`morl.spaces.Observations.find_origin`."""
    observations = setup.observations
    if setup.backend != "host" or not observations.may_have_origin:
        return setup
    origin = observations.find_origin(_first_observations(setup.env))
    return replace(setup, observations=replace(observations, origin=origin)) if origin else setup


def _first_observations(env: Any) -> NDArray[Any]:
    """Return the observations (N, *shape) of up to ``STEPS`` random steps, as the environment gives them.

    There are fewer where it raises, which the training will meet and tell of.
    """
    samples: list[Any] = []
    actions = copy.deepcopy(env.action_space)
    actions.seed(SEED)
    with contextlib.suppress(Exception):
        single = env.make_single()
        with contextlib.closing(single):
            obs = single.reset(seed=SEED)[0]
            samples.append(obs)
            for _ in range(STEPS):
                mask = None if env.action_mask is None else env.action_mask(obs)
                obs, _, terminated, truncated, _ = single.step(allowed_action(actions.sample(), mask, actions))
                samples.append(obs)
                if terminated or truncated:
                    obs = single.reset()[0]
                    samples.append(obs)
    return np.stack(samples) if samples else np.empty((0, *env.observation_space.shape))
