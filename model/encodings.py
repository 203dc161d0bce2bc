"""The numbers of each position scheme: rotary angles, sinusoids, T5's buckets, ALiBi's slopes, Transformer-XL's distances.

All are functions of the positions in the batch, never of the index in the row, so packed and shuffled rows need no special case; a bias
is a function of two blocks of positions, so that a kernel can compute it block by block. Papers: model/positions.py.
"""
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def angles(positions: jax.Array, size: int, base: float, scaling: tuple | None = None) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of the rotary angles: int32[B, T] -> two float32[B, 1, T, size / 2], the same for all heads."""
    frequencies = base ** -(jnp.arange(0, size, 2, dtype=jnp.float32) / size) if scaling is None else scaled(size, base, *scaling)
    angle = positions[:, None, :, None].astype(jnp.float32) * frequencies
    return jnp.cos(angle), jnp.sin(angle)


def scaled(size: int, base: float, factor: float, low: float, high: float, length: int) -> jax.Array:
    """Llama 3.1's frequencies for texts longer than the first `length`: float32[size / 2].

    A frequency with more than `high` turns in `length` positions stays, one with less than `low` turns is divided by
    `factor`, and those between are interpolated linearly in the number of turns.
    """
    frequencies = float(base) ** -(np.arange(0, size, 2) / size)
    kept = np.clip((length * frequencies / (2 * math.pi) - low) / (high - low), 0, 1)
    return jnp.asarray(kept * frequencies + (1 - kept) * frequencies / factor, jnp.float32)


def rotate(x: jax.Array, rotation: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotates float[B, N, T, H] by `angles(...)`, in halves as GPT-NeoX: the product of query i and key j then depends on i - j alone."""
    cos, sin = rotation
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)


def waves(positions: jax.Array, dim: int) -> list[jax.Array]:
    """[sin, cos] of wavelengths from 2 pi to 10000 * 2 pi: int32[...] -> two float32[..., dim / 2]."""
    frequencies = 10000.0 ** -(jnp.arange(0, dim, 2, dtype=jnp.float32) / dim)
    angle = positions[..., None].astype(jnp.float32) * frequencies
    return [jnp.sin(angle), jnp.cos(angle)]


def sinusoids(positions: jax.Array, dim: int) -> jax.Array:
    """sin at even, cos at odd columns: int32[B, T] -> float32[B, T, dim]."""
    return jnp.stack(waves(positions, dim), axis=-1).reshape(*positions.shape, dim)


def halves(distances: jax.Array, dim: int) -> jax.Array:
    """Transformer-XL's sinusoids, all sines before all cosines: int32[...] -> float32[..., dim]."""
    return jnp.concatenate(waves(distances, dim), axis=-1)


def direction(positions: jax.Array) -> jax.Array:
    """The direction in which a row is read: int32[B, T] -> int32[B], 1, or -1 where its positions descend."""
    return jnp.where(positions[:, min(1, positions.shape[1] - 1)] < positions[:, 0], -1, 1)


def buckets(relative: jax.Array, count: int, distance: int, bidirectional: bool) -> jax.Array:
    """T5's bucket of key position - query position: int32[...] -> int32[...] in [0, count).

    Half of the buckets hold one distance each, the rest grow logarithmically up to `distance`. Bidirectional: the upper
    half of the buckets is for keys after the query; otherwise those share bucket 0. The original takes a float32
    logarithm on the device; here its boundaries are integers computed once, the same on every backend.
    """
    start = 0
    if bidirectional:
        count //= 2
        start = jnp.where(relative > 0, count, 0)
        far = jnp.abs(relative)
    else:
        far = jnp.maximum(-relative, 0)
    exact = count // 2
    steps = exact * (distance / exact) ** (np.arange(1, count - exact) / (count - exact))
    steps = np.ceil(steps - 1e-6).astype(np.int32)  # the first distance of every later bucket
    later = exact + jnp.sum(far[..., None] >= steps, axis=-1, dtype=jnp.int32)
    return start + jnp.where(far < exact, far, later)


def slopes(heads: int) -> np.ndarray:
    """ALiBi's slope of each head, 2^(-8 / n), 2^(-16 / n), ... for n a power of two: float32[heads].

    Otherwise n is the power of two below, and the heads above n take every other slope of 2n heads (the authors' code).
    """
    n = 2 ** math.floor(math.log2(heads))
    first, second = (np.float64(np.float32(2 ** (-8 / count))) for count in (n, 2 * n))  # BLOOM's code has powers of a float32
    found = np.concatenate([first ** np.arange(1, n + 1), second ** np.arange(1, 2 * (heads - n), 2)])
    return found.astype(np.float32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Alibi:
    """ALiBi's bias: slope * (key position - query position), as far as keys come before their queries; bidirectional: -slope * distance."""
    heads: int = dataclasses.field(metadata={'static': True})
    bidirectional: bool = dataclasses.field(metadata={'static': True})

    def __call__(self, query_positions: jax.Array, key_positions: jax.Array) -> jax.Array:
        """int32[B, t], int32[B, s] -> float32[B, N, t, s]."""
        relative = (key_positions[:, None, :] - query_positions[:, :, None]).astype(jnp.float32)
        return slopes(self.heads)[:, None, None] * (-jnp.abs(relative) if self.bidirectional else relative)[:, None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Buckets:
    """T5's bias: a learned number for each bucket of distances and each head."""
    table: Any                                # float32[R, N]
    distance: int = dataclasses.field(metadata={'static': True})
    bidirectional: bool = dataclasses.field(metadata={'static': True})
    dtype: Any = dataclasses.field(default=jnp.float32, metadata={'static': True})

    def __call__(self, query_positions: jax.Array, key_positions: jax.Array) -> jax.Array:
        """int32[B, t], int32[B, s] -> float32[B, N, t, s]."""
        relative = key_positions[:, None, :] - query_positions[:, :, None]
        bucket = buckets(relative, len(self.table), self.distance, self.bidirectional)
        # A product with one-hot rows: its gradient is a product too; that of a look-up is a slow scatter.
        hot = jax.nn.one_hot(bucket, len(self.table), dtype=self.dtype)
        return jnp.einsum('btsr,rn->bnts', hot, self.table.astype(self.dtype), preferred_element_type=jnp.float32)
