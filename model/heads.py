"""Heads: hidden states to predictions, as in the published models."""
from typing import Any, Optional

from flax import linen as nn
import jax
import jax.numpy as jnp

from model import chunked_scoring, config as model_config, initializers, layers, ops, scoring


class LanguageHead(nn.Module):
    """Logits of tokens: float[..., D] -> float32[..., V], V padded; tied heads read the embedding table, others own `kernel`.

    Linear as in GPT-2, with a bias as in XLNet, or as in BERT: dense, activation, norm, projection, bias.
    """
    config: model_config.Config
    dtype: Any = jnp.float32

    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """embedding float32[V, E], ignored unless the head is tied. Padded columns are scoring.ABSENT."""
        config = self.config
        x, table, bias = self.operands(x, embedding)
        logits = ops.logits(x, (table if config.tied else table.T).astype(self.dtype))
        if bias is not None:
            logits += bias
        logits = ops.soft_cap(logits, config.logit_soft_cap)
        if config.padded_vocab > config.vocab_size:
            logits = jnp.where(jnp.arange(config.padded_vocab) < config.vocab_size, logits, scoring.ABSENT)
        return ops.constrain(logits, 'batch', 'length', 'vocab')

    def score(self, x: jax.Array, embedding: jax.Array, targets: jax.Array, draw: scoring.Draw | None = None) -> scoring.Scores:
        """The Scores of float[B, P, D] for targets int32[B, P]; in chunks where the logits take more than chunked_scoring.LIMIT."""
        config = self.config
        if chunked_scoring.fits(x, config.padded_vocab):
            return scoring.of_logits(self(x, embedding), targets, config.vocab_size, draw)
        x, table, bias = self.operands(x, embedding)
        how = chunked_scoring.Table(config.vocab_size, 'vd' if config.tied else 'dv', config.logit_soft_cap)
        return chunked_scoring.in_chunks(x, table, bias, targets, how, draw)

    @nn.compact
    def operands(self, x: jax.Array, embedding: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        """What is multiplied and added: x, the embedding [V, E] or the kernel [D, V] float32, the bias float32[V] or None."""
        config = self.config
        width = config.width if config.tied else config.dim
        if config.head == 'transform':
            x = layers.Dense(config, width, self.dtype, name='transform')(x)
            x = layers.Norm(config, self.dtype, name='norm')(ops.ACTIVATIONS[config.activation](x))
        elif width != config.dim:
            x = layers.Dense(config, width, self.dtype, bias=False, name='project')(x)
        if config.logit_scale is not None:
            x = x * config.logit_scale
        table = embedding if config.tied else initializers.param(self, 'kernel', (config.dim, config.padded_vocab))
        bias = initializers.param(self, 'bias', (config.padded_vocab,)) if config.head != 'linear' else None
        return x.astype(self.dtype), table, bias


class Pooler(nn.Module):
    """tanh(dense(first token)): float[B, T, D] -> float[B, D] (BERT)."""
    config: model_config.Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(layers.Dense(self.config, self.config.dim, self.dtype, name='dense')(x[:, 0]))


class PairHead(nn.Module):
    """Logits of a pair of sentences (BERT's next sentence, ALBERT's order), from the pooler: float[B, T, D] -> float32[B, 2]."""
    config: model_config.Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        pooled = Pooler(self.config, self.dtype, name='pooler')(x)
        return layers.Dense(self.config, 2, name='labels')(pooled)


class TokenHead(nn.Module):
    """One logit a token, replaced or not: float[B, T, D] -> float32[B, T]; dense, activation, dense (ELECTRA's discriminator)."""
    config: model_config.Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        config = self.config
        x = layers.Dense(config, config.dim, self.dtype, name='transform')(x)
        x = ops.ACTIVATIONS[config.activation](x)
        return layers.Dense(config, 1, name='labels')(x)[..., 0]


class ClassHead(nn.Module):
    """Sequence classification, logits from the first or last token: float[B, T, D] -> float32[B, labels].

    BERT, ELECTRA and RoBERTa read the first token, decoders the last: [activation(transform(x)),] dropout, labels.
    """
    config: model_config.Config
    labels: int
    read: str = 'first'                       # first | last (the last that is no padding)
    activation: Optional[str] = 'tanh'        # after a dense layer `transform`, a name of ops.ACTIVATIONS; None = no such layer
    bias: bool = True                         # of the labels
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, segments: jax.Array, rows: jax.Array | None = None) -> jax.Array:
        """segments: int32[B, T], 0 = padding; rows: int32[B] as in `Transformer`, None = evaluation."""
        config, (B, T) = self.config, segments.shape
        slots = {'first': jnp.zeros(B, jnp.int32), 'last': jnp.max(jnp.where(segments > 0, jnp.arange(T), 0), axis=1)}
        x = ops.gather(x, slots[self.read][:, None])[:, 0]
        if self.activation is not None:
            x = layers.Dense(config, config.dim, self.dtype, True, name='transform')(x)
            x = ops.ACTIVATIONS[self.activation](x)
        x = layers.Dropout(config.dropout)(x, rows)
        return layers.Dense(config, self.labels, bias=self.bias, name='labels')(x)


class TokenClassHead(nn.Module):
    """Token classification, logits: float[B, T, D] -> float32[B, T, labels]; spans have 2 labels, start and end."""
    config: model_config.Config
    labels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return layers.Dense(self.config, self.labels, self.dtype, True, name='labels')(x).astype(jnp.float32)
