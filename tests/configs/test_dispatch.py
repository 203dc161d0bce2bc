"""Which implementation of attention each published config gets on each platform, in training, by tracing its real loss."""
import dataclasses

import jax
import jax.numpy as jnp
import pytest

from model import ops
from model.attention import choice
from train import objectives
from train.settings import parse

# What a stack's attention is computed by; with + where attentions of one model differ. cuDNN needs bfloat16 and has no dropout, no
# Transformer-XL and no soft cap; in plain XLA, blocks are faster from 512 x 512 on CPUs and used from 4,096 x 4,096 elsewhere.
TABLE = {                                     # config: (cpu in float32, gpu in bfloat16, tpu)
    'tiny': ('plain', 'cudnn', 'plain'),
    'tiny:masked_lm': ('plain', 'plain', 'plain'),
    'quickstart': ('plain', 'cudnn', 'plain'),
    'pretrain_albert:base': ('blockwise', 'cudnn', 'plain'),
    'pretrain_bart:base': ('blockwise', 'plain', 'plain'),
    'pretrain_bert:base': ('plain', 'plain', 'plain'),
    'pretrain_bert:base-512': ('blockwise', 'plain', 'plain'),
    'pretrain_electra:base': ('blockwise', 'plain', 'plain'),
    'pretrain_gpt2:small': ('blockwise', 'cudnn', 'plain'),
    'pretrain_gpt3:13b': ('blockwise', 'cudnn', 'plain'),
    'pretrain_pangu': ('blockwise', 'plain', 'plain'),
    'pretrain_roberta:base': ('blockwise', 'plain', 'plain'),
    'pretrain_t5:base': ('blockwise+plain', 'plain', 'plain'),
    'pretrain_ul2:20b': ('blockwise', 'plain', 'plain'),
    'pretrain_gpt2:small --config.model.windows=(128,None)': ('blockwise', 'cudnn', 'plain'),
    'pretrain_gpt2:small --config.model.kv_heads=4': ('blockwise', 'cudnn', 'plain'),
    'pretrain_gpt2:small --config.sequence_length=1023': ('blockwise', 'plain', 'plain'),
    'pretrain_gpt2:small --config.model.attention_dropout=0.1': ('blockwise', 'plain', 'plain'),
    'pretrain_xlnet:large': ('blockwise', 'plain', 'plain'),
}


def batch(config, rows=2):
    """Zeros in the shapes of a batch of the config's objective."""
    lengths = config.objective.lengths()
    zeros = lambda length: jnp.zeros((rows, length), jnp.int32)
    found = {name: zeros(lengths['tokens']) for name in ('tokens', 'positions', 'segments', 'sees', 'seen', 'types')}
    if 'encoder_tokens' in lengths:
        found |= {f'encoder_{name}': zeros(lengths['encoder_tokens']) for name in ('tokens', 'positions', 'segments', 'sees', 'seen')}
    count = lengths.get('slots', lengths['targets'])
    found |= {'targets': zeros(count), 'weights': zeros(count).astype(jnp.float32), 'task': zeros(1)[:, 0]}
    labels = {name: zeros(1)[:, 0] for name in ('next_sentence', 'sentence_order')}
    return {**found, 'labels': labels, **({'slots': zeros(count)} if 'slots' in lengths else {})}


def chosen(config, platform, monkeypatch):
    """The names of the implementations that the loss of a config takes, joined by +."""
    names, taken, choose = {module: name for name, module in choice.IMPLEMENTATIONS.items()}, set(), choice.choose
    monkeypatch.setattr(ops, 'platform', lambda: platform)
    monkeypatch.setattr(choice, 'choose', lambda need, name='auto': taken.add(names[choose(need, name)]) or choice.IMPLEMENTATIONS['plain'])
    module, made = objectives.build(config), batch(config)
    keys = {name: jax.random.key(0) for name in ('params', 'dropout', 'sample')}
    jax.eval_shape(lambda batch: module.init(keys, batch, module.initial_carry(2), jnp.arange(2)), made)
    monkeypatch.undo()
    return '+'.join(sorted(taken))


def resolve(name, *flags):
    name, *own = name.split()
    path, _, variant = name.partition(':')
    config = parse.parse([f'--config=configs/{path}.py:{variant}', '--workdir=runs/x', *own, *flags], devices=False).config
    return dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=1024))


@pytest.mark.parametrize('name', TABLE)
def test_the_table(name, monkeypatch):
    found = tuple(chosen(resolve(name, f'--config.dtype={dtype}'), platform, monkeypatch)
                  for platform, dtype in (('cpu', 'float32'), ('gpu', 'bfloat16'), ('tpu', 'bfloat16')))
    assert found == TABLE[name]
