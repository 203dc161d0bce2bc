"""Continues prompts token by token: greedy, or with temperature, top-k (Fan et al. 2018), top-p (Holtzman et al. 2020).

Needs no tokenizer. It calls `init_cache`, `step` and `logits` of a model. Prompts of different lengths share a batch: the
continuation of a row does not depend on the others. It is compiled once for each shape and setting.
"""
import functools
from typing import Any, Callable

import jax
import jax.numpy as jnp

from model import paths

NEVER_SAMPLED = -1e30


@functools.partial(jax.jit, static_argnames=('apply', 'max_new_tokens', 'temperature', 'top_k', 'top_p', 'eos', 'pad'))
def generate(apply: Callable, variables: dict, prompts: Any, lengths: Any, rng: jax.Array | None = None, *, max_new_tokens: int,
             temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, eos: int | None = None, pad: int = 0,
             source: dict | None = None) -> jax.Array:
    """New tokens int32[B, max_new_tokens] of each row: `pad` after the first `eos`.

    apply: `transformer.apply`; variables: its variables, {'params': ...}; prompts: int32[B, T], padded on the right; lengths: int32[B].
    temperature 0 = greedy. top_k 0 and top_p 1 = off; with both, top-p of what top-k keeps. source: further fields of the prompts'
    batch: the `encoder_` ones of an encoder-decoder, whose prompts are the decoder's start tokens; `sees` and `seen` where prompts are
    not causal. The same `apply` object reuses the compiled program; another `rng` (needed unless greedy) gives other samples. On CPU a
    model with unrolled layers (model.unroll) decodes about twice as fast, because a scan copies each layer's kernels at every token.
    """
    if rng is None:
        if temperature:
            raise ValueError(f'temperature = {temperature} draws at random: give an rng, or temperature = 0 for greedy')
        rng = jax.random.key(0)
    prompts, lengths = jnp.asarray(prompts, jnp.int32), jnp.asarray(lengths, jnp.int32)
    rows, width = prompts.shape
    cache = apply(variables, rows, width + max_new_tokens, method='init_cache')
    variables = cast_kernels(variables, cache.k.dtype)

    slots = jnp.broadcast_to(jnp.arange(width, dtype=jnp.int32), prompts.shape)
    real = slots < lengths[:, None]
    batch = {'tokens': prompts, 'positions': jnp.where(real, slots, 0), 'segments': real.astype(jnp.int32), **(source or {})}
    hidden, cache = apply(variables, batch, cache, method='step')
    last = jnp.take_along_axis(hidden, lengths[:, None, None] - 1, axis=1)

    def choose(hidden, step):
        logits = apply(variables, hidden, method='logits')[:, 0]
        return sample(logits, jax.random.fold_in(rng, step), temperature, top_k, top_p)

    def decode(state):
        step, tokens, done, hidden, cache = state
        token = jnp.where(done, pad, choose(hidden, step))
        tokens = jax.lax.dynamic_update_slice(tokens, token[:, None], (0, step))
        if eos is not None:
            done |= token == eos
        batch = {'tokens': token, 'positions': lengths + step, 'segments': jnp.ones_like(token)}
        batch = {name: value[:, None] for name, value in batch.items()}
        hidden, cache = apply(variables, batch, cache, method='step')
        return step + 1, tokens, done, hidden, cache

    tokens = jnp.full((rows, max_new_tokens), pad, jnp.int32)
    state = jnp.int32(0), tokens, jnp.zeros(rows, bool), last, cache
    return jax.lax.while_loop(lambda state: (state[0] < max_new_tokens) & ~jnp.all(state[2]), decode, state)[1]


def cast_kernels(variables: dict, dtype: Any) -> dict:
    """Casts kernels to the type of the computation once, instead of at every token; the results are the same."""
    return paths.apply(lambda path, leaf: leaf.astype(dtype) if path.endswith('/kernel') else leaf, variables)


def sample(logits: jax.Array, rng: jax.Array, temperature: float, top_k: int = 0, top_p: float = 1.0) -> jax.Array:
    """One token a row from logits float32[B, V]: int32[B]; the likeliest at temperature 0."""
    if not temperature:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    return jax.random.categorical(rng, keep(logits / temperature, top_k, top_p)).astype(jnp.int32)


def keep(logits: jax.Array, top_k: int = 0, top_p: float = 1.0) -> jax.Array:
    """Logits with -1e30 for tokens outside the top k, or outside the smallest set of likeliest tokens with probability top_p."""
    if top_k:
        lowest = jax.lax.top_k(logits, min(top_k, logits.shape[-1]))[0][..., -1:]
        logits = jnp.where(logits < lowest, NEVER_SAMPLED, logits)
    if top_p < 1:
        descending = -jnp.sort(-logits, axis=-1)
        probabilities = jax.nn.softmax(descending, axis=-1)
        before = jnp.cumsum(probabilities, axis=-1) - probabilities
        lowest = jnp.min(jnp.where(before < top_p, descending, jnp.inf), axis=-1, keepdims=True)
        logits = jnp.where(logits < lowest, NEVER_SAMPLED, logits)
    return logits
