"""The initializer of every parameter: tables of (regex, initializer) by path. Initialisation is part of a published recipe.

gpt2   normal 0.02; projections into the residual stream are divided by the square root of their number (2 L in a decoder)
       (Radford et al. 2019).
bert   normal 0.02 truncated at two deviations, without correction, as TensorFlow's (Devlin et al. 2019; ALBERT, ELECTRA).
normal normal 0.02 (XLNet's code, and fairseq's RoBERTa and BART).
t5     fan-in normal, queries divided by sqrt(H) because T5 does not scale its scores, embeddings of unit variance
       (Raffel et al. 2020; factors of T5X and Flaxformer).
The first row that matches a path counts. There is no row for all others: a parameter without a row is an error.
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


def everywhere(draw, tokens=None, tables=None):
    """A table with one initializer for all matrices but those of the embeddings."""
    return ((PROJECTION, draw), (RESIDUAL, draw), (TOKENS, tokens or draw), (TABLES, tables or draw), *VECTORS)


def gpt2(config):
    writers = {role: config.depth(role) * (3 if config.crosses(role) else 2) for role in ('encoder', 'decoder')}
    residual = ((rf'(^|/){role}/.*{RESIDUAL}', initializers.normal(0.02 / n ** 0.5)) for role, n in writers.items())
    return *residual, *everywhere(initializers.normal(0.02))


def t5(config):
    return (
        (r'(^|/)query/kernel$', initializers.variance_scaling(1.0 / config.size, 'fan_in', 'normal')),
        (r'(^|/)(gate|up|down)/kernel$', initializers.variance_scaling(1.0, 'fan_in', 'truncated_normal')),
        *everywhere(initializers.variance_scaling(1.0, 'fan_in', 'normal'), tokens=initializers.normal(1.0),
                    tables=initializers.variance_scaling(1.0, 'fan_avg', 'uniform')),
    )


RECIPES = {'gpt2': gpt2, 'bert': lambda config: everywhere(initializers.truncated_normal(0.02)),
           'normal': lambda config: everywhere(initializers.normal(0.02)), 't5': t5}


def find(config: model_config.Config, path: str) -> Callable:
    """The initializer of the parameter at `path` ('decoder/blocks/mlp/up/kernel'). ValueError without a row for it."""
    table = RECIPES[config.initializer](config)
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
