"""The one attention rule: a few integers a token, made by the objective, decide which query attends to which key.

Query q attends to key k iff seen[k] <= sees[q], and both are in the same segment (segment 0 is padding: it attends to
nothing and nothing attends to it; every other segment attends to key segment -1), and |position[q] - position[k]| < window, if the layer
has one. With causal integers a window of 4 is the query and the three tokens before it, as in Mistral (Jiang et al. 2023).
The same six arrays express causal, bidirectional, prefix, permuted, packed and cross attention; no mask is ever shipped.
"""
import dataclasses
from typing import Any, Callable, NamedTuple

import jax
import jax.numpy as jnp

NEVER = 2 ** 30                               # `seen` of a key that no query attends to
HIDDEN = -1e30                                # the score of a pair that the rule hides: its weight after a softmax is exactly 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rule:
    """The integers that decide attention, for B rows of T queries and S keys."""
    sees: Any                                 # int32[B, T]
    seen: Any                                 # int32[B, S]
    query_segments: Any                       # int32[B, T]
    key_segments: Any                         # int32[B, S]
    query_positions: Any                      # int32[B, T]
    key_positions: Any                        # int32[B, S]


class Hint(NamedTuple):
    """What a rule promises at compile time, so that a kernel can skip blocks. A wrong hint is a silent leak.

    The defaults promise nothing. In self attention, any other value also promises that the keys after `offset` are the tokens of the
    queries, in the same order; causal and full promise that positions count on by 1 within a segment. Rows of weight 0, which fill the
    last batch of an evaluation, may break it: their results are not used.
    """
    order: str = 'ordered'                    # within a segment: causal | full | ordered (by the integers alone)
    segments: str = 'packed'                  # one (a row is one segment) | padded (one segment, then padding) | packed (any)
    offset: int = 0                           # number of keys, such as a memory's, before the keys that `order` and `segments` describe


UNKNOWN = Hint()


class Hints(NamedTuple):
    """The hints of a model's three kinds of attention."""
    encoder: Hint = UNKNOWN
    decoder: Hint = UNKNOWN
    cross: Hint = UNKNOWN


def cross(query_segments: jax.Array, key_segments: jax.Array) -> Rule:
    """The rule of cross attention: segments alone decide. int32[B, T], int32[B, S]."""
    queries, keys = jnp.zeros_like(query_segments), jnp.zeros_like(key_segments)
    return Rule(queries, keys, query_segments, key_segments, queries, keys)


def prepend(rule: Rule, hint: Hint, segments: jax.Array, positions: jax.Array) -> tuple[Rule, Hint]:
    """(rule, hint) with M keys before the others, a memory or a prefix: int32[B, M] each, or int32[1, M] for all rows.

    Every token that is not padding attends to a key of segment -1, none to a key of segment 0.
    """
    def first(new, old):
        return jnp.concatenate([jnp.broadcast_to(new, (old.shape[0], new.shape[1])), old], axis=1)

    rule = dataclasses.replace(rule, seen=first(jnp.full_like(segments, -1), rule.seen),
                               key_segments=first(segments, rule.key_segments),
                               key_positions=first(positions, rule.key_positions))
    return rule, hint._replace(offset=hint.offset + segments.shape[1])


def on_sides(rule: Rule, queries: Callable, keys: Callable) -> Rule:
    """The rule after `queries` of each of its int32[B, T] and `keys` of each of its int32[B, S]: padded, or one block of them."""
    return Rule(queries(rule.sees), keys(rule.seen), queries(rule.query_segments), keys(rule.key_segments),
                queries(rule.query_positions), keys(rule.key_positions))


def mask(rule: Rule, window: Any = None) -> jax.Array:
    """The rule as a matrix: bool[B, T, S], true where the query attends to the key."""
    query, key = (lambda x: x[:, :, None]), (lambda x: x[:, None, :])
    segments, keys = query(rule.query_segments), key(rule.key_segments)
    allowed = (key(rule.seen) <= query(rule.sees)) & ((segments == keys) | (keys == -1)) & (segments != 0) & (keys != 0)
    if window is not None:
        allowed &= jnp.abs(query(rule.query_positions) - key(rule.key_positions)) < window
    return allowed


def masks(rule: Rule, windows: tuple[int | None, ...]) -> tuple[jax.Array, jax.Array]:
    """(mask bool[B, T, S], whether a query attends to any key bool[B, T]) of a window; of several, each with a leading axis W."""
    allowed = [mask(rule, window) for window in windows]
    sees_any = [jnp.any(each, axis=-1) for each in allowed]
    return tuple(each[0] if len(windows) == 1 else jnp.stack(each) for each in (allowed, sees_any))
