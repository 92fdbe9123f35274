"""Inputs of actor and critics: features of observations and the preference, and the networks that see them."""

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
from morl.networks.mlp import MLP, mlp
from morl.networks.preference import convolution_network, flat_network, row_network
from morl.ops import running_statistics
from morl.ops.running_statistics import RunningStats
from morl.types import Features, PyTree

NetworkKind = Literal["auto", "flat", "rows", "convolution"]


class Seen(NamedTuple):
    """Batch of observations as networks get them.

    Attributes:
        features: (..., F), or (..., A, F) where there are some of each action.
        mask: (..., A) allowed actions, if the environment tells them.
    """

    features: jax.Array
    mask: jax.Array | None


@dataclass(frozen=True)
class Inputs:
    """Conversion of observations to the inputs of networks of a kind.

    Attributes:
        kind: as in the settings.
        hidden, channels, blocks: sizes of the networks.
        show_preference: networks see the preference.
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
        if not self.by_action:
            encoder(self.observation_space)
        elif not isinstance(self.action_space, spaces.Discrete):
            raise UserError(
                f"network {self.kind} is for Discrete actions, not for {self.action_space}; allowed: auto, flat"
            )
        elif self.action_features is None:
            raise UserError(
                f"network {self.kind} needs features of each action, which this environment does not have; "
                "allowed: auto, flat"
            )

    @property
    def by_action(self) -> bool:
        """Return whether networks see features of each action."""
        if self.kind == "auto":
            return self.action_features is not None and isinstance(self.action_space, spaces.Discrete)
        return self.kind != "flat"

    @cached_property
    def _encoder(self) -> Encoder:
        return encoder(self.observation_space)

    @cached_property
    def _num_features(self) -> int:
        """Number of features of one observation, or of one action."""
        if self.action_features is None or not self.by_action:
            return self._encoder.size
        obs = jax.ShapeDtypeStruct(self.observation_space.shape or (), jnp.float32)
        return int(jax.eval_shape(self.action_features, obs).shape[-1])

    @property
    def normalised(self) -> bool:
        """Return whether features are scaled by their running mean and deviation; one-hot ones are not."""
        return not self.by_action and not self._encoder.one_hot

    def first_stats(self) -> RunningStats | None:
        """Return statistics of no features; None where they are not normalised."""
        return running_statistics.init(self._encoder.size) if self.normalised else None

    def update_stats(self, stats: RunningStats | None, obs: jax.Array, weight: jax.Array) -> RunningStats | None:
        """Update the statistics by a batch of observations (..., *shape) of weights (...)."""
        return None if stats is None else running_statistics.update(stats, self._encoder.encode(obs), weight)

    def seen(self, stats: RunningStats | None, obs: jax.Array) -> Seen:
        """Convert observations (..., *shape) to network inputs."""
        mask = None if self.action_mask is None else self.action_mask(obs)
        if self.by_action and self.action_features is not None:
            return Seen(self.action_features(obs), mask)
        features = self._encoder.encode(obs)
        return Seen(features if stats is None else running_statistics.normalise(stats, features), mask)

    def _shown(self, preference: jax.Array) -> jax.Array:
        """Return the part of preferences (..., R) that networks see."""
        return preference if self.show_preference else preference[..., :0]

    def network_by_action(
        self, rng: np.random.Generator, num_actions: int, num_objectives: int, outputs: int
    ) -> PyTree:
        """Make a network of so many outputs for each of ``num_actions`` actions."""
        sizes = (self._num_features, num_objectives if self.show_preference else 0)
        if not self.by_action:
            return flat_network(rng, *sizes, num_actions, outputs, self.hidden)
        if self.kind == "convolution":
            return convolution_network(rng, *sizes, num_actions, outputs, self.channels, self.blocks, self.hidden)
        return row_network(rng, *sizes, outputs, self.hidden)

    def apply_by_action(self, network: Any, seen: Seen, preference: jax.Array) -> jax.Array:
        """Return the outputs (..., A, outputs) of such a network for preferences (..., R)."""
        shown = self._shown(preference)
        out: jax.Array
        if not self.by_action:
            out = network(seen.features, shown)
        else:
            exists = jnp.ones(seen.features.shape[:-1]) if seen.mask is None else seen.mask
            out = network(seen.features, shown, exists)
        return out

    def network(self, rng: np.random.Generator, num_objectives: int, extra: int, outputs: int) -> MLP:
        """Make an MLP of features, the preference and ``extra`` numbers."""
        shown = num_objectives if self.show_preference else 0
        sizes = (self._num_features + shown + extra, *self.hidden, outputs)
        return mlp(rng, sizes, "relu", output_scale=0.01)

    def apply(self, network: MLP, seen: Seen, preference: jax.Array, *extra: jax.Array) -> jax.Array:
        """Return the outputs (..., outputs) of such an MLP for preferences (..., R) and ``extra`` numbers (..., n)."""
        return network(jnp.concatenate([seen.features, self._shown(preference), *extra], axis=-1))
