"""What PyTorch transformers says to stored inputs. Runs in the peers' environment: never imported by a test.

    python tests/helpers/peers/logits.py FOLDER...

Each FOLDER is a Hugging Face folder with `inputs.npz` beside config.json; writes `logits.npz` there and prints one JSON object a
folder: {"folder", "keys": what did not fit (missing, unexpected, mismatched), "warnings": texts logged while loading}.
"""
import json
import logging
import pathlib
import sys

import numpy as np
import torch
import transformers

OUTPUTS = ('logits', 'prediction_logits', 'seq_relationship_logits', 'sop_logits', 'start_logits', 'end_logits', 'pooler_output',
           'last_hidden_state')
KEYS = ('missing_keys', 'unexpected_keys', 'mismatched_keys', 'error_msgs')


class Texts(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def load(folder):
    """(model in evaluation mode, {kind: keys that did not fit}, texts logged) of a folder, by the architecture it names."""
    architecture, = json.loads((pathlib.Path(folder) / 'config.json').read_text())['architectures']
    kept = Texts()
    logger = logging.getLogger('transformers')
    logger.addHandler(kept)
    try:
        model, info = getattr(transformers, architecture).from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    finally:
        logger.removeHandler(kept)
    return model.eval(), {kind: sorted(map(str, info[kind])) for kind in KEYS if info.get(kind)}, kept.texts


def run(model, inputs):
    """{output: float32 array} of a model for {input: array}.

    Of XLNet's inputs, `ranks` [B, T] and `slots` [B, P] become perm_mask and target_mapping: a token of rank 0 sees those of
    rank 0, others see what ranks below them, and content sees itself; `mems` [L, B, M, D] is cut into layers.
    """
    inputs = dict(inputs)
    if 'ranks' in inputs:
        rank, slots = inputs.pop('ranks'), inputs.pop('slots')
        query, key = rank[:, :, None], rank[:, None]
        inputs['perm_mask'] = np.where(query > 0, key >= query, key > 0).astype(np.float32)
        inputs['target_mapping'] = np.eye(rank.shape[1], dtype=np.float32)[slots]
    inputs = {name: torch.tensor(value) for name, value in inputs.items()}
    if 'mems' in inputs:
        inputs['mems'] = [layer.transpose(0, 1) for layer in inputs['mems']]
    with torch.no_grad():
        said = model(**inputs)
    return {name: said[name].float().numpy() for name in OUTPUTS if name in said}


def main():
    for folder in map(pathlib.Path, sys.argv[1:]):
        model, keys, warnings = load(folder)
        with np.load(folder / 'inputs.npz') as inputs:
            np.savez(folder / 'logits.npz', **run(model, inputs))
        print(json.dumps({'folder': str(folder), 'keys': keys, 'warnings': warnings}), flush=True)


if __name__ == '__main__':
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    main()
