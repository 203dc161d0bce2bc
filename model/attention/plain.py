"""Attention as two products and a softmax: the reference against which every faster implementation is tested.

Scores and softmax are float32. A query that attends to no key outputs 0 and has gradient 0. All layers share the mask and the bias.
The output, not the weights, is divided by the sum of the exponentials: one array of all pairs is saved for the gradient, two with dropout.
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
    scores = ops.einsum_float32('bkrh,bksh->bkrs', (query * scale).reshape(B, K, N // K * T, H), key).reshape(B, N, T, S)
    scores = ops.soft_cap(scores, soft_cap)
    if prepared.bias is not None:
        scores += prepared.bias
    scores += mask[:, None]
    kept = None if dropout is None else dropouts.mask(*dropout, N, jnp.arange(T), S).block(0, T, 0, S)
    scores, kept = jax.tree.map(lambda x: x.reshape(B, K, N // K * T, S), (scores, kept))
    out = weighted_mean(scores, value, kept).reshape(B, N, T, H)
    # Without a visible key the softmax is uniform over keys that must not leak. Zeroing the output also stops the
    # gradient: what comes back is 0, and 0 times the finite weights stays 0.
    return jnp.where(sees_any[:, None, :, None], out, 0)


@jax.custom_vjp
def weighted_mean(scores: jax.Array, value: jax.Array, kept: jax.Array | None) -> jax.Array:
    """Mean of the values by the softmax of their scores: float[B, K, R, H].

    scores float32[B, K, R, S], of all queries that share a key head; value float[B, K, S, H]; kept float32[B, K, R, S], factors of
    dropout, None = no dropout. The gradient that JAX derives saves one more array of all pairs, and copies one (docs/design-notes.md).
    """
    return _forward(scores, value, kept)[0]


def _forward(scores, value, kept):
    exponentials = jnp.exp(scores - jnp.max(scores, axis=-1, keepdims=True))
    total = jnp.sum(exponentials, axis=-1, keepdims=True)
    out = ops.einsum_float32('bkrs,bksh->bkrh', _drop(exponentials, kept).astype(value.dtype), value) / total
    return out.astype(value.dtype), (exponentials, total, value, kept)


def _backward(saved, gradient):
    exponentials, total, value, kept = saved
    gradient = (gradient / total).astype(value.dtype)
    weights = _drop(exponentials, kept).astype(value.dtype)
    # The transposed product: XLA's CPU backend would copy the weights [R, S] to contract their rows, here it copies [R, H].
    of_value = ops.einsum_float32('bkhr,bkrs->bkhs', gradient.swapaxes(2, 3), weights).swapaxes(2, 3)
    of_weights = _drop(ops.einsum_float32('bkrh,bksh->bkrs', gradient, value), kept)
    # From the gradient of all pairs, not from the output: a query with one key has the gradient 0, to the last bit.
    mean = jnp.sum(exponentials * of_weights, axis=-1, keepdims=True) / total
    return exponentials * (of_weights - mean), of_value.astype(value.dtype), None


def _drop(weights, kept):
    return weights if kept is None else weights * kept


weighted_mean.defvjp(_forward, _backward)
