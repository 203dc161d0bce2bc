"""Transformer-XL's attention scores with XLNet's relative segments (Dai et al. 2019; Yang et al. 2019).

    score(q, k) = ((q + r_w) key + (q + r_r) W_r R(p_q - p_k) + (q + r_s) s[whether types differ]) * scale

W_r, s and the three biases r are parameters of each layer; R is sin || cos of a distance. `share` computes what all layers
share. Distances are counted along the row, so that one product and a shift give the second term of all pairs: positions of
neighbours in a document differ by 1, or by -1 in a row that is read backwards (there the table is XLNet's R(-d)). Queries appended to
the row (`streams.py`) are moved to the slots of their targets for that product and back again, as in the original.
"""
import dataclasses
import functools
from typing import Any, Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from model import config as model_config, encodings, initializers, layers, ops
from model.attention import rule as rules


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Relative:
    """The distances and types of T' queries, P of them appended, and S keys, for all layers."""
    table: Any                                # float[W, R, D], R of the distances S, ..., 1 - T; W tables
    reads: Any = None                         # int32[B], the table of each row; None = table b is that of row b
    slots: Any = None                         # int32[B, P], slots of the appended queries; T' - P = unused
    index: Any = None                         # int32[B, T, S], table entry of each pair, where distances do not follow the row
    same: Any = None                          # bool[B, T', S], whether query and key have the same type


def share(config: model_config.Config, rule: rules.Rule, fields: dict[str, jax.Array], cached: bool = False,
          dropout: Callable | None = None) -> Relative:
    """The Relative of a `rule` for the `fields` of T tokens and of the queries at `slots` that may be appended to them.

    With a cache, the slot of a key does not give its distance: each pair looks its entry up, and types are ignored.
    Keys before the tokens (a memory) count as type 0. dropout: a function of the table, None in evaluation.
    """
    T, S = fields['seen'].shape[1], rule.seen.shape[1]
    if cached:
        distance = rule.query_positions[:, :, None] - rule.key_positions[:, None]
        table = encodings.halves(jnp.arange(S, -S, -1), config.dim)[None]
        relative = Relative(table, jnp.zeros(rule.sees.shape[0], jnp.int32), index=jnp.clip(S - distance, 0, 2 * S - 1))
    else:
        distances, appended = jnp.arange(S, -T, -1), rule.query_segments[:, T:]
        table = encodings.halves(jnp.stack([distances, -distances]), config.dim)
        reads = jnp.where(encodings.direction(rule.query_positions[:, :T]) < 0, 1, 0)
        relative = Relative(table, reads, jnp.where(appended > 0, fields['slots'], T) if appended.shape[1] else None)
    if dropout is not None and config.embedding_dropout:
        relative = dataclasses.replace(relative, table=dropout(relative.table[relative.reads]), reads=None)
    if config.relative_segments and not cached:
        types = fields.get('types', jnp.zeros_like(fields['positions']))
        known = jnp.pad(types[:, :T], ((0, 0), (S - T, 0)))
        relative = dataclasses.replace(relative, same=types[:, :, None] == known[:, None])
    return relative


def shift(x: jax.Array, keys: int) -> jax.Array:
    """out[t, s] = x[t, T - t + s]: float[..., T, R] -> float[..., T, keys], without a gather."""
    T, R = x.shape[-2:]
    x = x.reshape(*x.shape[:-2], R * T)[..., T:]
    return x.reshape(*x.shape[:-1], T, R - 1)[..., :keys]


class Scores(nn.Module):
    """The terms of one layer, with its parameters."""
    config: model_config.Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, query: jax.Array, relative: Relative, scale: float) -> tuple[jax.Array, jax.Array]:
        """float[B, N, T', H] -> (queries for the keys, float[B, N, T', H]; the other terms of the scores, float32[B, N, T', S])."""
        config = self.config

        def biased(name):
            return query + initializers.param(self, name, (config.heads, config.size)).astype(query.dtype)[:, None]

        projected = layers.Dense(config, config.heads * config.size, self.dtype, bias=False, name='key')(relative.table)
        projected = projected.reshape(*projected.shape[:2], config.heads, config.size).transpose(0, 2, 1, 3)
        projected = projected if relative.reads is None else projected[relative.reads]
        terms = by_distance(biased('position_bias'), projected, relative)
        if relative.same is not None:
            segments = initializers.param(self, 'segments', (2, config.heads, config.size)).astype(query.dtype)
            by_type = ops.einsum_float32('bnth,znh->bntz', biased('segment_bias'), segments)
            terms += jnp.where(relative.same[:, None], by_type[..., :1], by_type[..., 1:])
        return biased('content_bias'), terms * scale


def by_distance(query: jax.Array, projected: jax.Array, relative: Relative) -> jax.Array:
    """Products of queries float[B, N, T', H] with the projected distances float[B, N, R, H] of each key: float32[B, N, T', S]."""
    product = functools.partial(ops.einsum_float32, 'bnth,bnrh->bntr')
    if relative.index is not None:
        return jnp.take_along_axis(product(query, projected), relative.index[:, None], axis=-1)
    P = 0 if relative.slots is None else relative.slots.shape[1]
    T = query.shape[2] - P
    keys = projected.shape[2] - T
    terms = shift(product(query[:, :, :T], projected), keys)
    if not P:
        return terms
    put = jax.vmap(lambda appended, slots: jnp.zeros_like(query[0, :, :T]).at[:, slots].set(appended, mode='drop'))
    placed = shift(product(put(query[:, :, T:], relative.slots), projected), keys)
    taken = jnp.take_along_axis(placed, relative.slots[:, None, :, None], axis=2, mode='clip')
    return jnp.concatenate([terms, taken], axis=2)
