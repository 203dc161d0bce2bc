"""Converts config.json to a model's Config and Head, and back, by the tables in model/families/."""
import dataclasses
import importlib
import json
import os
import pathlib
import pkgutil
from typing import Any, Iterator

from model import config as model_config, families, task_model
from model.huggingface import conversions, equivalent, errors, files, keys

CONFIG = 'config.json'
# Settings of how a model is trained or run, not of what it computes: families may differ in them.
TRAINING = ('initializer', 'max_length', 'remat', 'unroll', 'dropout', 'embed_dropout', 'mlp_dropout', 'output_dropout',
            'attention', 'attention_dropout')
DERIVED = {'mlp_dim': 'hidden', 'kv_heads': 'kv', 'head_dim': 'size', 'embed_dim': 'width', 'embed_norm': 'norms_embeddings',
           'embed_dropout': 'embedding_dropout'}
FOLLOWS = {'attention_bias': 'bias', 'out_bias': 'attention_bias', 'mlp_bias': 'bias'}


def known() -> dict[str, families.Family]:
    """{model_type: family} of the families that exist at Hugging Face."""
    modules = (vars(importlib.import_module(f'model.families.{entry.name}')) for entry in pkgutil.iter_modules(families.__path__))
    return {module['FAMILY'].model_type: module['FAMILY'] for module in modules if 'FAMILY' in module}


def read(folder: str | os.PathLike) -> tuple[model_config.Config, task_model.Head, families.Family, dict]:
    """(Config, Head, Family, config.json as a dict) of a Hugging Face folder. ConfigError, FolderError."""
    path = pathlib.Path(folder) / CONFIG
    raw = files.read_json(path, f'a Hugging Face folder with {CONFIG} and model.safetensors')
    name, found = raw.get('model_type') if isinstance(raw, dict) else None, known()
    if not isinstance(name, str) or name not in found:
        raise errors.ConfigError(f'{path}: model_type = {name!r}   expected one of {", ".join(sorted(found))}')
    family = found[name]
    try:
        given = renamed(family, raw)
    except ValueError as error:
        raise errors.ConfigError(f'{path}: {error}') from None
    stated = family.defaults.keys() | keys.expected(family)      # where a null is a value
    given = {**family.defaults, **{key: value for key, value in given.items() if value is not None or key in stated}}
    config, head = to_config(family, given, path), to_head(family, given, path)
    wrong = [f'{key}: {text}' for key, text in config.problems()]
    names = {setting: key for setting, key, _ in rules(family)}
    wrong += [f'{names[one]} = {getattr(config, one)}   expected another number than {names[other]}: {a(family.model_type)} of '
              f'`transformers` projects from one to the other even then, this model does not'
              for one, other in family.apart.items() if getattr(config, one) == getattr(config, other)]
    if wrong:
        raise errors.ConfigError(f'{path}: sizes that do not fit one another', wrong)
    return config, head, family, raw


def notices(family: families.Family, config: model_config.Config, raw: dict) -> Iterator[str]:
    """Lines about the entries of config.json, `raw`, that its Config does not hold."""
    return keys.notices(family, renamed(family, raw), config)


def renamed(family, raw):
    """config.json with one name for each key and the older form of rotary settings. ValueError if two names have two values."""
    given = conversions.older(raw) if 'rope_scaling' in family.defaults else raw
    found = {key: value for key, value in given.items() if key not in family.aliases}
    for key, name in family.aliases.items():
        if given.get(key) is None:
            continue
        if found.setdefault(name, given[key]) != given[key]:
            raise ValueError(f'{key} = {given[key]!r}   expected that of {name}, {found[name]!r}, which is another name of it')
    return found


def rules(family: families.Family) -> Iterator[tuple[str, str, Any]]:
    """(setting, key of config.json, how to convert or None) of the settings that config.json has."""
    for setting, rule in family.settings.items():
        yield (setting, rule, None) if isinstance(rule, str) else (setting, *rule)


def to_config(family: families.Family, given: dict, path: str | os.PathLike) -> model_config.Config:
    """The Config that config.json describes. ConfigError lists every setting that is not supported."""
    wrong = [f'{key} = {given[key]!r}   {keys.UNKNOWN}' for key in keys.unknown(family, given)]
    wrong += [f'{key} = {given[key]!r}   expected {value!r}' for key, value in keys.expected(family).items()
              if key in given and given[key] != value and (value or given[key] is not None)]
    wrong += [f'{key} = {given[key]!r}   expected {wanted!r}, which follows from {other} = {given.get(other)!r}'
              for key, other, wanted in follows(family, given) if key in given and given[key] != wanted]
    found = dict(family.fixed)
    for setting, key, how in rules(family):
        if key not in given:
            wrong.append(f'{key}   expected, as {setting} follows from it; got nothing')
            continue
        try:
            found[setting] = conversions.checked(setting, conversions.from_json(how, given[key], given))
        except ValueError as error:
            wrong.append(f'{key} = {given[key]!r}   expected {error}')
    if not wrong and found['heads'] % (found.get('kv_heads') or 1):
        wrong.append(f'num_key_value_heads = {found["kv_heads"]!r}   expected a divisor of the {found["heads"]} heads')
    wrong = list(dict.fromkeys(wrong))
    if wrong:
        count = f'{len(wrong)} setting{"s" * (len(wrong) > 1)}'
        raise errors.ConfigError(f'{path}: {count} of {a(family.model_type)} that this model does not have', wrong)
    return model_config.Config(**found)


def follows(family: families.Family, given: dict) -> Iterator[tuple[str, str, Any]]:
    """(key, the other key that decides it, the value that it must have) of `Family.same`, for the values `given`."""
    for key, rule in family.same.items():
        other, table = (rule, None) if isinstance(rule, str) else rule
        value = given.get(other)
        yield key, other, value if table is None else table.get(value) if isinstance(value, str) else None


def to_json(family: families.Family, config: model_config.Config) -> dict[str, Any]:
    """{key of config.json: value} of a Config of the family, by its `settings` and `expected`."""
    found, choices = dict(family.expected), {}
    for setting, key, how in rules(family):
        value = resolved(config, setting)
        if isinstance(how, dict):                # several settings may follow from one key: what all of them allow
            names = [name for name, mine in how.items() if mine == value] or list(how)
            choices[key] = [name for name in choices.get(key, names) if name in names] or choices[key]
        else:
            found[key] = conversions.to_json(how, value, config)
    found.update({key: names[0] for key, names in choices.items()})
    return {**found, **{key: value for key, _, value in follows(family, found)}}


def resolved(config: model_config.Config, setting: str) -> Any:
    """The value of a setting of a Config, derived where it is None."""
    if setting == 'decoder_layers':
        return config.depth('decoder')
    value = getattr(config, DERIVED.get(setting, setting))
    return resolved(config, FOLLOWS[setting]) if value is None and setting in FOLLOWS else value


def a(name: str) -> str:
    """'an albert', 'a bert': a model_type with its article; an x is spoken as a vowel."""
    return f'{"an" if name[0] in "aeioux" else "a"} {name}'


def to_head(family: families.Family, given: dict, path: str | os.PathLike) -> task_model.Head:
    """The task_model.Head that `architectures` names; without it, the family's first."""
    classes = {family.classes + rest: head for rest, head in family.heads.items()}
    named, labels, count = given.get('architectures'), given.get('id2label'), given.get('num_labels') or 2
    named = [next(iter(classes))] if named is None or named == [] else named
    if not isinstance(named, list) or not isinstance(named[0], str) or named[0] not in classes:
        raise errors.ConfigError(f'{path}: architectures = {named!r}   expected one of {", ".join(classes)}')
    if labels is not None and not isinstance(labels, dict):
        raise errors.ConfigError(f'{path}: id2label = {labels!r}   expected {{"0": name, "1": name}}')
    if not labels and not (isinstance(count, int) and 0 < count < 2 ** 31):
        raise errors.ConfigError(f'{path}: num_labels = {count!r}   expected a whole number above 0 and below 2**31')
    return head(family, classes[named[0]].kind, len(labels) if labels else count)


def head(family: families.Family, kind: str, labels: int = 2) -> task_model.Head:
    """The task_model.Head of a kind, as the family's class of that kind has it. ConfigError if there is none."""
    found = family.head(kind)
    if found is None:
        raise no_head(family, kind)
    return task_model.Head(kind, labels, **found.settings)


def architecture(family: families.Family, head: task_model.Head) -> str:
    """The class of `transformers` for a head. ConfigError if the family has none."""
    if head.kind == families.BARE.kind:
        return family.bare
    for rest, found in family.heads.items():
        if found.kind == head.kind and (head.kind != 'classes' or head == task_model.Head(head.kind, head.labels, **found.settings)):
            return family.classes + rest
    raise no_head(family, head.kind)


def no_head(family, kind):
    kinds = sorted({head.kind for head in family.heads.values()})
    return errors.ConfigError(f'no {family.model_type} at Hugging Face has a head of the kind {kind!r}; expected {", ".join(kinds)}')


def fit(config: model_config.Config, head: task_model.Head | None = None, model_type: str | None = None) -> families.Family:
    """The family of a Config and, if given, a task_model.Head. ConfigError names the nearest one and the settings that differ.

    model_type: the one to take of several (an ELECTRA whose embeddings are as wide as its layers is also a BERT).
    """
    def distance(family):
        equal = equivalent.config(family, config)
        changes = sum(getattr(config, field.name) != getattr(equal, field.name) for field in dataclasses.fields(config))
        lacks_head = head is not None and family.head(head.kind) is None
        return len(differ[family]), lacks_head, changes, family.model_type != model_type, family.model_type

    differ = {family: differences(family, config) for family in known().values()}
    nearest = min(differ, key=distance)
    if differ[nearest]:
        rows = (f'model.{setting} = {mine!r}   {nearest.model_type} has {its!r}' for setting, mine, its in differ[nearest])
        raise errors.ConfigError(f'no family at Hugging Face has this model; the nearest is {nearest.model_type}:', rows)
    return nearest


def differences(family: families.Family, config: model_config.Config) -> list[tuple]:
    """[(setting, its value, that of the family)] that keep a Config out of a family: they would be lost in its config.json."""
    config = equivalent.config(family, config)
    back, wrong = to_config(family, {**family.defaults, **to_json(family, config)}, CONFIG), []
    ignored = (*TRAINING, *['tied'] * bool(family.output))     # the files say it
    for setting in (field.name for field in dataclasses.fields(config) if field.name not in ignored):
        mine, its = resolved(config, setting), resolved(back, setting)
        if setting == 'head_dim' and setting not in family.settings:
            its = config.dim / config.heads    # not rounded: their heads share the width
        if mine != its:
            rule = family.settings.get(setting)
            allowed = dict.fromkeys(rule[1].values()) if isinstance(rule, tuple) and isinstance(rule[1], dict) else [its]
            wrong.append((setting, mine, ' or '.join(map(str, allowed)) if mine not in allowed and len(allowed) > 1 else its))
    return wrong + [(setting, resolved(config, setting), f'another number than model.{other}') for setting, other in family.apart.items()
                    if resolved(config, setting) == resolved(config, other)]


def write(folder: str | os.PathLike, family: families.Family, config: model_config.Config, head: task_model.Head, dtype: str,
          more: dict | None = None) -> None:
    """Writes config.json. more: further keys, such as those of an imported one."""
    found = {'architectures': None, 'model_type': family.model_type, **renamed(family, more or {})}
    if head.kind in ('classes', 'token_classes') and len(found.get('id2label') or ()) != head.labels:  # names of another head's labels
        found['id2label'] = {str(i): f'LABEL_{i}' for i in range(head.labels)}
        found['label2id'] = {f'LABEL_{i}': i for i in range(head.labels)}
        found.pop('num_labels', None)
    found.update(to_json(family, config), dtype=dtype, architectures=[architecture(family, head)])
    if found.get('rope_scaling') is None:        # `transformers` 5 warns of the key, even if it holds null
        found.pop('rope_scaling', None)
    found = {key: value for key, value in found.items() if key not in ('torch_dtype', 'transformers_version')}
    (pathlib.Path(folder) / CONFIG).write_text(json.dumps(found, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
