"""Which inputs an output of a real model depends on, by gradients: the leak test of what a decoder is fed."""
import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from data import example
from model import config as model_config, transformer

SIZE, WIDTH, VOCABULARY = 48, 16, 100


@functools.cache
def _jacobian():
    shape = model_config.Config(vocab_size=VOCABULARY, layers=2, dim=WIDTH, heads=2, positions='rotary')
    model = transformer.Transformer(shape)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), transformer.blank(shape))['params']
    params = jax.tree.map(lambda leaf: np.float32(rng.normal(size=leaf.shape) * 0.3), shapes)

    def outputs(added, batch):
        def look(following, args, kwargs, context):
            out = following(*args, **kwargs)
            return out + added if context.method_name == 'look_up' else out

        with nn.intercept_methods(look):
            return jnp.sum(jnp.sin(model.apply({'params': params}, batch)[0, :, :VOCABULARY]), axis=-1)

    return jax.jit(lambda batch: jnp.any(jax.jacrev(outputs)(jnp.zeros((1, SIZE, WIDTH)), batch)[:, 0] != 0, axis=-1))


def of(made):
    """bool[T, T]: output t has a gradient with respect to input t' of an example of a decoder, T <= SIZE."""
    size = len(made['tokens'])
    row = {name: np.pad(made[name], (0, SIZE - size), constant_values=example.PADDING.get(name, 0))[None]
           for name in ('tokens', 'positions', 'segments', 'sees', 'seen')}
    return np.asarray(_jacobian()(row))[:size, :size]


def ruled(made):
    """The same from the integers alone: through several layers, who sees who sees ..."""
    segments = made['segments']
    sees = (made['seen'][None] <= made['sees'][:, None]) & (segments[:, None] == segments[None]) & (segments > 0)[None]
    reach = sees | np.eye(len(sees), dtype=bool)
    for _ in range(len(sees).bit_length()):
        reach = reach @ reach
    return reach
