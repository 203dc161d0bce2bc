"""Attention as two products and a softmax: the definition against which every faster implementation is tested.

Scores and softmax are float32. A query that sees no key outputs 0 and passes no gradient.
"""
import jax
import jax.numpy as jnp

from model import ops
from model.attention import rule as rules


def attend(query, key, value, rule, *, scale, bias=None, soft_cap=None, dropout=None):
    """Weighted mean of the values that each query may see.

    query float[B, N, T, H]; key, value float[B, K, S, H], each shared by N / K query heads; bias float32[B, N, T, S];
    `dropout`, a function of the weights float32[B, N, T, S]. Returns float[B, N, T, H].
    """
    B, N, T, H = query.shape
    K, S = key.shape[1:3]
    if rule.added is None:
        rule = rules.write(rule, rule.window)
    query = (query * scale).reshape(B, K, N // K, T, H)
    scores = ops.einsum_float32('bkgth,bksh->bkgts', query, key).reshape(B, N, T, S)
    scores = ops.soft_cap(scores, soft_cap)
    if bias is not None:
        scores += bias
    weights = jax.nn.softmax(scores + rule.added[:, None], axis=-1)
    if dropout is not None:
        weights = dropout(weights)
    weights = weights.astype(value.dtype).reshape(B, K, N // K, T, S)
    out = jnp.einsum('bkgts,bksh->bkgth', weights, value).reshape(B, N, T, H)
    # Without a visible key the softmax is uniform over keys that must not leak. Zeroing the output also stops the
    # gradient: what comes back is 0, and 0 times the finite weights stays 0.
    return jnp.where(rule.sighted[:, None, :, None], out, 0)
