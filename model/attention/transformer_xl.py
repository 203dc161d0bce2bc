"""Transformer-XL's attention scores with XLNet's relative segments (Dai et al. 2019; Yang et al. 2019).

    score(q, k) = ((q + r_w) key + (q + r_r) W_r R(p_q - p_k) + (q + r_s) s[whether types differ]) * scale

W_r, s and the three biases r are parameters of each layer; R is sin || cos of a distance. `share` computes what all layers
share. Distances are counted along the row, so that one product and a shift give the second term of all pairs: positions of
neighbours in a document differ by 1, or by -1 in a row that is read backwards (there the table is XLNet's R(-d)). Queries appended to
the row (`streams.py`) are moved to the slots of their targets for that product and back again, as in the original.
"""
import dataclasses
from typing import Any, Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from model import config as model_config, encodings, initializers, layers, ops
from model.attention import rule as rules, streams, terms as score_terms


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Relative:
    """The distances and types of T' queries, P of them appended, and S keys, for all layers."""
    table: Any                                # float[W, R, D], R of the distances S, ..., 1 - T; W tables
    reads: Any = None                         # int32[B], the table of each row; None = table b is that of row b
    slots: Any = None                         # int32[B, P], slots of the appended queries; T' - P = unused
    index: Any = None                         # int32[B, T, S], table entry of each pair, where distances do not follow the row
    types: Any = None                         # of queries int32[B, T'] and of keys int32[B, S]


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
        relative = dataclasses.replace(relative, types=(types, known))
    return relative


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Terms:
    """A layer's own terms of the scores, as in terms.py. With appended queries, `split` comes before `block` and `padded`."""
    queries: Any                              # float[B, N, T', H], scaled
    distances: Any                            # float[B, N, R, H], projected
    by_type: Any = None                       # float32[B, N, T', 2], of keys of the query's type and of another
    types: Any = None
    index: Any = None
    slots: Any = None                         # these three as in `Relative`

    def block(self, first_query: Any, queries: int, first_key: Any, keys: int) -> jax.Array:
        """float32[B, N, queries, keys]."""
        def cut(x, axis, first, size):
            return jax.lax.dynamic_slice_in_dim(x, first, size, axis)

        query, distances = cut(self.queries, 2, first_query, queries), self.distances
        if self.index is not None:
            index = cut(cut(self.index, 1, first_query, queries), 2, first_key, keys)
            return jnp.take_along_axis(ops.einsum_float32('bnth,bnrh->bntr', query, distances), index[:, None], axis=-1)
        distances = cut(distances, 2, self.queries.shape[2] - first_query - queries + first_key, queries + keys)
        found = score_terms.shift(ops.einsum_float32('bnth,bnrh->bntr', query, distances), keys)
        if self.types is None:
            return found
        by_type, of_query, of_key = cut(self.by_type, 2, first_query, queries), *self.types
        same = cut(of_query, 1, first_query, queries)[:, None, :, None] == cut(of_key, 1, first_key, keys)[:, None, None]
        return found + jnp.where(same, by_type[..., :1], by_type[..., 1:])

    def padded(self, queries: int, keys: int) -> 'Terms':
        """For longer rows."""
        longer = ops.lengthen(self.queries, 2, queries)
        if self.index is not None:
            return dataclasses.replace(self, queries=longer, index=ops.lengthen(ops.lengthen(self.index, 1, queries), 2, keys))
        before = jnp.pad(self.distances, ((0, 0), (0, 0), (queries - self.queries.shape[2], 0), (0, 0)))
        distances = ops.lengthen(before, 2, queries + keys)
        if self.types is None:
            return Terms(longer, distances)
        types = ops.lengthen(self.types[0], 1, queries), ops.lengthen(self.types[1], 1, keys)
        return Terms(longer, distances, ops.lengthen(self.by_type, 2, queries), types)

    def split(self) -> tuple['Terms', 'Terms']:
        """Those of the queries of the row, and those of the appended queries moved to their slots: for rows of T queries each."""
        T = self.queries.shape[2] - self.slots.shape[1]

        def part(change, of_types):
            by_type, types = (None, None) if self.types is None else (change(self.by_type), (of_types(self.types[0]), self.types[1]))
            return Terms(change(self.queries), self.distances, by_type, types)

        return (part(lambda x: x[:, :, :T], lambda x: x[:, :T]),
                part(lambda x: streams.put(x[:, :, T:], self.slots, T, 2), lambda x: streams.put(x[:, T:], self.slots, T)))

    def matrix(self) -> jax.Array:
        """Of all pairs: float32[B, N, T', S]."""
        if self.slots is None:
            S = self.index.shape[2] if self.index is not None else self.distances.shape[2] - self.queries.shape[2]
            return self.block(0, self.queries.shape[2], 0, S)
        row, appended = self.split()
        return jnp.concatenate([row.matrix(), streams.take(appended.matrix(), self.slots, 2)], axis=2)


class Scores(nn.Module):
    """The terms of one layer, with its parameters."""
    config: model_config.Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, query: jax.Array, relative: Relative, scale: float) -> tuple[jax.Array, Terms]:
        """float[B, N, T', H] -> (queries for the keys, float[B, N, T', H]; the other terms of the scores)."""
        config = self.config

        def biased(name):
            return query + initializers.param(self, name, (config.heads, config.size)).astype(query.dtype)[:, None]

        projected = layers.Dense(config, config.heads * config.size, self.dtype, bias=False, name='key')(relative.table)
        projected = projected.reshape(*projected.shape[:2], config.heads, config.size).transpose(0, 2, 1, 3)
        projected = projected if relative.reads is None else projected[relative.reads]
        terms = Terms(biased('position_bias') * scale, projected, None, None, relative.index, relative.slots)
        if relative.types is not None:
            segments = initializers.param(self, 'segments', (2, config.heads, config.size)).astype(query.dtype)
            by_type = ops.einsum_float32('bnth,znh->bntz', biased('segment_bias'), segments) * scale
            terms = dataclasses.replace(terms, by_type=by_type, types=relative.types)
        return biased('content_bias'), terms
