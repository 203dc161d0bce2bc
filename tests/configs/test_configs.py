"""Every config and variant of the repository resolves, explains itself and has a tiny form."""
import ast
import dataclasses
import importlib
import json
import math
import pathlib
import re
import runpy

import jax
import pytest

from model import config as model_config, flops, paths, transformer
from train.optimization import schedules
from train.settings import command_line, parse, schema

FILES = command_line.configs()
VARIANTS = [(path, variant) for path in FILES for variant in runpy.run_path(str(command_line.ROOT / path))['VARIANTS']]


def resolve(path, variant):
    return parse.parse([f'--config={path}:{variant}', '--workdir=runs/x'], devices=False).config


# All but the tiny one of continue.py start from another run: tests/train/test_continue.py.
@pytest.mark.parametrize('path, variant', [(path, name) for path, name in VARIANTS if path != 'configs/continue.py' or name == 'tiny'])
def test_it_resolves_and_survives_config_json(path, variant):
    resolved = resolve(path, variant)
    assert parse.from_dict(json.loads(json.dumps(parse.to_dict(resolved)))) == resolved


@pytest.mark.parametrize('path', FILES)
def test_it_says_how_to_run_it(path):
    source = (command_line.ROOT / path).read_text(encoding='utf-8')
    assert f'python -m train.main --config={path}' in ast.get_docstring(ast.parse(source))
    assert len(source.splitlines()) <= 100
    names = [name for p, name in VARIANTS if p == path]
    assert names[0] == '' and 'tiny' in names and len(set(names)) == len(names)


@pytest.mark.parametrize('path', FILES)
def test_tiny_is_tiny(path):
    tiny = resolve(path, 'tiny')
    assert (tiny.model.layers, tiny.model.dim, tiny.model.heads, tiny.sequence_length) == (2, 64, 8, 64)
    assert tiny.tokenizer.kind == 'bytes' and tiny.data.train.startswith('bundled:')


@pytest.mark.parametrize('variant, architecture', [
    ('', 'decoder'), ('causal_lm', 'decoder'), ('masked_lm', 'encoder'), ('span_corruption', 'encoder_decoder')])
def test_tiny_has_one_of_each_architecture(variant, architecture):
    assert resolve('configs/tiny.py', variant).model.architecture == architecture


PRETRAIN = [path for path in FILES if '/pretrain_' in path]


def family(path):
    return importlib.import_module(f'model.families.{pathlib.Path(path).stem.removeprefix("pretrain_")}')


def test_every_published_family_has_a_config():
    assert [pathlib.Path(path).stem.removeprefix('pretrain_') for path in PRETRAIN] == sorted([
        'gpt2', 'gpt3', 'bert', 'roberta', 'albert', 't5', 'ul2', 'bart', 'electra', 'xlnet', 'pangu'])


@pytest.mark.parametrize('path', PRETRAIN)
def test_sizes_are_the_familys(path):
    names, sizes = [variant for p, variant in VARIANTS if p == path], family(path).SIZES
    assert {'mini', 'tiny', *sizes} <= set(names)
    for size, settings in sizes.items():
        resolved = resolve(path, size).model
        chosen = dict(remat=resolved.remat, max_length=resolved.max_length)
        assert resolved == dataclasses.replace(model_config.Config(**settings), **chosen)
        assert resolved.max_length >= settings.get('max_length', 0)
    plain = resolve(path, '')
    assert plain in [resolve(path, size) for size in sizes]


@pytest.mark.parametrize('path', PRETRAIN)
def test_mini_and_tiny_differ_from_the_family_in_size_alone(path):
    sizes = family(path).SIZES
    whole = resolve(path, next(iter(sizes))).model
    scaled = ('layers', 'dim', 'heads', 'head_dim', 'mlp_dim', 'embed_dim', 'logit_scale', 'vocab_size', 'max_length', 'remat')
    for variant in ('mini', 'tiny'):
        small = resolve(path, variant).model
        kept = [field.name for field in dataclasses.fields(small) if field.name not in scaled]
        assert {name: getattr(small, name) for name in kept} == {name: getattr(whole, name) for name in kept}
        assert small.logit_scale in (None, small.dim ** -0.5) and (small.logit_scale is None) == (whole.logit_scale is None)


@pytest.mark.parametrize('path', PRETRAIN)
def test_mini_has_five_to_ten_million_parameters(path):
    model = resolve(path, 'mini').model
    assert 5e6 < flops.parameters(dataclasses.replace(model, vocab_size=4096)) < 10e6


# Learning rates as the originals compute them, from the update's number.
def bert(step, peak, warmup, steps):
    """google-research/bert and albert, `optimization.py`: one line over all steps, warm-up instead of its beginning."""
    return peak * step / warmup if step < warmup else peak * (1 - step / steps)


def electra(step, peak, warmup, steps):
    """google-research/electra, `optimization.py`: the same line times the ramp."""
    return peak * (1 - step / steps) * min(1.0, step / warmup)


def xlnet(step, peak, warmup, steps, last=0.001):
    """zihangdai/xlnet, `model_utils.py`: the line begins where warm-up ends; fairseq's polynomial_decay with last = 0."""
    decayed = (peak - peak * last) * (1 - (step - warmup) / (steps - warmup)) + peak * last
    return peak * step / warmup if step < warmup else decayed


def t5(step):
    return 1 / math.sqrt(max(step, 10_000))


def cosine(step, peak, warmup, end):
    """nanoGPT, `train.py`, and GPT-3's appendix: down to a tenth."""
    share = min(1.0, (step - warmup) / (end - warmup))
    return peak * step / warmup if step < warmup else peak / 10 + 0.5 * (1 + math.cos(math.pi * share)) * (peak - peak / 10)


def prefixed(group, **settings):
    return {f'{group}.{name}': value for name, value in settings.items()}


# What each original trained with.
VECTORS = (r'bias$', r'scale$')
ADAM = prefixed('optimizer', name='adamw', b1=0.9, b2=0.999, epsilon=1e-6, bias_correction=False, weight_decay=0.01, clip=1.0,
                no_decay=VECTORS)
DROPOUT = prefixed('model', dropout=0.1, attention_dropout=0.1)
BERT = {**ADAM, **DROPOUT, 'optimizer.schedule': 'linear_bert', 'model.initializer': 'bert', **prefixed(
    'objective', name='masked_lm', inputs='next_sentence', select='token', rate=0.15, mask=0.8, random=0.1, short=0.1, masks=10)}
ROBERTA = {**DROPOUT, **prefixed(
    'optimizer', name='adamw', schedule='linear', final=0.0, b1=0.9, b2=0.98, epsilon=1e-6, bias_correction=True,
    weight_decay=0.01, clip=None, no_decay=()), 'model.initializer': 'normal', **prefixed(
    'objective', inputs='full_sentences', select='token', rate=0.15, mask=0.8, random=0.1, masks=0)}
ALBERT = {**ADAM, **prefixed('optimizer', name='lamb', schedule='linear_bert', final=0.0), **prefixed(
    'model', dropout=0.0, attention_dropout=0.0, initializer='bert'), **prefixed(
    'objective', inputs='sentence_order', select='ngram', max_ngram=3, rate=0.15, mask=0.8, random=0.1, short=0.1, masks=40)}
ELECTRA = {**ADAM, **DROPOUT, **prefixed('optimizer', schedule='linear_electra', final=0.0), **prefixed(
    'model', initializer='bert'), **prefixed(
    'objective', mask=0.85, generator='model', generator_layers=1.0, temperature=1.0, disallow_correct=False,
    generator_weight=1.0, discriminator_weight=50.0)}
XLNET = {**ADAM, **DROPOUT, **prefixed(
    'optimizer', schedule='linear', final=0.001, no_decay=(r'(^|/)bias$', r'scale$')), **prefixed(
    'model', mlp_dropout=0.1, initializer='normal'), **prefixed(
    'objective', reuse_length=256, memory_length=384, num_predict=85, permutation_length=256, max_span=5, context=6,
    directions='both')}
T5 = {**prefixed('optimizer', name='adafactor', schedule='rsqrt', decay=10_000, final=0.0, weight_decay=0.0, clip=None),
      'model.initializer': 't5', 'loss.z_loss': 1e-4}
SPANS = prefixed('objective', noise_density=0.15, mean_span_length=3.0)
T5_DROPOUT = prefixed('model', dropout=0.1, mlp_dropout=0.1, attention_dropout=0.1, output_dropout=0.1)
NO_DROPOUT = {name: 0.0 for name in T5_DROPOUT}
BART = {**DROPOUT, **prefixed(                # fairseq's Adam has betas 0.9, 0.999 and epsilon 1e-8 unless told otherwise
    'optimizer', name='adamw', schedule='linear', final=0.0, b1=0.9, b2=0.999, epsilon=1e-8, bias_correction=True,
    weight_decay=0.01, clip=0.1, no_decay=()), 'model.initializer': 'normal', **prefixed(
    'objective', permute=1.0, infill=0.3, mean_span_length=3.5, replace_length=1, random=0.1, mask=0.0, delete=0.0,
    insert=0.0, rotate=0.0, spans_of='words')}
GPT = {**prefixed('optimizer', name='adamw', schedule='cosine', final=0.1, b1=0.9, b2=0.95, epsilon=1e-8, bias_correction=True,
                  weight_decay=0.1, clip=1.0, no_decay=VECTORS), **prefixed(
       'model', dropout=0.0, attention_dropout=0.0, initializer='gpt2')}
RECIPES = [                                   # config, steps, rows, length, learning rate, warm-up, its course, other settings
    ('bert:base', 900_000, 256, 128, 1e-4, 10_000, lambda step: bert(step, 1e-4, 10_000, 1_000_000),
     {**BERT, 'optimizer.final': 0.1, 'objective.max_predictions': 20}),
    ('bert:large-512', 100_000, 256, 512, 1e-5, 0, lambda step: bert(900_000 + step, 1e-4, 10_000, 1_000_000),
     {**BERT, 'optimizer.final': 0.0, 'objective.max_predictions': 80}),
    ('roberta:base', 125_000, 2048, 512, 5e-4, 10_000, lambda step: xlnet(step, 5e-4, 10_000, 125_000, 0), ROBERTA),
    ('roberta:large', 500_000, 8192, 512, 4e-4, 30_000, lambda step: xlnet(step, 4e-4, 30_000, 500_000, 0), ROBERTA),
    ('albert:xxlarge', 125_000, 4096, 512, 0.00176, 3125, lambda step: bert(step, 0.00176, 3125, 125_000), ALBERT),
    ('electra:small', 1_000_000, 128, 128, 5e-4, 10_000, lambda step: electra(step, 5e-4, 10_000, 1_000_000),
     {**ELECTRA, **prefixed('objective', rate=0.15, generator_dim=1 / 4)}),
    ('electra:base', 766_000, 256, 512, 2e-4, 10_000, lambda step: electra(step, 2e-4, 10_000, 766_000),
     {**ELECTRA, **prefixed('objective', rate=0.15, generator_dim=1 / 3)}),
    ('electra:large', 400_000, 2048, 512, 2e-4, 10_000, lambda step: electra(step, 2e-4, 10_000, 400_000),
     {**ELECTRA, **prefixed('objective', rate=0.25, generator_dim=1 / 4)}),
    ('xlnet:large', 500_000, 8192, 512, 4e-4, 40_000, lambda step: xlnet(step, 4e-4, 40_000, 500_000), XLNET),
    ('t5:baseline', 2 ** 19, 128, 512, 0.01, 0, t5, {**T5, **SPANS, **T5_DROPOUT}),
    ('t5:11b', 1_000_000, 2048, 512, 0.01, 0, t5, {**T5, **SPANS, **T5_DROPOUT}),
    ('t5:v1_1-xl', 1_000_000, 2048, 512, 0.01, 0, t5, {**T5, **SPANS, **NO_DROPOUT}),
    ('ul2:20b', 2_000_000, 1024, 512, 0.01, 0, t5, {**T5, **NO_DROPOUT}),
    ('bart:large', 500_000, 8000, 512, 4e-4, 10_000, lambda step: xlnet(step, 4e-4, 10_000, 500_000, 0), BART),
    ('gpt2:small', 600_000, 512, 1024, 6e-4, 2000, lambda step: cosine(step, 6e-4, 2000, 600_000), GPT),
    ('gpt3:175b', 95_367, 1536, 2048, 0.6e-4, 119, lambda step: cosine(step, 0.6e-4, 119, 82_652), GPT),
    ('pangu:200b', 260_000, 512, 1024, 2e-5, 2000, lambda step: cosine(step, 2e-5, 2000, 200_000), {**GPT, **DROPOUT}),
]


@pytest.mark.parametrize('name, steps, rows, length, learning_rate, warmup, course, others', RECIPES,
                         ids=[row[0] for row in RECIPES])
def test_recipes(name, steps, rows, length, learning_rate, warmup, course, others):
    stem, _, variant = name.partition(':')
    resolved = resolve(f'configs/pretrain_{stem}.py', variant)
    assert (resolved.steps, resolved.batch_size, resolved.sequence_length) == (steps, rows, length)
    assert (resolved.optimizer.learning_rate, resolved.optimizer.warmup) == (learning_rate, warmup)
    found = schema.values(resolved)
    assert {key: found[key] for key in others} == others
    schedule = schedules.build(resolved.optimizer, resolved.steps)
    for step in (1000, 12_000, 100_000):
        assert float(schedule(step)) == pytest.approx(course(step), rel=1e-5, abs=1e-12)


def test_xlnet_decays_the_biases_of_scores_and_no_others():
    """`include_in_weight_decay` of `model_utils.py`: r_w_bias, r_r_bias and r_s_bias, not LayerNorm nor other biases."""
    resolved = resolve('configs/pretrain_xlnet.py', 'tiny')
    model = dataclasses.replace(resolved.model, vocab_size=512)
    shapes = jax.eval_shape(transformer.Transformer(model).init, jax.random.key(0), transformer.blank(model))
    flat = paths.flatten(shapes['params'])
    kept = [path for path in flat if any(re.search(regex, path) for regex in resolved.optimizer.no_decay)]
    biases = [f'encoder/blocks/attention/relative/{name}_bias' for name in ('content', 'position', 'segment')]
    assert set(biases) <= set(flat) and not set(biases) & set(kept)
    assert set(kept) == {path for path in flat if path.split('/')[-1] in ('bias', 'scale')} and len(kept) > 6


@pytest.mark.parametrize('name', ['t5', 'ul2'])
def test_sentinels_are_t5s(name):
    """Ids end at 32,100, the table at 32,128, so that the first sentinel is 32099."""
    for variant in family(f'pretrain_{name}.py').SIZES:
        resolved = resolve(f'configs/pretrain_{name}.py', variant)
        assert (resolved.tokenizer.vocab_size, resolved.model.vocab_size) == (32_100, 32_128)


def test_gpt3_reads_300_billion_tokens():
    for size in family('pretrain_gpt3.py').SIZES:
        found = resolve('configs/pretrain_gpt3.py', size)
        tokens = found.batch_size * found.sequence_length
        assert found.steps * tokens == pytest.approx(300e9, rel=1e-3)
        assert found.optimizer.decay * tokens == pytest.approx(260e9, rel=1e-3)
        assert found.optimizer.warmup * tokens == pytest.approx(375e6, rel=0.01)


@pytest.mark.parametrize('size', ['base', 'large'])
def test_berts_second_phase_goes_on_where_the_first_ends(size):
    """Together BERT's line from 1e-4 at step 0 to 0 over a million steps."""
    first, second = (resolve('configs/pretrain_bert.py', size + phase) for phase in ('', '-512'))
    assert first.model == second.model and first.steps + second.steps == 1_000_000
    begin, end = (schedules.build(phase.optimizer, phase.steps) for phase in (first, second))
    assert math.isclose(begin(first.steps), end(0), rel_tol=1e-5) and math.isclose(end(0), 1e-5, rel_tol=1e-5)
    slopes = [begin(800_000) - begin(900_000), end(0) - end(100_000)]
    assert all(math.isclose(slope, 1e-5, rel_tol=1e-4) for slope in slopes) and end(second.steps) == 0


def test_objectives_at_their_published_lengths():
    """Slots and lengths that the originals state (objectives.md)."""
    def lengths(name, variant):
        return resolve(f'configs/pretrain_{name}.py', variant).objective.lengths()

    assert lengths('bert', 'base')['slots'] == 20 and lengths('bert', 'base-512')['slots'] == 80
    assert lengths('t5', 'base') == {'tokens': 114, 'targets': 114, 'encoder_tokens': 512}
    assert lengths('electra', 'small')['slots'] == 19 and lengths('electra', 'base')['slots'] == 79
    assert lengths('electra', 'large')['slots'] == 130
    assert lengths('xlnet', 'large')['slots'] == 85
    assert lengths('bart', 'large')['encoder_tokens'] == 512
    assert lengths('ul2', '20b') == {'tokens': 512, 'targets': 512, 'encoder_tokens': 512}
