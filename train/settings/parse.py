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
from typing import Any, Iterable

from data import ranges
from train.settings import checks, command_line, config_file, errors, fits, inherited, members, reads, schema, values

Error = errors.Error


@dataclasses.dataclass(frozen=True)
class Request:
    """What a command was asked to do."""
    config: schema.Config
    origins: dict                             # {dotted key: 'set in configs/tiny.py'}; a default's key is absent
    options: argparse.Namespace               # the command's own flags: workdir, ...
    notices: tuple = ()                       # a sentence for each setting that was dropped

    @property
    def workdir(self) -> str | None:
        return self.options.workdir

    @property
    def distributed(self) -> dict:
        """{coordinator_address, num_processes, process_id}, or {} for one process."""
        found = {name: getattr(self.options, name, None) for name in command_line.DISTRIBUTED}
        return found if any(value is not None for value in found.values()) else {}


def parse(argv: list[str], parser: command_line.Parser | None = None, devices: bool = True) -> Request:
    """argv (without the program's name) as a Request. `parser`: from command_line.parser, with the command's own flags added.

    `devices=False` is for commands that run nothing on the mesh: it need not fit the devices of this machine then.
    Raises errors.Error (print it, exit with its code) with everything that is wrong; exits with status 0 at --help.
    """
    parser = parser or command_line.distributed(command_line.parser('train.main', 'Pretrains or fine-tunes, as the config describes.'))
    line = command_line.read(argv, parser)
    workdir = getattr(line.options, 'workdir', None)
    pairs, wrong = config_file.read(line.path, line.variant)
    given = [(key, value, f'set in {line.path}', False) for key, value in pairs]
    given += [(config_file.normal(key), text, f'set by --config.{key}', True) for key, text in line.overrides]
    taken, lost = inherited.read(given, workdir)
    complete = not wrong and not lost          # otherwise the checks would see the flags alone and mislead
    given, notices, idle = settle([*taken, *given], complete, workdir)
    config, origins, bad, more = assemble(given, complete)
    request = Request(config, origins, line.options, tuple(notices))
    known = [*schema.kinds(), *members.kinds(members.walk(config.objective))]
    wrong = [*line.problems, *command_line.unknown(line, parser, known), *wrong, *lost, *command_line.missing(line, parser), *more]
    if complete:
        settled = {'init.from'} if inherited.begun(workdir, config.init.from_) else set()  # where a run came from matters once
        count = fits.devices(os.environ, request.distributed.get('num_processes')) if devices else None
        found = checks.together(config, bad | settled) + checks.unreported(fits.check, config, bad, count)
        found += [(key, text) for key, text in idle.items() if key not in dict(found)]
        wrong += [problem(config, origins, key, text) for key, text in found]
    if wrong:
        raise Error(wrong)
    return request


def assemble(given: list[tuple], complete: bool = True) -> tuple[schema.Config, dict, set, list[errors.Problem]]:
    """(Config, origins, keys that are wrong, problems) from [(key, value or text, origin, is it text)]; later ones win.

    With `complete`, a config without objective.name is a problem.
    """
    found, origins, bad = {}, {}, set()
    parts, lost, wrong = members.classes(given, complete)
    kinds = {**schema.kinds(), **members.kinds(parts)}
    for key, value, origin, text in given:
        if key not in kinds:
            if not key.startswith(tuple(lost)):
                wrong.append(unknown(key, origin, text, kinds, parts))
            continue
        try:
            if text and value is None and values.parts(kinds[key])[0] is not bool:
                expected = f'has no value; expected {values.describe(kinds[key])}, as --config.{key}=VALUE.'
                wrong.append(errors.Problem(f'--config.{key}', expected))
                raise ValueError
            found[key] = values.given(kinds[key], value, text)
            origins[key] = origin
            bad.discard(key)
        except ValueError as error:
            if error.args and not (key.startswith('objective.') and key.endswith('.name')):  # members.classes has reported it
                wrong.append(errors.Problem(f'{key} = {errors.shown(value)}', f'{error}.', origin))
            bad.add(key)
    for key in list(found):
        text = not key.startswith('objective.') and ranges.outside(kinds[key], found[key])  # an objective checks its own
        if text:
            wrong.append(errors.Problem(f'{key} = {errors.shown(found.pop(key))}', text, origins[key]))
            bad.add(key)
    config = schema.build(schema.Config, found)
    everything = schema.values(config)
    follows = {name: everything[key] for name, key in schema.FOLLOWS.items()}
    config = dataclasses.replace(config, objective=members.build(parts, found, follows) if parts else None)
    if not config.model.max_length:
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, max_length=checks.longest(config)))
    return config, origins, bad, wrong


def settle(given: list[tuple], complete: bool, workdir: str | None) -> tuple[list[tuple], Iterable[str], dict[str, str]]:
    """(given without the settings that are ignored, a notice for each of them, {key: problem} of the others that nothing reads).

    A setting that nothing reads is ignored if the file gives it and a flag, or the run of init.from, made the choice that leaves it
    unread; if the run in `workdir` has the same value; or if it may change on resume, as it then has no part in training. Its default
    may be given anywhere if it means off: 0, None, False or empty.
    """
    config, _, bad, _ = assemble(given, complete)
    kinds, default = {**schema.kinds(), **members.kinds(members.walk(config.objective))}, schema.values(schema.Config())
    last, notices, idle = {one[0]: one for one in given}, {}, {}
    for key, (choice, text) in unread(config).items():
        if key not in last or inherited.taken(last[key]) or bad & {key, choice}:
            continue
        value = values.given(kinds[key], last[key][1], last[key][3])
        if not value and value == default.get(key, value):
            continue
        overruled = not last[key][3] and choice in last and (last[choice][3] or inherited.taken(last[choice]))
        if overruled or may_change(key) or inherited.value(workdir, key) == values.to_json(value):
            notices[key] = f'{key} = {errors.shown(value)} is ignored: {text}   ({last[key][2]})'
        else:
            idle[key] = text
    return [one for one in given if one[0] not in notices], notices.values(), idle


def may_change(key: str) -> bool:
    """Whether a run may be continued with another value of a setting."""
    return any(re.fullmatch(pattern, key) for pattern in schema.MAY_CHANGE_ON_RESUME)


def unread(config: schema.Config) -> dict[str, tuple[str, str]]:
    """{key: (the setting that decides, text)} of the settings that nothing reads (train/settings/reads.py)."""
    return reads.unread(config, schema.values(config), members.walk(config.objective))


def unknown(key: str, origin: str, text: bool, kinds: dict, parts: dict) -> errors.Problem:
    """The problem of a key that no setting has: a group, a field of another objective, or a misspelling."""
    subject, field, prefix = f'--config.{key}' if text else key, key.rpartition('.')[2], members.owner(parts, key)
    inside = ['--config.' * text + k for k in kinds if k.startswith(key + '.')]
    if not inside and key.startswith(prefix + 'members') and members.mixes(parts.get(prefix)):
        inside = [f'--config.{prefix}members.NAME.name']
    if inside:
        message = f'is a group of settings; set one of them, such as {inside[0]}.'
    elif key == prefix + field and field in schema.FOLLOWS:
        message = f'follows {schema.FOLLOWS[field]}; set that.'
    elif not key.startswith('objective.'):
        message = f'no such setting.{errors.did_you_mean(key, kinds) or " See docs/settings.md."}'
    else:
        own = [k for k in kinds if k.startswith(prefix) and k != prefix + 'name']
        has = f' has: {", ".join(k.removeprefix(prefix) for k in own)}.' if own else ' has no settings.'
        near = errors.did_you_mean(key, own + [k for k in kinds if k.rpartition('.')[2] == field])
        message = f'no such setting.{near} {members.path(parts[prefix])}{has}'
    return errors.Problem(subject, message, '' if text else origin)


def problem(config: schema.Config, origins: dict, key: str, text: str) -> errors.Problem:
    """A check's (key, text) with the value and who set it."""
    value = schema.values(config).get(key)
    file = 'model/config.py' if key.startswith('model.') else 'train/settings/schema.py'
    if key.startswith('objective.'):
        parts = members.walk(config.objective)
        file = members.path(parts[members.owner(parts, key)])
    origin = origins.get(key, '' if value is None else f'default in {file}')
    return errors.Problem(key if value is None else f'{key} = {errors.shown(value)}', text, origin)


def refuse(config: schema.Config, origins: dict | None, found: Iterable[tuple[str, str]]) -> None:
    """Raises Error for [(key, text)], if there are any."""
    if wrong := [problem(config, origins or {}, key, text) for key, text in found]:
        raise Error(wrong)


def to_dict(config: schema.Config) -> dict:
    """The resolved config as nested dicts of JSON types, for config.json; from_dict gives back an equal Config."""
    tree = {}
    found = {**schema.values(config), 'objective.name': config.objective and schema.objective_name(config.objective)}
    for key in [*schema.kinds(), *members.kinds(members.walk(config.objective))]:
        group = tree
        for part in key.split('.')[:-1]:
            group = group.setdefault(part, {})
        group[key.rpartition('.')[2]] = values.to_json(found[key])
    return tree


def from_dict(tree: dict, origin: str = 'config.json') -> schema.Config:
    """The Config that to_dict wrote; settings that it lacks take their defaults. Error for what no longer exists."""
    config, _, _, wrong = assemble([(key, value, f'in {origin}', False) for key, value in config_file.leaves(tree)])
    if wrong:
        raise Error(wrong)
    return config


def diff(old: schema.Config, new: schema.Config) -> list[tuple]:
    """[(dotted key, old value, new value)] where two Configs differ, JSON types."""
    old, new = (dict(config_file.leaves(to_dict(config))) for config in (old, new))
    return [(key, old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]


def resume(old: schema.Config, new: schema.Config, workdir: str, origins: dict | None = None) -> list[str]:
    """Notices (strings) for what changed since the run in `workdir` was started with `old`.

    Raises Error with every change that would make the continued run neither the old nor a new one.
    """
    notices, wrong, idle = [], [], unread(old).keys() & unread(new).keys()
    for key, before, after in diff(old, new):
        change = f'{key} = {errors.shown(after)} (was {errors.shown(before)})'
        if key in idle:
            notices.append(f'{change}: nothing reads it')
        elif may_change(key):
            stretched = key == 'steps' and reads.stretched(new.optimizer.schedule)
            notices.append(change + f': the {new.optimizer.schedule} schedule is stretched to end at step {after}' * stretched)
        else:
            text = f'the run in {workdir} has {errors.shown(before)}. Set it back, or start a new run with another --workdir.'
            wrong.append(errors.Problem(f'{key} = {errors.shown(after)}', text, (origins or {}).get(key, '')))
    if wrong:
        raise Error(wrong)
    return notices


def with_vocabulary(config: schema.Config, tokenizer: Any, origins: dict | None = None) -> schema.Config:
    """The config with model.vocab_size from a tokenizer (`vocab_size`, `special`).

    Error if the model has fewer rows than the tokenizer ids, or if the tokenizer lacks what the objective needs.
    """
    size = config.model.vocab_size or tokenizer.vocab_size
    few = [('model.vocab_size', f'expected at least {tokenizer.vocab_size}, the size of the tokenizer; None takes that.')]
    refuse(config, origins, few * (size < tokenizer.vocab_size) + config.objective.problems(tokenizer.special))
    return dataclasses.replace(config, model=dataclasses.replace(config.model, vocab_size=size))


def with_steps(config: schema.Config, examples: int, origins: dict | None = None) -> schema.Config:
    """The config with `steps` from `epochs` and the number of training examples, rounded down, at least 1."""
    if config.steps:
        return config
    config = dataclasses.replace(config, steps=max(1, math.floor(config.epochs * examples / config.batch_size)))
    refuse(config, origins, checks.schedule(config))
    return config


def with_devices(config: schema.Config, count: int, origins: dict | None = None) -> schema.Config:
    """The config with mesh.data derived from the number of devices of all processes. Error if the mesh does not fit."""
    refuse(config, origins, fits.check(config, count))
    mesh = dataclasses.replace(config.mesh, data=fits.data_axis(config.mesh, count))
    return dataclasses.replace(config, mesh=mesh)
