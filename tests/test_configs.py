"""Every config and variant of the repository resolves, explains itself and has a tiny form."""
import ast
import json
import runpy

import pytest

from train import config
from train import flags

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
