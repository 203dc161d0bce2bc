"""The one attention rule: who sees whom follows from a few integers a token, made by whoever knows the objective.

Query q attends to key k iff seen[k] <= sees[q], and both are in the same segment (segment 0 is padding: it sees nothing
and nothing sees it; key segment -1 is seen from every other segment), and |position[q] - position[k]| < window.
With causal integers a window of 4 is the query and the three tokens before it, as in Mistral (Jiang et al. 2023).
The same six arrays say causal, bidirectional, prefix, permuted, packed and cross attention; no mask is ever shipped.
"""
import dataclasses
from typing import Any, Optional

import jax
import jax.numpy as jnp

NEVER = 2 ** 30                               # `seen` of a key that no query sees
HIDDEN = -1e30                                # added to a score: float32 forgets the score, its softmax is exactly 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rule:
    """Who sees whom, for B rows of T queries and S keys. A pytree; `window` is static."""
    sees: Any                                 # int32[B, T]
    seen: Any                                 # int32[B, S]
    query_segments: Any                       # int32[B, T]
    key_segments: Any                         # int32[B, S]
    query_positions: Any                      # int32[B, T]
    key_positions: Any                        # int32[B, S]
    window: Optional[int] = dataclasses.field(default=None, metadata={'static': True})
    added: Any = None                         # float32[B, T, S]: what `write` made of the above, once for all layers
    sighted: Any = None                       # bool[B, T]: whether the query sees any key


def cross(query_segments, key_segments):
    """The rule of cross attention: segments alone decide. int32[B, T], int32[B, S] -> Rule."""
    queries, keys = jnp.zeros_like(query_segments), jnp.zeros_like(key_segments)
    return Rule(queries, keys, query_segments, key_segments, queries, keys)


def remember(rule, segments, positions):
    """The rule with M keys before the others, a memory: int32[B, M] each. Segment -1 is seen by all, 0 by none."""
    def first(new, old):
        return jnp.concatenate([new, old], axis=1)

    return dataclasses.replace(rule, seen=first(jnp.full_like(segments, -1), rule.seen),
                               key_segments=first(segments, rule.key_segments),
                               key_positions=first(positions, rule.key_positions))


def mask(rule):
    """The rule as a matrix: bool[B, T, S], true where the query attends to the key."""
    query, key = (lambda x: x[:, :, None]), (lambda x: x[:, None, :])
    segments, keys = query(rule.query_segments), key(rule.key_segments)
    allowed = (key(rule.seen) <= query(rule.sees)) & ((segments == keys) | (keys == -1)) & (segments != 0) & (keys != 0)
    if rule.window is not None:
        allowed &= jnp.abs(query(rule.query_positions) - key(rule.key_positions)) < rule.window
    return allowed


def write(rule, window=None):
    """The rule for layers with this window, written out for the plain implementation.

    Added to the scores, not selected with `where`: the gradient of a sum needs no copy of the mask for every head.
    """
    rule = dataclasses.replace(rule, window=window)
    allowed = mask(rule)
    added = jnp.where(allowed, 0.0, HIDDEN).astype(jnp.float32)
    return dataclasses.replace(rule, added=added, sighted=jnp.any(allowed, axis=-1))
