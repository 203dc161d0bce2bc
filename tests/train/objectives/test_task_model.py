"""The loss of an objective and the model that is published have their parameters at the same paths (model/task_model.py)."""
import jax
import jax.numpy as jnp
import pytest

from model import paths, task_model, transformer
from train import objectives as losses
from train.settings import parse

PAIRS = ('next_sentence', 'sentence_order')
OF_TRAINING = ('generator/',)                 # networks that are not published with the backbone


def shapes(module, method, *arguments):
    found = jax.eval_shape(lambda: module.init({'params': jax.random.key(0), 'sample': jax.random.key(0)}, *arguments, method=method))
    return {path: leaf.shape for path, leaf in paths.flatten(found['params']).items() if not path.startswith(OF_TRAINING)}


@pytest.mark.parametrize('config', [
    'tiny.py:causal_lm', 'tiny.py:masked_lm', 'pretrain_bert.py:tiny', 'pretrain_albert.py:tiny', 'tiny.py:replaced_token_detection',
    'tiny.py:permuted_lm', 'tiny.py:span_corruption', 'tiny.py:denoising'])
def test_parameters_have_the_same_paths_and_shapes(config):
    config = parse.parse([f'--config=configs/{config}', '--workdir=runs/x', '--config.model.vocab_size=517'], devices=False).config
    batch = transformer.blank(config.model, 2, 8)
    zeros = batch['tokens']
    batch |= {'targets': zeros, 'slots': zeros, 'weights': jnp.zeros((2, 8)), 'labels': {name: zeros[:, 0] for name in PAIRS}}
    model = task_model.Model(config.model, task_model.Head(config.objective.head))
    assert shapes(losses.build(config), None, batch) == shapes(model, 'everything', batch)
