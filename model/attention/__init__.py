"""Multi-head attention with grouped queries (Vaswani et al. 2017, Ainslie et al. 2023), for self and cross attention.

`rule.py` says who sees whom, `plain.py` computes it, `transformer_xl.py` adds relative positions, `streams.py` XLNet's
queries. `Attention.attend` is the single method through which every attention of the model passes, so prefix tuning can add
keys there and faster implementations can take its place.
"""
import functools
from typing import Any

from flax import linen as nn
import jax.numpy as jnp

from model import config as model_config, encodings, layers, ops
from model.attention import plain, transformer_xl


class Attention(nn.Module):
    """Projections to queries, keys, values and out, around `attend`."""
    config: model_config.Config
    dtype: Any = jnp.float32

    def setup(self):
        config = self.config
        dense = functools.partial(layers.Dense, config, dtype=self.dtype, bias=config.attention_bias)
        self.query = dense(config.heads * config.size)
        self.out = dense(config.dim, bias=config.attention_bias if config.out_bias is None else config.out_bias)
        self.key, self.value = dense(config.kv * config.size), dense(config.kv * config.size)
        if config.qk_norm:
            norm = functools.partial(layers.Norm, config, self.dtype, 'rmsnorm')
            self.query_norm, self.key_norm = norm(), norm()
        self.relative = transformer_xl.Scores(config, self.dtype)  # its parameters exist where it is called
        self.dropout = layers.Dropout(config.attention_dropout)

    def __call__(self, x, kv, rule, *, rotation=None, bias=None, relative=None, rows=None):
        """Queries of float[B, T, D] attend to `kv` of `keys_values`: float[B, T, D]."""
        query = self.split(self.query(x), 'heads')
        if self.config.qk_norm:
            query = self.query_norm(query)
        if rotation is not None:
            query = encodings.rotate(query, rotation)
        if relative is not None:
            query, bias = self.relative(query, relative, self.scale)
        heads = self.attend(query, *kv, rule, bias=bias, rows=rows)
        heads = ops.constrain(heads, 'batch', 'heads', 'length', 'head')
        B, N, T, H = heads.shape
        return self.out(heads.transpose(0, 2, 1, 3).reshape(B, T, N * H))

    def keys_values(self, x, rotation=None):
        """What the tokens float[B, S, D] offer to queries: two float[B, K, S, H]."""
        key, value = self.split(self.key(x), 'kv'), self.split(self.value(x), 'kv')
        if self.config.qk_norm:
            key = self.key_norm(key)
        if rotation is not None:
            key = encodings.rotate(key, rotation)
        return key, value

    def attend(self, query, key, value, rule, *, bias=None, rows=None):
        """float[B, N, T, H], two float[B, K, S, H] -> float[B, N, T, H], by the implementation that fits the config."""
        return plain.attend(query, key, value, rule, scale=self.scale, bias=bias, soft_cap=self.config.attention_soft_cap,
                            dropout=functools.partial(self.dropout, rows=rows))

    @property
    def scale(self):
        return self.config.size ** -0.5 if self.config.attention_scale is None else self.config.attention_scale

    def split(self, x, name):
        """float[B, T, N * H] -> float[B, N, T, H]."""
        x = x.reshape(*x.shape[:-1], -1, self.config.size).transpose(0, 2, 1, 3)
        return ops.constrain(x, 'batch', name, 'length', 'head')
