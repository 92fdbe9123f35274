"""Trainable parameters of a sampler, and Adam with a learning rate for each group of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax

from morl.agents.mogfn.config import MOGFNConfig
from morl.networks.mlp import MLP
from morl.ops.optimisers import in_float32
from morl.types import PyTree


class Params(NamedTuple):
    """Trainable parameters; each part has a learning rate of its own.

    Attributes:
        policy: network of the forward policy, and of the inner flows where the loss has them.
        log_z: network of log Z.
    """

    policy: PyTree
    log_z: MLP


def adam(config: MOGFNConfig, steps: int) -> optax.GradientTransformation:
    """Return Adam for :class:`Params`; where ``anneal`` says so, both rates fall over so many steps."""

    def with_rate(rate: float) -> optax.GradientTransformation:
        return optax.adam(optax.cosine_decay_schedule(rate, max(1, steps), alpha=0.01) if config.anneal else rate)

    each = {"policy": with_rate(config.learning_rate), "log_z": with_rate(config.log_z_learning_rate)}
    grouped = optax.multi_transform(each, parameter_groups)
    clip = optax.identity() if config.max_grad_norm is None else optax.clip_by_global_norm(config.max_grad_norm)
    return in_float32(optax.chain(clip, grouped))


def parameter_groups(params: Params) -> Params:
    """Return the name of every parameter's group, which is the field it is in."""
    groups = Params(*(jax.tree.map(lambda _, name=name: name, part) for name, part in params._asdict().items()))
    grouped: Any = jax.tree.structure(groups)
    assert grouped == jax.tree.structure(params)  # noqa: S101  # none is without a learning rate
    return groups
