"""What our model says to the inputs of a stored case, under PyTorch's names, and how far the two are apart."""
import jax
import jax.numpy as jnp
import numpy as np

from model import huggingface, memory as memories

METHODS = {'prediction_logits': 'language', 'seq_relationship_logits': None, 'sop_logits': None}  # None = the model itself


def batch(config, arrays):
    """The batch of a case's inputs: permuted rows by their ranks, with the integers of data/example.py."""
    names = ('input_ids', 'attention_mask', 'token_type_ids', 'decoder_input_ids', 'decoder_attention_mask')
    found = huggingface.batch(config, **{name: arrays[name] for name in names if name in arrays})
    if 'ranks' in arrays:
        ranks, slots = (arrays[name].astype(np.int32) for name in ('ranks', 'slots'))
        before = arrays['mems'].shape[2] if 'mems' in arrays else 0
        found |= {'sees': ranks, 'seen': ranks, 'slots': slots, 'weights': np.ones(slots.shape, np.float32),
                  'positions': found['positions'] + before}
    return found


def says(module, variables, arrays):
    """{PyTorch's name of an output: ours}, logits of the vocabulary without its padding."""
    config, given = module.config, batch(module.config, arrays)

    def call(method=None):
        return np.asarray(jax.jit(lambda variables: module.apply(variables, given, method=method))(variables))

    wanted = {name.removeprefix('expected/') for name in arrays if name.startswith('expected/')}
    if 'mems' in arrays:
        memory = memories.Memory(jnp.moveaxis(arrays['mems'], 0, 1))
        found = {'logits': call(lambda self, given: self.streams(given, memory)[0])}
    elif 'start_logits' in wanted:
        found = dict(zip(('start_logits', 'end_logits'), np.moveaxis(call(), 2, 0)))
    elif 'last_hidden_state' in wanted:
        found = {'last_hidden_state': call(lambda self, given: self.backbone.hidden(given))}
        found |= {'pooler_output': call()} if 'pooler_output' in wanted else {}
    elif 'prediction_logits' in wanted:
        found = {name: call(METHODS[name]) for name in wanted}
    else:
        found = {'logits': call()}
    vocabulary = 'logits' if module.settings.kind == 'language' else 'prediction_logits'
    return {name: value[..., :config.vocab_size] if name == vocabulary else value for name, value in found.items()}


def difference(said, arrays):
    """The largest |difference| over real tokens."""
    mask = arrays.get('decoder_attention_mask', arrays.get('attention_mask'))
    found = []
    for name, ours in said.items():
        theirs = arrays[f'expected/{name}']
        assert ours.shape == theirs.shape and ours.dtype == np.float32, (name, ours.shape, theirs.shape)
        apart = np.abs(ours - theirs)
        found.append(apart[mask > 0].max() if mask is not None and apart.shape[:2] == mask.shape else apart.max())
    return max(found)
