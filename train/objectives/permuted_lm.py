"""The loss of permuted language modelling: the query stream predicts the targets (XLNet; Yang et al. 2019).

Queries start from one learned vector and pass through the backbone behind the content; memory, the states that entered each layer, is the
carry, so that it is sharded, saved and cut into microbatches by row. Fine-tuning takes the backbone and reads its content stream alone. In
evaluation (`rows` is None) the loss is the plain negative log-likelihood.
"""
import jax.numpy as jnp

from model import flops, layers, memory as memories
from train.objectives import loss as losses
from train.settings import schema


class PermutedLoss(losses.Module):
    """memory: M, positions of earlier batches that a row sees; reuse: R, the tokens of a row that enter the next memory."""
    memory: int = 0
    reuse: int = 0

    def setup(self):
        self.query = layers.Embed(self.backbone.config, 1, self.backbone.config.width)

    def initial_carry(self, batch_size):
        """An empty memory float[B, L, M, D], or None without one."""
        backbone = self.backbone
        return memories.empty(backbone.config, batch_size, self.memory, backbone.dtype) if self.memory else None

    def __call__(self, batch, carry=None, rows=None):
        memory = None if carry is None else memories.Memory(carry, self.reuse)
        hidden, carry = self.predict(batch, memory, rows)
        scores = losses.score(self.backbone, hidden, batch, self.settings, rows is not None)
        return losses.Loss({'tokens': scores.term}, scores.metrics, carry)

    def predict(self, batch, memory=None, rows=None):
        """The states that predict the targets float[B, P, D], and the next memory's."""
        _, hidden, states = self.backbone.streams(batch, self.query(jnp.int32(0)), memory, rows)
        return hidden, states

    def say(self, batch):
        """What the queries, which do not see their targets, find likeliest: int32[B, P]. Without memory, for samples."""
        return self.backbone.likeliest(self.predict(batch)[0])

    def forward_flops(self, config):
        """Content and queries attend to the memory and the row."""
        lengths = config.objective.lengths()
        return flops.forward_flops(config.model, config.batch_size, {**lengths, 'queries': lengths['slots'], 'memory': self.memory})


def build(config: schema.Config) -> PermutedLoss:
    """The module of a resolved config."""
    return PermutedLoss(losses.backbone(config), config.loss, config.objective.memory_length, config.objective.reused)
