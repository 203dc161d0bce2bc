"""Small models of PyTorch transformers, what they read and what they say. Runs in the peers' environment.

    python tests/helpers/peers/models.py OUT [--seeds 0 1 ...] [--cases NAME ...]

Writes CASE.json and CASE.npz (tests/helpers/huggingface_folder.py) to OUT. Seed 0 has the shapes of tests/fixtures/huggingface, which was
made so; other seeds draw their shapes and are called CASE-SEED. Numbers of tensors follow from their names: `save_pretrained`
says which tensors a file has, they are given these numbers, and `from_pretrained` must take the file without a word.
"""
import argparse
import dataclasses
import json
import pathlib
import re
import sys
import tempfile

import numpy as np
import safetensors
import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import huggingface_folder  # noqa: E402
import logits  # noqa: E402
from model_cases import CASES, Shape  # noqa: E402

# T5's class always says that the output is tied, so that it has a word to say about every T5 1.1, those on the hub too.
UNTIED_T5 = 'both are present in the checkpoints with different values, so we will NOT tie them'


def draw(seed):
    """The Shape of a seed; 0 is the stored one."""
    if not seed:
        return Shape()
    rng = np.random.default_rng(seed)
    heads = int(rng.integers(2, 6))
    return Shape(dim=heads * 2 * int(rng.integers(3, 7)), layers=int(rng.integers(1, 4)), heads=heads,
                 vocab=int(rng.integers(60, 200)), hidden=int(rng.integers(20, 90)), rows=int(rng.integers(1, 4)),
                 length=int(rng.integers(5, 24)))


def build(case, shape):
    """A model with drawn numbers, untied where the case says so."""
    settings = {**case.family(shape), **(case.settings(shape) if callable(case.settings) else case.settings)}
    architecture = getattr(transformers, case.architecture)
    model = architecture(architecture.config_class(**settings, architectures=[case.architecture])).eval()
    if case.untie:
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach() + 1)
        model.all_tied_weights_keys.pop('lm_head.weight')
    return model


def make(name, seed, out):
    case, shape = CASES[name], draw(seed)
    shape = dataclasses.replace(shape, **({} if seed and name not in KEPT else case.shape))
    model = build(case, shape)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model.save_pretrained(folder)
        with safetensors.safe_open(folder / 'model.safetensors', 'numpy') as file:
            shapes = {key: list(file.get_slice(key).get_shape()) for key in sorted(file.keys())}
        found = {'config': {**json.loads((folder / 'config.json').read_text()), **case.rewritten}, 'tensors': shapes,
                 'buffers': sorted(shapes.keys() & dict(model.named_buffers()).keys())}
        for key in case.removed:
            found['config'].pop(key)
        values = huggingface_folder.tensors(found)
        huggingface_folder.write(found, folder, values)
        model, keys, warnings = logits.load(folder)
        assert not keys, (name, keys)
        assert [text for text in warnings if not (case.untie and UNTIED_T5 in text)] == [], (name, warnings)
        inputs = case.inputs(model.config, shape, np.random.default_rng(seed))
        expected = logits.run(model, inputs)
    name = f'{name}-{seed}' if seed else name
    found = {'versions': {'torch': torch.__version__, 'transformers': transformers.__version__},
             'checksum': huggingface_folder.checksum(values), **found}
    text = re.sub(r'\[\s+([\d,\s]+?)\s+\]', lambda list: '[' + ' '.join(list[1].split()) + ']', json.dumps(found, indent=1))
    (out / f'{name}.json').write_text(text + '\n')
    np.savez_compressed(out / f'{name}.npz', **inputs, **{f'expected/{key}': value for key, value in expected.items()})
    print(name, {key: (*value.shape, round(float(value.std()), 2)) for key, value in expected.items()}, flush=True)


KEPT = ('t5_long', 'llama_scaled')            # cases that are about a length


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('out', type=pathlib.Path)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--cases', nargs='+', default=sorted(CASES))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.cases:
            make(name, seed, arguments.out)


if __name__ == '__main__':
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    main()
