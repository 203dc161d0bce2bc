"""One Transformer: a decoder, an encoder or an encoder-decoder by configuration (Vaswani et al. 2017).

Its methods are functions of a batch (a dict of the integers in `data/example.py`); `init_cache` and `step` are for decoding.
"""
import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from model import config as model_config, heads, layers, memory as memories, ops, query_stack, scoring, stack
from model.attention import rule as rules, streams
from model.decoding import cache as caches


class Transformer(nn.Module):
    """Embedding, stacks and head. Parameters are float32, the computation has `dtype`, logits are float32."""
    config: model_config.Config
    dtype: Any = jnp.float32
    borrowed: Any = None                      # another Transformer, whose embeddings this one uses (ELECTRA's generator)
    hints: rules.Hints = rules.Hints()        # what is true of the attention rule in every batch

    def setup(self):
        config, owner = self.config, self.borrowed
        self.embed = owner.embed if owner else layers.Embed(config, config.padded_vocab, config.width)
        kind = query_stack.QueryStack if config.query_layer else stack.Stack
        if config.architecture != 'decoder':
            self.encoder = kind(config, 'encoder', self.dtype, owner and owner.encoder, self.hints)
        if config.architecture != 'encoder':
            self.decoder = kind(config, 'decoder', self.dtype, owner and owner.decoder, self.hints)
        self.head = heads.LanguageHead(config, self.dtype)

    def __call__(self, batch: dict[str, jax.Array], rows: jax.Array | None = None) -> jax.Array:
        """Logits float32[B, T, V] (V padded), or float32[B, P, V] at `slots` if the batch has them.

        rows: int32[B], each row's number in the global batch, for dropout (rng 'dropout'); None = evaluation.
        """
        return self.logits(self.read(batch, rows))

    def read(self, batch: dict[str, jax.Array], rows: jax.Array | None = None) -> jax.Array:
        """The states that predict the targets: `hidden`, or float[B, P, D] at `slots` if the batch has them."""
        x = self.hidden(batch, rows)
        return ops.gather(x, batch['slots']) if 'slots' in batch else x

    def hidden(self, batch: dict[str, jax.Array], rows: jax.Array | None = None) -> jax.Array:
        """The last stack's output float[B, T, D]: of the decoder, if there is one."""
        if self.config.architecture == 'encoder':
            return self.encoder(self.look_up(batch['tokens']), batch, rows)[0]
        encoded, segments = self.encode(batch, rows)
        return self.decoder(self.look_up(batch['tokens']), batch, rows, None, encoded, segments)[0]

    def streams(self, batch: dict[str, jax.Array], query: jax.Array, memory: memories.Memory | None = None,
                rows: jax.Array | None = None) -> tuple[jax.Array, jax.Array, Any]:
        """An encoder's two streams (XLNet): content float[B, T, D], queries at `slots` float[B, P, D], the next memory's states.

        query: float[E], the embedding of every query token. memory: a `memory.Memory`, None = no memory.
        """
        x = self.look_up(batch['tokens'])
        query = jnp.broadcast_to(query, (*batch['slots'].shape, x.shape[2]))
        x, states = self.encoder(jnp.concatenate([x, query], axis=1), streams.append(batch), rows, memory=memory)
        length = batch['tokens'].shape[1]
        return x[:, :length], x[:, length:], states

    def logits(self, hidden: jax.Array) -> jax.Array:
        """float[..., D] -> float32[..., V]; padded columns are `scoring.ABSENT`."""
        return self.head(hidden, self.embed.embedding)

    def score(self, hidden: jax.Array, targets: jax.Array, draw: scoring.Draw | None = None) -> scoring.Scores:
        """How float[B, P, D] predict targets int32[B, P], and ids drawn from them: what a loss needs of the logits."""
        return self.head.score(hidden, self.embed.embedding, targets, draw)

    def likeliest(self, hidden: jax.Array) -> jax.Array:
        """int32[B, P]: the ids of the highest logits of float[B, P, D]."""
        return self.score(hidden, jnp.zeros(hidden.shape[:-1], jnp.int32)).best

    def encode(self, batch: dict[str, jax.Array], rows: jax.Array | None = None) -> tuple[jax.Array | None, jax.Array | None]:
        """The encoder's output float[B, S, D] and its segments int32[B, S]; (None, None) but in an encoder-decoder."""
        if self.config.architecture != 'encoder_decoder':
            return None, None
        fields = {name.removeprefix('encoder_'): value for name, value in batch.items() if name.startswith('encoder_')}
        return self.encoder(self.look_up(fields['tokens']), fields, rows)[0], fields['segments']

    def init_cache(self, batch_size: int, length: int) -> caches.Cache:
        """An empty cache of `length` slots for `batch_size` rows. ValueError where positions would run out."""
        config = self.config
        if config.architecture == 'encoder':
            raise ValueError("model.architecture: expected 'decoder' or 'encoder_decoder' to generate, got 'encoder'")
        if config.limit and length > config.limit:
            raise ValueError(f'{length} tokens wanted, model.max_length = {config.max_length}: shorten the prompt or '
                             'max_new_tokens, or use positions without a table (model.positions=rotary)')
        return caches.empty(config, batch_size, length, self.dtype)

    def step(self, batch: dict[str, jax.Array], cache: caches.Cache) -> tuple[jax.Array, caches.Cache]:
        """Reads T more tokens into the cache: (hidden float[B, T, D], cache). The first call is the prefill.

        batch: `tokens positions segments` int32[B, T] (segment 0 = padding), causal unless it has `sees` and `seen`. An
        encoder-decoder's first call also has the `encoder_` fields; the cache keeps its keys and values for later calls.
        """
        batch = {'sees': batch['positions'], 'seen': batch['positions'], **batch}
        encoded = None
        if 'encoder_tokens' in batch:
            encoded, segments = self.encode(batch)
            cache = dataclasses.replace(cache, cross_segments=segments)
        return self.decoder(self.look_up(batch['tokens']), batch, None, cache, encoded, cache.cross_segments)

    def look_up(self, tokens: jax.Array) -> jax.Array:
        """int32[B, T] -> float32[B, T, E]."""
        x = self.embed(tokens)
        return x if self.config.embed_scale is None else x * self.config.embed_scale


def blank(config: model_config.Config, batch_size: int = 1, length: int = 1) -> dict[str, jax.Array]:
    """A batch of zeros with every field that the model may read: for initialisation and shapes."""
    zeros = jnp.zeros((batch_size, length), jnp.int32)
    batch = {name: zeros for name in ('tokens', 'types', *stack.FIELDS)}
    if config.architecture == 'encoder_decoder':
        batch.update({f'encoder_{name}': value for name, value in batch.items()})
    return batch
