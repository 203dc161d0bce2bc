"""Attention by blocks of queries and keys: memory linear in the length, on any platform (Rabe and Staats 2021; Dao et al. 2022).

The softmax of a query is computed as its keys come, block by block, with a running maximum and sum (Milakov and Gimelshein 2018). The
backward pass keeps the output and the logarithm of the sum, and computes the scores of each block again. Blocks that the hint excludes
are not visited. Scores and softmax are float32.
"""
import dataclasses
import functools
from typing import Any, Callable, NamedTuple

import jax
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp

from model import ops
from model.attention import blocks as schedules, dropout as dropouts, rule as rules, streams, terms as score_terms


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prepared:
    """What `attend` needs of a rule, for T queries and S keys."""
    rule: rules.Rule
    terms: tuple = ()                         # of the scores (model/attention/terms.py)
    windows: Any = None                       # int32[W], of which each layer takes one; None = no layer has a window
    hint: rules.Hint = dataclasses.field(default=rules.UNKNOWN, metadata={'static': True})
    widest: int | None = dataclasses.field(default=None, metadata={'static': True})  # the largest window, None = unlimited


def lacks(need: Any) -> list[str]:
    """Rows whose tokens lie on several devices."""
    return ['mesh.context > 1'] if ops.mesh_axes('length') else []


def faster(need: Any) -> bool:
    """Whether this is faster than `plain`. Measured on CPUs alone; elsewhere where plain's scores of one head take 64 MiB."""
    return need.queries * need.keys >= (512 * 512 if need.platform == 'cpu' else 4096 * 4096) and need.queries > 1


def prepare(rule: rules.Rule, terms: tuple = (), hint: rules.Hint = rules.UNKNOWN, windows: tuple[int | None, ...] = (None,)) -> Prepared:
    """What all layers share; arguments as `plain.prepare`."""
    if windows == (None,):
        return Prepared(rule, terms, hint=hint)
    sizes = jnp.array([rules.NEVER if window is None else window for window in windows], jnp.int32)
    return Prepared(rule, terms, sizes, hint, None if None in windows else max(windows))


def add_terms(prepared: Prepared, terms: Any) -> Prepared:
    """`prepared` with a layer's own terms of the scores (Transformer-XL)."""
    return dataclasses.replace(prepared, terms=(*prepared.terms, terms))


def attend(query: jax.Array, key: jax.Array, value: jax.Array, prepared: Prepared, *, window: jax.Array | None = None, scale: float,
           soft_cap: float | None = None, dropout: tuple | None = None) -> jax.Array:
    """Weighted mean of the values that each query attends to; arguments and result as `plain.attend`."""
    size = None if prepared.windows is None else prepared.windows[0 if window is None else window]
    places = jnp.arange(query.shape[2], dtype=jnp.uint32)
    run = functools.partial(_attend, key=key, value=value, size=size, scale=scale, soft_cap=soft_cap, dropout=dropout)
    slots = next((terms.slots for terms in prepared.terms if getattr(terms, 'slots', None) is not None), None)
    if slots is None:
        return run(query, prepared, places)
    # Queries behind the row attend from the slots of their targets, where Transformer-XL's distances are those of the row.
    length = query.shape[2] - slots.shape[1]
    row, appended = (dataclasses.replace(prepared, terms=terms) for terms in zip(*(terms.split() for terms in prepared.terms)))
    row = dataclasses.replace(row, rule=rules.on_sides(prepared.rule, lambda x: x[:, :length], lambda x: x))
    at_targets = rules.on_sides(prepared.rule, lambda x: streams.put(x[:, length:], slots, length), lambda x: x)
    appended = dataclasses.replace(appended, rule=at_targets)
    at_slots = streams.put(jnp.broadcast_to(places[length:], slots.shape), slots, length)
    out = run(query[:, :, :length], row, places[:length])
    placed = run(streams.put(query[:, :, length:], slots, length, 2), appended, at_slots)
    return jnp.concatenate([out, streams.take(placed, slots, 2)], axis=2)


def _attend(query, prepared, places, *, key, value, size, scale, soft_cap, dropout):
    """`attend` for queries at the `places` uint32[T] or [B, T] of the row, with the window `size`, int32[] or None."""
    (B, N, T, H), (K, S), hint = query.shape, key.shape[1:3], prepared.hint
    blocks = schedules.of(T, S, hint, prepared.widest)
    queries, keys = blocks.query_count * blocks.query_size, blocks.key_count * blocks.key_size
    kept = None if dropout is None else dropouts.mask(*dropout, N, places, S)
    rule = rules.on_sides(prepared.rule, lambda x: ops.lengthen(x, 1, queries), lambda x: ops.lengthen(x, 1, keys))
    query = ops.lengthen((query * scale).reshape(B, K, N // K, T, H), 3, queries)
    terms, kept = jax.tree.map(lambda x: x.padded(queries, keys), (prepared.terms, kept), is_leaf=lambda x: hasattr(x, 'padded'))
    key, value = (ops.lengthen(x, 2, keys) for x in (key, value))
    floats, others = (jax.tree.map(lambda x, wanted=wanted: x if _float(x) is wanted else None, terms) for wanted in (True, False))
    out = _blockwise(blocks, soft_cap, query, key, value, floats, _Constants(rule, size, kept, others))
    return out[:, :, :, :T].reshape(B, N, T, H)


class _Constants(NamedTuple):
    """What has no gradient."""
    rule: rules.Rule
    window: Any                               # int32[], None = unlimited
    kept: dropouts.Mask | None                # None = no dropout
    terms: tuple                              # the constants of the terms; their floats, which have a gradient, are None here


def _loop(ends: tuple, start: Any, step: Callable, carry: Any) -> tuple[Any, Any]:
    """(carry, results [n, ...]): for each n, result = start; then (carry, result) = step(n, m, carry, result) for m from first to end."""
    first, end = jnp.array(ends, jnp.int32).T

    def one(carry, n):
        return jax.lax.fori_loop(first[n], end[n], lambda m, both: step(n, m, *both), (carry, start))

    return jax.lax.scan(one, carry, jnp.arange(len(ends), dtype=jnp.int32))


def _cut(x, axis, number, size):
    """Block `number` of an axis."""
    return jax.lax.dynamic_slice_in_dim(x, number * size, size, axis)


def _columns(x):
    """float[B, K, T, H] -> float[B, K, H, T], written out: products of rows with columns are the fast ones on CPUs."""
    return jax.lax.optimization_barrier(x.swapaxes(2, 3))


def _float(x):
    """Whether a leaf is differentiable."""
    return jnp.issubdtype(x.dtype, jnp.floating)


def _place(blocks, i, j):
    """(first query, queries, first key, keys) of block (i, j)."""
    return i * blocks.query_size, blocks.query_size, j * blocks.key_size, blocks.key_size


def _terms(blocks, terms, constants, i, j, shape):
    """The sum of the terms of block (i, j): float32 [B, K, G, Q, C], `shape`, or with B = 1."""
    whole = jax.tree.map(lambda x, y: y if x is None else x, terms, constants.terms, is_leaf=lambda x: x is None)
    return score_terms.total(whole, *_place(blocks, i, j)).reshape(-1, *shape[1:])


def _hidden(blocks, constants, i, j):
    """Which pairs of block (i, j) are hidden: bool[B, 1, 1, Q, C]."""
    block = rules.on_sides(constants.rule, lambda x: _cut(x, 1, i, blocks.query_size), lambda x: _cut(x, 1, j, blocks.key_size))
    return ~rules.mask(block, constants.window)[:, None, None]


def _kept(blocks, constants, i, j, shape):
    """The factors 0 or 1 / (1 - rate) of the weights of block (i, j), float32 [B, K, G, Q, C]; None without dropout."""
    return None if constants.kept is None else constants.kept.block(*_place(blocks, i, j)).reshape(shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _blockwise(blocks, soft_cap, query, key, value, terms, constants):
    """query float[B, K, G, T, H], scaled; key, value float[B, K, S, H]; terms: their floats; T and S are multiples of the blocks."""
    return _forward(blocks, soft_cap, query, key, value, terms, constants)[0].astype(value.dtype)


@jax.named_scope('blockwise')
def _forward(blocks, soft_cap, query, key, value, terms, constants):
    """(the output [B, K, G, T, H], the logarithm of each query's sum of exponentials [B, K, G, T], inf if it sees nothing), float32."""
    B, K, G, T, H = query.shape
    Q, shape = blocks.query_size, (B, K, G, blocks.query_size, blocks.key_size)
    # The gradients of a row's scores add up to 0, as far as the output is exact; the gradients of terms are such sums.
    exact = jnp.float32 if jax.tree.leaves(terms) else value.dtype

    def step(i, j, _, row):
        highest, total, out = row
        rows = _cut(query, 3, i, Q).reshape(B, K, G * Q, H)
        scores = ops.einsum_float32('bkth,bkhs->bkts', rows, _columns(_cut(key, 2, j, blocks.key_size))).reshape(shape)
        scores = ops.soft_cap(scores, soft_cap)
        if terms:
            scores += _terms(blocks, terms, constants, i, j, shape)
        scores = jnp.where(_hidden(blocks, constants, i, j), rules.HIDDEN, scores)
        new = jnp.maximum(highest, jnp.max(scores, axis=-1))
        weights = jnp.exp(scores - jnp.where(new > rules.HIDDEN, new, 0)[..., None])
        shrunk = jnp.exp(highest - new)
        total = total * shrunk + jnp.sum(weights, axis=-1)
        if (kept := _kept(blocks, constants, i, j, shape)) is not None:
            weights *= kept
        weights, values = weights.astype(exact).reshape(B, K, G * Q, -1), _cut(value, 2, j, blocks.key_size).astype(exact)
        added = ops.einsum_float32('bkts,bksh->bkth', weights, values).reshape(B, K, G, Q, H)
        return None, (new, total, out * shrunk[..., None] + added)

    zeros = jnp.zeros((B, K, G, Q), jnp.float32)
    _, found = _loop(blocks.visited, (zeros + rules.HIDDEN, zeros, jnp.zeros((B, K, G, Q, H), jnp.float32)), step, None)
    highest, total, out = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 3).reshape(B, K, G, T, *x.shape[5:]), found)
    sees, total = total > 0, jnp.where(total > 0, total, 1)
    return out / total[..., None], jnp.where(sees, highest + jnp.log(total), jnp.inf)


def _forward_saved(blocks, soft_cap, query, key, value, terms, constants):
    out, logs = _forward(blocks, soft_cap, query, key, value, terms, constants)
    out, logs = checkpoint_name(out, 'attention'), checkpoint_name(logs, 'attention')
    return out.astype(value.dtype), (query, key, value, terms, constants, out, logs)


@jax.named_scope('blockwise_backward')
def _backward(blocks, soft_cap, saved, gradient):
    """The scores are computed with keys before queries, [B, K, C, G, Q]: all five products are then of rows with columns."""
    query, key, value, terms, constants, out, logs = saved
    (B, K, G, T, H), Q, C = query.shape, blocks.query_size, blocks.key_size
    shape = B, K, G, Q, C
    mean = jnp.sum(gradient.astype(jnp.float32) * out, axis=-1)  # of the weights' gradients, by the weights
    gradient = gradient.astype(value.dtype)

    def keys_first(x):
        """[B, K, G, Q, C] -> [B, K, C, G, Q]."""
        return jnp.moveaxis(x, 4, 2)

    def rows(x, i):
        return _cut(x, 3, i, Q).reshape(B, K, G * Q, H)

    def product(keys, queries):
        return ops.einsum_float32('bksh,bkht->bkst', keys, _columns(queries)).reshape(B, K, C, G, Q)

    def step(j, i, carry, column):
        (of_query, of_terms), (of_key, of_value) = carry, column
        scores = product(_cut(key, 2, j, C), rows(query, i))
        capped = scores = ops.soft_cap(scores, soft_cap)
        if terms:
            added, pull = jax.vjp(lambda terms: _terms(blocks, terms, constants, i, j, shape), terms)
            scores += keys_first(added)
        scores = jnp.where(keys_first(_hidden(blocks, constants, i, j)), rules.HIDDEN, scores)
        weights = jnp.exp(scores - _cut(logs, 3, i, Q)[:, :, None])
        of_weights = product(_cut(value, 2, j, C), rows(gradient, i))
        dropped = weights
        if (kept := _kept(blocks, constants, i, j, shape)) is not None:
            dropped, of_weights = weights * keys_first(kept), of_weights * keys_first(kept)
        of_scores = weights * (of_weights - _cut(mean, 3, i, Q)[:, :, None])
        if terms:
            given = jnp.moveaxis(of_scores, 2, 4)
            given = given if added.shape[0] == B else jnp.sum(given, axis=0, keepdims=True)
            of_terms = jax.tree.map(jnp.add, of_terms, pull(given)[0])  # float32: many blocks add to an entry
        if soft_cap is not None:
            of_scores *= 1 - jnp.square(capped / soft_cap)
        dropped, of_scores = (x.astype(value.dtype).reshape(B, K, C, G * Q) for x in (dropped, of_scores))
        of_value += ops.einsum_float32('bkst,bkth->bksh', dropped, rows(gradient, i))
        of_key += ops.einsum_float32('bkst,bkth->bksh', of_scores, rows(query, i))
        added = ops.einsum_float32('bkhs,bkst->bkht', _columns(_cut(key, 2, j, C)), of_scores).reshape(B, K, H, G, Q)
        of_query = jax.lax.dynamic_update_slice_in_dim(of_query, _cut(of_query, 4, i, Q) + added, i * Q, 4)
        return (of_query, of_terms), (of_key, of_value)

    carry = (jnp.zeros((B, K, H, G, T), jnp.float32), jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.float32), terms))
    zeros = jnp.zeros((B, K, C, H), jnp.float32)
    (of_query, of_terms), found = _loop(blocks.visitors(), (zeros, zeros), step, carry)
    of_key, of_value = (jnp.moveaxis(x, 0, 2).reshape(B, K, -1, H).astype(value.dtype) for x in found)
    of_terms = jax.tree.map(lambda gradient, x: gradient.astype(x.dtype), of_terms, terms)
    return jnp.moveaxis(of_query, 2, 4).astype(query.dtype), of_key, of_value, of_terms, None


_blockwise.defvjp(_forward_saved, _backward)
