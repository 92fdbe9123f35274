"""What networks of actor and critics see of observations, and which networks those are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.errors import UserError
from morl.networks.encoders import Encoder, encoder
from morl.networks.preference import convolution_network, flat_network, row_network
from morl.ops import running_statistics
from morl.ops.running_statistics import RunningStats
from morl.types import Features, PyTree

NetworkKind = Literal["auto", "flat", "rows", "convolution"]
MASKED = -1e9  # a logit that no softmax can tell from minus infinity


class Seen(NamedTuple):
    """A batch of observations as networks get them.

    Attributes:
        features: (..., F), or (..., A, F) where there are some of each action.
        mask: (..., A) which actions are allowed, if it is known.
    """

    features: jax.Array
    mask: jax.Array | None


@dataclass(frozen=True)
class Inputs:
    """How observations of a space become what networks of a kind see.

    Attributes:
        kind: as in the settings.
        hidden, channels, blocks: sizes of the networks.
        show_preference: whether networks see it.
        observation_space, action_space, action_mask, action_features: as in :class:`morl.types.Task`.

    Raises:
        UserError: spaces or a kind of network it cannot work with.
    """

    kind: NetworkKind
    hidden: tuple[int, ...]
    channels: int
    blocks: int
    show_preference: bool
    observation_space: Space[Any]
    action_space: Space[Any]
    action_mask: Features | None
    action_features: Features | None

    def __post_init__(self) -> None:
        if not isinstance(self.action_space, spaces.Discrete):
            raise UserError(f"action space {self.action_space} is not supported; allowed: Discrete")
        if not self.by_action:
            encoder(self.observation_space)
        elif self.action_features is None:
            raise UserError(
                f"network {self.kind} needs features of each action, which this environment does not have; "
                "allowed: auto, flat"
            )

    @property
    def by_action(self) -> bool:
        """There are features of each action."""
        return self.action_features is not None if self.kind == "auto" else self.kind != "flat"

    @property
    def num_actions(self) -> int:
        return int(self.action_space.n)  # type: ignore[attr-defined]

    @property
    def first_action(self) -> int:
        return int(self.action_space.start)  # type: ignore[attr-defined]

    @cached_property
    def _encoder(self) -> Encoder:
        return encoder(self.observation_space)

    @cached_property
    def _num_features(self) -> int:
        """Of one observation, or of one action."""
        if self.action_features is None or not self.by_action:
            return self._encoder.size
        obs = jax.ShapeDtypeStruct(self.observation_space.shape or (), jnp.float32)
        return int(jax.eval_shape(self.action_features, obs).shape[-1])

    @property
    def normalised(self) -> bool:
        """Features are scaled by their running mean and deviation; not those that are made to be of the order of 1."""
        return not self.by_action and not self._encoder.one_hot

    def first_stats(self) -> RunningStats | None:
        """Statistics of the features before any was seen; none where they are not normalised."""
        return running_statistics.init(self._encoder.size) if self.normalised else None

    def stats(self, stats: RunningStats | None, obs: jax.Array, weight: jax.Array) -> RunningStats | None:
        """Statistics with a batch of observations (..., *shape) more, of weights (...)."""
        return None if stats is None else running_statistics.update(stats, self._encoder.encode(obs), weight)

    def seen(self, stats: RunningStats | None, obs: jax.Array) -> Seen:
        """What networks get of observations (..., *shape)."""
        mask = None if self.action_mask is None else self.action_mask(obs)
        if self.by_action and self.action_features is not None:
            return Seen(self.action_features(obs), mask)
        features = self._encoder.encode(obs)
        return Seen(features if stats is None else running_statistics.normalise(stats, features), mask)

    def network(self, rng: np.random.Generator, num_objectives: int, outputs: int) -> PyTree:
        """A fresh network of so many outputs for each action."""
        shown = num_objectives if self.show_preference else 0
        sizes = (self._num_features, shown)
        if not self.by_action:
            return flat_network(rng, *sizes, self.num_actions, outputs, self.hidden)
        if self.kind == "convolution":
            return convolution_network(rng, *sizes, self.num_actions, outputs, self.channels, self.blocks, self.hidden)
        return row_network(rng, *sizes, outputs, self.hidden)

    def apply(self, network: Any, seen: Seen, preference: jax.Array) -> jax.Array:
        """Its outputs (..., A, outputs) for preferences (..., R)."""
        shown = preference if self.show_preference else preference[..., :0]
        out: jax.Array
        if not self.by_action:
            out = network(seen.features, shown)
        else:
            exists = jnp.ones(seen.features.shape[:-1]) if seen.mask is None else seen.mask
            out = network(seen.features, shown, exists)
        return out
