"""Convolutions of images in front of other networks, as matrix products of patches.

So an axis of policies makes batched products of them, where XLA's CPU back-end has slow grouped convolutions, and
exported programs need no further operation. The layers are those of Mnih et al. (2015, doi 10.1038/nature14236).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import Space, spaces

from morl.errors import UserError
from morl.networks import encoders
from morl.networks.conditioning import ConditionedInput
from morl.networks.mlp import Linear, linear, mlp
from morl.ops import running_statistics
from morl.ops.running_statistics import RunningStats

EncoderKind = Literal["auto", "flat", "nature"]
NATURE = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # channels, side of the kernel, stride; a stride divides the side
LEAST_SIDE = 36  # of an image that the layers leave a pixel of
MOST_CHANNELS = 32  # of what is taken for an image without being asked to


class Image(NamedTuple):
    """Image among the observations.

    Attributes:
        height, width, channels: its sizes.
        channels_first: its axes are (channels, height, width), else (height, width, channels).
        low, high: values of black and white.
    """

    height: int
    width: int
    channels: int
    channels_first: bool
    low: float
    high: float

    @property
    def size(self) -> int:
        """Return the numbers of an image."""
        return self.height * self.width * self.channels

    def sides(self) -> list[tuple[int, int]]:
        """Return height and width behind each convolution."""
        found, sides = [], (self.height, self.width)
        for _, kernel, stride in NATURE:
            height, width = ((side - kernel) // stride + 1 for side in sides)
            sides = height, width
            found.append(sides)
        return found

    @property
    def num_features(self) -> int:
        """Return the numbers behind the convolutions."""
        return math.prod(self.sides()[-1]) * NATURE[-1][0]

    @property
    def layer_numbers(self) -> int:
        """Return the numbers of patches and outputs of all convolutions, for one image."""
        inputs = (self.channels, *(channels for channels, _, _ in NATURE))
        return sum(
            math.prod(sides) * (kernel**2 * before + channels)
            for sides, before, (channels, kernel, _) in zip(self.sides(), inputs, NATURE, strict=False)
        )


def image_of(space: Space[Any], kind: EncoderKind) -> Image | None:
    """Return the image that observations of a space are, where convolutions are to see it; else None.

    ``auto`` takes a ``Box`` of uint8 for an image that has two axes, or a third one of few channels, first or last.

    Raises:
        UserError: ``nature``, and observations that are no image, or one that is too small.
    """
    if kind == "flat":
        return None
    shape = space.shape or ()
    if not _even_bounds(space) or len(shape) not in (2, 3):
        if kind == "auto":
            return None
        raise UserError(
            "encoder nature needs images, a Box of two or three axes with the same bounds everywhere; the observations"
            f" are {' '.join(str(space).split())}; allowed here: auto, flat"
        )
    channels_first = len(shape) == 3 and shape[0] < shape[2]
    height, width, channels = (*shape[1:], shape[0]) if channels_first else (*shape, 1)[:3]
    if kind == "auto" and (space.dtype != np.uint8 or channels > MOST_CHANNELS or min(height, width) < LEAST_SIDE):
        return None
    if min(height, width) < LEAST_SIDE:
        raise UserError(
            f"encoder nature needs images of at least {LEAST_SIDE} x {LEAST_SIDE} pixels, not {height} x {width}; "
            "allowed here: auto, flat"
        )
    low, high = float(np.min(space.low)), float(np.max(space.high))  # type: ignore[attr-defined]
    return Image(height, width, channels, channels_first, low, high)


def _even_bounds(space: Space[Any]) -> bool:
    """Return whether a space is a ``Box`` whose numbers all have the same two finite bounds."""
    if not isinstance(space, spaces.Box) or not space.is_bounded() or not space.low.size:
        return False
    return bool(space.low.min() == space.low.max() < space.high.min() == space.high.max())


class ObservationEncoder(NamedTuple):
    """ObservationEncoder that networks see of observations, and what of them is an image.

    Attributes:
        encode, size: as of :class:`morl.networks.encoders.Encoder`. An image comes flat, as (height, width, channels).
        fixed: whether they are from 0 to 1 and must not be normalised: one-hot ones, and pixels.
        image: what all of them are, if convolutions are to see it.
    """

    encode: Callable[[jax.Array], jax.Array]
    size: int
    fixed: bool
    image: Image | None

    def in_front(self, rng: np.random.Generator, make: Callable[[int], Any], more: int = 0) -> Any:
        """Return a network of these features, and ``more`` behind them; of so many features ``make`` returns one."""
        if self.image is None:
            return make(self.size + more)
        return ImageNetwork(convolutions(rng, self.image), make(self.image.num_features + more))

    def mlp(
        self, rng: np.random.Generator, hidden: tuple[int, ...], outputs: int, *, activation: str, output_scale: float
    ) -> Any:
        """Return an MLP of these features, see :func:`morl.networks.mlp.mlp`."""
        return self.in_front(
            rng, lambda size: mlp(rng, (size, *hidden, outputs), activation, output_scale=output_scale)
        )

    def init_stats(self) -> RunningStats:
        """Return statistics of no features; of one number where they are an image, which has none."""
        return running_statistics.init(self.size if self.image is None else 1)

    def update_stats(self, stats: RunningStats, obs: jax.Array, weight: jax.Array) -> RunningStats:
        """Add the features of observations (..., *shape), with weights (...), to the statistics."""
        return stats if self.image else running_statistics.update(stats, self.encode(obs), weight)


def observation_encoder(space: Space[Any], kind: EncoderKind) -> ObservationEncoder:
    """Return the features of an observation space.

    Raises:
        UserError: as :func:`image_of` and :func:`morl.networks.encoders.encoder` do.
    """
    image = image_of(space, kind)
    if image is None:
        return ObservationEncoder(*encoders.encoder(space), image=None)
    shape: tuple[int, ...] = space.shape or ()

    def encode(obs: jax.Array) -> jax.Array:
        pixels = (obs.astype(jnp.float32) - image.low) / np.float32(image.high - image.low)
        if image.channels_first:
            pixels = jnp.moveaxis(pixels, -3, -1)
        return pixels.reshape(*obs.shape[: obs.ndim - len(shape)], image.size)

    return ObservationEncoder(encode, image.size, fixed=True, image=image)


class Convolution(eqx.Module):
    """Convolution of (..., height, width, channels) without padding, and relu."""

    linear: Linear
    kernel: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jax.nn.relu(self.linear(patches(x, self.kernel, self.stride)))


class Convolutions(eqx.Module):
    """Convolutions of flat images (..., height * width * channels) to features (..., n)."""

    layers: tuple[Convolution, ...]
    shape: tuple[int, int, int] = eqx.field(static=True)

    def __call__(self, flat: jax.Array) -> jax.Array:
        x = flat.reshape(*flat.shape[:-1], *self.shape)
        for layer in self.layers:
            x = layer(x)
        return x.reshape(*flat.shape[:-1], -1)


class ImageNetwork(eqx.Module):
    """Network whose first inputs are an image, behind its convolutions.

    Its input is (..., image and others), or a :class:`~morl.networks.conditioning.ConditionedInput` of an image.
    """

    convolutions: Convolutions
    body: Any

    def __call__(self, inputs: Any) -> Any:
        if isinstance(inputs, ConditionedInput):
            return self.body(inputs._replace(features=self.convolutions(inputs.features)))
        return self.body(self._features(inputs))

    def of_batch(self, x: jax.Array, weight: jax.Array) -> Any:
        """Return outputs and statistics of a batch, of a body with batch normalisation."""
        return self.body.of_batch(self._features(x), weight)

    @property
    def norms(self) -> Any:
        """Return the normalisations of such a body."""
        return self.body.norms

    def _features(self, x: jax.Array) -> jax.Array:
        size = math.prod(self.convolutions.shape)
        image, others = (jax.lax.slice_in_dim(x, *ends, axis=-1) for ends in ((0, size), (size, x.shape[-1])))
        return jnp.concatenate([self.convolutions(image), others], axis=-1)


def convolutions(rng: np.random.Generator, image: Image) -> Convolutions:
    """Return convolutions with orthogonal weights and zero biases, as NumPy arrays."""
    channels, layers = image.channels, []
    for outputs, kernel, stride in NATURE:
        layers.append(Convolution(linear(rng, kernel**2 * channels, outputs, 2**0.5), kernel, stride))
        channels = outputs
    return Convolutions(tuple(layers), (image.height, image.width, image.channels))


def patches(x: jax.Array, kernel: int, stride: int) -> jax.Array:
    """Return the patches (..., h, w, kernel² channels) of (..., height, width, channels), without padding.

    The image is cut into squares of a stride's side, of which each patch has (kernel / stride)².

    Args:
        x: images.
        kernel: side of a patch.
        stride: from one patch to the next; divides ``kernel``.
    """
    *leading, height, width, channels = x.shape
    across = kernel // stride
    rows, columns = ((side - kernel) // stride + 1 for side in (height, width))
    for axis, number in ((-3, rows), (-2, columns)):
        x = jax.lax.slice_in_dim(x, 0, (number + across - 1) * stride, axis=axis)
    x = x.reshape(*leading, rows + across - 1, stride, columns + across - 1, stride, channels)
    x = jnp.swapaxes(x, -4, -3).reshape(*leading, rows + across - 1, columns + across - 1, stride**2 * channels)
    parts = [
        jax.lax.slice_in_dim(jax.lax.slice_in_dim(x, i, i + rows, axis=-3), j, j + columns, axis=-2)
        for i in range(across)
        for j in range(across)
    ]
    return jnp.concatenate(parts, axis=-1)
