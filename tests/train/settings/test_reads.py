"""Settings that nothing reads: refused where they are given, ignored where a flag overrules the file; and those that are read matter."""
import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data import objectives, ranges
from model import config as model_config, positions, transformer
from train.optimization import optimizer, schedules
from train.settings import parse, reads, schema

# A value of each setting that an optimizer, a schedule or a position scheme may not read, other than its default.
OTHER = {
    'optimizer.b1': 0.5, 'optimizer.b2': 0.5, 'optimizer.epsilon': 0.01, 'optimizer.momentum': 0.5, 'optimizer.bias_correction': False,
    'optimizer.parameter_scale': False, 'optimizer.adam_learning_rate': 0.5, 'optimizer.decay': 7, 'optimizer.cycle': 7,
    'optimizer.final': 0.5, 'model.max_length': 48, 'model.position_offset': 2, 'model.rotary_base': 500.0,
    'model.rotary_scaling': (8.0, 1.0, 4.0, 32),
    'model.relative_buckets': 8, 'model.relative_distance': 20, 'model.relative_segments': True}
CHOICES = {'optimizer.name': schema.OPTIMIZERS, 'optimizer.schedule': schema.SCHEDULES, 'model.positions': model_config.POSITIONS}
PAIRS = [(choice, name) for choice, names in CHOICES.items() for name in names]


def owned(choice, name):
    """(settings that it reads, settings that only others read), of those that some values of the choice do not read."""
    config = schema.build(schema.Config, {choice: name})
    keys = {key: read for keys, decides, read, _ in reads.rows(config, {}) for key in keys.split() if decides == choice}
    return [key for key, read in keys.items() if read], [key for key, read in keys.items() if not read]


def parsed(*argv):
    return parse.parse(['--config=configs/tiny.py', '--workdir=/nowhere', *argv], devices=False)


def test_the_table_knows_every_setting_that_a_choice_may_ignore():
    assert {key for choice, name in PAIRS for keys in owned(choice, name) for key in keys} == set(OTHER)


@pytest.mark.parametrize('choice, name', PAIRS)
def test_what_a_choice_does_not_read_is_refused_when_given(choice, name):
    for key in owned(choice, name)[1]:
        with pytest.raises(parse.Error, match=rf'{key} = .* nothing reads it with {choice} = {name}; expected .*set by --config.{key}'):
            parsed(f'--config.{choice}={name}', '--config.optimizer.weight_decay=0', f'--config.{key}={OTHER[key]}')


@pytest.mark.parametrize('flags, text', [
    ('data.eval=bundled:sotu data.eval_fraction=0.2', 'data.eval_fraction = 0.2   nothing reads it with data.eval = bundled:sotu; '),
    ('data.train=a.txt,b.txt.zst data.field=body', 'data.field = .body.   nothing reads it with data.train = a.txt,b.txt.zst; '
     'expected files with columns'),
    ('data.train=in data.format=text data.field=body', 'data.field = .body.   nothing reads it with data.train = in; expected files with'),
    ('data.documents=line', 'data.documents = .line.   nothing reads it with data.train = bundled:novels; expected text files'),
    ('data.train=a.jsonl data.documents=line', 'data.documents = .line.   nothing reads it with data.train = a.jsonl; expected text files'),
    ('data.format=csv', 'data.format = .csv.   nothing reads it with data.train = bundled:novels; expected files'),
    ('tokenizer.vocab_size=300', 'tokenizer.vocab_size = 300   nothing reads it with tokenizer.kind = bytes; expected unigram, bpe or'),
    ('tokenizer.path=x tokenizer.kind=bpe', 'tokenizer.kind = .bpe.   nothing reads it with tokenizer.path = x; expected None.'),
    ('init.paths=embed', r'init.paths = \(.embed.,\)   nothing reads it with init.from = None; expected a folder to start from.'),
    ('data.words=jieba', 'data.words = .jieba.   nothing reads it with objective.name = causal_lm; expected one that chooses whole words'),
    ('early_stopping.patience=3', 'early_stopping.patience = 3   nothing reads it with early_stopping.metric = None; expected a metric.'),
    ('optimizer.weight_decay=0 optimizer.no_decay=bias', 'optimizer.no_decay = .* nothing reads it with optimizer.weight_decay = 0.0'),
    ('model.decoder_layers=2', 'model.decoder_layers = 2   nothing reads it with model.architecture = decoder; expected encoder_decoder.')])
def test_other_settings_that_nothing_reads(flags, text):
    with pytest.raises(parse.Error, match=text):
        parsed(*(f'--config.{flag}' for flag in flags.split()))


@pytest.mark.parametrize('flags', [
    'data.train=bundled:kjv_web data.field=web', 'data.train=a.txt,b.jsonl data.field=body data.documents=line',
    'data.train=folder data.field=body data.documents=line', 'data.train=x data.format=text data.documents=line',
    'data.eval=a.csv data.field=body', 'data.train=tfds:verses:train data.field=en'])
def test_settings_that_some_text_reads(flags):
    request = parsed(*(f'--config.{flag}' for flag in flags.split()))
    assert {flag.partition('=')[0] for flag in flags.split()} <= request.origins.keys() and request.notices == ()


def test_what_the_file_says_is_ignored_where_a_flag_made_the_choice():
    file = 'configs/pretrain_gpt2.py'
    request = parse.parse([f'--config={file}:tiny', '--workdir=/nowhere', '--config.optimizer.name=adafactor'], devices=False)
    assert request.config.optimizer.b2 == schema.Optimizer.b2 and 'optimizer.b2' not in request.origins
    assert request.notices == tuple(
        f'optimizer.{name} is ignored: nothing reads it with optimizer.name = adafactor; expected {readers}.   (set in {file})'
        for name, readers in (('b1 = 0.9', 'adamw, adam, lamb, lion or muon'), ('b2 = 0.95', 'adamw, adam, lamb, lion, muon or rmsprop')))


def test_what_a_file_says_beside_its_own_choice_is_refused(tmp_path):
    config = dict(steps=3, objective=dict(name='causal_lm'), optimizer=dict(momentum=0.5))
    (tmp_path / 'x.py').write_text(f'def get_config():\n    return {config}\n')
    with pytest.raises(parse.Error, match='momentum = 0.5   nothing reads it with optimizer.name = adamw; expected muon, sgd or rmsprop'):
        parse.parse([f'--config={tmp_path}/x.py', '--workdir=/nowhere'], devices=False)


def test_a_value_that_means_off_may_be_given_anywhere():
    request = parsed('--config.optimizer.momentum=0', '--config.optimizer.decay=None', '--config.model.position_offset=0',
                     '--config.init.rename=()')
    assert request.config == parsed().config and request.notices == ()


def test_on_resume_it_is_a_notice(tmp_path):
    old = dataclasses.replace(parsed().config, optimizer=dataclasses.replace(parsed().config.optimizer, momentum=0.5))
    (tmp_path / 'config.json').write_text(json.dumps(parse.to_dict(old)))
    request = parsed(f'--workdir={tmp_path}', '--config.optimizer.momentum=0.5')
    assert len(request.notices) == 1 and request.config.optimizer.momentum == 0
    assert parse.resume(old, request.config, str(tmp_path)) == ['optimizer.momentum = 0.0 (was 0.5): nothing reads it']
    with pytest.raises(parse.Error, match='momentum = 0.25 .* nothing reads it'):
        parsed(f'--workdir={tmp_path}', '--config.optimizer.momentum=0.25')


def test_what_has_no_part_in_training_is_only_a_notice():
    request = parse.parse(['--config=configs/tiny.py:masked_lm', '--workdir=/nowhere', '--config.sample.top_k=3'], devices=False)
    assert request.notices == ('sample.top_k = 3 is ignored: nothing reads it with model.architecture = encoder; expected decoder.   '
                               '(set by --config.sample.top_k)',)


@pytest.mark.parametrize('variant, flags, text', [
    ('masked_lm', 'max_ngram=2', 'objective.max_ngram = 2   nothing reads it with objective.select = token; expected ngram.'),
    ('masked_lm', 'short=0.2', 'nothing reads it with objective.inputs = document; expected next_sentence or sentence_order.'),
    ('masked_lm', 'short=0', 'nothing reads it with objective.inputs = document; expected next_sentence or sentence_order.'),
    ('masked_lm', 'random=0 random_ids=text', 'nothing reads it with objective.random = 0.0; expected more than 0.'),
    ('span_corruption', 'random=0.2', 'nothing reads it with objective.style = sentinels; expected replace_full.'),
    ('denoising', 'infill=0 spans_of=tokens', 'nothing reads it with objective.infill = 0.0; expected more than 0.'),
    ('fill_in_the_middle', 'spm_rate=0 spm=paper', 'nothing reads it with objective.spm_rate = 0.0; expected more than 0.'),
    ('replaced_token_detection', 'generator=unigram temperature=0.5', 'nothing reads it with objective.generator = unigram; expected'),
    ('mixture', 'members.masked.span_p=0.3', 'span_p = 0.3   nothing reads it with objective.members.masked.select = token')])
def test_settings_of_objectives_that_nothing_reads(variant, flags, text):
    with pytest.raises(parse.Error, match=text):
        flags = [f'--config.objective.{flag}' for flag in flags.split()]
        parse.parse([f'--config=configs/tiny.py:{variant}', '--workdir=/nowhere', *flags], devices=False)


def test_objectives_state_rows_of_their_own_settings():
    for name in objectives.names():
        kinds = schema.settings({'objective.': objectives.load(name)})
        assert all(ranges.stated(kind)[1] for key, kind in kinds.items() if not key.endswith('.name')), name
        for fields, choice, _ in objectives.load(name).reads:
            assert {f'objective.{field}' for field in (*fields.split(), choice)} <= set(kinds), name


def updates(settings):
    """What an optimizer makes of three gradients."""
    params = {'blocks': {'mlp': {'up': {'kernel': jnp.ones((1, 8, 4)), 'bias': jnp.full((1, 4), 0.5)}}}, 'embed': jnp.full((8, 4), 2.0)}

    def steps():
        chain = optimizer.build(settings, 20, params)
        state, found = chain.init(params), []
        for factor in (1.0, -0.005, -0.02):   # so that Lion's signs depend on both averages
            grads = jax.tree.map(lambda p, factor=factor: factor * jnp.sin(jnp.arange(p.size) + 1.0).reshape(p.shape), params)
            out, state = chain.update(grads, state, params)
            found += jax.tree.leaves(out)
        return found

    return [np.asarray(leaf) for leaf in jax.jit(steps)()]


@pytest.mark.parametrize('name', schema.OPTIMIZERS)
def test_what_an_optimizer_reads_changes_its_updates(name):
    plain = schema.Optimizer(name=name, schedule='constant', clip=None)
    before = updates(plain)
    for key in owned('optimizer.name', name)[0]:
        other = dataclasses.replace(plain, **{key.partition('.')[2]: OTHER[key]})
        assert any((a != b).any() for a, b in zip(before, updates(other))), key


@pytest.mark.parametrize('name', schema.SCHEDULES)
def test_what_a_schedule_reads_changes_its_values(name):
    plain = schema.Optimizer(schedule=name, warmup=2)
    for key in owned('optimizer.schedule', name)[0]:
        other = dataclasses.replace(plain, **{key.partition('.')[2]: OTHER[key]})
        assert any(schedules.build(plain, 20)(step) != schedules.build(other, 20)(step) for step in range(20)), key


@pytest.mark.parametrize('name', [name for name, scheme in positions.SCHEMES.items() if scheme.reads])
def test_what_a_position_scheme_reads_changes_the_model(name):
    def logits(**settings):
        given = {'vocab_size': 32, 'max_length': 64, 'dim': 32, 'heads': 2, 'types': 2, 'positions': name, **settings}
        shape = model_config.Config(**given)
        size = 40
        integers = np.arange(size, dtype=np.int32)[None]
        batch = {'tokens': integers % 7, 'positions': integers, 'segments': np.ones_like(integers), 'sees': integers, 'seen': integers,
                 'types': integers % 2}
        out, variables = transformer.Transformer(shape).init_with_output(jax.random.key(0), batch)
        return [np.asarray(out[0] if isinstance(out, tuple) else out), *(leaf for leaf in jax.tree.leaves(variables))]

    plain = logits()
    for key in owned('model.positions', name)[0]:
        other = logits(**{key.partition('.')[2]: OTHER[key]})
        assert len(plain) != len(other) or any(a.shape != b.shape or (a != b).any() for a, b in zip(plain, other)), key
