"""Converts config.json to a model's Config and Head, and back, by the tables in model/families/."""
import dataclasses
import importlib
import json
import pathlib
import pkgutil
import types

from model import config as model_config, families, task_model
from model.huggingface import conversions, equivalent, errors

CONFIG = 'config.json'
# Settings of how a model is trained or run, not of what it computes: families may differ in them.
TRAINING = ('initializer', 'max_length', 'remat', 'unroll', 'dropout', 'mlp_dropout', 'output_dropout', 'attention_dropout')
DERIVED = {'mlp_dim': 'hidden', 'kv_heads': 'kv', 'head_dim': 'size', 'embed_dim': 'width', 'embed_norm': 'norms_embeddings'}
FOLLOWS = {'attention_bias': 'bias', 'out_bias': 'attention_bias', 'mlp_bias': 'bias'}


def known() -> dict[str, types.ModuleType]:
    """{model_type: module} of the families that exist at Hugging Face."""
    modules = (importlib.import_module(f'model.families.{entry.name}') for entry in pkgutil.iter_modules(families.__path__))
    return {module.MODEL_TYPE: module for module in modules if hasattr(module, 'MODEL_TYPE')}


def read(folder) -> tuple[model_config.Config, task_model.Head, types.ModuleType, dict]:
    """(Config, Head, family module, config.json as a dict) of a Hugging Face folder. ConfigError, FolderError."""
    path = pathlib.Path(folder) / CONFIG
    if not path.exists():
        raise errors.FolderError(f'{folder}: expected a Hugging Face folder with {CONFIG} and model.safetensors, got no {CONFIG}')
    try:
        raw = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise errors.FolderError(f'{path}: expected JSON, got {error}') from None
    family = of_type(raw.get('model_type') if isinstance(raw, dict) else None, path)
    said = {key: value for key, value in renamed(family, conversions.older(raw)).items() if value is not None or key in family.DEFAULTS}
    given = {**family.DEFAULTS, **said}
    config = to_config(family, given, path)
    return config, to_head(family, given, path), family, raw


def of_type(name, path):
    families_known = known()
    if isinstance(name, str) and name in families_known:
        return families_known[name]
    raise errors.ConfigError(f'{path}: model_type = {name!r}   expected one of {", ".join(sorted(families_known))}')


def renamed(family, raw):
    """config.json with the present names of its keys."""
    return {getattr(family, 'ALIASES', {}).get(key, key): value for key, value in raw.items()}


def to_config(family: types.ModuleType, given: dict, path) -> model_config.Config:
    """The Config that config.json describes. ConfigError lists every setting that is not supported."""
    wrong = [f'{key} = {given[key]!r}   expected {value!r}' for key, value in family.EXPECTED.items() if given.get(key, value) != value]
    wrong += [f'{key} = {given[key]!r}   expected that of {other}, {given.get(other)!r}' for key, other in same(family).items()
              if given.get(key, given.get(other)) != given.get(other)]
    found = dict(family.FIXED)
    for setting, rule in family.SETTINGS.items():
        key, how = (rule, None) if isinstance(rule, str) else rule
        if key not in given:
            wrong.append(f'{key}   expected, as {setting} follows from it; got nothing')
            continue
        try:
            found[setting] = conversions.checked(setting, conversions.ours(how, given[key], given))
        except ValueError as error:
            wrong.append(f'{key} = {given[key]!r}   expected {error}')
    if not wrong and found['heads'] % (found.get('kv_heads') or 1):
        wrong.append(f'num_key_value_heads = {found["kv_heads"]!r}   expected a divisor of the {found["heads"]} heads')
    wrong = list(dict.fromkeys(wrong))
    if wrong:
        count = f'{len(wrong)} setting{"s" * (len(wrong) > 1)}'
        raise errors.ConfigError('\n  '.join([f'{path}: {count} of a {family.MODEL_TYPE} that this model does not have', *wrong]))
    return model_config.Config(**found)


def theirs(family: types.ModuleType, config: model_config.Config) -> dict:
    """{key of config.json: value} of a Config of the family, by its SETTINGS and EXPECTED."""
    found, choices = dict(family.EXPECTED), {}
    for setting, rule in family.SETTINGS.items():
        key, how = (rule, None) if isinstance(rule, str) else rule
        value = resolved(config, setting)
        if isinstance(how, dict):                # several settings may follow from one key: what all of them allow
            names = [name for name, mine in how.items() if mine == value] or list(how)
            choices[key] = [name for name in choices.get(key, names) if name in names] or choices[key]
        else:
            found[key] = conversions.theirs(how, value, config)
    found.update({key: names[0] for key, names in choices.items()})
    return {**found, **{key: found[other] for key, other in same(family).items()}}


def same(family):
    """{key of config.json: another key that must have the same value}: two sides of an encoder-decoder with one setting here."""
    return getattr(family, 'SAME', {})


def resolved(config: model_config.Config, setting: str):
    """The value of a setting of a Config, derived where it is None."""
    if setting == 'decoder_layers':
        return config.depth('decoder')
    value = getattr(config, DERIVED.get(setting, setting))
    return resolved(config, FOLLOWS[setting]) if value is None and setting in FOLLOWS else value


def to_head(family: types.ModuleType, given: dict, path) -> task_model.Head:
    """The task_model.Head that `architectures` names; without it, the family's first."""
    name = (given.get('architectures') or [next(iter(family.ARCHITECTURES))])[0]
    if name not in family.ARCHITECTURES:
        raise errors.ConfigError(f'{path}: architectures = [{name!r}]   expected one of {", ".join(family.ARCHITECTURES)}')
    kind, _ = family.ARCHITECTURES[name]
    return head(family, kind, len(given.get('id2label') or range(given.get('num_labels') or 2)))


def head(family: types.ModuleType, kind: str, labels: int = 2) -> task_model.Head:
    """The task_model.Head of a kind, as the family's class of that kind has it. ConfigError if there is none."""
    for other, settings in family.ARCHITECTURES.values():
        if other == kind:
            return task_model.Head(kind, labels, **settings)
    raise errors.ConfigError(f'no {family.MODEL_TYPE} at Hugging Face has a head of the kind {kind!r}; expected '
                             + ', '.join(sorted({kind for kind, _ in family.ARCHITECTURES.values()})))


def bare(family: types.ModuleType, raw: dict) -> bool:
    """Whether config.json is that of a backbone without a head, such as a BertModel."""
    return family.BARE in (raw.get('architectures') or ())


def fit(config: model_config.Config, head: task_model.Head | None = None, model_type: str | None = None) -> types.ModuleType:
    """The family of a Config and, if given, a task_model.Head. ConfigError names the nearest one and the settings that differ.

    model_type: the one to take of several (an ELECTRA whose embeddings are as wide as its layers is also a BERT).
    """
    differ = {family: differences(family, config) for family in known().values()}
    nearest = min(differ, key=lambda family: (len(differ[family]), head is not None and head.kind not in family.HEADS,
                                              equivalent.changes(family, config), family.MODEL_TYPE != model_type, family.MODEL_TYPE))
    if differ[nearest]:
        rows = '\n  '.join(f'model.{setting} = {mine!r}   {nearest.MODEL_TYPE} has {theirs!r}' for setting, mine, theirs in differ[nearest])
        raise errors.ConfigError(f'no family at Hugging Face has this model; the nearest is {nearest.MODEL_TYPE}:\n  {rows}')
    return nearest


def differences(family: types.ModuleType, config: model_config.Config) -> list[tuple]:
    """[(setting, its value, that of the family)] that keep a Config out of a family: they would be lost in its config.json."""
    config = equivalent.config(family, config)
    back, wrong = to_config(family, {**family.DEFAULTS, **theirs(family, config)}, CONFIG), []
    for setting in (field.name for field in dataclasses.fields(config) if field.name not in TRAINING):
        mine, its = resolved(config, setting), resolved(back, setting)
        if setting == 'head_dim' and setting not in family.SETTINGS:
            its = config.dim / config.heads    # not rounded: their heads share the width
        if mine != its:
            rule = family.SETTINGS.get(setting)
            allowed = dict.fromkeys(rule[1].values()) if isinstance(rule, tuple) and isinstance(rule[1], dict) else [its]
            wrong.append((setting, mine, ' or '.join(map(str, allowed)) if mine not in allowed and len(allowed) > 1 else its))
    for setting, other in getattr(family, 'APART', {}).items():
        if resolved(config, setting) == resolved(config, other):
            wrong.append((setting, resolved(config, setting), f'another number than model.{other}'))
    return wrong


def architecture(family: types.ModuleType, head: task_model.Head) -> str:
    """The class of `transformers` for a head. ConfigError if the family has none."""
    for name, (kind, settings) in family.ARCHITECTURES.items():
        if kind == head.kind and (kind != 'classes' or head == task_model.Head(kind, head.labels, **settings)):
            return name
    raise errors.ConfigError(f'no {family.MODEL_TYPE} at Hugging Face has a head of the kind {head.kind!r}; expected '
                             + ', '.join(sorted({kind for kind, _ in family.ARCHITECTURES.values()})))


def write(folder, family, config, head, dtype, more=None):
    """Writes config.json. more: further keys, such as those of an imported one."""
    more, labels = renamed(family, conversions.older(more or {})), {}
    if head.kind in ('classes', 'token_classes') and len(more.get('id2label') or ()) != head.labels:  # names of another head's labels
        labels = {'id2label': {str(i): f'LABEL_{i}' for i in range(head.labels)}, 'label2id': {f'LABEL_{i}': i for i in range(head.labels)}}
        more.pop('num_labels', None)
    known_keys = {**more, **labels, **theirs(family, config)}
    found = {'architectures': [architecture(family, head)], 'model_type': family.MODEL_TYPE, **known_keys, 'dtype': dtype}
    found['architectures'] = [architecture(family, head)]
    if found.get('rope_scaling') is None:        # `transformers` 5 warns of the key, whatever it holds
        found.pop('rope_scaling', None)
    found.pop('torch_dtype', None)
    found.pop('transformers_version', None)
    (pathlib.Path(folder) / CONFIG).write_text(json.dumps(found, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
