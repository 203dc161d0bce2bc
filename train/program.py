"""What is compiled for a config on a mesh: the function that makes the sharded train state, and the train step.

Built from shapes alone: nothing is allocated, and nothing is compiled before `create` or `update` are called or lowered.
"""
import dataclasses
from typing import Any, Callable

import jax
import jax.numpy as jnp

from data import example, pipeline
from train import state as states, step as steps
from train.optimization import optimizer
from train.parallel import sharding
from train.settings import schema


@dataclasses.dataclass(frozen=True)
class Program:
    """create() -> State; update(state, batch) -> (State, metrics), which donates the memory of its argument `state`.

    lower() -> jax.stages.Lowered: `update` for states and batches on the mesh, traced and ready to be compiled ahead of the first step.
    """
    abstract: states.State                    # ShapeDtypeStructs with their shardings
    create: Callable
    update: Callable
    lower: Callable


def build(config: schema.Config, module, mesh: jax.sharding.Mesh, batch: dict[str, Any]) -> Program:
    """The Program of a resolved config and its loss module; run it under `jax.set_mesh(mesh)`. batch: ShapeDtypeStructs (`shapes`)."""

    def carry():                              # called only inside traced functions: outside, each device would get all of it
        return module.initial_carry(config.batch_size)

    params = jax.eval_shape(lambda batch: module.init(jax.random.key(0), batch, carry(), None)['params'], batch)
    chain = optimizer.build(config.optimizer, config.steps, params)

    def create():
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), batch)
        return states.create(module, chain, zeros, carry(), config.seed, config.ema)

    abstract = jax.eval_shape(create)
    shardings = sharding.state(mesh, abstract, config.mesh.rules)
    abstract = sharded(abstract, shardings)
    update = jax.jit(steps.build(module, chain, config.accumulation, config.ema), donate_argnums=0, out_shardings=(shardings, None))

    def lower():
        return update.lower(abstract, sharded(batch, sharding.batch(mesh, batch)))

    return Program(abstract, jax.jit(create, out_shardings=shardings), update, lower)


def sharded(tree: Any, shardings: Any) -> Any:
    """The ShapeDtypeStructs of a tree, with these shardings."""
    return jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, shardings)


def shapes(config: schema.Config, source) -> dict[str, Any]:
    """A global batch of the config's objective over a source (`data.text.cache.Tokens`), as ShapeDtypeStructs."""
    like = example.stack([example.given(pipeline.make(config.objective, source, config.seed, 0, 0))])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((config.batch_size, *x.shape[1:]), x.dtype), like)
