"""A stack of blocks: an encoder or a decoder between the embedding and the head.

Layers are stacked and scanned, so 96 compile as fast as one, and every parameter under `blocks` has a leading layer axis. Layers
that share their weights (ALBERT; Lan et al. 2020) scan over one set, `block`, without that axis. Inputs that all layers share are
computed once, in `Stack.share`. The only lifted transforms of the model are in this file and in query_stack.py.
"""
import dataclasses
import functools
from typing import Any, Callable

from flax import linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp

from model import attention, config as model_config, layers, memory as memories, ops, positions
from model.attention import choice, rule as rules
from model.decoding import cache as caches

REMAT = {
    'dots': jax.checkpoint_policies.dots_with_no_batch_dims_saveable,  # keep projections, recompute attention
    'attention': jax.checkpoint_policies.save_only_these_names('residual', 'attention'),  # what attention reads, and what `blockwise` gives
    'full': jax.checkpoint_policies.nothing_saveable,
}
UNROLLED = 12                                 # layers, by processor time of compilation and step
FIELDS = ('positions', 'segments', 'sees', 'seen')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shared:
    """The inputs that all layers of a stack share, computed once."""
    prepared: Any                             # the rule and the bias of self attention, prepared by the implementation
    cross: Any = None                         # the rule of cross attention, prepared
    encoded: Any = None                       # float[B, S', D], the encoder's output
    rotation: Any = None                      # cosine and sine for queries, two float32[B, 1, T, H / 2]
    key_rotation: Any = None                  # the same for new keys
    relative: Any = None                      # Transformer-XL's distances and segments
    start: Any = None                         # int32[], the first cache slot of these tokens
    rows: Any = None                          # int32[B], global row numbers; None = no dropout
    keys: Any = dataclasses.field(default=None, metadata={'static': True})   # number of keys that a layer projects, memory included
    reuse: Any = dataclasses.field(default=None, metadata={'static': True})  # number of tokens that go into the next memory


def remat(config: model_config.Config, **options: Any) -> type:
    """The class Block, which recomputes in the backward pass what config.remat does not keep."""
    return Block if config.remat == 'none' else nn.remat(Block, policy=REMAT[config.remat], **options)


def unrolled(config: model_config.Config, depth: int) -> int:
    """Layers in an iteration of the scan over `depth` layers: config.unroll or, where it is None, all of up to UNROLLED on one CPU device,
    where a scan copies each layer's residuals and kernels (docs/design-notes.md); else 1, which compiles once for all layers."""
    return min(config.unroll or (depth if depth <= UNROLLED and ops.one_cpu() else 1), depth)


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

    def __call__(self, carry: tuple, layer: tuple, shared: Shared, queries: jax.Array | None = None) -> tuple[tuple, tuple]:
        """carry: x float[B, T, D] and the cache's stacked k, v (or None); layer: its number, window, cross k, v, and memory.

        queries: float[B, T, D] that attention projects to queries, None = the normalized x. Returns the carry; cross k, v where
        they were computed for a cache; the next memory if there is one.
        """
        (x, stacked), (number, window, cross, memory) = carry, layer
        new_cross, rows = None, shared.rows

        y = x if memory is None else jnp.concatenate([memory.astype(x.dtype), x], axis=1)
        memory = None if memory is None else memories.extend(memory, x, shared.reuse)
        y = self.normalize(y, self.attention_norm)
        kv = self.attention.keys_values(y[:, :shared.keys], shared.key_rotation)
        if stacked is not None:
            stacked, kv = caches.write(stacked, kv, number, shared.start)
        queries = y[:, -x.shape[1]:] if queries is None else queries
        y = self.attention(queries, kv, shared.prepared, window=window, rotation=shared.rotation, relative=shared.relative, rows=rows)
        x = self.add_residual(x, y, self.attention_norm, rows)

        if self.config.crosses(self.role):
            y = self.normalize(x, self.cross_attention_norm)
            if cross is None:
                cross = self.cross_attention.keys_values(shared.encoded)
                new_cross = None if stacked is None else cross
            y = self.cross_attention(y, cross, shared.cross, rows=rows)
            x = self.add_residual(x, y, self.cross_attention_norm, rows)

        y = self.normalize(x, self.mlp_norm)
        x = self.add_residual(x, self.mlp(y, rows), self.mlp_norm, rows)
        return (x, stacked), (new_cross, memory)

    def normalize(self, x: jax.Array, norm: Callable) -> jax.Array:
        """The input of a branch: the residual stream, normalized in a pre-norm model."""
        return norm(x) if self.config.norm_position == 'pre' else x

    def add_residual(self, x: jax.Array, y: jax.Array, norm: Callable, rows: jax.Array | None) -> jax.Array:
        """The residual stream x after a branch with the output y, normalized in a post-norm model."""
        x = checkpoint_name(x + self.dropout(y, rows), 'residual')
        return ops.constrain(x if self.config.norm_position == 'pre' else norm(x), 'batch', 'length', 'model')


class Stack(nn.Module):
    """Positions, L blocks and a norm: an encoder or a decoder between the embedding and the head."""
    config: model_config.Config
    role: str                                 # encoder | decoder
    dtype: Any
    borrowed: Any = None                      # another Stack, whose positions, types and embedding norm this one uses
    hints: rules.Hints = rules.Hints()        # what is true of the attention rule in every batch

    def setup(self):
        config = self.config
        self.scheme = positions.of(config)
        self.positions = self.scheme.table()
        if config.types:
            self.types = layers.Embed(config, config.types, config.width)
        if config.norms_embeddings:
            self.embed_norm = layers.Norm(config, self.dtype)
        if config.width != config.dim:
            self.project = layers.Dense(config, config.dim, self.dtype)
        if config.norm_position == 'pre':
            self.norm = layers.Norm(config, self.dtype)
        self.dropout = layers.Dropout(config.embedding_dropout)
        self.output_dropout = layers.Dropout(config.output_dropout)
        depth = self.scanned()
        block = remat(config, prevent_cse=False)  # inside a scan, XLA cannot merge what is recomputed with the forward pass
        scan = functools.partial(nn.scan, block, in_axes=(0, nn.broadcast), length=depth,
                                 unroll=1 if self.is_initializing() else unrolled(config, depth))  # compiled once for all layers
        if config.share_layers:
            self.block = scan(variable_broadcast=('params', 'adapter'), split_rngs={'params': False, 'dropout': True})(
                config, self.role, self.dtype)
        else:
            # Flax's check that what all layers share is constant traces the layers once more; with dropout it also counts its keys.
            self.blocks = scan(variable_axes={'params': 0, 'adapter': 0}, split_rngs={'params': True, 'dropout': True},
                               check_constancy_invariants=self.is_initializing() or self.has_rng('dropout'))(
                config, self.role, self.dtype)

    def __call__(self, x: jax.Array, fields: dict[str, jax.Array], rows: jax.Array | None = None, cache: caches.Cache | None = None,
                 encoded: jax.Array | None = None, encoder_segments: jax.Array | None = None, memory: memories.Memory | None = None,
                 keys: tuple[jax.Array, jax.Array] | None = None) -> tuple[jax.Array, Any]:
        """Embedded tokens float32[B, T, E] -> float[B, T, D] and the extended cache, or else the next memory's states.

        fields: `positions segments sees seen`, and `types` where they are not all 0. With a cache the T tokens are written to its
        next slots and attend to all slots. With a memory (`memory.Memory`) they attend to it and to the T tokens. keys: the
        (segments, positions), int32[B, M] each, of M keys that an adapter puts before the others in `Attention.attend`.
        """
        config = self.config
        shared, windows, cache = self.share(fields, rows, cache, encoded, encoder_segments, memory, keys)
        stacked, cross = (None, None) if cache is None else ((cache.k, cache.v), cache.cross)
        states = None if memory is None else jnp.moveaxis(memory.states, 1, 0)
        x = self.embed(x, fields, rows)
        numbers = jnp.arange(config.depth(self.role), dtype=jnp.int32)
        (x, stacked), (new_cross, states) = self.run((x, stacked), (numbers, windows, cross, states), shared, fields)
        x = self.output_dropout(x, rows)
        if cache is not None:
            cache = dataclasses.replace(cache, k=stacked[0], v=stacked[1], cross=cross or new_cross)
        return x, cache if states is None else jnp.moveaxis(states, 0, 1)

    def scanned(self) -> int:
        """The number of layers under the scan."""
        return self.config.depth(self.role)

    def run(self, carry: tuple, each: tuple, shared: Shared, fields: dict[str, jax.Array]) -> tuple[tuple, tuple]:
        """All layers and the last norm, with the arguments and results of one `Block`; leaves of `each` are [L, ...]."""
        (x, stacked), new = (self.block if self.config.share_layers else self.blocks)(carry, each, shared)
        return (self.norm(x) if self.config.norm_position == 'pre' else x, stacked), new

    def embed(self, x: jax.Array, fields: dict[str, jax.Array], rows: jax.Array | None) -> jax.Array:
        """Adds positions and types to token embeddings: float[B, T, E] -> float[B, T, D]."""
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

    def share(self, fields, rows=None, cache=None, encoded=None, encoder_segments=None, memory=None, keys=None):
        """(Shared, the number of each layer's window int32[L] or None, the cache with the new tokens' integers)."""
        config = self.config
        at, segments, sees, seen = (fields[name] for name in FIELDS)
        count, start, hint = seen.shape[1], None, getattr(self.hints, self.role)
        if cache is None:
            rule = rules.Rule(sees, seen, segments, segments[:, :count], at, at[:, :count])
            if memory is not None:
                rule, hint = rules.prepend(rule, hint, *memories.keys(memory, at))
            made, key_at = rule.seen.shape[1], rule.key_positions
        else:
            start, cache = cache.length, caches.extend(cache, seen, segments, at)
            rule = rules.Rule(sees, cache.seen, segments, cache.key_segments, at, cache.key_positions)
            made, key_at = count, at
        if cache is not None or count < sees.shape[1]:  # keys are not the tokens of the queries
            hint = rules.UNKNOWN
        if keys is not None:
            rule, hint = rules.prepend(rule, hint, *keys)

        windows = config.window(self.role)
        distinct = sorted(set(windows), key=str)
        numbers = None if len(distinct) == 1 else jnp.array([distinct.index(window) for window in windows], jnp.int32)
        dropout = None if rows is None else functools.partial(self.dropout, rows=rows)
        relative = self.scheme.distances(rule, fields, cache is not None, dropout)
        bias = self.scheme.bias(self.positions, self.role, self.dtype)
        need = choice.Need(config, ops.platform(), self.dtype, sees.shape[1], rule.seen.shape[1], hint, self.scheme.scores,
                           tuple(distinct), training=rows is not None)
        name = config.attention if cache is None else 'auto'
        prepared, cross = choice.prepare(need, rule, bias, name), None
        if encoder_segments is not None:
            hint = self.hints.cross if cache is None else rules.UNKNOWN
            need = dataclasses.replace(need, keys=encoder_segments.shape[1], hint=hint, scores=None, windows=(None,))
            cross = choice.prepare(need, rules.cross(segments, encoder_segments), name=name)
        shared = Shared(
            prepared, cross, encoded, self.scheme.rotation(at), self.scheme.rotation(key_at), relative, start, rows,
            keys=made, reuse=None if memory is None else memory.reuse or count)
        return shared, numbers, cache
