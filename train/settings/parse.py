"""From a command line to a frozen, checked configuration; and the rules for continuing a run with another one.

`parse` lays the values of a config file and of `--config.*` flags over the defaults of `train/settings/schema.py`, remembers who
set what, and raises errors.Error with every problem at once, before JAX is imported. What only the data or the
devices can tell is filled in later, by `with_vocabulary`, `with_steps` and `with_devices`.
"""
import argparse
import dataclasses
import math
import os
import re

from train.settings import checks, command_line, config_file, errors, fits, inherited, members, ranges, schema, values

Error = errors.Error


@dataclasses.dataclass(frozen=True)
class Request:
    """What a command was asked to do."""
    config: schema.Config
    origins: dict                             # {dotted key: 'set in configs/tiny.py'}; a default's key is absent
    options: argparse.Namespace               # the command's own flags: workdir, ...

    @property
    def workdir(self):
        return self.options.workdir

    @property
    def distributed(self):
        """{coordinator_address, num_processes, process_id}, or {} for one process."""
        found = {name: getattr(self.options, name, None) for name in command_line.DISTRIBUTED}
        return found if any(value is not None for value in found.values()) else {}


def parse(argv, parser=None, devices=True):
    """argv (without the program's name) as a Request. `parser`: from flags.parser, with the command's own flags added.

    `devices=False` is for commands that run nothing on the mesh: it need not fit the devices of this machine then.
    Raises errors.Error (print it, exit with its code) with everything that is wrong; leaves with status 0 at --help.
    """
    parser = parser or command_line.distributed(command_line.parser('train.main', 'Pretrains or fine-tunes, as the config says.'))
    line = command_line.read(argv, parser)
    pairs, wrong = config_file.read(line.path, line.variant)
    complete = not wrong                       # otherwise a check of what the flags say alone would mislead
    given = [(key, value, f'set in {line.path}', False) for key, value in pairs]
    given += [(config_file.normal(key), text, f'set by --config.{key}', True) for key, text in line.overrides]
    workdir = getattr(line.options, 'workdir', None)
    taken, lost = inherited.read(given, workdir)
    complete = complete and not lost
    config, origins, bad, more = assemble([*taken, *given], complete)
    request = Request(config, origins, line.options)
    known = [*schema.kinds(), *members.kinds(config.objective)]
    wrong = [*line.problems, *command_line.unknown(line, parser, known), *wrong, *lost, *command_line.missing(line, parser), *more]
    if complete:
        settled = {'init.from'} if inherited.begun(workdir, config.init.from_) else set()  # where a run came from matters once
        wrong += [problem(config, origins, key, text) for key, text in checks.together(config, bad | settled)]
        if not any(re.fullmatch(fits.READS, key) for key in bad):
            count = fits.devices(os.environ, request.distributed.get('num_processes')) if devices else None
            wrong += [problem(config, origins, key, text) for key, text in fits.check(config, count)]
    if wrong:
        raise Error(wrong)
    return request


def assemble(given, complete=True):
    """(Config, origins, keys that are wrong, problems) from [(key, value or text, origin, is it text)]; later ones win.

    With `complete`, a config without objective.name is a problem.
    """
    found, origins, bad = {}, {}, set()
    outline, lost, wrong = members.outline(given, complete)
    kinds = {**schema.kinds(), **members.kinds(outline)}
    for key, value, origin, text in given:
        if key not in kinds:
            if not key.startswith(tuple(lost)):
                wrong.append(unknown(key, value, origin, text, kinds, outline))
            continue
        if text and value is None and kinds[key] is not bool:
            expected = f'has no value; expected {values.describe(kinds[key])}, as --config.{key}=VALUE.'
            wrong.append(errors.Problem(f'--config.{key}', expected))
            bad.add(key)
            continue
        try:
            found[key] = values.given(kinds[key], value, text)
            origins[key] = origin
            bad.discard(key)
        except ValueError as error:
            if not (key.startswith('objective.') and key.endswith('.name')):  # members.outline has told it
                wrong.append(errors.Problem(f'{key} = {errors.shown(value)}', f'{error}.', origin))
            bad.add(key)
    for key in list(found):
        text = ranges.alone(key, found[key])
        if text:
            wrong.append(errors.Problem(f'{key} = {errors.shown(found.pop(key))}', text, origins[key]))
            bad.add(key)
    config = schema.build(schema.Config, found)
    everything = schema.values(config)
    follows = {name: everything[key] for name, key in schema.FOLLOWS.items()}
    config = dataclasses.replace(config, objective=outline and members.build(outline, found, follows))
    if not config.model.max_length:
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, max_length=checks.longest(config)))
    return config, origins, bad, wrong


def unknown(key, value, origin, text, kinds, objective):
    """The problem of a key that no setting has: a group, a field of another objective, or a misspelling."""
    subject = f'--config.{key}' if text else key
    origin = '' if text else origin
    inside = [k for k in kinds if k.startswith(key + '.')]
    if inside:
        example = subject + inside[0][len(key):]
        return errors.Problem(subject, f'is a group of settings; set one of them, such as {example}.', origin)
    field = key.rpartition('.')[2]
    one, prefix = members.owner(objective, key)
    if key == prefix + field and field in schema.FOLLOWS:
        return errors.Problem(subject, f'follows {schema.FOLLOWS[field]}; set that.', origin)
    if not key.startswith('objective.'):
        near = errors.did_you_mean(key, kinds) or ' See train/settings/schema.py.'
        return errors.Problem(subject, f'no such setting.{near}', origin)
    if one.members is not None and key.startswith(prefix + 'members'):
        example = f'--config.{prefix}members.NAME.name'
        return errors.Problem(subject, f'is a group of settings; set one of them, such as {example}.', origin)
    own = [k for k in kinds if k.startswith(prefix) and k != prefix + 'name']
    near = errors.did_you_mean(key, own + [k for k in kinds if k.rpartition('.')[2] == field])
    has = f' has: {", ".join(k.removeprefix(prefix) for k in own)}.' if own else ' has no settings.'
    return errors.Problem(subject, f'no such setting.{near} {members.path(one)}{has}', origin)


def problem(config, origins, key, text):
    """A check's (key, text) with the value and who set it."""
    value = schema.values(config).get(key)
    file = 'model/config.py' if key.startswith('model.') else 'train/settings/schema.py'
    if key.startswith('objective.'):
        file = members.path(members.owner(config.objective, key)[0])
    origin = origins.get(key, '' if value is None else f'default in {file}')
    return errors.Problem(key if value is None else f'{key} = {errors.shown(value)}', text, origin)


def to_dict(config):
    """The resolved config as nested dicts of JSON types, for config.json; from_dict gives back an equal Config."""
    tree = {}
    found = schema.values(config)
    for key in [*schema.kinds(), *members.kinds(config.objective)]:
        group = tree
        for part in key.split('.')[:-1]:
            group = group.setdefault(part, {})
        value = schema.objective_name(config.objective) if key == 'objective.name' else found[key]
        group[key.rpartition('.')[2]] = values.to_json(value)
    return tree


def from_dict(tree, origin='config.json'):
    """The Config that to_dict wrote; settings that it lacks take their defaults. Error for what no longer exists."""
    config, _, _, wrong = assemble([(key, value, f'in {origin}', False) for key, value in config_file.leaves(tree)])
    if wrong:
        raise Error(wrong)
    return config


def diff(old, new):
    """[(dotted key, old value, new value)] where two Configs differ, JSON types."""
    old, new = (dict(config_file.leaves(to_dict(config))) for config in (old, new))
    return [(key, old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]


def resume(old, new, workdir, origins=None):
    """Notices (strings) for what changed since the run in `workdir` was started with `old`.

    Raises Error with every change that would make the continued run neither the old nor a new one.
    """
    notices, wrong = [], []
    for key, before, after in diff(old, new):
        if any(re.fullmatch(pattern, key) for pattern in schema.MAY_CHANGE_ON_RESUME):
            stretched = key == 'steps' and new.optimizer.schedule in schema.STRETCHED
            notices.append(f'{key} = {errors.shown(after)} (was {errors.shown(before)})'
                           + f': the {new.optimizer.schedule} schedule is stretched to end at step {after}' * stretched)
        else:
            text = (f'the run in {workdir} has {errors.shown(before)}. '
                    'Set it back, or start a new run with another --workdir.')
            wrong.append(errors.Problem(f'{key} = {errors.shown(after)}', text, (origins or {}).get(key, '')))
    if wrong:
        raise Error(wrong)
    return notices


def with_vocabulary(config, tokenizer, origins=None):
    """The config with model.vocab_size from a tokenizer (`vocab_size`, `special`).

    Error if the model has fewer rows than the tokenizer ids, or if the tokenizer lacks what the objective needs.
    """
    size = config.model.vocab_size or tokenizer.vocab_size
    found = config.objective.problems(tokenizer.special)
    if size < tokenizer.vocab_size:
        text = f'expected at least {tokenizer.vocab_size}, the size of the tokenizer; None takes that.'
        found = [('model.vocab_size', text), *found]
    if found:
        raise Error([problem(config, origins or {}, key, text) for key, text in found])
    return dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=size))


def with_steps(config, examples, origins=None):
    """The config with `steps` from `epochs` and the number of training examples, rounded down, at least 1."""
    if config.steps:
        return config
    config = dataclasses.replace(config, steps=max(1, math.floor(config.epochs * examples / config.batch_size)))
    wrong = [problem(config, origins or {}, key, text) for key, text in checks.schedule(config)]
    if wrong:
        raise Error(wrong)
    return config


def with_devices(config, count, origins=None):
    """The config with mesh.data derived from the number of devices of all processes. Error if the mesh does not fit."""
    wrong = [problem(config, origins or {}, key, text) for key, text in fits.check(config, count)]
    if wrong:
        raise Error(wrong)
    mesh = dataclasses.replace(config.mesh, data=fits.data_axis(config.mesh, count))
    return dataclasses.replace(config, mesh=mesh)
