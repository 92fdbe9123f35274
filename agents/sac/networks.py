"""Networks of actor and critics by environment and settings, and the inputs they take."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space

from morl.agents.sac.action_space import ActionSpace
from morl.agents.sac.config import CriticNetwork, NetworkKind
from morl.errors import UserError
from morl.networks.bodies import Moments
from morl.networks.images import EncoderKind, ObservationEncoder, observation_encoder
from morl.networks.preference import convolution_network, flat_network, row_network
from morl.ops import running_statistics
from morl.ops.masking import mask_logits
from morl.ops.running_statistics import RunningStats
from morl.types import Features, PyTree

MOST_AT_ONCE = 256  # transitions
LAYER_BYTES = 2**16  # of a layer of rows, for the transitions learnt from at a time


class NetworkInput(NamedTuple):
    """Batch of observations, as networks take them.

    Attributes:
        features: (..., F), or (..., A, F) features of each action.
        mask: (..., A) 1 for allowed actions, 0 for others; None where it is not known.
    """

    features: jax.Array
    mask: jax.Array | None


@dataclass(frozen=True)
class Networks:
    """Makes and applies the networks of actor and critics.

    Attributes:
        kind, encoder_kind: as in the settings.
        hidden, channels, blocks: sizes of the networks.
        critic_network: kind of the critics' hidden layers.
        critic_hidden: widths of these.
        preference_input: the preference is among the inputs.
        mask_actions: forbidden actions have no probability.
        num_objectives: R.
        observation_space: of one environment.
        actions: policies over its action space.
        action_mask, action_features: as in :class:`morl.types.Task`; only for discrete actions.

    Raises:
        UserError: an observation space or a kind of network that cannot work.
    """

    kind: NetworkKind
    encoder_kind: EncoderKind
    hidden: tuple[int, ...]
    channels: int
    blocks: int
    critic_network: CriticNetwork
    critic_hidden: tuple[int, ...]
    preference_input: bool
    mask_actions: bool
    num_objectives: int
    observation_space: Space[Any]
    actions: ActionSpace
    action_mask: Features | None
    action_features: Features | None

    def __post_init__(self) -> None:
        if not self.by_action:
            _ = self.encoder
        elif self.encoder_kind == "nature":
            raise UserError("encoder nature needs network flat, not one of each action's features")
        elif self.critic_network != "mlp":
            raise UserError(
                f"critic_network {self.critic_network} needs network flat, not one of each action's features"
            )
        elif self._continuous:
            raise UserError(f"network {self.kind} needs discrete actions; allowed for continuous ones: auto, flat")
        elif self.action_features is None:
            raise UserError(
                f"network {self.kind} needs features of each action, which this environment does not have; "
                "allowed: auto, flat"
            )

    @property
    def by_action(self) -> bool:
        """Return whether networks take features of each action."""
        if self.kind == "auto":
            return self.action_features is not None and not self._continuous
        return self.kind != "flat"

    @property
    def _continuous(self) -> bool:
        return self.actions.action_size > 0

    @cached_property
    def encoder(self) -> ObservationEncoder:
        """Return the features of an observation, for networks that take no features of each action."""
        return observation_encoder(self.observation_space, self.encoder_kind)

    @cached_property
    def _num_features(self) -> int:
        """Return the number of features of one observation, or of one action."""
        if self.action_features is None or not self.by_action:
            return self.encoder.size
        obs = jax.ShapeDtypeStruct(self.observation_space.shape or (), jnp.float32)
        return int(jax.eval_shape(self.action_features, obs).shape[-1])

    @property
    def normalised(self) -> bool:
        """Return whether features are normalised; not one-hot ones, nor those of actions, which are of order 1."""
        return not self.by_action and not self.encoder.fixed

    def init_stats(self) -> RunningStats | None:
        """Return statistics of no features; None where they are not normalised."""
        return running_statistics.init(self.encoder.size) if self.normalised else None

    def update_stats(self, stats: RunningStats | None, obs: jax.Array, weight: jax.Array) -> RunningStats | None:
        """Add the features of observations (..., *shape), with weights (...), to the statistics."""
        return None if stats is None else running_statistics.update(stats, self.encoder.encode(obs), weight)

    def inputs(self, stats: RunningStats | None, obs: jax.Array) -> NetworkInput:
        """Convert observations (..., *shape) to what networks take."""
        mask = None if self.action_mask is None or self._continuous else self.action_mask(obs)
        if self.by_action and self.action_features is not None:
            return NetworkInput(self.action_features(obs), mask)
        features = self.encoder.encode(obs)
        return NetworkInput(features if stats is None else running_statistics.normalise(stats, features), mask)

    def chunk_size(self, batch_size: int) -> int:
        """Return how many of a batch's transitions are learnt from at a time (:mod:`.chunks`); it divides half of
        the batch, or is the whole of it.

        So many that a layer of rows fits into a core's first cache (few weights, many rows), or :data:`MOST_AT_ONCE`
        for other networks. Batch normalisation is over the whole batch.
        """
        if self.critic_network == "batch_norm":
            return batch_size
        most = MOST_AT_ONCE
        if self.by_action and self.kind != "convolution":
            layer = 4 * self.actions.num_outputs * max(*self.hidden, *self.critic_hidden, 1)
            most = max(1, LAYER_BYTES // layer)
        half = batch_size // 2
        fitting = [size for size in range(1, min(most, half) + 1) if half % size == 0 and batch_size % 2 == 0]
        return fitting[-1] if fitting and 2 * fitting[-1] > min(most, half) else batch_size

    def init_actor(self, rng: np.random.Generator) -> PyTree:
        """Return a new actor, with R outputs for each output of :meth:`actor_output`."""
        return self._init(rng, 0, self.actions.num_outputs, self.hidden)

    def init_critic(self, rng: np.random.Generator) -> PyTree:
        """Return a new critic."""
        c = self.critic_hidden, self.critic_network
        return self._init(rng, self.actions.action_size, self.actions.num_values, *c)

    def actor_output(self, actor: Any, inputs: NetworkInput, preference: jax.Array) -> jax.Array:
        """Return the description (..., num_outputs) of policies for preferences (..., R), with masked logits.

        Each output is the preference-weighted sum of R outputs of the network. So the functions that the network has to
        represent are smooth in the preference.
        """
        weights = preference if self.preference_input else jnp.full_like(preference, 1 / preference.shape[-1])
        output = jnp.sum(self._apply(actor, inputs, preference) * weights[..., None, :], axis=-1)
        return mask_logits(output, inputs.mask if self.mask_actions else None)

    def critic_values(
        self, critic: Any, inputs: NetworkInput, action: jax.Array | None, preference: jax.Array
    ) -> jax.Array:
        """Return the values (..., K, R) of all actions, or of the given ones (..., n), for preferences (..., R)."""
        return self._apply(critic, self._with_action(inputs, action), preference)

    def critic_values_of_batch(
        self, critic: Any, inputs: NetworkInput, action: jax.Array | None, preference: jax.Array, weight: jax.Array
    ) -> tuple[jax.Array, tuple[Moments, ...]]:
        """Return the values (N, K, R) of a batch, normalised by its own statistics, and these; for ``batch_norm``."""
        shown = preference if self.preference_input else preference[..., :0]
        found: tuple[jax.Array, tuple[Moments, ...]]
        found = critic.of_batch(self._with_action(inputs, action).features, shown, weight)
        return found

    def _with_action(self, inputs: NetworkInput, action: jax.Array | None) -> NetworkInput:
        if action is None or not self._continuous:
            return inputs
        return inputs._replace(features=jnp.concatenate([inputs.features, action], axis=-1))

    def _init(
        self,
        rng: np.random.Generator,
        action_size: int,
        rows: int,
        hidden: tuple[int, ...],
        body: CriticNetwork = "mlp",
    ) -> PyTree:
        """Return a new network of R outputs for each of so many rows."""
        sizes = (self._num_features + action_size, self.num_objectives if self.preference_input else 0)
        if not self.by_action:
            return flat_network(rng, *sizes, rows, self.num_objectives, hidden, body, self.encoder.image)
        if self.kind == "convolution":
            outputs, channels, blocks = self.num_objectives, self.channels, self.blocks
            return convolution_network(rng, *sizes, rows, outputs, channels, blocks, hidden)
        return row_network(rng, *sizes, self.num_objectives, hidden)

    def _apply(self, network: Any, inputs: NetworkInput, preference: jax.Array) -> jax.Array:
        """Return the outputs (..., rows, R) of a network."""
        shown = preference if self.preference_input else preference[..., :0]
        out: jax.Array
        if not self.by_action:
            out = network(inputs.features, shown)
        else:
            exists = jnp.ones(inputs.features.shape[:-1], jnp.float32) if inputs.mask is None else inputs.mask
            out = network(inputs.features, shown, exists)
        return out
