"""The inspector: the run's own examples, JSON as the contract says, checks that find a leak, a page that escapes all text."""
import base64
import hashlib
import html.parser
import json
import os
import pathlib
import re
import runpy
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

from data import corpus, objectives, pipeline, special_tokens, tokenizer as tokenizers
from data.objectives import causal_lm, masked_lm, mixture, span_corruption
from data.text import cache
from data.vocabularies import vocabulary
from tests import inspect_properties
from tests.helpers.properties import denoising
from train import inspect
from train.inspection import attention, checks, look, page, pieces, rates, terminal
from train.settings import command_line, parse

ROOT = pathlib.Path(__file__).resolve().parents[3]
TINY = [name for name in runpy.run_path(str(ROOT / 'configs/tiny.py'))['VARIANTS'] if name not in ('', 'tiny')]


@pytest.fixture(scope='session')
def text_cache(tmp_path_factory):
    return f'--config.data.cache={tmp_path_factory.mktemp("inspect_cache")}'


def printed(capsys, *arguments):
    """(exit code, parsed lines, standard error)."""
    code = inspect.main(list(arguments))
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def resolved(*arguments):
    """(Config, Corpus) of the same command line."""
    config = parse.parse(list(arguments), inspect.parser(), devices=False).config
    return config, corpus.open(config.data, config.tokenizer, lambda text: None)


def settings(objective):
    """What inspect_properties is told of an objective: the values of its fields, and those of its members."""
    found = dict(vars(objective))
    if 'members' in found:
        found['members'] = {member.name: {'name': member.objective.name, 'weight': member.weight,
                                          'lengths': member.objective.lengths(), **settings(member.objective)}
                            for member in objective.members}
    return found


def confirmed(capsys, *arguments):
    """The objects of a command line, after every property of its objective was confirmed."""
    code, objects, err = printed(capsys, *arguments, '--json')
    assert code == 0, err
    objective = parse.parse(list(arguments), inspect.parser(), devices=False).config.objective
    assert inspect_properties.confirm(objects, **settings(objective)) == objective.name
    return objects


@pytest.mark.parametrize('name', [f'configs/tiny.py:{variant}' for variant in TINY] + [f'{path}:tiny' for path in command_line.configs()])
def test_every_config_keeps_the_published_properties(name, text_cache, capsys):
    assert len(confirmed(capsys, f'--config={name}', text_cache, '--num_examples=200')) == 200


@pytest.mark.parametrize('variant, changes', [
    ('causal_lm', 'documents=stream'), ('causal_lm', 'documents=windows'),
    ('prefix_lm', 'separator=eos'), ('fill_in_the_middle', 'spm=paper'), ('fill_in_the_middle', 'fim_rate=1 spm_rate=0'),
    ('span_corruption', 'noise=iid'), ('span_corruption', 'noise=rolled'), ('span_corruption', 'noise_density=0.5'),
    ('span_corruption', 'style=drop'), ('span_corruption', 'style=mask_full noise=iid'), ('span_corruption', 'style=replace_full'),
    ('span_corruption_decoder', 'noise=rolled'), ('deshuffle', 'noise_density=0.5'), ('ul2', 'noise=rolled'), ('ul2', 'mode_tokens=false'),
    ('masked_lm', 'select=word'), ('masked_lm', 'select=ngram masks=3'), ('masked_lm', 'select=span'), ('masked_lm', 'count=roberta'),
    ('masked_lm', 'inputs=full_sentences candidates=row random_ids=text'), ('masked_lm', 'inputs=doc_sentences max_rate=0.3'),
    ('replaced_token_detection', 'generator=unigram'), ('replaced_token_detection', 'generator=uniform single=1'),
    ('denoising', 'permute=0'), ('denoising', 'permute=0 infill=0 delete=0.2'), ('denoising', 'infill=0 rotate=1'),
    ('denoising', 'replace_length=-1 spans_of=tokens'), ('denoising', 'replace_length=0 mask=0.1 insert=0.1'),
])
def test_variants_keep_them(variant, changes, text_cache, capsys):
    confirmed(capsys, f'--config=configs/tiny.py:{variant}', text_cache, '--num_examples=120', '--config.sequence_length=96',
              *(f'--config.objective.{change}' for change in changes.split()))


@pytest.mark.parametrize('variant', TINY)
def test_chinese_keeps_them_too(variant, text_cache, capsys):
    objects = confirmed(capsys, f'--config=configs/tiny.py:{variant}', text_cache, '--num_examples=100',
                        '--config.data.train=bundled:sanguo')
    assert any('\u4e00' <= c <= '\u9fff' for one in objects for c in one['text']['original'])


def test_the_command_prints_json_alone_and_imports_no_jax(text_cache):
    code = ('import sys; from train import inspect; code = inspect.main(sys.argv[1:]); '
            'print(sorted({"jax"} & set(sys.modules)), file=sys.stderr); sys.exit(code)')
    arguments = ['--config=configs/tiny.py:span_corruption', text_cache, '--num_examples=3', '--json']
    result = subprocess.run([sys.executable, '-c', code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, '[]\n')
    one, *_ = objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(objects) == 3
    assert list(one) == ['objective', 'denoiser', 'index', 'epoch', 'original', 'example', 'text', 'special']
    assert (one['objective'], one['denoiser'], one['epoch']) == ('span_corruption', None, 0)
    assert {*one['special']} >= {'pad', 'mask', 'cls', 'sep', 'eos', 'sentinels', 'vocab_size'}
    assert one['special']['sentinels'] == [one['special']['vocab_size'] - 1, one['special']['vocab_size'] - 256]
    assert all(isinstance(value, int) for value in one['original'] + one['example']['encoder_tokens'])


def test_they_are_the_examples_of_the_run_in_its_order(text_cache, capsys):
    arguments = ('--config=configs/tiny.py:masked_lm', text_cache, '--config.seed=5')
    config, found = resolved(*arguments)
    batch = next(pipeline.batches(config.objective, found.train, seed=5, batch_size=6, start=9, threads=0))
    _, objects, _ = printed(capsys, *arguments, '--json', '--start=9', '--num_examples=6')
    for name, value in batch.items():
        assert [one['example'][name] for one in objects] == value.tolist(), name
    _, again, _ = printed(capsys, *arguments, '--json', f'--index={objects[2]["index"]}')
    assert again == [objects[2]]


def test_an_epoch_has_its_own_corruption_and_evaluation_a_fixed_one(text_cache, capsys):
    arguments = ('--config=configs/tiny.py:masked_lm', text_cache, '--json')
    (first,), (second,) = (printed(capsys, *arguments, '--index=7', f'--epoch={epoch}')[1] for epoch in (0, 1))
    assert first['original'] == second['original'] and first['example'] != second['example']
    config, found = resolved(*arguments)
    _, held, _ = printed(capsys, *arguments, '--split=eval', '--config.seed=9', '--num_examples=2')
    for index, one in enumerate(held):
        fields = pipeline.make(config.objective, found.eval, 0, 0, index)
        assert (one['epoch'], one['index']) == (0, index) and one['example']['tokens'] == fields['tokens'].tolist()
    n = pipeline.size(config.objective, found.train, 0)
    _, (later,), _ = printed(capsys, *arguments, '--epoch=1', '--num_examples=1')
    _, (counted,), _ = printed(capsys, *arguments, f'--start={n}', '--num_examples=1')
    assert later == counted and later['epoch'] == 1


def test_labels_are_nested_and_tasks_are_numbers():
    fields = {'labels': {'next_sentence': np.int32(1), 'spans': np.array([3, 4])}, 'task': np.int32(2), 'weights': np.ones(1, np.float32)}
    assert look.plain(fields) == {'labels': {'next_sentence': 1, 'spans': [3, 4]}, 'task': 2, 'weights': [1.0]}


@pytest.mark.parametrize('flag, message', [
    (['--num_examples=0', '--json', '--html=nowhere/x.html', '--config.model.heads=7'], '''config: 4 problems
  1. model.heads = 7           model.dim = 64 is not divisible by 7. Near: 4, 8.   (set by --config.model.heads)
  2. --num_examples = 0        expected 1 to 1000000.
  3. --html = nowhere/x.html   --json writes to standard output; choose one of them.
  4. --html = nowhere/x.html   no such folder; make it first.
nothing was shown
'''),
    (['--start=3', '--epoch=1'], '''config: 1 problem
  1. --start = 3   counts over epochs; choose it or --epoch and --index.
nothing was shown
'''),
    (['--start=99999999999999999999', '--epoch=-1', '--num_examples=2000000'], '''config: 4 problems
  1. --num_examples = 2000000         expected 1 to 1000000.
  2. --start = 99999999999999999999   expected 0 to 4611686018427387903.
  3. --epoch = -1                     expected 0 to 2147483647.
  4. --start = 99999999999999999999   counts over epochs; choose it or --epoch and --index.
nothing was shown
'''),
    (['--epoch=99999999999999999999999'], '''config: 1 problem
  1. --epoch = 99999999999999999999999   expected 0 to 2147483647.
nothing was shown
'''),
    (['--index=100000000'], '''config: 1 problem
  1. --index = 100000000   an epoch has N examples: expected 0 to N.
nothing was shown
'''),
    (['--split=eval', '--config.data.eval_fraction=0'], '''config: 1 problem
  1. --split = eval   nothing is held out: set data.eval, or data.eval_fraction above 0.
nothing was shown
'''),
])
def test_messages(flag, message, text_cache, capsys):
    assert inspect.main(['--config=configs/tiny.py', text_cache, *flag]) == 2
    assert re.sub(r'\b\d{5,6}\b', 'N', capsys.readouterr().err) == message


@pytest.mark.parametrize('flag', ['--start=4611686018427387903', '--epoch=2147483647'])
def test_the_last_that_may_be_asked_for(flag, text_cache, capsys):
    assert inspect.main(['--config=configs/tiny.py', text_cache, '--json', flag]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def tokens(text='<a> & 曹操 said: "so"\n', documents=40):
    tokenizer = tokenizers.Bytes()
    made = [tokenizer.encode(f'{text}{i} ' * (3 + i % 5)) for i in range(documents)]
    return cache.Tokens.from_arrays(made, tokenizer.special, token_bytes=tokenizer.token_bytes, tokenizer=tokenizer)


OBJECTIVES = [causal_lm.Objective(32), masked_lm.Objective(32), span_corruption.Objective(32),
              span_corruption.Objective(32, architecture='decoder')]


@pytest.mark.parametrize('objective', OBJECTIVES, ids=str)
def test_sound_examples_have_no_findings(objective):
    source = tokens()
    for index in range(20):
        assert checks.findings(pipeline.make(objective, source, 0, 0, index), objective, source.special, 64) == []


@pytest.mark.parametrize('objective, hint, sees', [
    (causal_lm.Objective, 'full', 'does not see position 1'), (masked_lm.Objective, 'causal', 'sees position 1')])
def test_a_wrong_hint_is_found_and_has_its_own_exit_code(objective, hint, sees, monkeypatch, text_cache, capsys):
    monkeypatch.setattr(objective, 'hint', objectives.Hint(hint))
    variant = objective.__module__.rpartition('.')[2]
    code, objects, err = printed(capsys, f'--config=configs/tiny.py:{variant}', text_cache, '--json', '--num_examples=5')
    assert code == 7 and len(objects) == 5
    assert err.startswith('contract: 1 kind of fault\n  1. example ') and f"hint.order = '{hint}', but position 0 {sees}" in err


@pytest.mark.parametrize('kind, hint, message', [
    (causal_lm.Objective, objectives.Hint('causal', 'padded'), "hint.segments = 'padded', but segments["),
    (masked_lm.Objective, objectives.Hint('full', 'one'), "hint.segments = 'one', but segments["),
    (masked_lm.Objective, objectives.Hint('full', 'both'), "hint.segments = 'both': expected packed, padded, one")])
def test_a_wrong_hint_of_segments_is_found(kind, hint, message):
    wrong = type('Wrong', (kind,), {'hint': hint})
    source = tokens()
    made = [pipeline.make(wrong(32), source, 0, 0, index) for index in range(pipeline.size(wrong(32), source, 0))]
    assert any(message in sentence for one in made for sentence in checks.findings(one, wrong(32), source.special, 32))


def test_positions_that_do_not_count_on_break_the_promise_of_an_order():
    made = pipeline.make(causal_lm.Objective(32), tokens(), 0, 0, 0)
    made['positions'] = made['positions'] + (np.arange(32) > 4)
    found = checks.findings(made, causal_lm.Objective(32), tokens().special, 64)
    assert any("hint.order = 'causal', but positions[5] = 6 after 4 in one segment" in sentence for sentence in found)


def test_a_mixture_promises_what_all_of_its_members_promise():
    text, masked = causal_lm.Objective(32), masked_lm.Objective(32)
    made = lambda *kinds: mixture.Objective(32, tuple(mixture.Member(f'm{i}', kind) for i, kind in enumerate(kinds)))
    assert made(text, text).hint == ('causal', 'packed') and made(masked, masked).hint == ('full', 'padded')
    assert made(text, masked).hint == ('ordered', 'packed')
    whole = type('Whole', (causal_lm.Objective,), {'hint': objectives.Hint('causal', 'one')})
    assert made(whole(32), whole(32)).hint == ('causal', 'one') and made(whole(32), whole(16)).hint == ('causal', 'padded')


def broken(change, objective=None):
    objective = objective or causal_lm.Objective(32)
    source = tokens()
    fields = {name: np.array(value) for name, value in pipeline.make(objective, source, 0, 0, 3).items()}
    change(fields)
    return ' / '.join(checks.findings(fields, objective, source.special, 32))


def test_each_check_finds_its_fault():
    def one_further(fields):
        fields['sees'][fields['segments'] > 0] += 1

    def far(fields):
        fields['encoder_seen'][3] = 1

    assert 'must predict token' in broken(one_further) and "hint.order = 'causal'" in broken(one_further)
    assert "encoder_hint.order = 'full', but position 0 does not see position 3" in broken(far, span_corruption.Objective(32))
    assert 'expected ids below' in broken(lambda fields: fields['tokens'].__setitem__(0, 10**6))
    assert 'positions[0] = 32' in broken(lambda fields: fields['positions'].__setitem__(0, 32))
    assert 'no such field' in broken(lambda fields: fields.__setitem__('attention_mask', np.ones(32)))
    assert 'field sees: missing' in broken_names('sees')
    assert 'expected shape [32]' in broken(lambda fields: fields.__setitem__('types', np.zeros(31, int)))
    assert 'slots[0] = 40' in broken(lambda fields: fields['slots'].__setitem__(0, 40), masked_lm.Objective(32))
    short = tokens('x', 3)
    fields = {name: np.array(value) for name, value in pipeline.make(causal_lm.Objective(64), short, 0, 0, 0).items()}
    fields['weights'][-1], fields['seen'][-1] = 1, 0
    found = ' / '.join(checks.findings(fields, causal_lm.Objective(64), short.special))
    assert 'seen[63] = 0 at padding' in found and 'expected 0 at padding' in found


def broken_names(name):
    fields = dict(pipeline.make(causal_lm.Objective(32), tokens(), 0, 0, 3))
    del fields[name]
    return ' / '.join(checks.names(fields))


def forget(one, slot):
    """One token fewer is chosen."""
    place = one['example']['slots'][slot]
    one['example']['tokens'][place] = one['original'][place]
    for name in ('weights', 'slots', 'targets'):
        one['example'][name][slot] = 0


@pytest.mark.parametrize('change, message', [
    (lambda one: one['example']['tokens'].__setitem__(one['example']['slots'][0], 400), 'share of chosen'),
    (lambda one: one['example']['targets'].__setitem__(0, 9), 'targets are the original'),
    (lambda one: forget(one, 9), '10 of 64 tokens are chosen, got 9'),
    (lambda one: one['example']['tokens'].__setitem__(1, 9), 'not chosen are unchanged'),
    (lambda one: one['example']['seen'].__setitem__(5, 1), 'bidirectional'),
])
def test_the_properties_have_teeth(change, message, text_cache, capsys):
    arguments = ('--config=configs/tiny.py:masked_lm', text_cache, '--num_examples=120', '--json', '--config.objective.rate=0.15')
    objects = [one for one in printed(capsys, *arguments)[1] if len(one['original']) == 64 and 1 not in one['example']['slots']]
    inspect_properties.confirm(objects)
    for one in objects:
        change(one)
    with pytest.raises(inspect_properties.Broken, match=message):
        inspect_properties.confirm(objects)


WRONG = [
    ('tiny.py:causal_lm', 'documents=stream', 'each segment starts with|EOS only ends'),
    ('tiny.py:prefix_lm', 'noise_density=0.25', 'tokens or more before it|cuts are uniform'),
    ('tiny.py:fill_in_the_middle', 'fim_rate=0.9', 'share of pieces'), ('tiny.py:fill_in_the_middle', 'spm_rate=0.1', 'suffix first'),
    ('tiny.py:span_corruption', 'mean_span_length=2', 'spans, got'),
    ('tiny.py:deshuffle', 'noise_density=0.3', 'stay in their places'), ('tiny.py:ul2', 'rates=[3,1,1,1,1,1,1]', 'share of'),
    ('tiny.py:mixture', 'members.text.weight=1', 'share of text'), ('tiny.py:mixture', 'members.masked.rate=0.2', 'tokens are chosen'),
    ('tiny.py:permuted_lm', 'max_span=1', 'targets in the first half'), ('tiny.py:permuted_lm', 'directions=forward', 'reads backwards'),
    ('pretrain_albert.py:tiny', 'select=word', 'chosen by ngram'),
    ('pretrain_electra.py:tiny', 'single=1', 'one segment'), ('pretrain_electra.py:tiny', 'mask=1', r'\[MASK\]'),
    ('pretrain_bart.py:tiny', 'infill=0.05', 'noise'), ('pretrain_bart.py:tiny', 'infill=0.2', 'noise'),
    ('pretrain_bart.py:tiny', 'mean_span_length=1', 'noise'),
]


# Six to ten words of 64 bytes say too little of n-grams, and one row in twenty holds two sentences: longer rows.
LONGER = [('pretrain_albert.py:tiny', 'max_ngram=9', 'chosen by ngram'), ('pretrain_bart.py:tiny', 'permute=0', 'change places'),
          ('tiny.py:denoising', 'permute=0', 'change places')]


def wrongly(capsys, text_cache, name, change, *common):
    """(objects made with a change, what their config without it says)."""
    plain = (f'--config=configs/{name}', text_cache, *common)
    code, objects, err = printed(capsys, *plain, f'--config.objective.{change}', '--num_examples=200', '--json')
    assert code == 0, err
    return objects, settings(parse.parse(list(plain), inspect.parser(), devices=False).config.objective)


@pytest.mark.parametrize('name, change, message', WRONG)
def test_a_wrong_setting_is_seen(name, change, message, text_cache, capsys):
    objects, told = wrongly(capsys, text_cache, name, change)
    with pytest.raises(inspect_properties.Broken, match=message):
        inspect_properties.confirm(objects, **told)


@pytest.mark.parametrize('name, change, message', LONGER)
def test_a_wrong_setting_is_seen_in_longer_rows(name, change, message, text_cache, capsys):
    objects, told = wrongly(capsys, text_cache, name, change, '--config.sequence_length=128')
    with pytest.raises(inspect_properties.Broken, match=message):
        inspect_properties.confirm(objects, **told)


@pytest.mark.parametrize('name, common, change, message', [
    ('span_corruption', 'style=replace_full', 'random=0.9', 'share of sentinels'),
    ('span_corruption', 'style=mask_full', 'mean_span_length=2', 'spans, got'),
    ('masked_lm', 'select=span', 'span_p=0.9', 'chosen by span'), ('masked_lm', 'select=word', 'select=ngram', 'chosen by word'),
    ('denoising', 'infill=0.3', 'mean_span_length=1', 'noise'),
    ('denoising', 'infill=0.3', 'infill=0.2', 'noise'), ('denoising', 'permute=0', 'permute=1', 'keeps its order'),
    ('replaced_token_detection', 'generator=uniform', 'generator=unigram', 'share of replacements among'),
    ('replaced_token_detection', 'generator=unigram', 'generator=uniform', 'share of replacements that are'),
])
def test_a_wrong_setting_of_a_variant_is_seen(name, common, change, message, text_cache, capsys):
    objects, told = wrongly(capsys, text_cache, f'tiny.py:{name}', change, f'--config.objective.{common}')
    with pytest.raises(inspect_properties.Broken, match=message):
        inspect_properties.confirm(objects, **told)


def random_inputs(one):
    """What the encoder reads is random but for one [MASK]."""
    ids, end = one['example']['encoder_tokens'], sum(segment != 0 for segment in one['example']['encoder_segments']) - 1
    ids[1:end] = [one['special']['mask'], *np.random.default_rng(one['index']).integers(3, 259, end - 2).tolist()]


def clean_inputs(one):
    """What the encoder reads is the text but for one [MASK]."""
    ids, end = one['example']['encoder_tokens'], sum(segment != 0 for segment in one['example']['encoder_segments']) - 1
    ids[1:end] = [one['special']['mask'], *one['original'][2:end]]


def specials(one):
    """Every replacement is [CLS]."""
    for place, weight in zip(one['example']['slots'], one['example']['weights']):
        if weight:
            one['example']['tokens'][place] = one['special']['cls']


def labels_of_one(one):
    one['example']['labels']['next_sentence'] = 1


@pytest.mark.parametrize('name, change, spoil, message', [
    ('pretrain_bart.py:tiny', 'random=0.1', random_inputs, 'noise'),
    ('pretrain_bart.py:tiny', 'random=0.1', clean_inputs, 'noise'), ('tiny.py:denoising', 'random=0', clean_inputs, 'noise|of the text'),
    ('tiny.py:replaced_token_detection', 'generator=uniform', specials, 'replacements are text'),
    ('pretrain_bert.py:tiny', 'rate=0.15', labels_of_one, 'label 0'),
])
def test_a_spoilt_row_is_seen(name, change, spoil, message, text_cache, capsys):
    _, objects, _ = printed(capsys, f'--config=configs/{name}', text_cache, f'--config.objective.{change}', '--num_examples=200', '--json')
    argv = [f'--config=configs/{name}', f'--config.objective.{change}']
    told = settings(parse.parse(argv, inspect.parser(), devices=False).config.objective)
    inspect_properties.confirm(objects, **told)
    spared = next((i for i, one in enumerate(objects) if one['example'].get('labels') == {'next_sentence': 0}), None)
    for i, one in enumerate(objects):
        if i != spared:
            spoil(one)
    with pytest.raises(inspect_properties.Broken, match=message):
        inspect_properties.confirm(objects, **told)


def test_noise_is_drawn_as_fairseq_did():
    """At 510 tokens, 0.3 and Poisson(3) the original hides 26.7 % behind 42.8 [MASK]s and leaves 418 of 510 tokens."""
    rng, found = np.random.default_rng(0), []
    text = np.arange(3, 513)
    special = {'sentinels': [2000, 1900], 'pad': 0, 'eos': 1, 'mask': 2, 'cls': 1801, 'sep': 1802}
    for _ in range(60):
        out = denoising.noisy(text, np.ones(510, bool), 0.3, 3.0, 1, 0.0, 0.0, 0.0, 0.0, special, rng)
        found.append([510 - np.isin(text, out).sum(), (out == 2).sum(), len(out)])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / 60**0.5
    assert (abs(mean - [136, 42.8, 418]) <= 4 * error + 0.5).all(), mean


def test_the_rule_is_the_models():
    import jax.numpy as jnp

    from model.attention import rule as rules
    rng = np.random.default_rng(0)
    sees, seen, query, key = (rng.integers(low, high, (20, 17)) for low, high in ((-1, 5), (0, 6), (0, 3), (-1, 3)))
    places = jnp.zeros((20, 17), int)
    expected = rules.mask(rules.Rule(*map(jnp.asarray, (sees, seen, query, key)), places, places))
    found = np.stack([attention.allowed(*row) for row in zip(sees, seen, query, key)])
    assert (found == np.asarray(expected)).all() and 0 < found.mean() < 1


def test_pictures_of_each_architecture():
    source = tokens()
    causal, full, both, prefix = (attention.pictures(pipeline.make(objective, source, 0, 0, 1)) for objective in OBJECTIVES)
    assert list(causal) == list(full) == list(prefix) == ['self-attention'] and list(both) == ['encoder', 'decoder', 'cross-attention']
    assert both['cross-attention'].shape == (len(both['decoder']), 32) and both['cross-attention'].any()
    assert 'every token sees every token' in attention.described(full['self-attention'])
    assert attention.described(np.zeros((3, 4), bool)) == 'nothing is seen'
    fields = {'slots': np.array([2, 0]), 'weights': np.array([1.0, 0]), 'sees': np.array([0, 0, 1, 2]), 'seen': np.array([0, 0, 1, 2]),
              'segments': np.ones(4, int)}
    streams = attention.pictures(fields, two_streams=True)
    content, query = streams.values()
    assert query.astype(int).tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]] and content[2].astype(int).tolist() == [1, 1, 1, 0]


def test_the_picture_is_a_png_of_its_cells():
    cells = np.random.default_rng(0).random((5, 13)) < 0.5
    data = attention.png(cells)
    assert data[:8] == b'\x89PNG\r\n\x1a\n'
    chunks, at = {}, 8
    while at < len(data):
        size, = struct.unpack('>I', data[at:at + 4])
        body = data[at + 4:at + 8 + size]
        assert struct.unpack('>I', data[at + 8 + size:at + 12 + size]) == (zlib.crc32(body),)
        chunks[body[:4]], at = body[4:], at + 12 + size
    assert list(chunks) == [b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND'] and chunks[b'IHDR'][:10] == struct.pack('>IIBB', 13, 5, 1, 3)
    rows = np.frombuffer(zlib.decompress(chunks[b'IDAT']), np.uint8).reshape(5, 3)
    assert (np.unpackbits(rows[:, 1:], axis=1)[:, :13] == cells).all() and (rows[:, 0] == 0).all()
    assert ''.join(attention.braille(np.eye(4, dtype=bool))) == '⠑⢄'


def test_bytes_of_a_character_are_one_piece_and_stray_ones_are_written_out():
    tokenizer = tokenizers.Bytes()
    ids = tokenizer.encode('a曹\n\x1b[2J')
    shown = pieces.pieces(ids, [('text', 0)] * len(ids), tokenizer)
    assert [piece.text for piece in shown] == ['a', '曹', '⏎\n', '\\x1b', '[', '2', 'J']
    assert [(piece.start, piece.stop) for piece in shown[:3]] == [(0, 1), (1, 4), (4, 5)]
    cut = pieces.pieces(ids[:4], [('text', 0), ('text', 0), ('mask', 0), ('text', 0)], tokenizer)
    assert [piece.text for piece in cut] == ['a', '<0xE6>', '<0x9B>', '<0xB9>']
    assert [piece.kind for piece in cut] == ['text', 'text', 'mask', 'text']
    mixed = [*tokenizer.encode('曹')[:2], *tokenizer.encode('操'), tokenizer.special.mask, tokenizer.special.mark('nlu')]
    assert [piece.text for piece in pieces.pieces(mixed, [('text', 0)] * 7, tokenizer)] == ['<0xE6>', '<0x9B>', '操', '<mask>', '<nlu>']


@pytest.mark.parametrize('values, text', [
    ([0, 1, 2, 3, 0, 1, 0, 0, 0], '0…3 0…1 0×3'), ([7], '7'), ([], ''), ([5, 3, 1], '5 3 1'), ([1.0, 1.0, 0.5], '1×2 0.5')])
def test_runs(values, text):
    assert pieces.runs(values) == text


def test_rates_and_fill_are_sums_with_their_errors():
    source, objective = tokens(), masked_lm.Objective(32)

    class Measured(masked_lm.Objective):
        def expected(self):
            return {'chosen': 0.15}

        def realised(self, source, row, fields):
            return {'chosen': (int((fields['weights'] > 0).sum()), int((fields['segments'] > 0).sum()))}

    sums = rates.Rates(Measured(32), source)
    for index in range(30):
        one = look.read(objective, source, 0, 0, index)
        sums.add(look.Look(**{**vars(one), 'denoiser': 'R' if one.row[0] % 2 else 'X'}))
    rate, = (rate for rate in sums.rates if rate.name == 'chosen')
    fields = [pipeline.make(objective, source, 0, 0, index) for index in range(30)]
    assert (rate.count, rate.out_of) == (sum((f['weights'] > 0).sum() for f in fields), sum((f['segments'] > 0).sum() for f in fields))
    assert rate.error == pytest.approx((0.15 * 0.85 / rate.out_of)**0.5)
    assert rate.far == pytest.approx(abs(rate.realised - 0.15) / rate.error)
    assert sum(sums.denoisers.values()) == 30
    assert sums.fill[0] == (None, 'tokens read', int(rate.out_of), 30 * 32)
    assert rates.Rate('x', None, 1, 2).far is None and rates.Rate('x', 1.0, 2, 2).far == 0
    assert rates.Rate('x', 1.0, 1, 2).far == float('inf')


def test_fill_is_told_for_each_member_of_a_mixture():
    source, objective = tokens(), causal_lm.Objective(32)
    sums = rates.Rates(objective, source)
    for index in range(4):
        one = look.read(objective, source, 0, 0, index)
        sums.add(look.Look(**{**vars(one), 'example': {**one.example, 'task': np.int32(index % 2)}}))
    assert [(owner, name) for owner, name, _, _ in sums.fill] == [
        (owner, name) for owner in (None, 'task 0', 'task 1') for name in ('tokens read', 'targets that count')]
    assert sum(count for owner, name, count, _ in sums.fill if owner is not None and name == 'tokens read') == sums.fill[0][2]


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.script, self.inside = [], [], [], '', False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        self.inside = tag == 'script'

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.script += data
        else:
            self.text.append(data)


def written(path, objective, source, tokenizer, count=3):
    config = parse.parse(['--config=configs/tiny.py'], command_line.parser('x', 'x', workdir=False), devices=False).config
    config = parse.dataclasses.replace(config, objective=objective)
    sums, shown = rates.Rates(objective, source), []
    for index in range(count):
        shown.append((look.read(objective, source, 0, 0, index), []))
        sums.add(shown[-1][0])
    page.write(path, config, source, tokenizer, sums, shown, ['<i>finding</i>'], ['<b>notice</b>'])
    text = path.read_text(encoding='utf-8')
    return text, Page(text)


HOSTILE = ['<script>alert(1)</script>', '<img src=x onerror=alert(1)>', '"><svg onload=alert(1)>', "' onmouseover='alert(1)", '&lt;b&gt;',
           '\x1b[2J', '{{ 7 * 7 }}']


class Foreign(vocabulary.Vocabulary):
    """A vocabulary whose pieces attack the page."""

    def __init__(self):
        size = len(HOSTILE) + 5 + 256
        self.special = special_tokens.Special(pad=0, eos=1, mask=2, cls=3, sep=4, sentinels=(size - 1, size - 256), vocab_size=size)
        self.table = [b''] * 5 + [text.encode() for text in HOSTILE] + [b''] * 256
        self.definition = b'hostile'


@pytest.mark.parametrize('objective', OBJECTIVES, ids=str)
def test_untrusted_text_is_escaped(objective, tmp_path):
    tokenizer = Foreign()
    documents = [5 + np.random.default_rng(i).integers(0, len(HOSTILE), 40) for i in range(8)]
    source = cache.Tokens.from_arrays(documents, tokenizer.special, token_bytes=tokenizer.token_bytes, tokenizer=tokenizer)
    text, parsed = written(tmp_path / 'page.html', objective, source, tokenizer)
    assert parsed.tags.count('script') == 1 and '<img' not in text and '<b>notice' not in text and '&lt;i&gt;finding' in text
    assert '<script>alert' not in text
    assert not [a for a in parsed.attributes if a[1].startswith('on') or a[1] in ('src', 'action', 'formaction')]
    assert {value.partition(',')[0] for _, name, value in parsed.attributes if name == 'href'} == {'data:image/png;base64'}
    shown = ''.join(parsed.text)
    assert '<script>alert(1)</script>' in shown and '\\x1b[2J' in shown and '\x1b' not in text and '{{ 7 * 7 }}' in shown
    policy = next(value for tag, name, value in parsed.attributes if name == 'content' and 'default-src' in value)
    digest = base64.b64encode(hashlib.sha256(parsed.script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"


def test_a_page_of_chinese_shows_ids_places_rates_and_attention(text_cache, tmp_path, capsys):
    out = tmp_path / 'page.html'
    arguments = ('--config=configs/tiny.py:span_corruption', text_cache, '--config.data.train=bundled:sanguo', '--num_examples=40',
                 '--shown=5')
    assert inspect.main([*arguments, f'--html={out}']) == 0
    assert capsys.readouterr().out == f'{out}: 40 examples, 5 of them in full\n'
    text = out.read_text(encoding='utf-8')
    parsed = Page(text)
    titles = [value for tag, name, value in parsed.attributes if tag == 'span' and name == 'title']
    assert text.count('<details') == 5 and parsed.tags.count('figure') == 15 and 'prefers-color-scheme: dark' in text
    assert any(re.search(r"'<0xE\w>' · id \d+ · token \d+ · position \d+ · segment 1 · sees 0 · seen 0 \|", title) for title in titles)
    shown = ''.join(parsed.text)
    assert re.search(r'[一-鿿]{4}', shown) and '<extra_0>' in shown and 'encoder tokens read' in shown
    rule = next(json.loads(value) for _, name, value in parsed.attributes if name == 'data-rule')
    assert set(rule) == {'sees', 'seen', 'segments'} and len(rule['sees']) == 64


def test_the_terminal_shows_text_integers_attention_and_rates(text_cache, capsys):
    assert inspect.main(['--config=configs/tiny.py:masked_lm', text_cache, '--num_examples=2']) == 0
    out = capsys.readouterr().out
    for expected in ('original\n<cls>', 'tokens\n<cls>', 'targets\n', 'segments          1×', 'every token sees every token',
                     'tokens read: '):
        assert expected in out, expected
    assert '\x1b' not in out                  # no colour where there is no terminal


def test_the_terminal_has_colour_and_pictures(capsys):
    source = tokens('x' * 9)
    one = look.read(masked_lm.Objective(64), source, 0, 0, 0)
    one.example['sees'] = one.example['seen'] = np.where(one.example['segments'] > 0, one.example['positions'] % 7, -1)
    screen = terminal.rich.console.Console(file=sys.stdout, force_terminal=True, width=100)
    terminal.show(screen, one, masked_lm.Objective(64), source.tokenizer, ['a finding'])
    out = capsys.readouterr().out
    assert '\x1b[' in out and 'a finding' in out and any('\u2800' <= c <= '\u28ff' for c in out)


def test_hidden_text_pairs_with_its_sentinel():
    source = tokens('the quick brown fox ')
    one = look.read(span_corruption.Objective(32), source, 0, 0, 0)
    original = pieces.original(one.original, one.example, source.special)
    hidden = [n for kind, n in original if kind == 'hidden']
    read = [n for kind, n in pieces.read(one.example, source.special, 'encoder_') if kind == 'sentinel']
    assert sorted(set(hidden)) == read and original[0][0] == 'text' and original[-1][0] == 'hidden'


@pytest.mark.skipif(os.name == 'nt', reason='pipes')
def test_a_reader_that_stops_early_is_no_error(text_cache):
    command = f'{sys.executable} -m train.inspect --config=configs/tiny.py {text_cache} --json --num_examples=400 | head -n 1'
    result = subprocess.run(['bash', '-o', 'pipefail', '-c', command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.stderr == '' and json.loads(result.stdout)['epoch'] == 0
