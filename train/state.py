"""Everything that a run carries from step to step, as one pytree, and its two trees of parameters as Flax's variables.

A tree holds parameters by path. Its key `adapter` is Flax's collection 'adapter'; all other keys are in the collection
'params'. The trained tree gets gradients, optimizer state and a moving average; the frozen tree does not change.
"""
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from model import paths


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """step int32[]; params {'backbone': ...}, trained; opt_state; carry (the leading axis of each leaf is the batch) or None;
    rng a typed key that never changes (each step folds its number into it); ema like params, or None; frozen, not trained."""
    step: jax.Array
    params: Any
    opt_state: Any
    carry: Any
    rng: jax.Array
    ema: Any
    frozen: Any = dataclasses.field(default_factory=dict)


def create(module, optimizer: optax.GradientTransformation, batch: dict, carry: Any, seed: int, ema: float | None) -> State:
    """A fresh State; jit this with sharded outputs to initialise in place. `batch`: arrays of any (small) batch size."""
    rng = jax.random.key(seed)
    init, rest = jax.random.split(rng)
    params = module.init({'params': init}, batch, carry, None)['params']
    return State(step=jnp.zeros((), jnp.int32), params=params, opt_state=optimizer.init(params), carry=carry, rng=rest,
                 ema=params if ema is not None else None)


def union(trained: dict, frozen: dict | None) -> dict:
    """Both trees as one. ValueError if a path is in both."""
    one, other = paths.flatten(trained), paths.flatten(frozen)
    if both := sorted(one.keys() & other.keys()):
        raise ValueError(f'trained and frozen at once: {paths.listed(both)}')
    return paths.unflatten({**one, **other})


def variables(trained: dict, frozen: dict | None = None) -> dict:
    """{'params': ..., 'adapter': ...} for Flax's `apply`; without 'adapter' if neither tree has that key."""
    tree = union(trained, frozen)
    adapter = {'adapter': tree.pop('adapter')} if 'adapter' in tree else {}
    return {'params': tree, **adapter}


def evaluated(state: State) -> dict:
    """The variables to evaluate: those of the moving average, if the run keeps one."""
    return variables(state.params if state.ema is None else state.ema, state.frozen)


def part(variables: dict, name: str) -> dict:
    """The variables of one submodule, such as 'backbone'."""
    return {collection: tree[name] for collection, tree in variables.items() if name in tree}
