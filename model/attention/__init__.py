"""Multi-head attention with grouped queries (Vaswani et al. 2017, Ainslie et al. 2023), for self and cross attention.

An implementation is a module of this folder and a row of IMPLEMENTATIONS: `prepare(rule, bias, hint, windows)` once a stack,
`attend(query, key, value, prepared, *, window, scale, soft_cap, dropout)` in every layer, and SUPPORTS, what it supports:

    bias      a function of query and key positions (T5, ALiBi), float32[B, N, t, s] of int32[B, t] and int32[B, s]
    terms     scores that depend on the query and the layer (Transformer-XL), by its function `add_terms`
    windows   several windows in one stack, or one
    dropout, soft_cap
    offset    hints with keys before the row's own; without it, `prepare` gets the hint that promises nothing
"""
import functools
import types
from typing import Any, Callable

from flax import linen as nn
import jax
import jax.numpy as jnp

from model import config as model_config, encodings, layers, ops, positions
from model.attention import plain, rule as rules, transformer_xl

IMPLEMENTATIONS = {'plain': plain}            # the first that supports a config is taken


def choose(config: model_config.Config, name: str | None = None) -> types.ModuleType:
    """The implementation for a model.config.Config: the one of this name, or the first that supports it. ValueError if none does."""
    wanted = {positions.of(config).scores: f'model.positions = {config.positions}'}  # {what must be supported: the setting that needs it}
    wanted['windows'] = config.windows and f'model.windows = {config.windows}'
    wanted['dropout'] = config.attention_dropout and f'model.attention_dropout = {config.attention_dropout}'
    wanted['soft_cap'] = config.attention_soft_cap and f'model.attention_soft_cap = {config.attention_soft_cap}'
    for candidate in IMPLEMENTATIONS if name is None else (name,):
        if candidate not in IMPLEMENTATIONS:
            raise ValueError(f'no implementation of attention is called {candidate!r}; there are {", ".join(IMPLEMENTATIONS)}')
        supported = IMPLEMENTATIONS[candidate].SUPPORTS
        lacking = [setting for feature, setting in wanted.items() if feature and setting and feature not in supported]
        if not lacking:
            return IMPLEMENTATIONS[candidate]
    raise ValueError(f'the implementation {candidate!r} of attention does not support {", ".join(lacking)}')


def prepare(implementation: types.ModuleType, rule: rules.Rule, bias: Callable | None = None, hint: rules.Hint = rules.UNKNOWN,
            windows: tuple[int | None, ...] = (None,)) -> Any:
    """The result of `implementation.prepare`; a hint with an offset is replaced where the implementation does not support offsets."""
    supported = not hint.offset or 'offset' in implementation.SUPPORTS
    return implementation.prepare(rule, bias, hint if supported else rules.UNKNOWN, windows)


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
        self.implementation = choose(config)
        self.dropout = layers.Dropout(config.attention_dropout)

    def __call__(self, x: jax.Array, kv: tuple[jax.Array, jax.Array], prepared: Any, *, window: jax.Array | None = None,
                 rotation: tuple | None = None, relative: Any = None, rows: jax.Array | None = None) -> jax.Array:
        """Queries of float[B, T, D] attend to `kv` of `keys_values`: float[B, T, D].

        prepared: the result of `prepare`; window: the number of this layer's window among those prepared;
        rotation, relative: of the positions, if they are rotary or Transformer-XL's; rows: int32[B] as in `Transformer`.
        """
        query = self.split(self.query(x), 'heads')
        if self.config.qk_norm:
            query = self.query_norm(query)
        if rotation is not None:
            query = encodings.rotate(query, rotation)
        if relative is not None:
            query, terms = self.relative(query, relative, self.scale)
            prepared = self.implementation.add_terms(prepared, terms)
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

    def attend(self, query: jax.Array, key: jax.Array, value: jax.Array, prepared: Any, *, window: jax.Array | None = None,
               rows: jax.Array | None = None) -> jax.Array:
        """float[B, N, T, H], two float[B, K, S, H] -> float[B, N, T, H].

        All attention of the model calls this method, so that an adapter may add keys here (nn.intercept_methods).
        """
        return self.implementation.attend(query, key, value, prepared, window=window, scale=self.scale,
                                          soft_cap=self.config.attention_soft_cap, dropout=self.dropout.draw(rows))

    @property
    def scale(self) -> float:
        """The factor of the scores."""
        return self.config.size ** -0.5 if self.config.attention_scale is None else self.config.attention_scale

    def split(self, x: jax.Array, name: str) -> jax.Array:
        """float[B, T, N * H] -> float[B, N, T, H]."""
        x = x.reshape(*x.shape[:-1], -1, self.config.size).transpose(0, 2, 1, 3)
        return ops.constrain(x, 'batch', name, 'length', 'head')
