"""From a Hugging Face folder to a workdir as train.main writes it: config, tokenizer, a checkpoint of step 0 with parameters.

The workdir's folder `huggingface/` keeps copies for the export: config.json, generation_config.json, the model card.
"""
import argparse
import dataclasses
import math
import pathlib
import re
from typing import Any, Callable, Iterator

from data import atomic, tokenizer as tokenizers
from data.text import files
from data.vocabularies import huggingface as published, losses
from model import config as model_config, families, huggingface, paths, resize, task_model
from model.huggingface import errors as huggingface_errors, settings
from train.checkpoints import folders, initial, streaming, workdir
from train.settings import checks, errors, parse, schema, values

OBJECTIVES = {'decoder': {'name': 'causal_lm'}, 'encoder': {'name': 'masked_lm'}, 'encoder_decoder': {'name': 'span_corruption'}}
KEPT = ('config.json', 'generation_config.json', 'README.md')
LENGTH = 512                                  # tokens of a row, or fewer if the model has fewer positions


def run(options: argparse.Namespace, notice: Callable[[str], None]) -> None:
    """Writes the workdir `options.out` from the folder `options.hf`. Raises errors.Error and those of model/huggingface/errors.py."""
    folder = pathlib.Path(options.hf)
    found = huggingface.folders.read(folder)
    _, model, head, family, raw = found
    if isinstance(raw.get('auto_map'), dict):
        notice(f'{folder}: auto_map names code of its own, {", ".join(sorted(raw["auto_map"]))}; it is ignored, never run')
    size = options.vocab_size or model.vocab_size
    copies = kept(folder, model.vocab_size)
    tokenizer = read_tokenizer(folder, size, notice)
    objective = pretrained_with(family, model.architecture, head.kind)
    config = configuration(dataclasses.replace(model, vocab_size=size), objective, options.dtype)
    module = task_model.Model(model, head)
    wanted = huggingface.abstract(task_model.Model(config.model, head))
    shapes = {path: leaf.shape for path, leaf in paths.flatten(wanted).items()}
    arrays = huggingface.arrays(found, module, notice=notice)
    arrays = ((path, resize.rows(path, array, model, config.model)) for path, array in arrays)
    if size != model.vocab_size:
        change = 'new ones are the mean of the others' if size > model.vocab_size else 'the last ones are cut off'
        notice(f'{model.vocab_size:,} tokens there, {size:,} here: {change}')
    meta = {'examples': 0, 'config': parse.to_dict(config), 'metrics': {}, 'vocab_size': size, 'data': None,
            'tokenizer': tokenizer and tokenizer.hash,
            'imported': {'name': raw.get('_name_or_path') or folder.resolve().name, 'license': license_of(folder),
                         'sha256': {path.name: files.Content(path).digest for path in sorted(folder.glob('*.safetensors'))}}}
    with atomic.folder(folders.absolute(options.out)) as made:
        streaming.save(made / 'checkpoints', 0, shapes, arrays, meta)
        (made / 'huggingface').mkdir()
        for name, data in copies.items():
            atomic.write(made / 'huggingface' / name, data)
        workdir.write(made, config, tokenizer, sum(map(math.prod, shapes.values())))
    for line in settings.notices(family, model, raw):
        notice(f'{folder}: {line}')
    notice(f'{options.out}: {family.model_type}, {resize.count(wanted, config.model):,} parameters, objective '
           f'{config.objective.name}')
    for line in next_steps(options.out, config):
        notice(line)


def kept(folder: pathlib.Path, size: int) -> dict[str, bytes]:
    """{name: bytes} of KEPT in a folder. FolderError if one is no file, or generation_config.json does not suit `size` tokens."""
    there = [folder / name for name in KEPT if (folder / name).exists()]
    for path in there:
        if not path.is_file():
            raise huggingface_errors.FolderError(f'{path}: expected a file, got something else; remove it')
        if path.name == 'generation_config.json':
            found = huggingface.files.read_json(path, 'a generation config')
            if not isinstance(found, dict):
                raise huggingface_errors.FolderError(f'{path}: expected a JSON object, got {type(found).__name__}')
            huggingface.folders.plain(found, path, size)
    return {path.name: path.read_bytes() for path in there}


def pretrained_with(family: families.Family, architecture: str, head: str) -> dict[str, str]:
    """{setting: value} of the objective that the model was pretrained with. head: its kind (model/task_model.py)."""
    if head == 'discriminator' or head == families.BARE.kind and family.head('discriminator'):
        return {'name': 'replaced_token_detection'}
    pair = {'inputs': family.pairs} if head in ('pair', 'pretraining') and family.pairs else {}
    return {**(family.objective or OBJECTIVES[architecture]), **pair}


def read_tokenizer(folder: pathlib.Path, size: int, notice: Callable[[str], None]) -> Any:
    """The tokenizer of the folder, or None with a notice. errors.Error if it has more ids than the model has rows (`size`)."""
    if not published.holds(folder):
        notice(f'{folder} has no tokenizer: none was written. Runs that start from here need --config.tokenizer.path=DIR')
        return None
    tokenizer = tokenizers.load(folder)
    if tokenizer.vocab_size > size:
        text = f'the tokenizer has {tokenizer.vocab_size:,} ids, the model {size:,} rows; grow it with --vocab_size={tokenizer.vocab_size}.'
        raise errors.Error([errors.Problem(f'--hf = {folder}', text)], kind='convert', end='nothing was written')
    for line in losses.notices(tokenizer):
        notice(f'{folder}: {line}')
    return tokenizer


def configuration(model: model_config.Config, objective: dict[str, Any], dtype: str) -> schema.Config:
    """The config of a run with this model and objective {setting: value}; rows have LENGTH tokens, halved until they fit the model."""
    given = {f'model.{key}': value for key, value in dataclasses.asdict(model).items()}
    given |= {f'objective.{key}': value for key, value in objective.items()} | {'dtype': dtype, 'steps': 1}
    length = LENGTH
    while True:
        pairs = {key: values.Given(key, value, 'from config.json') for key, value in {**given, 'sequence_length': length}.items()}
        config, _, wrong = parse.assemble(pairs)
        if wrong:
            raise errors.Error(wrong, kind='convert', end='nothing was written')
        if not model.max_length or checks.longest(config) <= model.max_length or length == 1:
            return config
        length //= 2


def license_of(folder: pathlib.Path) -> str | None:
    """The licence in the header of the model card, or None."""
    path = folder / 'README.md'
    text = path.read_text(encoding='utf-8', errors='replace') if path.exists() else ''
    found = re.search(r'''\A---\n(?:(?!---).*\n)*?license: *["']?([\w.+-]+)["']? *\n''', text)
    return found and found[1]


def next_steps(out: str, config: schema.Config) -> Iterator[str]:
    """Commands that use the import; train.generate is among them if the heads that its objective predicts with were imported."""
    mask = ' <mask>' * (config.model.architecture == 'encoder')
    try:
        initial.complete(out, config, 'convert', '')
        yield f'  python -m train.generate --workdir={out} --prompt="...{mask}"'
    except errors.Error:
        yield f'no head of {config.objective.name} came with it: a run that starts from it makes one'
    yield f'  python -m train.main --config=configs/continue.py --config.init.from={out} --config.data.train=TEXT --workdir=OTHER'
