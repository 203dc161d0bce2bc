"""A stack of blocks: an encoder or a decoder between the embedding and the head.

Layers are stacked and scanned, so 96 compile as fast as one, and every parameter under `blocks` carries a leading layer
axis; layers that share their weights (ALBERT; Lan et al. 2020) scan over one set, `block`, without that axis. The last
layer of PanGu-alpha (Zeng et al. 2021), `query_block`, stands alone. What does not differ between layers (masks, biases,
rotary angles, distances) is computed once, in `Stack.share`. The only lifted transforms of the model are in `Stack`.
"""
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from model import attention, config as model_config, layers, memory as memories, ops, positions
from model.attention import rule as rules
from model.decoding import cache as caches

REMAT = {
    'dots': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # keep projections, recompute attention
    'full': jax.checkpoint_policies.nothing_saveable,
}
FIELDS = ('positions', 'segments', 'sees', 'seen')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shared:
    """What all layers of a stack read beside their input, computed once."""
    rule: rules.Rule                          # of self attention
    masks: Any = None                         # where layers differ: `added`, `sighted` of W windows, [W, ...]
    start: Any = None                         # int32[], the first cache slot of these tokens
    rotation: Any = None                      # cosine and sine for queries, two float32[B, 1, T, H / 2]
    key_rotation: Any = None                  # the same for new keys
    bias: Any = None                          # float32[B, N, T, S], the position bias of T5 or ALiBi
    relative: Any = None                      # Transformer-XL's distances and segments
    reuse: Any = dataclasses.field(default=None, metadata={'static': True})  # how many tokens the memory takes
    encoded: Any = None                       # float[B, S', D], what the encoder says
    cross: Any = None                         # rule of cross attention
    rows: Any = None                          # int32[B], global row numbers; None = no dropout
    queries: Any = None                       # float[B, T, D], what attention asks with instead of the stream (PanGu)


def remat(config, **options):
    """The class of a block that keeps for its gradient what config.remat says."""
    return Block if config.remat == 'none' else nn.remat(Block, policy=REMAT[config.remat], **options)


class Block(nn.Module):
    """One layer: attention, attention to an encoder (if there is one), feed-forward, each with norm and residual."""
    config: model_config.Config
    role: str
    dtype: Any

    def setup(self):
        config = self.config
        self.attention, self.attention_norm = attention.Attention(config, self.dtype), layers.Norm(config, self.dtype)
        if config.crosses(self.role):
            self.cross_attention = attention.Attention(config, self.dtype)
            self.cross_attention_norm = layers.Norm(config, self.dtype)
        self.mlp, self.mlp_norm = layers.MLP(config, self.dtype), layers.Norm(config, self.dtype)
        self.dropout = layers.Dropout(config.dropout)

    def __call__(self, carry, layer, shared):
        """carry: x float[B, T, D] and the cache's stacked k, v (or None); layer: its number, mask, cross k, v, and memory.

        Returns the carry, cross k, v where they were computed for a cache, and the next memory if there is one.
        """
        (x, stacked), (number, window, cross, memory) = carry, layer
        rule, rotation, rows = shared.rule, shared.rotation, shared.rows
        if window is not None:
            rule = dataclasses.replace(rule, added=shared.masks[0][window], sighted=shared.masks[1][window])
        made = None

        before = x if memory is None else jnp.concatenate([memory.astype(x.dtype), x], axis=1)
        memory = None if memory is None else memories.extend(memory, x, shared.reuse)
        y = self.enter(before, self.attention_norm)
        keys = rule.seen.shape[1] if stacked is None else y.shape[1]  # appended queries are not keys (permuted LM)
        kv = self.attention.keys_values(y[:, :keys], shared.key_rotation)
        if stacked is not None:
            stacked, kv = caches.write(stacked, kv, number, shared.start)
        asking = y[:, -x.shape[1]:] if shared.queries is None else shared.queries
        y = self.attention(asking, kv, rule, rotation=rotation, bias=shared.bias, relative=shared.relative, rows=rows)
        x = self.leave(x, y, self.attention_norm, rows)

        if self.config.crosses(self.role):
            y = self.enter(x, self.cross_attention_norm)
            if cross is None:
                cross = self.cross_attention.keys_values(shared.encoded)
                made = None if stacked is None else cross
            y = self.cross_attention(y, cross, shared.cross, rows=rows)
            x = self.leave(x, y, self.cross_attention_norm, rows)

        y = self.enter(x, self.mlp_norm)
        x = self.leave(x, self.mlp(y, rows), self.mlp_norm, rows)
        return (x, stacked), (made, memory)

    def enter(self, x, norm):
        """What a branch reads: the normed residual stream, or the stream itself in a post-norm model."""
        return norm(x) if self.config.norm_position == 'pre' else x

    def leave(self, x, y, norm, rows):
        """The residual stream after a branch said y."""
        x = x + self.dropout(y, rows)
        return ops.constrain(x if self.config.norm_position == 'pre' else norm(x), 'batch', 'length', 'model')


class Stack(nn.Module):
    """Positions, L blocks and a norm: an encoder or a decoder between the embedding and the head."""
    config: model_config.Config
    role: str                                 # encoder | decoder
    dtype: Any
    borrowed: Any = None                      # another Stack, whose positions, types and embedding norm this one uses

    def setup(self):
        config = self.config
        self.scheme = positions.of(config)
        self.positions = self.scheme.table(self.role, self.dtype)
        if config.types:
            self.types = layers.Embed(config, config.types, config.width)
        if config.norms_embeddings:
            self.embed_norm = layers.Norm(config, self.dtype)
        if config.width != config.dim:
            self.project = layers.Dense(config, config.dim, self.dtype)
        if config.norm_position == 'pre':
            self.norm = layers.Norm(config, self.dtype)
        self.dropout = layers.Dropout(config.dropout)
        self.output_dropout = layers.Dropout(config.output_dropout)
        depth = config.depth(self.role)
        if config.query_layer:
            depth -= 1
            self.queries = layers.Embed(config, config.max_length, config.dim)
            self.query_block = remat(config)(config, self.role, self.dtype)
        block = remat(config, prevent_cse=False)  # the loop over layers keeps what is recomputed apart
        scan = functools.partial(nn.scan, block, in_axes=(0, nn.broadcast), length=depth, unroll=min(config.unroll, depth))
        if config.share_layers:
            self.block = scan(variable_broadcast=('params', 'adapter'), split_rngs={'params': False, 'dropout': True})(
                config, self.role, self.dtype)
        else:
            self.blocks = scan(variable_axes={'params': 0, 'adapter': 0}, split_rngs={'params': True, 'dropout': True})(
                config, self.role, self.dtype)

    def __call__(self, x, fields, rows=None, cache=None, encoded=None, encoder_segments=None, memory=None):
        """Embedded tokens float32[B, T, E] -> float[B, T, D] and the extended cache, or else the next memory's states.

        fields: `positions segments sees seen`, and `types` where they are not all 0. With a cache the T tokens take its
        next slots and attend to all of it. With a memory (`memory.Memory`) they attend to that and to themselves.
        """
        config = self.config
        shared, windows, cache = self.share(fields, rows, cache, encoded, encoder_segments, memory)
        stacked, cross = (None, None) if cache is None else ((cache.k, cache.v), cache.cross)
        states = None if memory is None else jnp.moveaxis(memory.states, 1, 0)
        x = self.embed(x, fields, rows)
        numbers = jnp.arange(config.depth(self.role), dtype=jnp.int32)
        each = numbers, windows, cross, states
        if config.query_layer:
            each, last = (jax.tree.map(lambda leaf: leaf[part], each) for part in (slice(-1), -1))
        blocks = self.block if config.share_layers else self.blocks
        (x, stacked), (made, states) = blocks((x, stacked), each, shared)
        if config.norm_position == 'pre':
            x = self.norm(x)
        if config.query_layer:
            shared = dataclasses.replace(shared, queries=self.queries(fields['positions']).astype(self.dtype))
            (x, stacked), _ = self.query_block((x, stacked), last, shared)
        x = self.output_dropout(x, rows)
        if cache is not None:
            cache = dataclasses.replace(cache, k=stacked[0], v=stacked[1], cross=cross or made)
        return x, cache if states is None else jnp.moveaxis(states, 0, 1)

    def embed(self, x, fields, rows):
        """Adds to token embeddings what the model knows of their places and types: float[B, T, E] -> float[B, T, D]."""
        config, owner = self.config, self.borrowed or self
        x = self.scheme.embed(x, owner.positions, fields['positions'])
        if config.types:
            x += owner.types(fields.get('types', jnp.zeros_like(fields['positions'])))
        if config.norms_embeddings:
            x = owner.embed_norm(x)
        x = self.dropout(x.astype(self.dtype), rows)
        if config.width != config.dim:
            x = self.project(x)
        return ops.constrain(x, 'batch', 'length', 'model')

    def share(self, fields, rows, cache, encoded, encoder_segments, memory=None):
        """(Shared, the number of each layer's mask or None, the cache with the new tokens' integers)."""
        config = self.config
        place, segments, sees, seen = (fields[name] for name in FIELDS)
        start = None
        if cache is None:
            keys = seen.shape[1]
            rule = rules.Rule(sees, seen, segments, segments[:, :keys], place, place[:, :keys])
            rule = rule if memory is None else rules.remember(rule, *memories.places(memory, place))
        else:
            start, cache = cache.length, caches.extend(cache, seen, segments, place)
            rule = rules.Rule(sees, cache.seen, segments, cache.key_segments, place, cache.key_positions)
        cross = None if encoder_segments is None else rules.write(rules.cross(segments, encoder_segments))
        bias = self.scheme.bias(self.positions, place, rule.key_positions, self.role)
        rotation = self.scheme.rotation(place)
        key_rotation = self.scheme.rotation(place if cache is not None else rule.key_positions)
        relative = self.distances(rule, fields, rows, cache)

        masks, windows, distinct = None, None, sorted(set(config.window(self.role)), key=str)
        if len(distinct) == 1:
            rule = rules.write(rule, distinct[0])
        else:
            written = [rules.write(rule, window) for window in distinct]
            masks = jnp.stack([each.added for each in written]), jnp.stack([each.sighted for each in written])
            windows = jnp.array([distinct.index(window) for window in config.window(self.role)], jnp.int32)
        reuse = None if memory is None else memory.reuse or seen.shape[1]
        return Shared(rule, masks, start, rotation, key_rotation, bias, relative, reuse, encoded, cross, rows), windows, cache

    def distances(self, rule, fields, rows, cache):
        """Transformer-XL's Relative, with dropout, and with the segments if the model tells them apart; None in other schemes."""
        config, count = self.config, fields['seen'].shape[1]
        slots = fields.get('slots') if cache is None and fields['positions'].shape[1] > count else None
        relative = self.scheme.distances(rule, count, slots, cache is not None)
        if relative is None:
            return None
        if rows is not None and config.dropout:
            table = self.dropout(relative.table[relative.reads], rows)
            relative = dataclasses.replace(relative, table=table, reads=None)
        if config.relative_segments and cache is None:  # what is in memory counts as type 0; without types all are equal
            types = fields.get('types', jnp.zeros_like(fields['positions']))
            known = jnp.pad(types[:, :count], ((0, 0), (rule.seen.shape[1] - count, 0)))
            relative = dataclasses.replace(relative, same=types[:, :, None] == known[:, None])
        return relative
