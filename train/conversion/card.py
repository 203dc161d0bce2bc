"""The model card of an export: origin of the weights, data, compute, metrics, how to load them."""
import argparse
import hashlib
import json
import pathlib

from etils import epath

from model import config as model_config
from train import objectives
from train.monitoring import metrics
from train.settings import schema

PREDICT_TOKENS = ('LMHeadModel', 'ForCausalLM', 'ForConditionalGeneration', 'ForMaskedLM')  # classes that have a task
TASKS = {'decoder': 'text-generation', 'encoder_decoder': 'text2text-generation', 'encoder': 'fill-mask'}
CARD = """\
---
license: {license}
library_name: transformers
{task}tags:
- jax
- {objective}
---

# {name}

{parameters:,} parameters, {architecture}, of a `{model_type}` with {layers} layers, {dim} wide, {vocabulary:,} tokens. {origin}

## Load

```python
import transformers

model = transformers.{loader}.from_pretrained({folder!r})
{tokenizer}```

## Training

{training}

## Evaluation

{evaluation}

## Files

{files}
"""


def text(folder: pathlib.Path, weights: list[str], source: epath.Path, config: schema.Config, meta: dict, options: argparse.Namespace,
         kept: epath.Path | None, model: model_config.Config, parameters: int) -> str:
    """README.md of an exported folder, whose other files are already written.

    weights: names of its files of weights. source: the workdir; config and meta: of its run and checkpoint. options: the command's
    flags. kept: the workdir's folder huggingface/ of an imported model, or None. model, parameters: of the exported network.
    """
    raw = json.loads((folder / 'config.json').read_text(encoding='utf-8'))
    imported = meta.get('imported') or (kept and meta_of_import(kept).get('imported'))
    loader, called = raw['architectures'][0], options.hf.rstrip('/').rpartition('/')[2] or 'model'
    task = f'pipeline_tag: {TASKS[model.architecture]}\n' if loader.endswith(PREDICT_TOKENS) else ''
    tokenizer = (folder / 'tokenizer_config.json').exists()
    return CARD.format(
        license=options.license or (imported or {}).get('license') or 'unknown', task=task, name=called, parameters=parameters,
        objective=config.objective.name.replace('_', '-'), architecture=loader, model_type=raw['model_type'],
        layers=model.layers, dim=model.dim, vocabulary=model.vocab_size, origin=origin(imported, config, meta), loader=loader,
        folder=called, tokenizer=f'tokenizer = transformers.AutoTokenizer.from_pretrained({called!r})\n' if tokenizer else '',
        training=training(config, meta), evaluation=evaluation(source, meta),
        files='\n'.join(f'- `{name}`: sha256 `{digest(folder / name)}`' for name in weights))


def meta_of_import(kept: epath.Path) -> dict:
    """meta.json of the imported checkpoint, for the folder huggingface/ of its workdir; {} without one."""
    meta = kept.parent / 'checkpoints' / '0' / 'meta.json'
    return json.loads(meta.read_text()) if meta.exists() else {}


def origin(imported: dict | None, config: schema.Config, meta: dict) -> str:
    """A sentence: imported, trained from another run, or trained from scratch."""
    if not imported:
        return f'Training started from the run `{config.init.from_}`.' if config.init.from_ else 'Trained from scratch.'
    files = ', '.join(f'`{name}` sha256 `{value}`' for name, value in imported['sha256'].items())
    how = 'Imported from' if meta['step'] == 0 else 'Training started from'
    return f'{how} {imported["name"]} ({files}).'


def training(config: schema.Config, meta: dict) -> str:
    """A list: data, objective, rows and tokens, floating-point operations, optimizer."""
    if meta['step'] == 0:
        return 'None here: these are the weights that were imported.'
    lengths, step = config.objective.lengths(), meta['step']
    tokens = step * config.batch_size * (lengths['tokens'] + lengths.get('encoder_tokens', 0))
    operations = step * objectives.train_flops(config)
    optimizer, average = config.optimizer, '' if config.ema is None else f', their moving average with decay {config.ema:g}'
    return '\n'.join([
        f'- data: `{config.data.train}`' + (f' (sha256 of the tokens `{meta["data"][:12]}`)' if meta.get('data') else ''),
        f'- objective: {config.objective.name}, rows of {config.sequence_length} tokens',
        f'- {step:,} steps of {config.batch_size:,} rows: {meta["examples"]:,} examples, {tokens:,} tokens, padding included',
        f'- compute: {operations:.3g} floating-point operations (three forward passes a step, products only), in {config.dtype}',
        f'- optimizer: {optimizer.name}, learning rate {optimizer.learning_rate:g}, {optimizer.schedule}, '
        f'{optimizer.warmup:,} steps of warm-up; parameters in float32{average}'])


def evaluation(source: epath.Path, meta: dict) -> str:
    """A table: the newest metrics of the evaluation, at this step or before."""
    lines = [{'step': meta['step'], **meta['metrics']}, *(line for line in metrics.read(source) if line['step'] <= meta['step'])]
    found = next((line for line in reversed(lines) if any(name.startswith('eval/') for name in line)), {})
    rows = [f'| {name.removeprefix("eval/")} | {value:.4f} |' for name, value in found.items() if name.startswith('eval/')]
    if not rows:
        return 'None was measured.'
    return '\n'.join([f'On held-out text, after step {found["step"]:,}:', '', '| metric | value |', '|---|---|', *rows])


def digest(path: pathlib.Path) -> str:
    """The SHA-256 of a file, in hex."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
