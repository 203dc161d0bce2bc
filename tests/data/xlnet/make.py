"""Writes transformers.npz: what the XLNet of Hugging Face transformers says to drawn inputs. Needs torch and transformers.

    python tests/data/xlnet/make.py
"""
import pathlib

import numpy as np
import torch
import transformers

B, T, P, M, R, V, D, N = 4, 10, 3, 7, 5, 30, 8, 2

config = transformers.XLNetConfig(
    vocab_size=V, d_model=D, n_layer=2, n_head=N, d_inner=4 * D, ff_activation='gelu_new', untie_r=True, attn_type='bi',
    layer_norm_eps=1e-12, dropout=0.0, mem_len=M, reuse_len=R, bi_data=True, attn_implementation='eager')
model = transformers.XLNetModel(config).eval()
rng = np.random.default_rng(0)
values = {name: rng.normal(size=leaf.shape).astype(np.float32) * 0.4 + (1 if 'layer_norm.weight' in name else 0)
          for name, leaf in model.named_parameters()}
model.load_state_dict({name: torch.tensor(value) for name, value in values.items()})

rank = np.where(rng.random((B, T)) < 0.5, 0, 1 + np.argsort(rng.random((B, T)), axis=1))    # 0: not chosen
functional = np.zeros((B, T), bool)
functional[:, -1] = True                                                                   # ranked, never a target
rank[:, -1] = T + 2
slots = np.argsort(np.where((rank > 0) & ~functional, rng.random((B, T)), 2), axis=1)[:, :P]
assert (np.take_along_axis(rank, slots, 1) > 0).all()
own = np.where((rank > 0) & ~functional, rank, rank + 1)
inputs = {'tokens': rng.integers(0, V, (B, T)), 'types': np.sort(rng.integers(0, 3, (B, T)), axis=1), 'rank': rank, 'slots': slots,
          'memory': rng.normal(size=(2, B, M, D)).astype(np.float32)}
masks = {'perm_mask': (own[:, :, None] <= rank[:, None]) & (rank > 0)[:, None], 'target_mapping': np.eye(T)[slots]}
with torch.no_grad():
    out = model(input_ids=torch.tensor(inputs['tokens']), token_type_ids=torch.tensor(inputs['types']), output_hidden_states=True,
                mems=[torch.tensor(one).transpose(0, 1) for one in inputs['memory']], use_mems=True,
                **{name: torch.tensor(mask, dtype=torch.float32) for name, mask in masks.items()})
# hidden_states alternates the two streams of every layer: content, queries, content, ...
expected = {'queries': out.last_hidden_state.numpy(), 'content': out.hidden_states[-2].numpy(),
            'states': np.stack([one.transpose(0, 1).numpy() for one in out.mems])}
assert np.array_equal(out.hidden_states[-1].numpy(), expected['queries'])
np.savez_compressed(pathlib.Path(__file__).parent / 'transformers.npz', **inputs, **expected,
                    **{f'params/{name}': value for name, value in values.items()})
print(transformers.__version__, torch.__version__, {name: value.shape for name, value in expected.items()})
