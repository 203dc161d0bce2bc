"""A small ELECTRA (Clark et al. 2020): a generator fills masked tokens, the backbone says which tokens were replaced."""
import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from data.objectives import masked_lm
from model import layers, ops, transformer
from train.objectives import loss as losses


@dataclasses.dataclass(frozen=True)
class Objective(masked_lm.Objective):
    """Masked LM's examples; the row before masking travels along as `original` would, through targets at the slots."""
    random: float = 0.0
    mask: float = 0.85


class Loss(nn.Module):
    config: Any

    scales = {'generator': 1.0, 'discriminator': 50.0}

    def setup(self):
        self.backbone = transformer.Transformer(self.config)
        small = dataclasses.replace(self.config, layers=1, mlp_dim=self.config.dim)
        self.generator = transformer.Transformer(small, borrowed=self.backbone)
        self.head = layers.Dense(self.config, 1)

    def initial_carry(self, batch_size):
        return None

    def weights(self, batch):
        return {'generator': jnp.sum(batch['weights']), 'discriminator': jnp.sum(batch['segments'] > 0).astype(jnp.float32)}

    def __call__(self, batch, carry=None, rows=None):
        weights, slots, targets = self.weights(batch), batch['slots'], batch['targets']
        at = jnp.arange(slots.shape[0])[:, None]
        chosen = jnp.zeros(batch['tokens'].shape, bool).at[at, slots].max(batch['weights'] > 0)
        original = batch['tokens'].at[at, slots].set(jnp.where(batch['weights'] > 0, targets, batch['tokens'][at, slots]))

        logits = self.generator(batch, rows)
        _, nll, correct = losses.cross_entropy(logits, targets, self.config.vocab_size)
        keys = ops.row_keys(self.make_rng('sample'), jnp.arange(len(slots)) if rows is None else rows)
        sampled = jax.vmap(jax.random.categorical)(keys, jax.lax.stop_gradient(logits))
        said = original.at[at, slots].set(jnp.where(batch['weights'] > 0, sampled, original[at, slots]))

        replaced = (chosen & (said != original)).astype(jnp.float32)
        seen = {**batch, 'tokens': said}
        guess = self.head(self.backbone.hidden(seen, rows)).astype(jnp.float32)[..., 0]
        binary = optax.sigmoid_binary_cross_entropy(guess, replaced) * (batch['segments'] > 0)
        return losses.Loss(
            terms={'generator': (jnp.sum(nll * batch['weights']), weights['generator']),
                   'discriminator': (jnp.sum(binary), weights['discriminator'])},
            metrics={'generator_accuracy': (jnp.sum(correct * batch['weights']), weights['generator']),
                     'replaced': (jnp.sum(replaced), weights['discriminator'])},
            carry=carry)
