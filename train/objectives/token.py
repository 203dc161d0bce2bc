"""The shared token loss: cross-entropy of the backbone's logits with the batch's targets, weighted by its weights.

Serves every objective that says tokens at positions: causal LM, prefix LM, masked LM (at its slots), span corruption and
denoising (at the decoder's positions), and mixtures of them, whose metrics are also told apart by the batch's `task`. In
evaluation (`rows` is None) the loss is the plain negative log-likelihood.
"""
from typing import Tuple

import flax.linen as nn
import jax.numpy as jnp

from model import transformer
from train.objectives import loss as losses
from train.settings import schema


class TokenLoss(nn.Module):
    """backbone: the Transformer; settings: label smoothing and z-loss; tasks: the names of `task`, modulo their number."""
    backbone: transformer.Transformer
    settings: schema.Loss = schema.Loss()
    tasks: Tuple[str, ...] = ()

    scales = {'tokens': 1.0}

    def initial_carry(self, batch_size):
        """What the first batch is given as `carry`: nothing."""
        return None

    def weights(self, batch):
        """{term: scalar}, from the batch alone."""
        return {'tokens': jnp.sum(batch['weights'])}

    def __call__(self, batch, carry=None, rows=None):
        """Loss of a batch (design: fields of data/example.py); rows int32[B] as in `Transformer`, None in evaluation."""
        scores = losses.score(self.backbone(batch, rows), batch, self.backbone.config.vocab_size, self.settings, rows is not None)
        return losses.Loss({'tokens': scores.term}, {**scores.metrics, **self.apart(batch, scores.nll, scores.correct)}, carry)

    def apart(self, batch, nll, correct):
        """{'TASK/METRIC': (sum, weight)}; a task that no row of the batch has weighs nothing."""
        found = {}
        for number, name in enumerate(self.tasks):
            mine = batch['weights'] * (batch['task'] % len(self.tasks) == number)[:, None]
            found[f'{name}/nll'], found[f'{name}/accuracy'] = losses.weighed(nll, mine), losses.weighed(correct, mine)
        return found


def build(config):
    """The module for a resolved `schema.Config`."""
    backbone = transformer.Transformer(config.model, dtype=jnp.dtype(config.dtype))
    return TokenLoss(backbone=backbone, settings=config.loss, tasks=getattr(config.objective, 'names', ()))
