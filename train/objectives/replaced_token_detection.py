"""Replaced-token detection: a small generator fills masked tokens, the backbone decides which tokens are not the original ones.

ELECTRA (Clark et al. 2020; `run_pretraining.py`). The generator has its own projection, layers and head and borrows the backbone's tables
of tokens, positions and types and their norm. Its samples carry no gradient: the discriminator's loss leaves its parameters alone. A sample
that equals the original counts as original. The loss is generator + 50 x discriminator. Parameters are `backbone` (the discriminator, which
init.from takes), `head` and `generator`; a run with objective masked_lm and the generator's sizes (`generator_config`) starts from that one
by
    --config.init.from=RUN --config.init.paths='^backbone/embed/,^backbone/encoder/(positions|types|embed_norm)/,^generator/'
    --config.init.rename='[("^generator/", "backbone/")]'
"""
import dataclasses

import jax
import jax.numpy as jnp
import optax

from data.objectives import replaced_token_detection
from model import config as model_config, flops, heads, ops, scoring, transformer
from train.objectives import loss as losses
from train.settings import schema

BINS, REACH = 2048, 32.0                      # of the logits' histogram, from -REACH to REACH


def generator_config(config: model_config.Config, objective: replaced_token_detection.Objective) -> model_config.Config:
    """The generator's model.config.Config: ELECTRA's shape for a share of the width and of the layers of `config`.

    Heads are about 64 wide. All widths are even, because some positions are about pairs of columns.
    """
    dim = 2 * max(1, round(objective.generator_dim * config.dim / 2))
    count = max(1, dim // 64)
    return dataclasses.replace(
        config, dim=dim, embed_dim=config.width, layers=max(1, round(objective.generator_layers * config.layers)), heads=count,
        kv_heads=None, head_dim=2 * (dim // count // 2), mlp_dim=None, head='transform', tied=True)


class ReplacedTokenDetection(losses.Module):
    """backbone: the discriminator; the settings of the loss are of the generator; objective: whose settings these are.

    A network makes the replacements where the objective `fills`; otherwise the batch holds them.
    """
    objective: replaced_token_detection.Objective = replaced_token_detection.Objective()

    def setup(self):
        config, dtype, hints = self.backbone.config, self.backbone.dtype, self.backbone.hints
        self.head = heads.TokenHead(config, dtype)
        if self.objective.fills:
            self.generator = transformer.Transformer(generator_config(config, self.objective), dtype, self.backbone, hints)

    @property
    def scales(self):
        scales = {'generator': self.objective.generator_weight, 'discriminator': self.objective.discriminator_weight}
        return scales if self.objective.fills else {'discriminator': scales['discriminator']}

    @property
    def token_term(self):
        return 'generator' if self.objective.fills else None

    def weights(self, batch):
        """Drawn tokens for the generator, all tokens that are not padding for the discriminator."""
        tokens = jnp.sum(batch['segments'] > 0).astype(jnp.float32)
        return {name: {'generator': jnp.sum(batch['weights']), 'discriminator': tokens}[name] for name in self.scales}

    def __call__(self, batch, carry=None, rows=None):
        """An evaluation (`rows` is None) also measures the area under the curve."""
        seen, replaced, terms, metrics = self.replace(batch, rows)
        logits, real = self.detect(batch, seen, rows), batch['segments'] > 0
        binary = optax.sigmoid_binary_cross_entropy(logits, replaced)
        return losses.Loss(
            terms={**terms, 'discriminator': losses.weighed(binary, real)},
            metrics={**metrics, **judged(logits, replaced, real, curve=rows is None)},
            carry=carry)

    def replace(self, batch, rows=None):
        """(what the discriminator reads int32[B, T], 1 where that is not the original float32[B, T], terms, metrics)."""
        original = put(batch['tokens'], batch, batch['targets'])
        terms, metrics, seen = {}, {}, batch['tokens']
        if self.objective.fills:
            sampled, terms, metrics = self.generate(batch, rows)
            seen = put(original, batch, sampled)
        return seen, (seen != original).astype(jnp.float32), terms, metrics

    def detect(self, batch, seen, rows=None):
        """float32[B, T]: the log-odds that a token of `seen` is not the original one."""
        return self.head(self.backbone.hidden({**batch, 'tokens': seen}, rows))

    def generate(self, batch, rows):
        """(sampled int32[B, P], terms, metrics) of the generator."""
        targets = batch['targets']
        keys = ops.row_keys(self.make_rng('sample'), jnp.arange(len(targets)) if rows is None else rows)
        draw = scoring.Draw(keys, self.objective.temperature, self.objective.disallow_correct)
        scores = losses.score(self.generator, self.generator.read(batch, rows), batch, self.settings, rows is not None, draw)
        metrics = {**{f'generator_{name}': pair for name, pair in scores.metrics.items()},
                   'sampled_accuracy': losses.weighed(scores.sampled == targets, batch['weights'])}
        return scores.sampled, {'generator': scores.term}, metrics

    def say(self, batch):
        """int32[B, P]: the likeliest tokens at the slots; without a generator, those of the batch."""
        if not self.objective.fills:
            return jnp.take_along_axis(batch['tokens'], batch['slots'], axis=1)
        return self.generator.likeliest(self.generator.read(batch))

    def forward_flops(self, config):
        """The discriminator without a language head, and the generator."""
        model, rows, lengths = config.model, config.batch_size, self.objective.lengths()
        head = 2 * lengths['tokens'] * model.dim * (model.dim + 1)
        found = flops.forward_flops(model, rows, {**lengths, 'slots': 0}) + rows * head
        if self.objective.fills:
            found += flops.forward_flops(generator_config(model, self.objective), rows, lengths)
        return found


def put(tokens: jax.Array, batch: dict, ids: jax.Array) -> jax.Array:
    """int32[B, T]: `tokens` with int32[B, P] written to the slots that are used."""
    at = jnp.arange(len(tokens))[:, None], batch['slots']
    return tokens.at[at].set(jnp.where(batch['weights'] > 0, ids, tokens[at]))


def judged(logits: jax.Array, replaced: jax.Array, real: jax.Array, curve: bool) -> dict:
    """Metrics of logits float32[B, T] that tokens were `replaced` (0 or 1), over those that are `real`."""
    guess, replaced = (logits > 0) * real, replaced * real
    metrics = {'discriminator_accuracy': losses.weighed(guess == replaced, real),
               'discriminator_precision': losses.weighed(replaced, guess), 'discriminator_recall': losses.weighed(guess, replaced),
               'replaced': losses.weighed(replaced, real)}
    if curve:
        metrics['auc'] = histogram(logits, replaced), histogram(logits, real - replaced)
    return metrics


def histogram(logits: jax.Array, weights: jax.Array) -> jax.Array:
    """float32[B, BINS]: the weight of a row's logits in each bin. Two of these make an area under the curve (evaluation.area)."""
    bins = jnp.clip((logits + REACH) * (BINS / (2 * REACH)), 0, BINS - 1).astype(jnp.int32)
    return jnp.zeros((len(bins), BINS), jnp.float32).at[jnp.arange(len(bins))[:, None], bins].add(weights)


def build(config: schema.Config) -> ReplacedTokenDetection:
    """The module of a resolved config."""
    return ReplacedTokenDetection(losses.backbone(config), config.loss, config.objective)
