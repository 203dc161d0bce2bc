"""Members of a mixture are settings like all others: from files and flags, through config.json, in diffs and messages."""
import dataclasses
import json

import pytest

from data.objectives import alternation, causal_lm, masked_lm, mixture as mixtures
from train.settings import errors, parse, schema, values

MIXTURE = '--config=configs/tiny.py:mixture'


def parsed(*argv):
    return parse.parse([*argv, '--workdir=runs/x'], devices=False)


def test_members_come_from_the_file_and_the_flags():
    request = parsed(MIXTURE, '--config.objective.members.masked.rate=0.2', '--config.objective.members.text.weight=3',
                    '--config.objective.members.rows.name=causal_lm', '--config.objective.members.rows.documents=stream')
    objective = request.config.objective
    assert objective.names == ('masked', 'prefix', 'text', 'rows') and [m.weight for m in objective.members] == [1.0, 1.0, 3.0, 1.0]
    assert objective.members[0].objective == masked_lm.Objective(64, rate=0.2)
    assert objective.members[3].objective == causal_lm.Objective(64, 'stream') and objective.sequence_length == 64
    assert request.origins['objective.members.masked.rate'] == 'set by --config.objective.members.masked.rate'
    hash(request.config)


def test_members_follow_what_no_one_sets():
    objective = parsed('--config=configs/tiny.py:alternation', '--config.batch_size=6', '--config.sequence_length=32',
                      '--config.objective.members.fill.name=span_corruption').config.objective
    assert (objective.batch_size, objective.sequence_length) == (6, 32)
    assert [member.objective.sequence_length for member in objective.members] == [32, 32, 32]
    assert objective.members[2].objective.architecture == 'decoder'


NESTED = ('--config=configs/tiny.py:alternation', '--config.objective.members.both.name=mixture',
          '--config.objective.members.both.weight=2', '--config.objective.members.both.members.one.name=causal_lm',
          '--config.objective.members.both.members.two.name=masked_lm', '--config.objective.members.both.members.two.rate=0.25')


@pytest.mark.parametrize('argv', [(MIXTURE,), ('--config=configs/tiny.py:alternation',), NESTED])
def test_config_json_and_back(argv):
    resolved = parsed(*argv).config
    tree = json.loads(json.dumps(parse.to_dict(resolved)))
    assert parse.from_dict(tree) == resolved and json.dumps(parse.to_dict(parse.from_dict(tree))) == json.dumps(tree)
    for name, member in tree['objective']['members'].items():
        assert list(member)[:2] == ['name', 'weight'] and 'sequence_length' not in member, name


def test_a_mixture_may_be_a_member():
    objective = parsed(*NESTED).config.objective
    inner = objective.members[2].objective
    assert isinstance(objective, alternation.Objective) and isinstance(inner, mixtures.Objective) and objective.members[2].weight == 2
    assert inner.members[1] == mixtures.Member('two', masked_lm.Objective(64, rate=0.25), 1.0)
    with pytest.raises(errors.Error, match=r'members\.both\.members\.two\.rat .*Did you mean objective\.members\.both\.members\.two\.rate'):
        parsed(*NESTED, '--config.objective.members.both.members.two.rat=1')


def test_every_check_asks_every_member():
    """Absolute positions, a memory and rows read backwards: the problems of permuted_lm alone, with the member's keys."""
    encoder = ('--config.model.architecture=encoder', '--config.model.positions=learned')
    with pytest.raises(errors.Error) as alone:
        parsed('--config=configs/tiny.py:permuted_lm', *encoder, '--config.objective.memory_length=48',
               '--config.model.relative_segments=False')
    with pytest.raises(errors.Error) as among:
        parsed('--config=configs/tiny.py:alternation', *encoder, '--config.objective.members.masked.name=masked_lm',
               '--config.objective.members.text.name=permuted_lm', '--config.objective.members.text.memory_length=48')
    texts = [[(problem.subject.split(' = ')[0], problem.text) for problem in error.value.problems] for error in (alone, among)]
    assert [key for key, _ in texts[0]] == ['objective.memory_length', 'objective.directions'], texts[0]
    assert [(key.replace('members.text.', ''), text) for key, text in texts[1]] == texts[0]
    with pytest.raises(errors.Error, match=r'model\.types.*objective\.members\.text\.name = replaced_token_detection tells 2 types apart'):
        parsed('--config=configs/tiny.py:alternation', '--config.model.architecture=encoder', '--config.model.types=1',
               '--config.objective.members.text.name=replaced_token_detection')


def test_a_resume_with_other_members_is_refused_with_a_diff():
    old = parsed(MIXTURE).config
    assert parse.resume(old, parsed(MIXTURE, '--config.steps=50').config, 'runs/x')
    new = parsed(MIXTURE, '--config.objective.members.masked.rate=0.2', '--config.objective.members.more.name=causal_lm')
    assert parse.diff(old, new.config) == [
        ('objective.members.masked.rate', 0.3, 0.2), ('objective.members.more.name', None, 'causal_lm'),
        ('objective.members.more.weight', None, 1.0), ('objective.members.more.documents', None, 'packed')]
    with pytest.raises(errors.Error, match=r'objective\.members\.masked\.rate = 0\.2 +the run in runs/x has 0\.3\. Set it back'):
        parse.resume(old, new.config, 'runs/x', new.origins)


def test_classes_kinds_build_and_owner():
    given = [values.Given('objective.name', 'mixture', 'here'), values.Given('objective.members.a.name', 'masked_lm', 'here'),
             values.Given('objective.members.b.rate', '0.1', 'there', flag=True)]
    parts = parse.classes({one.key: one for one in given})
    assert parts.pop('objective.members.b.') is None  # its name is missing
    assert parts == {'objective.': mixtures.Objective, 'objective.members.a.': masked_lm.Objective}
    kinds = schema.settings(parts)
    assert kinds['objective.members.a.weight'] is float and values.parts(kinds['objective.members.a.rate'])[0] is float
    assert not any('sequence_length' in key for key in kinds if key not in schema.kinds())
    found = {'objective.members.a.weight': 2.0, 'objective.members.a.rate': 0.4}
    follows = {f'{prefix}sequence_length': 32 for prefix in parts}
    built = schema.build(schema.Config, {**found, **follows}, parts).objective
    assert built == mixtures.Objective(32, (mixtures.Member('a', masked_lm.Objective(32, rate=0.4), 2.0),))
    assert parse.owner(parts, 'objective.members.a.rate') == 'objective.members.a.'
    assert parse.owner(parts, 'objective.members.a.weight') == 'objective.'
    assert schema.values(dataclasses.replace(schema.Config(), objective=built))['objective.members.a.name'] == 'masked_lm'
    assert list(schema.settings({'objective.': causal_lm.Objective}))[-2:] == ['objective.name', 'objective.documents']
    assert list(schema.settings({})) == [*schema.kinds(), 'objective.name']
