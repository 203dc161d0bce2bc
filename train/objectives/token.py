"""The shared token loss: cross-entropy of the backbone's logits with the batch's targets, weighted by its weights.

Serves every objective that says tokens at positions: causal LM, prefix LM, masked LM (at its slots), span corruption and
denoising (at the decoder's positions). In evaluation (`rows` is None) the loss is the plain negative log-likelihood.
"""
import flax.linen as nn
import jax.numpy as jnp

from model import transformer
from train import schema
from train.objectives import loss as losses


class TokenLoss(nn.Module):
    """backbone: the Transformer; settings: label smoothing and z-loss."""
    backbone: transformer.Transformer
    settings: schema.Loss = schema.Loss()

    scales = {'tokens': 1.0}

    def initial_carry(self, batch_size):
        """What the first batch is given as `carry`: nothing."""
        return None

    def weights(self, batch):
        """{term: scalar}, from the batch alone."""
        return {'tokens': jnp.sum(batch['weights'])}

    def __call__(self, batch, carry=None, rows=None):
        """Loss of a batch (design: fields of data/example.py); rows int32[B] as in `Transformer`, None in evaluation."""
        vocab_size, weights = self.backbone.config.vocab_size, batch['weights']
        smoothing, z_loss = (0.0, 0.0) if rows is None else (self.settings.label_smoothing, self.settings.z_loss)
        logits = self.backbone(batch, rows)
        loss, nll, correct = losses.cross_entropy(logits, batch['targets'], vocab_size, smoothing, z_loss)
        weight = self.weights(batch)['tokens']
        plain = {'nll': (jnp.sum(nll * weights), weight)} if self.settings != schema.Loss() else {}  # else it is the loss
        return losses.Loss(
            terms={'tokens': (jnp.sum(loss * weights), weight)},
            metrics={'accuracy': (jnp.sum(correct * weights), weight), **plain},
            carry=carry)


def build(config):
    """The module for a resolved `schema.Config`."""
    backbone = transformer.Transformer(config.model, dtype=jnp.dtype(config.dtype))
    return TokenLoss(backbone=backbone, settings=config.loss)
