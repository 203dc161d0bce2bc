"""Fills the masks of a text with the likeliest tokens of an encoder: `train.generate` for models that cannot continue a text.

A text is read as training rows are: [CLS] text [SEP]. A mask is written <mask> or as the tokenizer writes its own.
"""
import argparse

import jax
import numpy as np

from data import example, objectives as data_objectives, special_tokens
from train import objectives
from train.settings import command, errors, schema

SAMPLING = ('temperature', 'top_k', 'top_p', 'num_return_sequences', 'max_new_tokens', 'seed')


def answers(prompts: list[str], config: schema.Config, tokenizer, variables: dict) -> list[dict]:
    """[{'prompt', 'text', 'tokens'}]: the text with its masks filled, and the ids that fill them; variables: of the loss module."""
    module, objective, variables = objectives.build(config).filling(config.objective, variables)
    batch = read([ids(text, tokenizer) for text in prompts], tokenizer.special, objective)
    likeliest = np.asarray(jax.jit(lambda variables: module.apply(variables, batch, method='say'))(variables))
    found = []
    for row, prompt in enumerate(prompts):
        used, real = batch['weights'][row] > 0, batch['segments'][row] > 0
        text = batch['tokens'][row].copy()
        text[batch['slots'][row][used]] = likeliest[row][used]
        found.append({'prompt': prompt, 'text': tokenizer.decode(text[real][1:-1]), 'tokens': likeliest[row][used].tolist()})
    return found


def check(options: argparse.Namespace, config: schema.Config, tokenizer) -> None:
    """errors.Error unless the run can fill the masks of the prompts."""
    wrong, spelt = [], spellings(tokenizer)
    if not config.objective.fills:
        text = 'holds a discriminator, which predicts no tokens; expected another run.'
        wrong.append(errors.Problem(f'--workdir = {options.workdir}', text))
    for text in options.prompt or ['']:
        if not any(mask in text for mask in spelt):
            wrong.append(errors.Problem(f'--prompt = {errors.shown(text)}', 'the run holds an encoder, which fills masks: expected '
                                          f'a text with {errors.one_of(spelt)}.'))
        elif config.model.limit and len(ids(text, tokenizer)) + 2 > config.model.limit:
            wrong.append(errors.Problem(f'--prompt = {errors.shown(text)}', f'has {len(ids(text, tokenizer))} tokens; the model has '
                                          f'{config.model.max_length} positions, two of them for [CLS] and [SEP].'))
    wrong += command.unread(options, SAMPLING, 'the run holds an encoder, which has one answer, the likeliest')
    if wrong:
        raise errors.Error(wrong, kind='generate', end='nothing was generated')


def spellings(tokenizer) -> dict[str, None]:
    """How a mask may be written in a prompt."""
    return dict.fromkeys(('<mask>', '[MASK]', tokenizer.piece(tokenizer.special.mask)))


def ids(text: str, tokenizer) -> np.ndarray:
    """int32[n] of a text with masks in it. Where words hold the space before them, so does the word behind a mask."""
    for spelling in spellings(tokenizer):
        text = text.replace(spelling, '\0')
    if any(len(word) > 1 and word.startswith(b' ') for word in tokenizer.table):
        text = text.replace(' \0', '\0')
    parts = [tokenizer.encode(part) for part in text.split('\0')]
    mask = np.array([tokenizer.special.mask], np.int32)
    return np.concatenate([piece for part in parts for piece in (part, mask)][:-1])


def read(rows: list[np.ndarray], special: special_tokens.Special, objective: data_objectives.Objective) -> dict:
    """The batch of rows of ids, read at their masks."""
    rows = [np.concatenate([[special.cls], row, [special.sep]]).astype(np.int32) for row in rows]
    masks = [np.flatnonzero(row == special.mask) for row in rows]
    size, count = max(map(len, rows)), max(1, *map(len, masks))
    made = []
    for row, slots in zip(rows, masks):
        fields = {name: value.copy() for name, value in example.bidirectional([len(row)], size).items()}
        objective.hide(fields, slots)
        made.append({**fields, 'tokens': example.padded(row, size, special.pad), 'slots': example.padded(slots, count, 0),
                     'weights': example.weights(len(slots), count)})
    return example.stack(made)
