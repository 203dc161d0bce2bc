"""The command on a real run: greedy equals the model's own argmax, several answers, JSON, and messages."""
import json

import numpy as np
import pytest

from data import example, tokenizer
from model import transformer
from tests.helpers import subprocesses, training
from train import generate
from train.checkpoints import checkpoint, workdir
from train.prediction import fill_mask, prompts


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """Two steps of each architecture."""
    folder = tmp_path_factory.mktemp('runs')
    for variant in ('causal_lm', 'masked_lm', 'span_corruption', 'permuted_lm'):
        training.run(f'--config=configs/tiny.py:{variant}', f'--workdir={folder}/{variant}', '--config.steps=2', '--config.eval_batches=1',
                     f'--config.data.cache={folder}/cache', '--config.sample.max_new_tokens=2')
    return folder


def answers(*flags):
    options = generate.parser().parse_args(flags)
    generate.check(options)
    return prompts.answers(options)


def test_greedy_is_the_same_for_every_seed_and_alone_or_in_a_batch(runs):
    flags = (f'--workdir={runs}/causal_lm', '--method=greedy', '--max_new_tokens=6')
    one, two = answers(*flags, '--prompt=It was', '--prompt=A')
    assert one == answers(*flags, '--prompt=It was', '--seed=5')[0] and two == answers(*flags, '--prompt=A')[0]
    assert one['prompt'] == 'It was' and 1 <= len(one['tokens']) <= 6


def test_several_samples_differ_and_a_seed_repeats_them(runs):
    flags = (f'--workdir={runs}/causal_lm', '--prompt=It', '--num_return_sequences=4', '--max_new_tokens=8', '--top_k=50', '--top_p=0.95')
    first = answers(*flags)
    assert len({tuple(one['tokens']) for one in first}) == 4 and first == answers(*flags) and first != answers(*flags, '--seed=1')


def test_an_encoder_decoder_answers(runs):
    found = answers(f'--workdir={runs}/span_corruption', '--prompt=It was', '--max_new_tokens=5')
    assert len(found) == 1 and len(found[0]['tokens']) <= 5


def test_an_encoder_fills_masks(runs):
    """With what its own logits find likeliest at each mask, whatever else is in the batch."""
    config = workdir.read(runs / 'masked_lm')
    params, _ = checkpoint.load_params(runs / 'masked_lm')
    asked = ('It w[MASK]s', '<mask>[MASK] and so on')
    found = answers(f'--workdir={runs}/masked_lm', *(f'--prompt={text}' for text in asked))
    for one, text in zip(found, asked):
        row = [259, *(2 if letter == '\0' else ord(letter) + 3 for letter in text.replace('[MASK]', '\0').replace('<mask>', '\0')), 260]
        tokens = np.array(row, np.int32)[None]
        fields = {**example.bidirectional([len(row)], len(row)), 'tokens': tokens[0]}
        logits = transformer.Transformer(config.model).apply({'params': params['backbone']},
                                                             {name: value[None] for name, value in fields.items()})
        said = np.argmax(logits[0], axis=-1)
        assert one['tokens'] == said[tokens[0] == 2].tolist() and len(one['tokens']) == text.count('[MASK]') + text.count('<mask>')
        filled = np.where(tokens[0] == 2, said, tokens[0])[1:-1]
        assert one['text'] == tokenizer.Bytes().decode(filled) and one['prompt'] == text


def test_the_word_behind_a_mask_holds_its_space():
    """As in training, where a piece is hidden with the space before it; bytes hide no space."""
    pieces = tokenizer.train(['It is a truth that is known. ' * 50], 'bpe', 700)
    mask = pieces.special.mask
    assert fill_mask.ids('It is <mask> truth', pieces).tolist() == [*pieces.encode('It is'), mask, *pieces.encode(' truth')]
    plain = tokenizer.Bytes()
    assert fill_mask.ids('It is <mask>', plain).tolist() == [*plain.encode('It is '), plain.special.mask]


@pytest.mark.parametrize('first, second', [
    ('permuted_lm', 'masked_lm'), pytest.param('masked_lm', 'permuted_lm', marks=pytest.mark.slow),
    pytest.param('replaced_token_detection', 'masked_lm', marks=pytest.mark.slow)])
def test_a_member_of_an_alternation_fills_masks(first, second, tmp_path):
    """The first that can, as it does alone: with its own network, from its part of the parameters."""
    flags = [f'--config.objective.members.{name}.name={kind}' for name, kind in (('masked', first), ('text', second))]
    flags += ['--config.objective.members.masked.generator=uniform'] * (first == 'replaced_token_detection')
    memory = 'masked' if first == 'permuted_lm' else 'text'
    flags += [f'--config.objective.members.{memory}.memory_length=8'] * ('permuted_lm' in (first, second))
    workdir = f'--workdir={tmp_path}/run'
    training.run('--config=configs/tiny.py:alternation', workdir, *flags, '--config.model.architecture=encoder', '--config.steps=2',
                 '--config.model.positions=xl', '--config.eval_batches=1', f'--config.data.cache={tmp_path}/cache')
    one, = answers(workdir, '--prompt=Call me <mask>.')
    plain = tokenizer.Bytes()
    assert len(one['tokens']) == 1 and one['text'] == plain.decode([*plain.encode('Call me '), *one['tokens'], *plain.encode('.')])


def test_xlnets_queries_do_not_see_what_they_fill(runs):
    one, two = answers(f'--workdir={runs}/permuted_lm', '--prompt=It w<mask>s', '--prompt=<mask>')
    assert one['text'].startswith('It w') and len(one['tokens']) == len(two['tokens']) == 1


def test_the_command_prints_json(runs):
    result = subprocesses.run('-m', 'train.generate', f'--workdir={runs}/causal_lm', '--prompt=A', '--max_new_tokens=3', '--json')
    assert json.loads(result.stdout).keys() == {'prompt', 'text', 'tokens'}


@pytest.mark.parametrize('variant, flags, message', [
    ('nowhere', ['--temperature=0', '--top_p=2'], '''generate: 3 problems
  1. --temperature = 0.0            expected more than 0; --method=greedy takes the likeliest token.
  2. --top_p = 2.0                  expected more than 0 and at most 1.
  3. --workdir = FOLDER/nowhere   no run there: expected a folder with config.json, as python -m train.main --workdir=DIR writes.
nothing was generated
'''),
    ('masked_lm', ['--prompt=It was', '--prompt=' + 'a' * 62 + '[MASK]', '--num_return_sequences=2', '--top_k=5'], '''generate: 4 problems
  1. --prompt = 'It was' the run holds an encoder, which fills masks: expected a text with <mask> or [MASK].
  2. --prompt = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa… has 63 tokens; the model has 64 positions, two of them for [CLS] and [SEP].
  3. --top_k = 5 nothing reads it: the run holds an encoder, which has one answer, the likeliest.
  4. --num_return_sequences = 2 nothing reads it: the run holds an encoder, which has one answer, the likeliest.
nothing was generated
'''),  # noqa: E501
    ('causal_lm', ['--method=greedy', '--top_p=0.5'], '''generate: 1 problem
  1. --top_p = 0.5 nothing reads it: --method=greedy takes the likeliest token.
nothing was generated
'''),
    ('causal_lm', ['--max_new_tokens=64'], '''generate: 1 problem
  1. --max_new_tokens = 64   the prompt has 1 tokens with BOS and the model has 64 positions: at most 63 fit.
nothing was generated
'''),
])
def test_messages(runs, capsys, variant, flags, message):
    assert generate.main([f'--workdir={runs}/{variant}', *flags]) == 2
    squeeze = lambda text: ' '.join(text.split())
    assert squeeze(capsys.readouterr().err.replace(str(runs), 'FOLDER')) == squeeze(message)
