"""Attention by cuDNN's fused kernel on NVIDIA GPUs (`jax.nn.dot_product_attention`).

The kernel itself knows causal and full attention of rows that are one segment, or one segment and padding, also with one window of keys
before the query: no [T, S] array is made. All other rules become a dense mask bool[B, 1, T, S] and biases a dense bias, and the kernel
computes every pair. It has no dropout.
"""
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from model import ops
from model.attention import rule as rules, terms as score_terms


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prepared:
    """What `attend` needs of a rule, for T queries and S keys. With W > 1 windows the first two have a leading axis W."""
    mask: Any                                 # bool[B, 1, T, S], None = native
    sees_any: Any                             # bool[B, T], whether the query attends to any key
    lengths: Any = None                       # of queries and of keys, two int32[B]; None = whole rows
    bias: Any = None                          # float32[B or 1, N, T, S]
    causal: bool = dataclasses.field(default=False, metadata={'static': True})
    window: int | None = dataclasses.field(default=None, metadata={'static': True})


def lacks(need: Any) -> list[str]:
    """Other devices, float32, some head sizes and meshes, Transformer-XL's terms, soft caps, dropout, odd lengths with a mask or a bias."""
    config, found = need.config, []
    if need.platform != 'gpu':
        found.append(f'a {need.platform.upper()}')
    if not capable():
        found.append('GPUs before compute capability 8.0')
    if ops.mesh_axes('length'):
        found.append('mesh.context > 1')
    if ops.partition((config.heads,), ('heads',)) != ops.partition((config.kv,), ('kv',)):
        found.append(f'model.kv_heads = {config.kv} beside mesh.tensor > {config.kv}')
    if jnp.dtype(need.dtype) != jnp.bfloat16:
        found.append(f'dtype = {jnp.dtype(need.dtype).name}')
    if config.size % 8 or config.size > 128:
        found.append(f'heads {config.size} wide')
    if need.scores == 'terms':
        found.append(f'model.positions = {config.positions}')
    if config.attention_soft_cap is not None:
        found.append(f'model.attention_soft_cap = {config.attention_soft_cap}')
    if need.training and config.attention_dropout:
        found.append(f'model.attention_dropout = {config.attention_dropout}')
    dense = need.scores or not _native(need.hint, need.windows, need.scores)
    if dense and (need.queries % 2 or need.keys % 2):
        found.append(f'{need.queries} x {need.keys} tokens with a mask or a bias (odd)')
    return found


def faster(need: Any) -> bool:
    """Whether this is faster than the others: not for the single query of a decoding step."""
    return need.queries > 1


def capable() -> bool:
    """Whether the GPUs have the kernel: from compute capability 8.0 on; those of other makers have none."""
    found = getattr(jax.devices()[0], 'compute_capability', '8.0')
    return found.replace('.', '', 1).isdigit() and float(found) >= 8


def _native(hint, windows, terms):
    """Whether the kernel knows the rule by itself: of windows one that looks back, without a bias beside it."""
    windowed = windows != (None,)
    return hint.order != 'ordered' and hint.segments != 'packed' and not hint.offset and not (
        windowed and (len(windows) > 1 or hint.order != 'causal' or bool(terms)))


def prepare(rule: rules.Rule, terms: tuple = (), hint: rules.Hint = rules.UNKNOWN, windows: tuple[int | None, ...] = (None,)) -> Prepared:
    """What all layers share; arguments as `plain.prepare`."""
    bias = score_terms.matrix(terms, rule)
    if not _native(hint, windows, terms):
        mask, sees_any = rules.masks(rule, windows)
        return Prepared(mask[..., None, :, :], sees_any, bias=bias)
    lengths = None
    if hint.segments == 'padded':
        lengths = tuple(jnp.sum(segments != 0, axis=1, dtype=jnp.int32) for segments in (rule.query_segments, rule.key_segments))
    return Prepared(None, rule.query_segments != 0, lengths, bias, hint.order == 'causal', windows[0])


def attend(query: jax.Array, key: jax.Array, value: jax.Array, prepared: Prepared, *, window: jax.Array | None = None, scale: float,
           soft_cap: float | None = None, dropout: tuple | None = None) -> jax.Array:
    """Weighted mean of the values that each query attends to; arguments and result as `plain.attend`."""
    if soft_cap is not None or dropout is not None:
        raise ValueError('cuDNN has no soft cap and no dropout')
    mask, sees_any = (each if window is None or each is None else each[window] for each in (prepared.mask, prepared.sees_any))
    lengths = dict(zip(('query_seq_lengths', 'key_value_seq_lengths'), prepared.lengths or ()))
    size = None if prepared.window is None else (prepared.window - 1, 0)
    bias = None if prepared.bias is None else prepared.bias.astype(query.dtype)
    query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
    out = jax.nn.dot_product_attention(query, key, value, bias, mask, scale=scale, is_causal=prepared.causal, local_window_size=size,
                                       implementation='cudnn', **lengths)
    # A query without a visible key gets the mean of all values, or what the kernel leaves there.
    return jnp.where(sees_any[:, None, :, None], out.swapaxes(1, 2), 0)
