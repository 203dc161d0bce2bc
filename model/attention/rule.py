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
    allowed: Any = None                       # bool[B, T, S]: the mask, where it was computed once for all layers


def cross(query_segments, key_segments):
    """The rule of cross attention: segments alone decide. int32[B, T], int32[B, S] -> Rule."""
    queries, keys = jnp.zeros_like(query_segments), jnp.zeros_like(key_segments)
    return Rule(queries, keys, query_segments, key_segments, queries, keys)


def mask(rule):
    """The rule written out: bool[B, T, S], true where the query attends to the key."""
    if rule.allowed is not None:
        return rule.allowed
    query, key = (lambda x: x[:, :, None]), (lambda x: x[:, None, :])
    segments, keys = query(rule.query_segments), key(rule.key_segments)
    allowed = (key(rule.seen) <= query(rule.sees)) & ((segments == keys) | (keys == -1)) & (segments != 0) & (keys != 0)
    if rule.window is not None:
        allowed &= jnp.abs(query(rule.query_positions) - key(rule.key_positions)) < rule.window
    return allowed


def write(rule, window):
    """The rule for layers with this window, its mask written out so that they share it."""
    rule = dataclasses.replace(rule, window=window, allowed=None)
    return dataclasses.replace(rule, allowed=mask(rule))
