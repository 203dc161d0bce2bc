"""Either network of replaced-token detection starts a masked LM: the discriminator by its paths, the generator renamed."""
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich.console

from data import corpus, tokenizer as tokenizers
from model import paths, transformer
from train import loop, objectives, program
from train.checkpoints import checkpoint
from train.monitoring import display, metrics
from train.parallel import sharding
from train.settings import parse

FLAGS = ('--config.steps=2', '--config.batch_size=4', '--config.eval_batches=1', '--config.model.embed_dim=32',
         '--config.model.types=2')
GENERATOR = ('--config.init.paths=^backbone/embed/,^backbone/encoder/(positions|types|embed_norm)/,^generator/',
             '--config.init.rename=[("^generator/", "backbone/")]', '--config.model.dim=16', '--config.model.heads=1')


@pytest.fixture(scope='module')
def train(tmp_path_factory):
    """train(variant, *flags, run=...) -> (Request, params, what was shown) on one device: of a run, or of its start alone."""
    folder = tmp_path_factory.mktemp('runs')

    def train(variant, *flags, run=loop.run):
        request = parse.parse([f'--config=configs/tiny.py:{variant}', f'--workdir={folder / variant}',
                                 f'--config.data.cache={folder}', *FLAGS, *flags], devices=False)
        text = io.StringIO()
        with display.Display(console=rich.console.Console(file=text, width=200)) as screen:
            _, state = run(request.config, request.workdir, screen, request.origins, jax.devices()[:1])
        return request, state.params, text.getvalue()
    return train


def begin(config, workdir, screen, origins, devices):
    """What loop.run does before its first step."""
    text = corpus.open(config.data, config.tokenizer, screen.notice)
    config, mesh = parse.with_vocabulary(config, text.tokenizer), sharding.mesh(config.mesh, devices)
    with jax.set_mesh(mesh):
        compiled = program.build(config, objectives.build(config), mesh, program.shapes(config, text.train))
        return None, loop.start(compiled.create(), config, screen)


@pytest.fixture(scope='module')
def electra(train):
    return train('replaced_token_detection')


def same(found, expected):
    found, expected = paths.flatten(found), paths.flatten(expected)
    assert found.keys() == expected.keys()
    for path, leaf in expected.items():
        np.testing.assert_array_equal(found[path], leaf, err_msg=path)


def test_the_run_says_how_well_it_does_and_fills_masks(electra):
    request, _, shown = electra
    line = metrics.read(request.workdir)[-1]
    assert 0 < line['eval/auc'] < 1 and {'train/generator', 'train/discriminator', 'train/discriminator_recall'} <= set(line)
    sample = metrics.read(request.workdir, 'samples.jsonl')[0]
    assert '<mask>' in sample['prompt'] and '<cls>' in sample['text'] and 'first loss' in shown


def test_masked_lm_starts_from_the_generator(electra, train):
    request, params, _ = electra
    small, started, shown = train('masked_lm', f'--config.init.from={request.workdir}', *GENERATOR, run=begin)
    count = len(paths.flatten(started))
    assert f'{count} of {count} parameters start from' in shown
    shared = {name: params['backbone']['encoder'][name] for name in ('positions', 'types', 'embed_norm')}
    same(started['backbone'], {'embed': params['backbone']['embed'], 'head': params['generator']['head'],
                               'encoder': {**shared, **params['generator']['encoder']}})

    config = parse.with_vocabulary(request.config, tokenizers.Bytes())
    alone = transformer.Transformer(parse.with_vocabulary(small.config, tokenizers.Bytes()).model)
    module, batch = objectives.build(config), transformer.blank(config.model, 2, 9)
    batch = {**batch, 'tokens': jnp.arange(18, dtype=jnp.int32).reshape(2, 9) + 60, 'segments': jnp.ones((2, 9), jnp.int32)}
    logits = alone.apply({'params': started['backbone']}, batch)
    np.testing.assert_allclose(logits, module.apply({'params': params}, batch, method=lambda m, b: m.generator(b)), atol=1e-5)


def test_masked_lm_starts_from_the_discriminator(electra, train):
    request, params, _ = electra
    start = (f'--config.init.from={request.workdir}', '--config.init.paths=^backbone/')
    _, started, shown = train('masked_lm', *start, run=begin)
    assert f'{len(paths.flatten(params["backbone"]))} of {len(paths.flatten(started))} parameters start from' in shown
    same({name: started['backbone'][name] for name in ('embed', 'encoder')}, params['backbone'])


def test_paths_are_renamed_in_turn(electra):
    request, params, _ = electra
    found, _ = checkpoint.load_params(request.workdir, patterns=('^head/',), rename=(('^head', 'a'), ('^a/(.*)/', r'b/\1/c/')))
    same(found, {'b': {name: {'c': leaves} for name, leaves in params['head'].items()}})
    with pytest.raises(checkpoint.Mismatch, match='two parameters get one name by .*generator/.*; take fewer'):
        checkpoint.load_params(request.workdir, rename=(('^generator/', 'backbone/'),))
    with pytest.raises(checkpoint.Mismatch, match='- params/backbone/head/bias'):
        checkpoint.load_params(request.workdir, params, ('^generator/head',), rename=(('^generator/', 'backbone/'),))


def test_a_replacement_that_is_none_is_a_message():
    with pytest.raises(parse.Error, match=r'init.rename = .* expected \(regular expression, replacement\) pairs, got .*: inv'):
        parse.parse(['--config=configs/tiny.py', '--workdir=x', r"--config.init.rename=[('a', r'\1')]"], devices=False)
