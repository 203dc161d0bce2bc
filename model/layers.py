"""The pieces of a block: one projection class, one embedding class, one norm, the feed-forward layer, dropout.

Parameters are float32 and are cast to `dtype` where they are used; statistics of a norm are float32. Only `Dense` multiplies by a
learned matrix and only `Embed` looks tokens up, so that adapters that intercept them (LoRA, prompt tuning) reach every parameter.
"""
import functools
from typing import Any, Optional

from flax import linen as nn
import jax
import jax.numpy as jnp

from model import config as model_config, initializers, ops


class Dense(nn.Module):
    """x W + b: float[..., D] -> float[..., features]."""
    config: model_config.Config
    features: int
    dtype: Any = jnp.float32
    bias: Optional[bool] = None               # None = config.bias

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = initializers.param(self, 'kernel', (x.shape[-1], self.features))
        y = ops.dense(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.config.bias if self.bias is None else self.bias:
            y += initializers.param(self, 'bias', (self.features,)).astype(self.dtype)
        return y


class Embed(nn.Module):
    """A table of vectors: int32[...] -> float32[..., features]. float32, because the sum of embeddings is cast, not its terms."""
    config: model_config.Config
    entries: int
    features: int

    def setup(self):
        self.embedding = initializers.param(self, 'embedding', (self.entries, self.features))

    def __call__(self, ids: jax.Array) -> jax.Array:
        return ops.look_up(self.embedding, ids)


class Norm(nn.Module):
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019) over the last axis, in float32."""
    config: model_config.Config
    dtype: Any = jnp.float32
    kind: Optional[str] = None                # None = config.norm

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kind = self.kind or self.config.norm
        y = x.astype(jnp.float32)
        if kind == 'layernorm':
            y -= jnp.mean(y, axis=-1, keepdims=True)
        y *= jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + self.config.norm_epsilon)
        y *= initializers.param(self, 'scale', (x.shape[-1],))
        if kind == 'layernorm' and self.config.bias:
            y += initializers.param(self, 'bias', (x.shape[-1],))
        return y.astype(self.dtype)


class Dropout(nn.Module):
    """Dropout whose mask depends on the row's global index; `rows=None` means evaluation, which draws nothing."""
    rate: float

    def __call__(self, x: jax.Array, rows: jax.Array | None) -> jax.Array:
        drawn = self.draw(rows)
        return x if drawn is None else ops.dropout(x, *drawn)

    def draw(self, rows: jax.Array | None) -> tuple | None:
        """(rate, key, rows int32[B]), what `ops.dropout` draws the next mask from; None if nothing is dropped."""
        return None if rows is None or not self.rate else (self.rate, self.make_rng('dropout'), rows)


class MLP(nn.Module):
    """down(act(up x)), or down(act(gate x) * up x) when gated (Shazeer 2020): float[B, T, D] -> float[B, T, D]."""
    config: model_config.Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, rows: jax.Array | None = None) -> jax.Array:
        config = self.config
        act = ops.ACTIVATIONS[config.activation]
        dense = functools.partial(Dense, config, dtype=self.dtype, bias=config.mlp_bias)
        h = dense(config.hidden, name='up')(x)
        h = act(dense(config.hidden, name='gate')(x)) * h if config.gated else act(h)
        h = ops.constrain(h, 'batch', 'length', 'mlp')
        h = Dropout(config.mlp_dropout)(h, rows)
        return dense(config.dim, name='down')(h)
