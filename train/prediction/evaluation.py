"""Evaluation of a model on a split: the same rows, in the same order, with the same corruption, every time.

Keys and data depend on the split alone, never on the training state, so that an evaluation does not change the training.
"""
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from data import example, pipeline
from data.text import cache
from train import objectives, step as steps
from train.parallel import sharding
from train.settings import schema

SEED = 0  # of the fixed corruption


class Evaluator:
    """Compiled once; called with the variables of a model as often as you like.

    source: the held-out `data.text.cache.Tokens`; batches: how many batches to read, None = all.
    """

    def __init__(self, module, objective, source, mesh, batch_size, batches=None):
        self.module, self.objective, self.source, self.mesh = module, objective, source, mesh
        self.batch_size, self.batches = batch_size, batches
        evaluation, token_bytes = steps.evaluation(module), np.asarray(source.token_bytes)
        by_row = jax.tree.map(lambda leaf: sharding.by_row(mesh, leaf), jax.eval_shape(lambda: module.initial_carry(batch_size)))

        def step(variables, batch, carry, key):
            terms, metrics, carry = evaluation(variables, batch, carry, key)
            text = jnp.where(objective.covered(batch), jnp.asarray(token_bytes)[batch['targets']], 0)
            return terms, metrics, jnp.sum(text), carry

        self.step = jax.jit(step, out_shardings=(None, None, None, by_row))
        self.initial_carry = jax.jit(lambda: module.initial_carry(batch_size), out_shardings=by_row)

    def __call__(self, variables: dict) -> dict[str, float]:
        """{'eval/loss': nats, 'eval/METRIC': ...}, and 'eval/bits_per_byte' where the loss is the likelihood of the text."""
        stop = None if self.batches is None else self.batches * self.batch_size
        host = pipeline.batches(self.objective, self.source, seed=SEED, batch_size=self.batch_size, stop=stop,
                                rows=sharding.rows(self.mesh, self.batch_size), shuffle=False, epochs=1, pad_last=True)
        carry, results, key = self.initial_carry(), [], jax.random.key(SEED)
        for i, batch in enumerate(host):
            batch = sharding.put(self.mesh, example.given(batch), self.batch_size)
            terms, metrics, size, carry = self.step(variables, batch, carry, jax.random.fold_in(key, i))
            results.append((terms, metrics, size))
        return self.summary(jax.device_get(results))

    def summary(self, results):
        """Means over the split, from [(terms, metrics, bytes)] of the batches.

        Metrics of weight 0 (a precision without positive predictions) are left out and listed in `undefined`, and so is the loss
        if one of its terms has weight 0 (a member of an alternation that had no turn).
        """
        terms, metrics = (_add([result[i] for result in results]) for i in (0, 1))
        size = sum(int(result[2]) for result in results)
        means = {name: area(value, weight) if np.ndim(value) else value / (weight or 1.0)
                 for name, (value, weight) in {**terms, **metrics}.items() if np.any(weight)}
        shown = [name for name in means if name not in terms or len(terms) > 1]
        self.undefined = [f'eval/{name}' for name in {**terms, **metrics} if name not in means]
        scales = {name: self.module.scales.get(name, 1.0) * self.module.shares.get(name, 1.0) for name in terms}
        out = {f'eval/{name}': means[name] for name in shown}
        if all(name in means for name in terms):
            out = {'eval/loss': sum(scale * means[name] for name, scale in scales.items()), **out}
        else:
            self.undefined.append('eval/loss')
        if self.objective.likelihood and size and 'eval/loss' in out and getattr(self.source.tokenizer, 'lossless', True):
            (nats, _), = terms.values()
            out['eval/bits_per_byte'] = nats / math.log(2) / size
        return out


def build(config: schema.Config, source: cache.Tokens, mesh: jax.sharding.Mesh, batches: int | None = None) -> Evaluator:
    """The Evaluator of a resolved config on a held-out text, with the objective that evaluation uses."""
    config = dataclasses.replace(config, objective=config.objective.evaluated())
    return Evaluator(objectives.build(config), config.objective, source, mesh, config.batch_size, batches)


def area(positives: np.ndarray, negatives: np.ndarray) -> float:
    """The area under the ROC curve of two histograms over the same ascending bins of a score: the share of the pairs in the right
    order, half of those in the same bin (Mann and Whitney 1947). 0 where one of them is empty."""
    below = np.cumsum(negatives) - negatives
    return float(np.sum(positives * (below + negatives / 2)) / (np.sum(positives) * np.sum(negatives) or 1.0))


def _add(results):
    return {name: tuple(_sum([result[name][i] for result in results]) for i in (0, 1)) for name in (results[0] if results else {})}


def _sum(values):
    return np.sum(np.asarray(values, np.float64), axis=0) if np.ndim(values[0]) else math.fsum(map(float, values))
