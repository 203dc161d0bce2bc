"""The base class of losses, what they return, and the cross-entropy that most of them share.

Sums and weights, never means: the step divides each term by its weight over the *global* batch, so that accumulation,
packing, padding and many hosts are exact. The cross-entropy is T5X's (`compute_weighted_cross_entropy`): label smoothing
spreads eps over the V - 1 wrong tokens and subtracts the entropy of that target, z-loss adds c * log(Z)^2.
"""
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from data import objectives
from model import flops, scoring, transformer
from model.attention import rule as rules
from train.settings import schema


class Loss(NamedTuple):
    """terms, metrics: {name: (sum, weight)} of each row, float32[B]; carry: pytree whose leaves lead with the batch axis, or None."""
    terms: dict[str, tuple[jax.Array, jax.Array]]
    metrics: dict[str, tuple[jax.Array, jax.Array]]
    carry: Any = None


class Module(nn.Module):
    """The loss of an objective as a function of a batch; a subclass states `__call__`, and what differs from the loss of the tokens.

    backbone: the Transformer that fine-tuning takes; settings: label smoothing and z-loss, of training alone.
    """
    backbone: transformer.Transformer
    settings: schema.Loss = schema.Loss()

    scales = {'tokens': 1.0}                  # {term: its factor in the loss}
    token_term = 'tokens'                     # the term that is a cross-entropy of tokens, None if none is
    shares = {}                               # {term: share of the steps that have it}, where that is not 1

    def __call__(self, batch: dict, carry: Any = None, rows: jax.Array | None = None) -> Loss:
        """Loss of a batch (fields of data/example.py); rows int32[B] as in `Transformer`, None in evaluation."""
        raise NotImplementedError

    def weights(self, batch: dict) -> dict[str, jax.Array]:
        """{term: scalar}, from the batch alone: what each term's sum is divided by."""
        return {'tokens': jnp.sum(batch['weights'])}

    def together(self, batch: dict) -> dict:
        """The global batch, with what a part of its rows must know of all of them."""
        return batch

    def initial_carry(self, batch_size: int) -> Any:
        """The `carry` of the first batch: a pytree whose leaves lead with the batch axis, or None."""
        return None

    def say(self, batch: dict) -> jax.Array:
        """int32[B, P]: the likeliest tokens at the slots, for samples and for filling masks."""
        return self.backbone.likeliest(self.backbone.read(batch))

    def filling(self, objective: objectives.Objective, variables: dict) -> tuple:
        """(module, Objective, variables) of the part that fills masks, of this module's objective and variables."""
        return self, objective, variables

    def forward_flops(self, config: schema.Config) -> int:
        """Operations of one forward pass of a global batch."""
        return flops.forward_flops(config.model, config.batch_size, config.objective.lengths())


def backbone(config: schema.Config) -> transformer.Transformer:
    """The Transformer of a resolved config, with the hints of its objective."""
    return transformer.Transformer(config.model, dtype=jnp.dtype(config.dtype), hints=hints(config))


def hints(config: schema.Config) -> rules.Hints:
    """What the batches of a config's objective promise of attention in the stacks of its model."""
    own, source = config.objective.hint, config.objective.encoder_hint
    if config.model.architecture == 'encoder':
        return rules.Hints(encoder=rules.Hint(*own))
    cross = objectives.weakest(own, source)._replace(order='full')
    return rules.Hints(*(rules.Hint(*hint) for hint in (source, own, cross)))


class Measured(NamedTuple):
    """How well a backbone predicts a batch: of each row the loss's term and metrics; of each target nll and correct, float32[B, P];
    and the ids that were drawn, int32[B, P], or None."""
    term: tuple[jax.Array, jax.Array]
    metrics: dict[str, tuple[jax.Array, jax.Array]]
    nll: jax.Array
    correct: jax.Array
    sampled: jax.Array | None


def score(backbone: transformer.Transformer, hidden: jax.Array, batch: dict, settings: schema.Loss, training: bool,
          draw: scoring.Draw | None = None) -> Measured:
    """Measured of states float[B, P, D], by the batch's `targets` and `weights`. settings: schema.Loss, which count while `training`.

    The metrics are `accuracy` and, where the settings make the loss another, the plain `nll`.
    """
    smoothing, z_loss = (settings.label_smoothing, settings.z_loss) if training else (0.0, 0.0)
    found = backbone.score(hidden, batch['targets'], draw)
    loss, nll = cross_entropy(found, backbone.config.vocab_size, smoothing, z_loss)
    metrics = {'accuracy': weighed(found.correct, batch['weights'])}
    if settings != schema.Loss():
        metrics['nll'] = weighed(nll, batch['weights'])
    return Measured(weighed(loss, batch['weights']), metrics, nll, found.correct, found.sampled)


def weighed(values: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(sum of values * weights, sum of the weights) of each row, float32[B], of arrays [B] or [B, P]."""
    return by_row(values * weights), by_row(weights)


def by_row(values: jax.Array) -> jax.Array:
    """float32[B]: the sums of the rows of an array [B, ...]."""
    return jnp.sum(values, axis=range(1, values.ndim), dtype=jnp.float32)


def cross_entropy(found: scoring.Scores, vocab_size: int, label_smoothing: float = 0.0, z_loss: float = 0.0) -> tuple:
    """(loss, nll), each in the shape of the targets: the plain negative log-likelihood in nats, and with smoothing and z-loss."""
    nll = found.log_z - found.target
    loss = nll
    if label_smoothing:
        low = label_smoothing / (vocab_size - 1)
        every = vocab_size * found.log_z - found.total
        constant = (1 - label_smoothing) * math.log(1 - label_smoothing) + label_smoothing * math.log(low)
        loss = (1 - label_smoothing - low) * nll + low * every + constant
    if z_loss:
        loss = loss + z_loss * jnp.square(found.log_z)
    return loss, nll
