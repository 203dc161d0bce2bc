"""From a command line to a frozen, checked configuration; and the rules for continuing a run with another one.

`parse` lays the values of a config file and of `--config.*` flags over the defaults of `train/settings/schema.py`, remembers who
set what, and raises errors.Error with every problem at once, before JAX is imported. What only the data or the
devices can tell is filled in later, by `with_vocabulary`, `with_steps` and `with_devices`.
"""
import argparse
import dataclasses
import functools
import math
import os
import re
from typing import Any, Callable, Iterable

from data import objectives
from train.settings import checks, command_line, config_file, errors, fits, inherited, reads, schema, values

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


def parse(argv: list[str], parser: command_line.Parser | None = None, devices: bool = True,
          check: Callable[[argparse.Namespace], Iterable[errors.Problem]] = lambda options: (), end: str = 'nothing was run') -> Request:
    """argv (without the program's name) as a Request. `parser`: from command_line.parser, with the command's own flags added.

    `devices=False` is for commands that run nothing on the mesh: it need not fit the devices of this machine then. `check`: the
    problems of the command's own flags. `end`: the last line of the message.
    Raises errors.Error (print it, exit with its code) with everything that is wrong; exits with status 0 at --help.
    """
    parser = parser or command_line.distributed(command_line.parser('train.main', 'Pretrains or fine-tunes, as the config describes.'))
    line = command_line.read(argv, parser)
    workdir = getattr(line.options, 'workdir', None)
    flags = [values.Given(schema.external(key), text, f'set by --config.{key}', flag=True) for key, text in line.overrides]
    flags, file, wrong = {one.key: one for one in flags}, {}, []
    try:
        file = config_file.read(line.path, line.variant)
    except Error as error:
        wrong += error.problems
    taken, lost = inherited.read(file, flags, workdir)
    given = {**taken, **{key: one for key, one in file.items() if key not in flags}, **flags}
    complete = not wrong and not lost          # otherwise the checks would see the flags alone and mislead
    config, bad, more = assemble(given, complete)
    notices, idle = settle(given, config, bad, workdir)
    if notices:
        given = {key: one for key, one in given.items() if key not in notices}
        config, bad, more = assemble(given, complete)
    request = Request(config, {key: one.origin for key, one in given.items()}, line.options, tuple(notices.values()))
    known = schema.settings(schema.walk(config.objective))
    wrong = [*line.problems, *command_line.unknown(line, parser, known), *wrong, *lost, *command_line.missing(line), *more]
    if complete:
        settled = {'init.from'} if inherited.begun(workdir, config.init.from_) else set()  # where a run came from matters once
        count = fits.devices(os.environ, request.distributed.get('num_processes')) if devices else None
        found = checks.together(config, bad | settled, lambda config: fits.check(config, count))
        found += [(key, text) for key, text in idle.items() if key not in dict(found)]
        wrong += [problem(config, request.origins, key, text) for key, text in found]
    if wrong := [*wrong, *check(line.options)]:
        raise Error(wrong, end=end)
    return request


def assemble(given: dict[str, values.Given], complete: bool = True) -> tuple[schema.Config, set[str], list[errors.Problem]]:
    """(Config, keys that are wrong, problems) from {key: Given}. With `complete`, a config without objective.name is a problem."""
    parts, found, bad = classes(given), {}, set()
    kinds, lost = schema.settings(parts), tuple(prefix for prefix, part in parts.items() if part is None)
    parts = {prefix: part for prefix, part in parts.items() if part}
    text = f'missing; expected {errors.one_of(objectives.names())}.'
    wrong = [errors.Problem(prefix + 'name', text) for prefix in lost if complete and prefix + 'name' not in given]
    for key, one in given.items():
        if key not in kinds:
            wrong += [] if key.startswith(lost) else [unknown(one, kinds, parts)]
            continue
        try:
            found[key] = one.read(kinds[key])
        except ValueError as error:
            wrong.append(one.problem(*error.args))
            bad.add(key)
    bad -= {prefix + 'name' for prefix in lost}  # checks treat that objective as missing
    everything = {**schema.values(schema.Config()), **found}
    follows = {prefix + name: everything[key] for prefix in parts for name, key in schema.FOLLOWS.items()}
    config = schema.build(schema.Config, {**found, **follows}, parts)
    length, longest = config.model.max_length, checks.longest(config)
    if not length or length < longest and not config.model.limit:  # without a table, a model of shorter rows may be trained on longer ones
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, max_length=longest))
    return config, bad, wrong


def classes(given: dict[str, values.Given], prefix: str = 'objective.') -> dict[str, type | None]:
    """{prefix: Objective class} of the objective and its members; None where the name is missing or unknown."""
    try:
        found = {prefix: objectives.load(given[prefix + 'name'].read(str))}
    except (KeyError, ValueError):
        return {prefix: None}
    start = prefix + 'members.'
    names = [key[len(start):].partition('.')[0] for key in given if key.startswith(start) and '.' in key[len(start):]]
    for name in dict.fromkeys(names if found[prefix].members is not None else ()):
        found.update(classes(given, f'{start}{name}.'))
    return found


def settle(given: dict[str, values.Given], config: schema.Config, bad: set[str],
           workdir: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """({key: notice} of the given settings that are ignored, {key: problem} of the others that nothing reads).

    A setting that nothing reads is ignored if the file gives it and a flag, or the run of init.from, made the choice that leaves it
    unread; if the run in `workdir` has the same value; or if it may change on resume, as it then has no part in training. Its default
    may be given anywhere if it means off: 0, None, False or empty.
    """
    parts, default, notices, idle = schema.walk(config.objective), defaults(config), {}, {}
    before = functools.cache(lambda: dict(config_file.leaves(inherited.config_json(workdir))))  # read if a setting is unread
    for key, (choice, text) in unread(config).items():
        one, decides = given.get(key), given.get(choice)
        if one is None or one.taken or bad & {key, choice}:
            continue
        value = one.read(schema.settings(parts)[key])
        if not value and value == default[key]:
            continue
        overruled = not one.flag and decides and (decides.flag or decides.taken)
        if overruled or may_change(key) or before().get(key) == values.to_json(value):
            notices[key] = f'{key} = {errors.shown(value)} is ignored: {text}   ({one.origin})'
        else:
            idle[key] = text
    return notices, idle


def defaults(config: schema.Config) -> dict[str, Any]:
    """{dotted key: default} of every setting that a config has, those of its objectives included."""
    found = schema.values(schema.Config())
    for prefix, part in schema.walk(config.objective).items():
        found.update(schema.values(type(part)(), prefix))
    return found


def may_change(key: str) -> bool:
    """Whether a run may be continued with another value of a setting."""
    return any(re.fullmatch(pattern, key) for pattern in schema.MAY_CHANGE_ON_RESUME)


def unread(config: schema.Config) -> dict[str, tuple[str, str]]:
    """{key: (the setting that decides, text)} of the settings that nothing reads (train/settings/reads.py)."""
    found, current = {}, schema.values(config)
    for keys, choice, read, expected in reads.rows(config, schema.walk(config.objective)):
        for key in keys.split() if not read else ():
            value = current[choice] if isinstance(current[choice], str) else errors.shown(current[choice])
            found.setdefault(key, (choice, f'nothing reads it with {choice} = {value}; expected {expected}.'))
    return found


def owner(parts: dict[str, Any], key: str) -> str:
    """The prefix of the objective that a key belongs to: the innermost member's; the weight is its mixture's."""
    return max((prefix for prefix in parts if key.startswith(prefix) and key != prefix + 'weight'), key=len, default='objective.')


def path(objective: Any) -> str:
    """The file of an Objective (class or instance)."""
    return f'data/objectives/{objective.__module__.rpartition(".")[2]}.py'


def unknown(one: values.Given, kinds: dict, parts: dict) -> errors.Problem:
    """The problem of a key that no setting has: a group, a field of another objective, or a misspelling."""
    key, flag = one.key, '--config.' * one.flag
    field, prefix = key.rpartition('.')[2], owner(parts, key)
    inside = [k for k in kinds if k.startswith(key + '.')]
    if key.startswith(prefix + 'members') and parts.get(prefix) and parts[prefix].members is not None:
        inside = inside or [f'{prefix}members.NAME.name']
    if inside:
        message = f'is a group of settings; set one of them, such as {flag}{inside[0]}.'
    elif key == prefix + field and field in schema.FOLLOWS:
        message = f'follows {schema.FOLLOWS[field]}; set that.'
    elif not key.startswith('objective.'):
        message = f'no such setting.{errors.did_you_mean(key, kinds) or " See docs/settings.md."}'
    else:
        own = [k for k in kinds if k.startswith(prefix) and k != prefix + 'name']
        has = f' has: {", ".join(k.removeprefix(prefix) for k in own)}.' if own else ' has no settings.'
        near = errors.did_you_mean(key, own + [k for k in kinds if k.rpartition('.')[2] == field])
        message = f'no such setting.{near} {path(parts[prefix])}{has}'
    return errors.Problem(flag + key, message, '' if one.flag else one.origin)


def problem(config: schema.Config, origins: dict, key: str, text: str) -> errors.Problem:
    """A check's (key, text) with the value and who set it."""
    value = schema.values(config).get(key)
    file = 'model/config.py' if key.startswith('model.') else 'train/settings/schema.py'
    if key.startswith('objective.'):
        parts = schema.walk(config.objective)
        file = path(parts[owner(parts, key)])
    origin = origins.get(key, '' if value is None else f'default in {file}')
    return errors.Problem(key if value is None else f'{key} = {errors.shown(value)}', text, origin)


def refuse(config: schema.Config, origins: dict | None, found: Iterable[tuple[str, str]]) -> None:
    """Raises Error for [(key, text)], if there are any."""
    if wrong := [problem(config, origins or {}, key, text) for key, text in found]:
        raise Error(wrong)


def to_dict(config: schema.Config) -> dict:
    """The resolved config as nested dicts of JSON types, for config.json; from_dict gives back an equal Config."""
    tree, found = {}, schema.values(config)
    for key in schema.settings(schema.walk(config.objective)):
        *groups, name = key.split('.')
        functools.reduce(lambda group, part: group.setdefault(part, {}), groups, tree)[name] = values.to_json(found[key])
    return tree


def from_dict(tree: dict, origin: str = 'config.json') -> schema.Config:
    """The Config that to_dict wrote; settings that it lacks take their defaults. Error for what no longer exists."""
    config, _, wrong = assemble(config_file.given(tree, f'in {origin}'))
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
            rounded = any(re.fullmatch(pattern, key) for pattern in schema.ROUNDING)
            notices.append(change + f': the {new.optimizer.schedule} schedule is stretched to end at step {after}' * stretched
                           + ': the same function, which may round otherwise from here on' * rounded)
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
    return dataclasses.replace(config, mesh=dataclasses.replace(config.mesh, data=fits.data_axis(config.mesh, count)))
