"""Attention as two products and a softmax: the reference against which every faster implementation is tested.

Scores and softmax are float32. A query that attends to no key outputs 0 and has gradient 0. All layers share the mask and the bias.
"""
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from model import ops
from model.attention import dropout as dropouts, rule as rules, terms as score_terms


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prepared:
    """A rule as matrices. With W > 1 windows, the first two have a leading axis W."""
    mask: Any                                 # float32[B, T, S], 0 or rules.HIDDEN
    sees_any: Any                             # bool[B, T], whether the query attends to any key
    bias: Any = None                          # float32[B or 1, N, T, S]


def lacks(need: Any) -> list[str]:
    """Nothing."""
    return []


def faster(need: Any) -> bool:
    """Whether this is the fastest; it comes last."""
    return True


def prepare(rule: rules.Rule, terms: tuple = (), hint: rules.Hint = rules.UNKNOWN, windows: tuple[int | None, ...] = (None,)) -> Prepared:
    """What `attend` needs of a rule in every layer, computed once a stack. terms: of the scores (terms.py)."""
    del hint                                  # all pairs are computed
    allowed, sees_any = rules.masks(rule, windows)
    # Added to the scores, not selected with `where`: the gradient of a sum needs no copy of the mask for every head.
    mask = jnp.where(allowed, 0.0, rules.HIDDEN).astype(jnp.float32)
    return Prepared(mask, sees_any, score_terms.matrix(terms, rule))


def add_terms(prepared: Prepared, terms: Any) -> Prepared:
    """`prepared` with a layer's own terms of the scores (transformer_xl.Terms)."""
    terms = terms.matrix()
    return dataclasses.replace(prepared, bias=terms if prepared.bias is None else prepared.bias + terms)


@jax.named_scope('plain')
def attend(query: jax.Array, key: jax.Array, value: jax.Array, prepared: Prepared, *, window: jax.Array | None = None, scale: float,
           soft_cap: float | None = None, dropout: tuple | None = None) -> jax.Array:
    """Weighted mean of the values that each query attends to: float[B, N, T, H].

    query float[B, N, T, H]; key, value float[B, K, S, H], each shared by N / K query heads; window: the number of the layer's
    window among those prepared, int32[], None if there is one; dropout: (rate, key, rows int32[B]) for the weights, or None.
    """
    B, N, T, H = query.shape
    K, S = key.shape[1:3]
    mask, sees_any = (each if window is None else each[window] for each in (prepared.mask, prepared.sees_any))
    query = (query * scale).reshape(B, K, N // K, T, H)
    scores = ops.einsum_float32('bkgth,bksh->bkgts', query, key).reshape(B, N, T, S)
    scores = ops.soft_cap(scores, soft_cap)
    if prepared.bias is not None:
        scores += prepared.bias
    weights = jax.nn.softmax(scores + mask[:, None], axis=-1)
    if dropout is not None:
        weights *= dropouts.mask(*dropout, N, jnp.arange(T), S).block(0, T, 0, S)
    weights = weights.astype(value.dtype).reshape(B, K, N // K, T, S)
    out = jnp.einsum('bkgts,bksh->bkgth', weights, value).reshape(B, N, T, H)
    # Without a visible key the softmax is uniform over keys that must not leak. Zeroing the output also stops the
    # gradient: what comes back is 0, and 0 times the finite weights stays 0.
    return jnp.where(sees_any[:, None, :, None], out, 0)
