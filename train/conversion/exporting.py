"""From a workdir to a Hugging Face folder: config.json, safetensors, tokenizer, generation_config.json and a model card.

Exports the newest undamaged checkpoint: its moving average of the weights, if it has one. Works for imported models and for every
run whose structure a family in model/families/ has.
"""
import argparse
import json
import pathlib
from typing import Any, Callable

from etils import epath

from data import atomic, errors as data_errors, tokenizer as tokenizers
from data.vocabularies import export
from model import families, huggingface, paths, resize, task_model
from model.huggingface import errors as huggingface_errors, settings
from train.checkpoints import checkpoint, folders, workdir
from train.conversion import card
from train.objectives import replaced_token_detection
from train.settings import errors, inherited, json_file, schema

# (roles before, roles after) of the special tokens around a text in training rows; an objective may have its own (`frame`)
FRAMES = {'encoder': (('cls',), ('sep',)), 'encoder_decoder': ((), ('eos',)), 'decoder': (('bos',), ())}


def run(options: argparse.Namespace, notice: Callable[[str], None]) -> None:
    """Writes the folder `options.hf` from the workdir `options.workdir`. Raises errors.Error and those of model/huggingface/errors.py."""
    source = folders.absolute(options.workdir)
    config, kept = workdir.read(source), folder_of_import(source)
    steps = folders.complete(source / 'checkpoints')
    if options.step is not None and options.step not in steps:
        text = f'no such checkpoint. There are: {", ".join(map(str, steps)) or "none"}.'
        raise errors.Error([errors.Problem(f'--step = {options.step}', text)], kind='convert', end='nothing was written')
    what = 'params' if config.ema is None else 'ema'
    params, meta = checkpoint.load_params(source, step=options.step, what=what, notice=notice)
    own = kept is not None and kept.parent == source
    head = settings.read(kept)[1] if own else task_model.Head(config.objective.head)
    params = paths.flatten(params)
    if head.kind == 'pooler' and not any(path.startswith('head/') for path in params):  # imported without one
        head = task_model.Head(families.BARE.kind)
    module, params = network(options, config, head, params)
    family = choose(options.family, module, kept)
    wanted = paths.flatten(huggingface.abstract(module))
    lost, aside = sorted(wanted.keys() - params.keys()), sorted(params.keys() - wanted.keys())
    if lost:
        text = f'{source} has no {paths.listed(lost)}, which {settings.a(family.model_type)} with the head {module.settings.kind!r} needs'
        raise huggingface_errors.FolderError(text)
    if aside:
        notice(f'left out: {paths.listed(aside)}')
    variables = {'params': paths.unflatten({path: params[path] for path in wanted})}
    tokenizer = tokenizers.load(source / 'tokenizer') if (source / 'tokenizer').exists() else None
    if tokenizer is not None:
        workdir.same(meta, f'Put {source / "tokenizer"} back.', tokenizer=tokenizer.hash)
    imported = config_of_import(kept)
    imported = imported if imported.get('model_type') == family.model_type else {}
    same = own or (kept is not None and tokenizer is not None and tokenizer.hash == card.meta_of_import(kept).get('tokenizer'))
    special = ids(tokenizer, config.model.architecture)
    more = {**special, **imported} if same else {**imported, **special}
    with atomic.folder(folders.absolute(options.hf)) as made:
        folder = pathlib.Path(made)
        weights = huggingface.save(folder, module, variables, options.dtype, family, more)
        if tokenizer is None:
            notice(f'{source} has no tokenizer: none was written')
        else:
            try:
                export.save(tokenizer, folder, *(config.objective.frame or FRAMES[config.model.architecture]))
            except data_errors.DataError as error:
                notice(f'no tokenizer was written: {error}')
        write_generation(folder, kept if imported and same else None, config.model.architecture)
        page = card.text(folder, weights, source, config, meta, options, kept, module.config, resize.count(wanted, module.config))
        (folder / 'README.md').write_text(page, encoding='utf-8')
    notice(f'{options.hf}: {settings.architecture(family, module.settings)}, step {meta["step"]}, {", ".join(weights)}')


def folder_of_import(source: epath.Path) -> epath.Path | None:
    """The folder huggingface/ of a workdir, or of the one that its run started from, and so on; None without one."""
    if (source / 'huggingface' / 'config.json').exists():
        return source / 'huggingface'
    start = workdir.read(source).init.from_
    before, tree = inherited.run(start) if start else (None, None)
    return tree and folder_of_import(before)


def network(options: argparse.Namespace, config: schema.Config, head: task_model.Head, params: dict[str, Any]) -> tuple:
    """(task_model.Model, {path: array}) of the network to export: the run's model, or the generator of replaced-token detection."""
    if options.network == 'discriminator':
        return task_model.Model(config.model, head), params
    if not any(path.startswith('generator/') for path in params):
        name = config.objective.name
        raise errors.Error([errors.Problem('--network = generator', f'{options.workdir} has none; its objective is {name}.')],
                             kind='convert', end='nothing was written')
    shape = replaced_token_detection.generator_config(config.model, config.objective)
    own = {path.replace('generator/', 'backbone/'): leaf for path, leaf in params.items() if path.startswith('generator/')}
    shared = {path: leaf for path, leaf in params.items() if path.startswith((
        'backbone/embed/', 'backbone/encoder/positions/', 'backbone/encoder/types/', 'backbone/encoder/embed_norm/'))}
    return task_model.Model(shape, task_model.Head()), {**shared, **own}


def config_of_import(kept: epath.Path | None) -> dict:
    """The config.json of the folder huggingface/; {} without one. errors.Error if it is damaged."""
    try:
        return json_file.read(kept / 'config.json') if kept else {}
    except ValueError as error:
        text = f'expected JSON, got {error}. Put it back, or import the model again.'
        raise errors.Error([errors.Problem(str(kept / 'config.json'), text)], kind='convert', end='nothing was written') from None


def choose(name: str | None, module: task_model.Model, kept: epath.Path | None) -> families.Family:
    """The family `name`, or that of the import, or the one whose structure fits. ConfigError if none does."""
    known = settings.known()
    if name is not None and name not in known:
        text = f'no such family.{errors.did_you_mean(name, list(known))} There are: {", ".join(sorted(known))}.'
        raise errors.Error([errors.Problem(f'--family = {name}', text)], kind='convert', end='nothing was written')
    if name is None:
        return settings.fit(module.config, module.settings, config_of_import(kept).get('model_type'))
    wrong = settings.differences(known[name], module.config)
    if wrong:
        rows = (f'model.{setting} = {mine!r}   {name} has {theirs!r}' for setting, mine, theirs in wrong)
        raise huggingface_errors.ConfigError(f'this model is no {name}:', rows)
    return known[name]


def ids(tokenizer: Any, architecture: str) -> dict[str, int]:
    """The special ids that config.json states for generation; {} without a tokenizer."""
    if tokenizer is None:
        return {}
    special = tokenizer.special
    start = {'encoder': {}, 'decoder': {'bos_token_id': special.bos},
             'encoder_decoder': {'decoder_start_token_id': special.bos, 'is_encoder_decoder': True}}
    return {'pad_token_id': special.pad, 'eos_token_id': special.eos, **start[architecture]}


def write_generation(folder: pathlib.Path, kept: epath.Path | None, architecture: str) -> None:
    """Writes generation_config.json for a model that generates: that of the import, or the special ids of config.json."""
    if kept is not None and (kept / 'generation_config.json').exists():
        (folder / 'generation_config.json').write_bytes((kept / 'generation_config.json').read_bytes())
    elif architecture != 'encoder':
        config = json.loads((folder / 'config.json').read_text(encoding='utf-8'))
        names = ('bos_token_id', 'decoder_start_token_id', 'eos_token_id', 'forced_eos_token_id', 'pad_token_id')
        found = {key: config[key] for key in names if config.get(key) is not None}
        (folder / 'generation_config.json').write_text(json.dumps(found, indent=2) + '\n', encoding='utf-8')
