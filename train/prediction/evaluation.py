"""Evaluation of a model on a split, or on a sample of it: the same rows, in the same order, with the same corruption, every time.

Keys and data depend on the split alone, never on the training state, so that an evaluation does not change the training.
"""
import dataclasses
import math
from typing import Callable

import jax
import jax.numpy as jnp
import numpy as np

from data import example, objectives as data_objectives, pipeline
from data.rows import drawing
from data.text import cache
from train import objectives, step as steps
from train.objectives import loss as losses
from train.parallel import sharding
from train.prediction import estimate
from train.settings import schema

SEED, DRAW = 0, -3                            # of the fixed corruption; the index of the random numbers that draw a sample


class Evaluator:
    """Compiled once; called with the variables of a model as often as you like.

    source: the held-out `data.text.cache.Tokens`; batches: about how many batches to read, None = all. Fewer than all are a sample of the
    split (`objective.draw`), the same one at every call; then `errors` holds the standard errors of the metrics that have one.
    """

    def __init__(self, module, objective, source, mesh, batch_size, batches=None):
        self.module, self.objective, self.source, self.mesh, self.batch_size = module, objective, source, mesh, batch_size
        self.draw = draw = sample(objective, source, batch_size, batches)
        evaluation, token_bytes = steps.evaluation(module), np.asarray(source.token_bytes)
        by_row = jax.tree.map(lambda leaf: sharding.by_row(mesh, leaf), jax.eval_shape(lambda: module.initial_carry(batch_size)))

        def step(variables, batch, carry, i):
            key = jax.random.fold_in(jax.random.key(SEED), i)
            terms, metrics, carry = evaluation(variables, batch, carry, key)
            size = losses.by_row(jnp.where(objective.covered(batch), jnp.asarray(token_bytes)[batch['targets']], 0))
            rows = {'terms': terms, 'metrics': metrics, 'bytes': size}
            return jax.tree.map(lambda x: jnp.sum(x, axis=0, keepdims=True) if draw.whole or x.ndim > 1 else x, rows), carry

        everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        self.step = jax.jit(step, out_shardings=(everywhere, by_row))
        self.initial_carry = jax.jit(lambda: module.initial_carry(batch_size), out_shardings=by_row)

    def __call__(self, variables: dict, progress: Callable = lambda done, of: None) -> dict[str, float]:
        """{'eval/loss': nats, 'eval/METRIC': ...}, and 'eval/bits_per_byte' where the loss is the likelihood of the text.

        progress: called with how many batches are done, and how many there are.
        """
        host = pipeline.chosen(self.objective, self.source, seed=SEED, table=self.draw.rows, rows=sharding.rows(self.mesh, self.batch_size))
        carry, results = self.initial_carry(), []
        for i, batch in enumerate(host):
            batch = sharding.put(self.mesh, example.given(batch), self.batch_size)
            found, carry = self.step(variables, batch, carry, np.uint32(i))
            jax.block_until_ready(results[-1:])  # so that progress is what was computed
            results.append(found)
            progress(i + 1, len(self.draw.rows))
        return self.summary(jax.device_get(results))

    def summary(self, results):
        """The metrics of the split, from the sums and weights of the batches.

        Metrics of weight 0 (a precision without positive predictions) are left out and listed in `undefined`, and so is the loss
        if one of its terms has weight 0 (a member of an alternation that had no turn).
        """
        found = jax.tree.map(lambda *parts: estimate.by_unit(self.draw, parts), *results)
        terms, pairs = found['terms'], {**found['terms'], **found['metrics']}
        defined = {name: pair for name, pair in pairs.items() if np.any(pair[1])}
        curves = {name: area(*pair) for name, pair in defined.items() if pair[1].ndim > 1}
        ratios = {name: estimate.ratio(*pair) for name, pair in defined.items() if name not in curves}
        shown = {name: ratio for name, ratio in ratios.items() if name not in terms or len(terms) > 1}
        self.undefined = [f'eval/{name}' for name in pairs if name not in defined]
        if terms.keys() <= ratios.keys():
            scales = {name: self.module.scales.get(name, 1.0) * self.module.shares.get(name, 1.0) for name in terms}
            shown = {'loss': estimate.weighted(scales, ratios), **shown}
        else:
            self.undefined.append('eval/loss')
        if self.objective.likelihood and np.any(found['bytes']) and 'loss' in shown and getattr(self.source.tokenizer, 'lossless', True):
            (nats, _), = terms.values()
            shown['bits_per_byte'] = estimate.ratio(nats / math.log(2), found['bytes'])
        deviations = {} if self.draw.whole else {f'eval/{name}': estimate.error(ratio, self.draw) for name, ratio in shown.items()}
        self.errors = {name: error for name, error in deviations.items() if not math.isnan(error)}
        return {f'eval/{name}': value for name, value in [*((name, ratio.value) for name, ratio in shown.items()), *curves.items()]}


def sample(objective: data_objectives.Objective, source: cache.Tokens, size: int, batches: int | None) -> drawing.Draw:
    """The rows of a split that an evaluation in batches of `size` reads: all of them, or a sample of about that many batches."""
    rows = pipeline.plan(objective, source, SEED, 0)
    if batches is None or len(rows) <= batches * size:
        return drawing.everything(len(rows), size)
    return objective.draw(rows, batches, size, example.rng(SEED, 0, DRAW))


def build(config: schema.Config, source: cache.Tokens, mesh: jax.sharding.Mesh, batches: int | None = None) -> Evaluator:
    """The Evaluator of a resolved config on a held-out text, with the objective that evaluation uses."""
    config = dataclasses.replace(config, objective=config.objective.evaluated())
    return Evaluator(objectives.build(config), config.objective, source, mesh, config.batch_size, batches)


def area(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The area under the ROC curve of two histograms over the same ascending bins of a score: the share of the pairs in the right
    order, half of those in the same bin (Mann and Whitney 1947). 0 where one of them is empty."""
    below = np.cumsum(negatives, axis=-1) - negatives
    return float(np.sum(positives * (below + negatives / 2)) / (np.sum(positives) * np.sum(negatives) or 1.0))
