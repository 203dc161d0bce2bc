"""The shared loss of the tokens: cross-entropy of the backbone's logits with the batch's targets, weighted by its weights.

It serves every objective that predicts tokens at positions: causal LM, prefix LM, masked LM (at its slots), span corruption and denoising
(at the decoder's positions), and mixtures of them, whose metrics are also reported by the batch's `task`. In evaluation (`rows` is None)
the loss is the plain negative log-likelihood.
"""
from train.objectives import loss as losses
from train.settings import schema


class TokenLoss(losses.Module):
    """tasks: the names of `task`, modulo their number."""
    tasks: tuple[str, ...] = ()

    def __call__(self, batch, carry=None, rows=None):
        scores = losses.score(self.backbone, self.backbone.read(batch, rows), batch, self.settings, rows is not None)
        return losses.Loss({'tokens': scores.term}, {**scores.metrics, **self.apart(batch, scores.nll, scores.correct)}, carry)

    def apart(self, batch, nll, correct):
        """{'TASK/METRIC': (sum, weight)}; a task that no row of the batch has weighs nothing."""
        found = {}
        for number, name in enumerate(self.tasks):
            mine = batch['weights'] * (batch['task'] % len(self.tasks) == number)[:, None]
            found[f'{name}/nll'], found[f'{name}/accuracy'] = losses.weighed(nll, mine), losses.weighed(correct, mine)
        return found


def build(config: schema.Config) -> TokenLoss:
    """The module of a resolved config."""
    return TokenLoss(losses.backbone(config), config.loss, config.objective.names)
