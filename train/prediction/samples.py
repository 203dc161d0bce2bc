"""Samples during training: continuations of prompts, or held-out examples with their masks filled or their inputs answered.

Same prompts and keys at every call, so that samples of two steps differ by the parameters alone.
"""
from collections.abc import Callable
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from data import corpus as corpora, example, pipeline
from model import transformer
from model.decoding import generate
from train import state as states
from train.checkpoints import arrays
from train.prediction import prompts as prompted
from train.settings import errors, schema

EXAMPLES = 2  # held-out examples shown by encoders and encoder-decoders


class Broken(Exception):
    """Samples cannot be computed for this model and objective."""

    exit_code, kind = 7, 'samples'


@dataclasses.dataclass(frozen=True)
class Sampler:
    """sampler(variables) -> [{'prompt', 'text'}]."""
    compute: Callable[[dict], jax.Array]      # what the model says, int32[rows, length], from the variables
    show: Callable[[np.ndarray], list[dict]]

    def __call__(self, variables: dict) -> list[dict]:
        return self.show(arrays.gathered(self.compute(variables)))

    def trace(self, variables: dict) -> None:
        """Broken unless samples can be computed from such (abstract) variables; nothing is compiled."""
        try:
            self.compute.trace(variables)
        except Exception as error:
            raise Broken(f'nothing was trained, because samples cannot be computed: {arrays.reason(error)}') from error


def build(config: schema.Config, corpus: corpora.Corpus, module) -> Sampler:
    """The Sampler of a resolved config and its loss module."""
    if config.model.architecture == 'encoder':
        return filled(config, corpus, module)
    backbone = transformer.Transformer(config.model, dtype=jnp.dtype(config.dtype))
    return {'decoder': continuations, 'encoder_decoder': answers}[config.model.architecture](config, corpus, backbone)


def continuations(config, corpus, backbone):
    """Continues the prompts of `sample.prompts`, each after BOS, as training rows begin. errors.Error for one that is too long."""
    special, settings = corpus.tokenizer.special, config.sample
    if not settings.prompts:
        return Sampler(jax.jit(lambda variables: jnp.zeros((0, 0), jnp.int32)), lambda out: [])
    prompts = [corpus.tokenizer.encode(text) for text in settings.prompts]
    tokens, lengths, source = prompted.inputs(prompts, special, 'decoder', config.objective)
    room = config.sequence_length if config.model.limit else math.inf
    if max(lengths) >= room:
        text = settings.prompts[int(np.argmax(lengths))]
        raise errors.Error([errors.Problem(f'sample.prompts = {errors.shown(text)}', (
            f'the prompt has {max(lengths)} tokens with BOS, sequence_length is {room}; expected at most {room - 1}: shorten it.'))])
    new = min(settings.max_new_tokens, room - tokens.shape[1])

    def compute(variables):
        return generate.generate(
            backbone.apply, states.part(variables, 'backbone'), tokens, lengths, jax.random.key(config.seed), max_new_tokens=new,
            source=source, temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p, eos=special.eos, pad=special.pad)

    def show(out):
        return [{'prompt': text, 'text': corpus.tokenizer.decode(example.before(row, special.eos))}
                for text, row in zip(settings.prompts, out)]

    return Sampler(jax.jit(compute), show)


def filled(config, corpus, module):
    """Fills the slots of held-out examples with the tokens of `module.say`."""
    batch, source = _examples(config, corpus), corpus.eval or corpus.train

    def show(likeliest):
        out = []
        for i, found in enumerate(likeliest):
            real = batch['segments'][i] > 0
            text, used = batch['tokens'][i].copy(), batch['weights'][i] > 0
            text[batch['slots'][i][used]] = found[used]
            decode = source.tokenizer.decode
            out.append({'prompt': f"{decode(batch['tokens'][i][real])}\n→ ", 'text': decode(text[real])})
        return out

    return Sampler(jax.jit(lambda variables: module.apply(variables, batch, method='say')), show)


def answers(config, corpus, backbone):
    """Greedy answers to held-out inputs."""
    batch, special = _examples(config, corpus), corpus.tokenizer.special
    source = {name: value for name, value in batch.items() if name.startswith('encoder_')}
    starts, new = batch['tokens'][:, :1], config.objective.lengths()['targets']
    new = min(new, config.model.limit - 1) if config.model.limit else new

    def compute(variables):
        return generate.generate(backbone.apply, states.part(variables, 'backbone'), starts, np.ones(EXAMPLES, np.int32), temperature=0,
                                 eos=special.eos, max_new_tokens=new, pad=special.pad, source=source)

    def show(out):
        inputs = [row[row_segments > 0] for row, row_segments in zip(batch['encoder_tokens'], batch['encoder_segments'])]
        decode = lambda row: corpus.tokenizer.decode(example.before(row, special.eos))
        return [{'prompt': f'{decode(row)}\n→ ', 'text': decode(answer)} for row, answer in zip(inputs, out)]

    return Sampler(jax.jit(compute), show)


def _examples(config, corpus):
    source = corpus.eval or corpus.train
    made = [pipeline.make(config.objective, source, 0, 0, i) for i in range(EXAMPLES)]
    return example.given(example.stack(made))

