"""A small XLNet (Yang et al. 2019): two streams by the attention rule, a plan of streams, memory as the carry."""
import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from data import example
from model import attention, layers, ops
from model.attention import rule as rules
from train.objectives import loss as losses


@dataclasses.dataclass(frozen=True)
class Objective:
    """T content tokens and P query tokens a row; consecutive batches continue the same stream in every row."""
    sequence_length: int = 0
    predictions: int = 8
    rows: int = 4                             # streams, the batch size

    architectures, hint, likelihood, shuffled, needs = ('encoder',), 'ordered', False, False, ()

    def lengths(self):
        return {'tokens': self.sequence_length, 'targets': self.predictions, 'slots': self.predictions}

    def problems(self, special=None):
        return []

    def plan(self, source, seed, epoch):
        """Row i of the plan is window i // rows of stream i % rows: batch b holds window b of every stream."""
        windows = source.num_tokens // (self.rows * self.sequence_length)
        stream, window = np.meshgrid(np.arange(self.rows), np.arange(windows))
        return ((stream * windows + window) * self.sequence_length).reshape(-1, 1).astype(np.int64)

    def transform(self, source, row, rng):
        size, count = self.sequence_length, self.predictions
        tokens = np.asarray(source.flat[row[0]:row[0] + size], np.int32)
        slots = np.sort(rng.choice(size, count, replace=False)).astype(np.int32)
        rank = np.zeros(size, np.int32)       # what is not predicted comes first
        rank[slots] = 1 + rng.permutation(count)
        both = np.concatenate([rank, rank[slots] - 1]).astype(np.int32)
        return {'tokens': tokens, 'targets': tokens[slots], 'slots': slots, 'weights': np.ones(count, np.float32),
                'positions': np.arange(size, dtype=np.int32), 'segments': np.ones(size, np.int32), 'sees': both[:size], 'seen': rank,
                'index': int(row[0])}


class Loss(nn.Module):
    """Content keeps its places; a query token has its target's place, reads the rank before it, and is nobody's key."""
    config: Any
    memory: int = 16

    scales = {'tokens': 1.0}

    def setup(self):
        config = self.config
        self.embed, self.positions = layers.Embed(config, config.padded_vocab, config.dim), layers.Embed(config, config.max_length, config.dim)
        self.query = self.param('query', nn.initializers.normal(0.02), (config.dim,))
        self.layers = [(attention.Attention(config), layers.Norm(config), layers.MLP(config), layers.Norm(config)) for _ in range(config.layers)]
        self.dropout = layers.Dropout(config.dropout)

    def initial_carry(self, batch_size):
        return [jnp.zeros((batch_size, self.memory, self.config.dim)) for _ in range(self.config.layers)]

    def weights(self, batch):
        return {'tokens': jnp.sum(batch['weights'])}

    def __call__(self, batch, carry=None, rows=None):
        slots, T = batch['slots'], batch['tokens'].shape[1]
        at = lambda name: jnp.concatenate([batch[name], jnp.take_along_axis(batch[name], slots, axis=1)], axis=1)
        sees = jnp.concatenate([batch['sees'], jnp.take_along_axis(batch['seen'], slots, axis=1) - 1], axis=1)
        past = jnp.zeros((len(slots), self.memory), jnp.int32)
        rule = rules.Rule(sees, jnp.concatenate([past, batch['seen']], axis=1), at('segments'),
                          jnp.concatenate([past - 1, batch['segments']], axis=1), sees, sees)
        x = jnp.concatenate([self.embed(batch['tokens']), jnp.broadcast_to(self.query, (*slots.shape, self.config.dim))], axis=1)
        x = self.dropout(x + self.positions(at('positions')), rows)
        kept = []
        for memory, (attend, norm, mlp, mlp_norm) in zip(carry, self.layers):
            kept.append(jax.lax.stop_gradient(jnp.concatenate([memory, x[:, :T]], axis=1)[:, -self.memory:]))
            y = norm(jnp.concatenate([memory, x], axis=1))
            x = x + attend(y[:, self.memory:], attend.keys_values(y[:, :self.memory + T]), rule, rows=rows)
            x = x + mlp(mlp_norm(x), rows)
        logits = ops.logits(x[:, T:], self.embed.embedding)[..., :self.config.vocab_size]
        _, nll, _ = losses.cross_entropy(logits, batch['targets'], self.config.vocab_size)
        pair = (jnp.sum(nll * batch['weights']), self.weights(batch)['tokens'])
        return losses.Loss({'tokens': pair}, {'nll': pair}, kept)
