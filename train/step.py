"""One optimizer step and one evaluation step, for every objective, family and method.

loss = sum over terms of scale * sum / W, with W the term's weight over the *global* batch; microbatches contribute their
sums, so accumulation is exact to the term weights. Row r of the global batch keeps its number r in every microbatch and
on every mesh, and keys are folded with it.
"""
import dataclasses
from typing import Callable

import jax
import jax.numpy as jnp
import optax

from train import state as states
from train.parallel import microbatches


def total(module, terms: dict, weights: dict) -> jax.Array:
    """The scalar that is minimised: each term's sum over its weight in the global batch, times its scale."""
    return sum(module.scales.get(name, 1.0) * value / jnp.where(weights[name] > 0, weights[name], 1.0)
               for name, (value, _) in terms.items())


def build(module, optimizer: optax.GradientTransformation, accumulation: int = 1, ema: float | None = None) -> Callable:
    """step(state, batch) -> (state, metrics): metrics hold 'loss', 'grad_norm', each metric and each of several terms, float32.

    `optimizer` was built for the trained tree, `state.params`.
    """

    def loss(params, frozen, batch, carry, rows, key, weights):
        dropout, sample = jax.random.split(key)
        out = summed(module.apply(states.variables(params, frozen), batch, carry, rows, rngs={'dropout': dropout, 'sample': sample}))
        return total(module, out.terms, weights), out

    def differentiate(params, given, rows):
        frozen, key, weights = given
        (_, out), grads = jax.value_and_grad(loss, has_aux=True)(params, frozen, *rows, key, weights)
        return grads, (out.terms, out.metrics), out.carry

    def step(state, batch):
        key = jax.random.fold_in(state.rng, state.step)
        batch, weights = module.together(batch), module.weights(batch)
        rows = jnp.arange(batch['tokens'].shape[0], dtype=jnp.int32)

        with jax.named_scope('gradients'):
            grads, (terms, metrics), carry = microbatches.gradients(
                differentiate, state.params, (state.frozen, key, weights), (batch, state.carry, rows), accumulation)
        with jax.named_scope('optimizer'):
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
        with jax.named_scope('moving_average'):
            average = optax.incremental_update(params, state.ema, 1 - ema) if ema is not None else None
        with jax.named_scope('metrics'):
            report = means({**(terms if len(terms) > 1 else {}), **metrics})
            report |= {'loss': total(module, terms, weights), 'grad_norm': optax.global_norm(grads)}
        return dataclasses.replace(state, step=state.step + 1, params=params, opt_state=opt_state, carry=carry, ema=average), report

    return step


def evaluation(module) -> Callable:
    """step(variables, batch, carry, key) -> (terms, metrics, carry), the (sum, weight) pairs of each row: no dropout, plain losses."""

    def step(variables, batch, carry, key):
        out = module.apply(variables, batch, carry, None, rngs={'sample': key})
        return out.terms, out.metrics, out.carry

    return step


def summed(out):
    """The `Loss` of a batch: its terms and metrics are the sums over those of its rows."""
    return out._replace(**jax.tree.map(lambda x: jnp.sum(x, axis=0), {'terms': out.terms, 'metrics': out.metrics}))


def means(pairs: dict) -> dict:
    """{name: sum / weight}; NaN where the weight is 0 (another member's metric), which the loop leaves out."""
    return {name: jnp.where(weight > 0, value / jnp.where(weight > 0, weight, 1.0), jnp.nan) for name, (value, weight) in pairs.items()}
