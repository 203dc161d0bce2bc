"""What turns hidden states into predictions.

`LanguageHead` projects to the vocabulary: linear as in GPT-2, or BERT's (dense, activation, norm, projection, bias).
"""
from typing import Any

from flax import linen as nn
import jax.numpy as jnp

from model import config as model_config
from model import initializers
from model import layers
from model import ops

ABSENT = -1e9                                 # the logit of a padded row of the vocabulary


class LanguageHead(nn.Module):
    """float[..., D] -> float32[..., V], V padded; tied heads read the embedding table, others own `kernel`."""
    config: model_config.Config
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, embedding):
        """embedding float32[V, D], ignored unless the head is tied. Padded columns are -1e9."""
        config = self.config
        if config.head == 'transform':
            x = layers.Dense(config, config.dim, self.dtype, name='transform')(x)
            x = layers.Norm(config, self.dtype, name='norm')(ops.ACTIVATIONS[config.activation](x))
        if config.logit_scale is not None:
            x = x * config.logit_scale
        table = embedding if config.tied else initializers.param(self, 'kernel', (config.dim, config.padded_vocab)).T
        logits = ops.logits(x.astype(self.dtype), table.astype(self.dtype))
        if config.head == 'transform':
            logits += initializers.param(self, 'bias', (config.padded_vocab,))
        logits = ops.soft_cap(logits, config.logit_soft_cap)
        if config.padded_vocab > config.vocab_size:
            logits = jnp.where(jnp.arange(config.padded_vocab) < config.vocab_size, logits, ABSENT)
        return ops.constrain(logits, 'batch', 'length', 'vocab')
