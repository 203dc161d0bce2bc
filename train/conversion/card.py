"""The model card of an export: where the weights come from, what they saw, what it cost, how good they are, how to load them."""
import hashlib
import json

from train import metrics, objectives, schema

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


def text(folder, weights, source, config, meta, more, kept, parameters):
    """README.md of an exported folder, whose other files are there. more: the flags; kept: what came with an imported model, or None."""
    raw, imported = json.loads((folder / 'config.json').read_text(encoding='utf-8')), meta.get('imported') or before(kept)
    loader = raw['architectures'][0]
    task = TASKS[config.model.architecture] if loader.endswith(('LMHeadModel', 'ForCausalLM', 'ForConditionalGeneration', 'ForMaskedLM')) else None
    tokenizer = 'tokenizer = transformers.AutoTokenizer.from_pretrained({!r})\n'.format(folder_name(more.hf))
    return CARD.format(
        license=more.license or (imported or {}).get('license') or 'unknown', task=f'pipeline_tag: {task}\n' if task else '',
        objective=schema.objective_name(config.objective).replace('_', '-'), name=folder_name(more.hf), parameters=parameters,
        architecture=loader, model_type=raw['model_type'], layers=config.model.layers, dim=config.model.dim, vocabulary=config.model.vocab_size,
        origin=origin(imported, meta), loader=loader, folder=folder_name(more.hf), training=training(config, meta),
        tokenizer=tokenizer if (folder / 'tokenizer_config.json').exists() else '', evaluation=evaluation(source, meta),
        files='\n'.join(f'- `{name}`: sha256 `{digest(folder / name)}`' for name in weights))


def folder_name(path):
    return path.rstrip('/').rpartition('/')[2] or 'model'


def before(kept):
    """meta['imported'] of the workdir that holds the folder `kept`, or None."""
    if kept is None:
        return None
    meta = kept.parent / 'checkpoints' / '0' / 'meta.json'
    return json.loads(meta.read_text()).get('imported') if meta.exists() else None


def origin(imported, meta):
    """Whose weights these are."""
    if not imported:
        return 'Trained from scratch.'
    files = ', '.join(f'`{name}` sha256 `{value}`' for name, value in imported['sha256'].items())
    how = 'Imported from' if meta['step'] == 0 else 'Training started from'
    return f'{how} {imported["name"]} ({files}).'


def training(config, meta):
    """Data, rows, tokens, operations, settings."""
    if meta['step'] == 0:
        return 'None here: these are the weights that were imported.'
    lengths, step = config.objective.lengths(), meta['step']
    tokens = step * config.batch_size * (lengths['tokens'] + lengths.get('encoder_tokens', 0))
    operations = step * objectives.train_flops(config)
    optimizer, average = config.optimizer, '' if config.ema is None else f', their moving average with decay {config.ema:g}'
    return '\n'.join([
        f'- data: `{config.data.train}`' + (f' (sha256 of the tokens `{meta["data"][:12]}`)' if meta.get('data') else ''),
        f'- objective: {schema.objective_name(config.objective)}, rows of {config.sequence_length} tokens',
        f'- {step:,} steps of {config.batch_size:,} rows: {meta["examples"]:,} examples, {tokens:,} tokens, padding included',
        f'- compute: {operations:.3g} floating-point operations (three forward passes a step, products only), in {config.dtype}',
        f'- optimizer: {optimizer.name}, learning rate {optimizer.learning_rate:g}, {optimizer.schedule}, {optimizer.warmup:,} steps of '
        f'warm-up; parameters in float32{average}'])


def evaluation(source, meta):
    """The last measured metrics of the evaluation, at this step or before, as a table."""
    lines = [line for line in metrics.read(source) if line['step'] <= meta['step']]
    found = next((line for line in reversed(lines) if any(name.startswith('eval/') for name in line)), {'step': meta['step'], **meta['metrics']})
    rows = [f'| {name.removeprefix("eval/")} | {value:.4f} |' for name, value in found.items() if name.startswith('eval/')]
    if not rows:
        return 'None was measured.'
    return '\n'.join([f'On held-out text, after step {found["step"]:,}:', '', '| metric | value |', '|---|---|', *rows])


def digest(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
