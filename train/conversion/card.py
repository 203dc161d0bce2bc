"""The model card of an export (card.md): origin of the weights, data, compute, metrics, how to load them."""
import argparse
import contextlib
import json
import pathlib

from etils import epath
import jinja2

from data.text import files
from model import config as model_config
from train import objectives
from train.monitoring import metrics
from train.settings import json_file, schema

PREDICT_TOKENS = ('LMHeadModel', 'ForCausalLM', 'ForConditionalGeneration', 'ForMaskedLM')  # classes that have a task
TASKS = {'decoder': 'text-generation', 'encoder_decoder': 'text2text-generation', 'encoder': 'fill-mask'}


def text(folder: pathlib.Path, weights: list[str], source: epath.Path, config: schema.Config, meta: dict, options: argparse.Namespace,
         kept: epath.Path | None, model: model_config.Config, parameters: int) -> str:
    """README.md of an exported folder, whose other files are already written.

    weights: names of its files of weights. source: the workdir; config and meta: of its run and checkpoint. options: the command's
    flags. kept: the workdir's folder huggingface/ of an imported model, or None. model, parameters: of the exported network.
    """
    raw, step, lengths = json.loads((folder / 'config.json').read_text(encoding='utf-8')), meta['step'], config.objective.lengths()
    imported = meta.get('imported') or (kept and meta_of_import(kept).get('imported'))
    tokens = step * config.batch_size * (lengths['tokens'] + lengths.get('encoder_tokens', 0))
    lines = [{'step': step, **meta['metrics']}, *(line for line in metrics.read(source) if line['step'] <= step)]
    measured = next((line for line in reversed(lines) if any(name.startswith('eval/') for name in line)), None)
    template = jinja2.Template(pathlib.Path(__file__).with_name('card.md').read_text(encoding='utf-8'), trim_blocks=True)
    return template.render(
        license=options.license or (imported or {}).get('license') or 'unknown', predict_tokens=PREDICT_TOKENS,
        task=TASKS[model.architecture], folder=options.hf.rstrip('/').rpartition('/')[2] or 'model', loader=raw['architectures'][0],
        model_type=raw['model_type'], model=model, parameters=parameters, imported=imported, config=config, step=step, tokens=tokens,
        tokenizer=(folder / 'tokenizer_config.json').exists(), objective=config.objective.name, data=meta.get('data'),
        examples=meta['examples'], operations=step * objectives.train_flops(config), metrics=measured,
        files={name: files.Content(folder / name).digest for name in weights})


def meta_of_import(kept: epath.Path) -> dict:
    """meta.json of the imported checkpoint, for the folder huggingface/ of its workdir; {} without one."""
    meta = kept.parent / 'checkpoints' / '0' / 'meta.json'
    with contextlib.suppress(ValueError):     # without it the card says that the license is unknown
        return json_file.read(meta)
    return {}
