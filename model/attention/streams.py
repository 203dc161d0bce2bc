"""XLNet's two streams by the attention rule: query tokens after the content tokens of the row (Yang et al. 2019).

Content tokens keep their integers. The query token of the target at slot t has the position, type and segment of t and attends to
the tokens of lower rank than t. It is no key: keys are the content tokens alone. All layers compute both streams in the same way.
"""
import jax
import jax.numpy as jnp


def append(batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The fields that a stack reads, for T content tokens and the P queries at `slots` int32[B, P].

    `positions segments types sees` become int32[B, T + P], `seen` stays int32[B, T]. A slot of weight 0 is padding.
    """
    def both(name):
        return jnp.concatenate([batch[name], at(batch[name])], axis=1)

    def at(x):
        return jnp.take_along_axis(x, batch['slots'], axis=1)

    used = batch['weights'] > 0
    fields = {name: both(name) for name in ('positions', 'types') if name in batch}
    return {**fields, 'seen': batch['seen'], 'slots': batch['slots'],
            'segments': jnp.concatenate([batch['segments'], jnp.where(used, at(batch['segments']), 0)], axis=1),
            'sees': jnp.concatenate([batch['sees'], at(batch['seen']) - 1], axis=1)}


def put(x: jax.Array, slots: jax.Array, length: int, axis: int = 1) -> jax.Array:
    """x[B, ..., P, ...] at `slots` int32[B, P] of an axis of T = `length`, zeros elsewhere; a slot T is none."""
    def one(x, slots):
        x = jnp.moveaxis(x, axis - 1, 0)
        return jnp.moveaxis(jnp.zeros((length, *x.shape[1:]), x.dtype).at[slots].set(x, mode='drop'), 0, axis - 1)

    return jax.vmap(one)(x, slots)


def take(x: jax.Array, slots: jax.Array, axis: int = 1) -> jax.Array:
    """x[B, ..., T, ...] at `slots` int32[B, P] of an axis; what a slot T takes is 0."""
    return jax.vmap(lambda x, slots: jnp.take(x, slots, axis - 1, mode='fill', fill_value=0))(x, slots)
