"""Scores of tokens under a vocabulary: log Z, the target's logit, the likeliest id, a draw.

`of_logits` has them from the logits; it is the reference of model/chunked_scoring.py, which has them without.
"""
from typing import NamedTuple

import jax
from jax.extend import random as counters
import jax.numpy as jnp
import numpy as np

ABSENT = -1e9                                 # the logit of a padded row of the vocabulary


class Scores(NamedTuple):
    """What losses, evaluation and samples need of logits float32[..., V]; each field has the shape of the targets.

    Gradients flow through the first three. Columns of padding do not count in any of them.
    """
    log_z: jax.Array                          # float32: the logarithm of the sum of their exponentials
    target: jax.Array                         # float32: the logit of the target
    total: jax.Array                          # float32: their sum, V times the mean logit
    best: jax.Array                           # int32: the id of the highest, the first one of equals
    correct: jax.Array                        # float32: 1 where the target's logit is the highest
    sampled: jax.Array | None = None          # int32: the id drawn by a `Draw`


class Draw(NamedTuple):
    """Ids drawn from softmax(logits [B, P, V] / temperature) by Gumbel's maximum; temperature 0 takes the likeliest."""
    keys: jax.Array                           # key[B], one a row
    temperature: float = 1.0
    avoid_target: bool = False                # never the target itself


def of_logits(logits: jax.Array, targets: jax.Array, vocab_size: int, draw: Draw | None = None) -> Scores:
    """The Scores of logits float32[..., V padded] for targets int32[...]. Padded columns hold ABSENT."""
    chosen = jnp.arange(logits.shape[-1]) == targets[..., None]  # a gather's gradient is a scatter, slow on CPUs
    target = jnp.sum(jnp.where(chosen, logits, 0), axis=-1)
    sampled = draw and sample(jax.lax.stop_gradient(logits), draw.keys, draw.temperature, targets if draw.avoid_target else None)
    return Scores(jax.nn.logsumexp(logits, axis=-1), target, jnp.sum(logits[..., :vocab_size], axis=-1),
                  jnp.argmax(logits, axis=-1).astype(jnp.int32), (target >= jnp.max(logits, axis=-1)).astype(jnp.float32), sampled)


def sample(logits: jax.Array, keys: jax.Array, temperature: float = 1.0, not_these: jax.Array | None = None) -> jax.Array:
    """int32[B, P] drawn from logits float32[B, P, V] as a `Draw` says. not_these: int32[B, P] that must not come out, or None."""
    noise = gumbel(*counted(keys, logits.shape[1], logits.shape[2]), jnp.arange(logits.shape[2]))
    if not_these is not None:
        logits = jnp.where(jnp.arange(logits.shape[-1]) == not_these[..., None], -jnp.inf, logits)
    return jnp.argmax(logits + temperature * noise, axis=-1).astype(jnp.int32)


def counted(keys: jax.Array, slots: int, columns: int) -> tuple[jax.Array, jax.Array]:
    """(key words, counter of column 0), uint32[B, P, 2] each, of every slot of rows with keys[B]; counters are 64 bits, high word first."""
    words = jax.random.key_data(keys)[:, None, :2]  # all there is of a Threefry key; a key of another kind begins with one
    start = np.arange(slots, dtype=np.uint64) * np.uint64(columns)
    start = np.stack([start >> np.uint64(32), start & np.uint64(2 ** 32 - 1)], axis=-1).astype(np.uint32)
    shape = len(keys), slots, 2
    return jnp.broadcast_to(words, shape), jnp.broadcast_to(start, shape)


def gumbel(words: jax.Array, start: jax.Array, columns: jax.Array) -> jax.Array:
    """Gumbel noise float32[..., C] of some columns int32[C], from what `counted` returns [..., 2].

    The bits of `jax.random.gumbel(keys[b], (P, V))`, whichever columns are asked for.
    """
    low = start[..., 1:] + columns.astype(jnp.uint32)
    high = start[..., :1] + (low < start[..., 1:])  # the carry
    count = low.shape[-1]

    def one(words, high, low):
        bits = counters.threefry_2x32((words[0], words[1]), jnp.concatenate([high, low]))
        return bits[:count] ^ bits[count:]

    bits = jax.vmap(one)(*(x.reshape(-1, x.shape[-1]) for x in (words, high, low))).reshape(low.shape)
    uniform = jax.lax.bitcast_convert_type((bits >> 9) | np.uint32(0x3F800000), jnp.float32) - 1
    return -jnp.log(-jnp.log(jnp.maximum(uniform, np.finfo(np.float32).tiny)))
