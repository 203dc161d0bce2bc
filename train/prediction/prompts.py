"""Answers of a run's model to prompts: decoders continue them, encoder-decoders answer, encoders fill their masks."""
import argparse
import dataclasses
import os

import jax
import jax.numpy as jnp
import numpy as np

from data import example, objectives, special_tokens, tokenizer as tokenizers
from model import transformer
from model.decoding import generate
from train import state as states
from train.checkpoints import checkpoint, initial, workdir
from train.prediction import fill_mask
from train.settings import errors, streams


def answers(options: argparse.Namespace) -> list[dict]:
    """[{'prompt', 'text', 'tokens'}] for the options of `train.generate`."""
    config, tokenizer = workdir.read(options.workdir), tokenizers.load(os.path.join(options.workdir, 'tokenizer'))
    encoder = config.model.architecture == 'encoder'
    if encoder:
        fill_mask.check(options, config, tokenizer)
    initial.complete(options.workdir, config, 'generate', 'nothing was generated')
    params, meta = checkpoint.load_params(options.workdir, step=options.step, patterns=('',) if encoder else ('^(adapter/)?backbone/',),
                                          what='params' if config.ema is None else 'ema', notice=streams.complain)
    workdir.same(meta, f'Put {os.path.join(options.workdir, "tokenizer")} back.', tokenizer=tokenizer.hash)
    if encoder:
        return fill_mask.answers(options.prompt, config, tokenizer, states.variables(params))
    return continuations(options, config, tokenizer, states.variables(params))


def continuations(options, config, tokenizer, variables):
    """Continuations of the prompts by a decoder, or the answers of an encoder-decoder."""
    special, room = tokenizer.special, config.model.limit
    layers = max(config.model.layers, config.model.decoder_layers or 0)
    shape = dataclasses.replace(config.model, unroll=layers)  # unrolled: twice as fast on a CPU
    backbone = transformer.Transformer(shape, dtype=jnp.dtype(config.dtype))

    prompts = [text for text in options.prompt or [''] for _ in range(options.num_return_sequences)]
    tokens, lengths, source = inputs([tokenizer.encode(text) for text in prompts], special, config.model.architecture, config.objective)
    longest = tokens.shape[1]
    if room is not None and longest + options.max_new_tokens > room:
        raise errors.Error([errors.Problem(
            f'--max_new_tokens = {options.max_new_tokens}', f'the prompt has {longest} tokens with BOS and the model has {room} positions: '
            f'at most {max(room - longest, 0)} fit.')], kind='generate', end='nothing was generated')
    found = generate.generate(
        backbone.apply, states.part(variables, 'backbone'), tokens, lengths, jax.random.key(options.seed),
        max_new_tokens=options.max_new_tokens, temperature=0.0 if options.method == 'greedy' else options.temperature,
        top_k=options.top_k, top_p=options.top_p, eos=special.eos, pad=special.pad, source=source)
    found = [example.before(row, special.eos) for row in np.asarray(found)]
    return [{'prompt': prompt, 'text': tokenizer.decode(row), 'tokens': row.tolist()} for prompt, row in zip(prompts, found)]


def inputs(prompts: list, special: special_tokens.Special, architecture: str, objective: objectives.Objective) -> tuple:
    """(the decoder's first tokens int32[B, T], their numbers int32[B], further fields) for prompts of ids, as in training."""
    source, starts = {}, [np.append(special.bos, ids) for ids in prompts]
    if architecture == 'encoder_decoder':
        asked = [objective.prompt(ids, special) for ids in prompts]
        prompts, starts = [ids for ids, _ in asked], [np.array([first]) for _, first in asked]
        size = max(map(len, prompts)) + 1
        source = example.stack([example.encoder({
            'tokens': example.padded(np.append(ids, special.eos), size, special.pad),
            **example.bidirectional([len(ids) + 1], size)}) for ids in prompts])
    elif objective.prefix(prompts[0], special) is not None:
        starts = [np.append(special.bos, objective.prefix(ids, special)) for ids in prompts]
        rows = [example.prefix([len(start)], [len(start)], max(map(len, starts))) for start in starts]
        source = {name: np.stack([row[name] for row in rows]) for name in ('sees', 'seen')}
    size = max(map(len, starts))
    return np.stack([example.padded(start, size, special.pad) for start in starts]), np.array([len(s) for s in starts], np.int32), source
