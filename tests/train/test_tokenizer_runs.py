"""Runs with the vocabularies of published models: they train, are cached and shown; a missing special token is one message."""
import io
import json
import math
import pathlib
import re

import jax
import pytest
import rich.console

from data import tokenizer as tokenizers
from tests import inspect_properties
from tests.data.test_tokenizer import novel
from tests.data.vocabularies.test_huggingface_tokenizers import lay, MESSAGES
from train import inspect, loop
from train.monitoring import display, metrics
from train.settings import errors, parse

UNTRUSTED = 'The whale \x1b[2J<script>alert(1)</script> [MASK] </s> <|endoftext|> <extra_id_0> 三国 swims.\n'


@pytest.fixture(scope='module')
def flags(tmp_path_factory):
    """f(case, variant) -> the command line of a tiny run with that vocabulary."""
    root = tmp_path_factory.mktemp('published')
    (root / 'text.txt').write_text(novel(120_000), encoding='utf-8')
    (root / 'untrusted.txt').write_text(UNTRUSTED * 200, encoding='utf-8')
    return lambda case, variant: [f'--config=configs/tiny.py:{variant}', f'--config.tokenizer.path={lay(case, root / case)}',
                                  f'--config.data.cache={root}/cache', f'--config.data.train={root}/text.txt']


@pytest.mark.parametrize('case, variant, change', [
    ('gpt2', 'causal_lm', []), ('bert', 'causal_lm', []),
    pytest.param('bert', 'masked_lm', ['--config.objective.select=word'], marks=pytest.mark.slow),
    pytest.param('t5', 'span_corruption', [], marks=pytest.mark.slow)])
def test_two_steps(flags, tmp_path, case, variant, change):
    request = parse.parse([*flags(case, variant), f'--workdir={tmp_path}/run', '--config.steps=2', '--config.eval_batches=1',
                             '--config.sample.max_new_tokens=2', '--config.model.layers=1', '--config.model.dim=32',
                             '--config.model.heads=4', '--config.sequence_length=32', '--config.batch_size=4', *change], devices=False)
    shown = io.StringIO()
    with display.Display(console=rich.console.Console(file=shown, width=200)) as screen:
        reason, state = loop.run(request.config, request.workdir, screen, request.origins, jax.devices()[:1])
    assert reason is None and int(state.step) == 2
    lines = metrics.read(tmp_path / 'run')
    tok = tokenizers.load(pathlib.Path(flags(case, variant)[1].partition('=')[2]))
    assert abs(lines[0]['train/loss'] - math.log(tok.vocab_size)) < 1.5 and ('eval/bits_per_byte' in lines[-1]) == (case == 'gpt2')
    assert ('no eval/bits_per_byte: the tokenizer does' in shown.getvalue()) == ((case, variant) == ('bert', 'causal_lm'))
    assert tokenizers.load(tmp_path / 'run' / 'tokenizer').hash == tok.hash
    assert json.loads((tmp_path / 'run' / 'config.json').read_text())['model']['vocab_size'] == tok.vocab_size


@pytest.mark.parametrize('case, variant', [
    ('bert', 'masked_lm'), ('bert', 'replaced_token_detection'), ('roberta', 'masked_lm'), ('roberta', 'denoising'),
    ('albert', 'masked_lm'), ('xlnet', 'permuted_lm'), ('gpt2', 'causal_lm'), ('gpt2', 'prefix_lm'), ('gpt2', 'deshuffle'),
    ('llama', 'causal_lm'), ('t5', 'span_corruption'), ('t5', 'ul2'), ('t5', 'fill_in_the_middle'), ('t5', 'span_corruption_decoder')])
def test_examples_keep_the_published_properties(flags, capsys, case, variant):
    arguments = [*flags(case, variant), '--num_examples=60', '--json']
    assert inspect.main(arguments) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    objective = parse.parse(arguments, inspect.parser(), devices=False).config.objective
    assert inspect_properties.confirm(objects, **vars(objective)) == variant.removesuffix('_decoder')
    special = objects[0]['special']
    first, last = special['sentinels']
    assert first - last + 1 == (100 if case == 't5' else 0) and len(special['marks']) == (6 if case == 't5' else 0)
    assert (special['mask'] < 0) == (case in ('t5', 'llama'))


@pytest.mark.parametrize('case, variant, shown', [
    ('bert', 'masked_lm', ['[CLS]', '[MASK]', '[SEP]']), ('gpt2', 'causal_lm', ['<|endoftext|>']),
    ('t5', 'span_corruption', ['<extra_id_0>', '</s>'])])
def test_the_inspector_shows_them_and_trusts_no_text(flags, capsys, tmp_path, case, variant, shown):
    arguments = [flag.replace('text.txt', 'untrusted.txt') for flag in flags(case, variant)] + ['--config.sequence_length=128']
    assert inspect.main([*arguments, '--num_examples=2']) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in shown) and 'whale' in text.lower() and '\x1b[2J' not in text
    assert inspect.main([*arguments, f'--html={tmp_path}/page.html', '--num_examples=2']) == 0
    page = (tmp_path / 'page.html').read_text(encoding='utf-8')
    assert '<script>alert' not in page and '\x1b' not in page


@pytest.mark.parametrize('name', MESSAGES['objectives'])
def test_what_a_tokenizer_lacks(flags, name):
    """One message for each thing, before anything is trained."""
    case, variant, *change = name.split()
    request = parse.parse([*flags(case, variant), '--workdir=runs/x', *change], devices=False)
    tok = tokenizers.load(request.config.tokenizer.path)
    with pytest.raises(errors.Error) as caught:
        parse.with_vocabulary(request.config, tok, request.origins)
    assert caught.value.code == 2
    said = str(caught.value).replace(request.config.tokenizer.path, 'FOLDER')
    assert re.sub(' {3,}', '   ', said) == '\n'.join(MESSAGES['objectives'][name])


@pytest.mark.parametrize('case, variant, change', [
    ('llama', 'masked_lm', ['--config.objective.mask=0']), ('llama', 'replaced_token_detection', ['--config.objective.generator=unigram']),
    ('gpt2', 'span_corruption', ['--config.objective.style=drop']), ('llama', 'denoising', ['--config.objective.infill=0']),
    ('llama', 'prefix_lm', []), ('llama', 'deshuffle', []), ('llama', 'permuted_lm', [])])
def test_what_needs_none_runs_without(flags, capsys, case, variant, change):
    assert inspect.main([*flags(case, variant), *change, '--num_examples=3', '--json']) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
