"""Every config and variant of the repository resolves, explains itself and has a tiny form."""
import ast
import dataclasses
import importlib
import json
import math
import pathlib
import runpy

import pytest

from model import config as model_config
from model import flops
from train import config
from train import flags
from train import schedules

FILES = flags.configs()
VARIANTS = [(path, variant) for path in FILES for variant in runpy.run_path(str(flags.ROOT / path))['VARIANTS']]


def resolve(path, variant):
    return config.parse([f'--config={path}:{variant}', '--workdir=runs/x'], devices=False).config


@pytest.mark.parametrize('path, variant', VARIANTS)
def test_it_resolves_and_survives_config_json(path, variant):
    resolved = resolve(path, variant)
    assert config.from_dict(json.loads(json.dumps(config.to_dict(resolved)))) == resolved


@pytest.mark.parametrize('path', FILES)
def test_it_says_how_to_run_it(path):
    source = (flags.ROOT / path).read_text(encoding='utf-8')
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
        'gpt2', 'gpt3', 'bert', 'roberta', 'albert', 't5', 'ul2', 'bart', 'electra', 'xlnet'])


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


# What each original trained with: (config, steps, rows, length, optimizer, learning rate, warm-up, {other settings}).
ADAM = dict(b1=0.9, b2=0.999, epsilon=1e-6, bias_correction=False, weight_decay=0.01, clip=1.0)
FAIRSEQ = dict(b2=0.98, epsilon=1e-6, weight_decay=0.01, clip=None, no_decay=())
T5 = dict(learning_rate=0.01, decay=10_000, weight_decay=0.0, clip=None)
RECIPES = [
    ('bert:base', 900_000, 256, 128, 'adamw', 1e-4, 10_000, ADAM),
    ('bert:large-512', 100_000, 256, 512, 'adamw', 1e-5, 0, ADAM),
    ('roberta:base', 125_000, 2048, 512, 'adamw', 5e-4, 10_000, FAIRSEQ),
    ('albert:xxlarge', 125_000, 4096, 512, 'lamb', 0.00176, 3125, ADAM),
    ('electra:small', 1_000_000, 128, 128, 'adamw', 5e-4, 10_000, ADAM),
    ('electra:base', 766_000, 256, 512, 'adamw', 2e-4, 10_000, ADAM),
    ('electra:large', 400_000, 2048, 512, 'adamw', 2e-4, 10_000, ADAM),
    ('xlnet:large', 500_000, 8192, 512, 'adamw', 4e-4, 40_000, dict(ADAM, final=0.001)),
    ('t5:baseline', 2 ** 19, 128, 512, 'adafactor', 0.01, 0, T5),
    ('t5:11b', 1_000_000, 2048, 512, 'adafactor', 0.01, 0, T5),
    ('ul2:20b', 2_000_000, 1024, 512, 'adafactor', 0.01, 0, T5),
    ('bart:large', 500_000, 8000, 512, 'adamw', 4e-4, 10_000, dict(weight_decay=0.01, clip=0.1)),
    ('gpt2:small', 600_000, 512, 1024, 'adamw', 6e-4, 2000, dict(b2=0.95, weight_decay=0.1, final=0.1)),
]


@pytest.mark.parametrize('name, steps, rows, length, optimizer, learning_rate, warmup, others', RECIPES)
def test_recipes(name, steps, rows, length, optimizer, learning_rate, warmup, others):
    stem, _, variant = name.partition(':')
    found = resolve(f'configs/pretrain_{stem}.py', variant)
    assert (found.steps, found.batch_size, found.sequence_length) == (steps, rows, length)
    settings = found.optimizer
    assert (settings.name, settings.learning_rate, settings.warmup) == (optimizer, learning_rate, warmup)
    assert {key: getattr(settings, key) for key in others} == others


def test_gpt3_reads_300_billion_tokens():
    for size in family('pretrain_gpt3.py').SIZES:
        found = resolve('configs/pretrain_gpt3.py', size)
        tokens = found.batch_size * found.sequence_length
        assert found.steps * tokens == pytest.approx(300e9, rel=1e-3)
        assert found.optimizer.decay * tokens == pytest.approx(260e9, rel=1e-3)
        assert found.optimizer.warmup * tokens == pytest.approx(375e6, rel=0.01)


@pytest.mark.parametrize('size', ['base', 'large'])
def test_berts_second_phase_goes_on_where_the_first_ends(size):
    """Together BERT's line from 1e-4 to 0 over a million steps."""
    first, second = (resolve('configs/pretrain_bert.py', size + phase) for phase in ('', '-512'))
    assert first.model == second.model and first.steps + second.steps == 1_000_000
    begin, end = (schedules.build(phase.optimizer, phase.steps) for phase in (first, second))
    assert math.isclose(begin(first.steps), end(0), rel_tol=1e-5) and math.isclose(end(0), 1e-5, rel_tol=1e-5)
    assert end(second.steps) == 0 and math.isclose(end(50_000), 0.5e-5, rel_tol=1e-5)


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
