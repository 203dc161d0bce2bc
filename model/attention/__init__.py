"""Multi-head attention with grouped queries (Vaswani et al. 2017, Ainslie et al. 2023), for self and cross attention."""
import functools
from typing import Any

from flax import linen as nn
import jax
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp

from model import config as model_config, encodings, layers, ops
from model.attention import choice, transformer_xl


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

    def __call__(self, x: jax.Array, kv: tuple[jax.Array, jax.Array], prepared: choice.Prepared, *, window: jax.Array | None = None,
                 rotation: tuple | None = None, relative: Any = None, rows: jax.Array | None = None) -> jax.Array:
        """Queries of float[B, T, D] attend to `kv` of `keys_values`: float[B, T, D].

        prepared: the result of `choice.prepare`; window: the number of this layer's window among those prepared;
        rotation, relative: of the positions, if they are rotary or Transformer-XL's; rows: int32[B] as in `Transformer`.
        """
        query = self.split(self.query(x), 'heads')
        if self.config.qk_norm:
            query = self.query_norm(query)
        if rotation is not None:
            query = encodings.rotate(query, rotation)
        if relative is not None:
            query, terms = self.relative(query, relative, self.scale)
            prepared = prepared.add_terms(terms)
        heads = self.attend(query, *kv, prepared, window=window, rows=rows)
        heads = ops.constrain(heads, 'batch', 'heads', 'length', 'head')
        B, N, T, H = heads.shape
        return self.out(heads.transpose(0, 2, 1, 3).reshape(B, T, N * H))

    def keys_values(self, x: jax.Array, rotation: tuple | None = None) -> tuple[jax.Array, jax.Array]:
        """Keys and values of the tokens float[B, S, D]: two float[B, K, S, H]."""
        key, value = self.split(self.key(x), 'kv'), self.split(self.value(x), 'kv')
        if self.config.qk_norm:
            key = self.key_norm(key)
        if rotation is not None:
            key = encodings.rotate(key, rotation)
        return key, value

    def attend(self, query: jax.Array, key: jax.Array, value: jax.Array, prepared: choice.Prepared, *, window: jax.Array | None = None,
               rows: jax.Array | None = None) -> jax.Array:
        """float[B, N, T, H], two float[B, K, S, H] -> float[B, N, T, H].

        All attention of the model calls this method, so that an adapter may add keys here (nn.intercept_methods).
        """
        query, key, value = (checkpoint_name(x, 'attention') for x in (query, key, value))
        return prepared.attend(query, key, value, window=window, scale=self.scale, soft_cap=self.config.attention_soft_cap,
                               dropout=self.dropout.draw(rows))

    @property
    def scale(self) -> float:
        """The factor of the scores."""
        return self.config.size ** -0.5 if self.config.attention_scale is None else self.config.attention_scale

    def split(self, x: jax.Array, name: str) -> jax.Array:
        """float[B, T, N * H] -> float[B, N, T, H]."""
        x = x.reshape(*x.shape[:-1], -1, self.config.size).transpose(0, 2, 1, 3)
        return ops.constrain(x, 'batch', name, 'length', 'head')
