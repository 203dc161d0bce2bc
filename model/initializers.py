"""The initializer of every parameter: tables of (regex, initializer) by path. Initialisation is part of a published recipe.

gpt2   normal 0.02; projections into the residual stream are divided by the square root of their number (2 L in a decoder)
       (Radford et al. 2019).
bert   normal 0.02 truncated at two deviations, without correction, as TensorFlow's (Devlin et al. 2019; ALBERT, ELECTRA).
normal normal 0.02 (XLNet's code, and fairseq's RoBERTa and BART).
t5     fan-in normal, queries divided by sqrt(H) because T5 does not scale its scores, embeddings of unit variance
       (Raffel et al. 2020; factors of T5X and Flaxformer).
The first row that matches a path wins. There is no catch-all row: a parameter without a row is an error.
"""
import re
from typing import Callable

from flax import linen as nn
import jax
from jax.nn import initializers
import jax.numpy as jnp

from model import config as model_config

PROJECTION = r'(^|/)(query|key|value|gate|up|project|transform|dense|labels|head)/kernel$'
RESIDUAL = r'(^|/)(out|down)/kernel$'        # projections into the residual stream
TOKENS = r'(^|/)embed/embedding$'
TABLES = r'(^|/)((positions|types|queries)/embedding|relative/\w+)$'  # and Transformer-XL's biases and segments
VECTORS = ((r'(^|/)bias$', initializers.zeros), (r'(^|/)scale$', initializers.ones),
           (r'(^|/)query/embedding$', initializers.glorot_uniform()))  # of XLNet's query stream: TensorFlow's default


def gpt2(config):
    writers = {role: config.depth(role) * (3 if config.crosses(role) else 2) for role in ('encoder', 'decoder')}
    return (
        *((rf'(^|/){role}/.*{RESIDUAL}', initializers.normal(0.02 / n ** 0.5)) for role, n in writers.items()),
        (PROJECTION, initializers.normal(0.02)),
        (RESIDUAL, initializers.normal(0.02)),  # outside a stack
        (TOKENS, initializers.normal(0.02)),
        (TABLES, initializers.normal(0.02)),
        *VECTORS,
    )


def bert(config):
    del config
    return everything(initializers.truncated_normal(0.02))


def normal(config):
    del config
    return everything(initializers.normal(0.02))


def everything(draw):
    """A table with one initializer for all matrices."""
    return ((PROJECTION, draw), (RESIDUAL, draw), (TOKENS, draw), (TABLES, draw), *VECTORS)


def t5(config):
    fan_in = initializers.variance_scaling(1.0, 'fan_in', 'normal')
    return (
        (r'(^|/)query/kernel$', initializers.variance_scaling(1.0 / config.size, 'fan_in', 'normal')),
        (r'(^|/)(gate|up|down)/kernel$', initializers.variance_scaling(1.0, 'fan_in', 'truncated_normal')),
        (PROJECTION, fan_in),
        (RESIDUAL, fan_in),
        (TOKENS, initializers.normal(1.0)),
        (TABLES, initializers.variance_scaling(1.0, 'fan_avg', 'uniform')),
        *VECTORS,
    )


def find(config: model_config.Config, path: str) -> Callable:
    """The initializer of the parameter at `path` ('decoder/blocks/mlp/up/kernel'). ValueError without a row for it."""
    table = {'gpt2': gpt2, 'bert': bert, 't5': t5, 'normal': normal}[config.initializer](config)
    for pattern, initializer in table:
        if re.search(pattern, path):
            return initializer
    rows = '\n  '.join(pattern for pattern, _ in table)
    raise ValueError(f'no initializer for {path!r}; add a row to model/initializers.py:{config.initializer}:\n  {rows}')


def param(module: nn.Module, name: str, shape: tuple[int, ...]) -> jax.Array:
    """The float32 parameter `name` of a Flax module with a `config`; each of a stack of layers draws its own."""
    path = module.path or (module.name or '',)  # a module used by itself has no path
    initializer = find(module.config, '/'.join((*path, name)))
    return module.param(name, initializer, shape, jnp.float32)
