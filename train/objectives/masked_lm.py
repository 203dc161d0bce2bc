"""Masked LM beside a label of a pair of sentences: next sentence (BERT) or sentence order (ALBERT), by the label's name.

loss = masked LM over its targets + the pair's cross-entropy over rows, unweighted. Rows of padding have no label. Without pairs this is the
shared loss of the tokens.
"""
import jax
import jax.numpy as jnp

from model import heads, ops
from train.objectives import loss as losses, token
from train.settings import schema


class PairLoss(losses.Module):
    """pair: the label that `head` predicts; the settings of the loss are of the tokens alone."""
    pair: str = 'next_sentence'

    def setup(self):
        self.head = heads.PairHead(self.backbone.config, self.backbone.dtype)

    token_term = 'masked_lm'

    @property
    def scales(self):
        return {'masked_lm': 1.0, self.pair: 1.0}

    def weights(self, batch):
        """The number of targets, and of rows that hold text."""
        return {'masked_lm': jnp.sum(batch['weights']), self.pair: jnp.sum(_real(batch))}

    def __call__(self, batch, carry=None, rows=None):
        hidden = self.backbone.hidden(batch, rows)
        scores = losses.score(self.backbone, ops.gather(hidden, batch['slots']), batch, self.settings, rows is not None)
        judged, labels = self.head(hidden), batch['labels'][self.pair]
        missed = -jnp.take_along_axis(jax.nn.log_softmax(judged), labels[:, None], axis=-1)[:, 0]
        right = jnp.argmax(judged, axis=-1) == labels
        return losses.Loss(
            terms={'masked_lm': scores.term, self.pair: losses.weighed(missed, _real(batch))},
            metrics={**{f'masked_lm_{name}': pair for name, pair in scores.metrics.items()},
                     f'{self.pair}_accuracy': losses.weighed(right, _real(batch))},
            carry=carry)


def _real(batch):
    """float32[B]: 1 for rows that hold text."""
    return jnp.any(batch['segments'] > 0, axis=1).astype(jnp.float32)


def build(config: schema.Config) -> losses.Module:
    """The module of a resolved config."""
    if config.objective.pair is None:
        return token.build(config)
    return PairLoss(losses.backbone(config), config.loss, config.objective.pair)
