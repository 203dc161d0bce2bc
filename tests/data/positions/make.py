"""Writes transformers.json: ALiBi's slopes and Llama 3's frequencies as Hugging Face transformers computes them. Needs torch.

    python tests/data/positions/make.py
"""
import json
import pathlib

import torch
from transformers import LlamaConfig, modeling_rope_utils
from transformers.models.bloom import modeling_bloom

slopes = {}
for heads in (1, 2, 3, 4, 6, 8, 12, 16, 20, 25, 32, 71, 112):
    alibi = modeling_bloom.build_alibi_tensor(torch.ones(1, 2, dtype=torch.int64), heads, torch.float32)
    slopes[heads] = alibi[:, 0, 1].tolist()           # of a key one place further on

frequencies = []
for size, base, scaling in [(128, 500000.0, (8.0, 1.0, 4.0, 8192)), (64, 500000.0, (32.0, 1.0, 4.0, 8192)),
                            (16, 10000.0, (4.0, 1.0, 2.0, 64)), (6, 100.0, (2.0, 0.5, 8.0, 100))]:
    keys = ('factor', 'low_freq_factor', 'high_freq_factor', 'original_max_position_embeddings')
    config = LlamaConfig(hidden_size=size, num_attention_heads=1, max_position_embeddings=131072,
                         rope_parameters=dict(zip(keys, scaling), rope_type='llama3', rope_theta=base))
    found, attention = modeling_rope_utils.ROPE_INIT_FUNCTIONS['llama3'](config, 'cpu')
    assert attention == 1.0
    frequencies.append({'size': size, 'base': base, 'scaling': scaling, 'frequencies': found.tolist()})

path = pathlib.Path(__file__).parent / 'transformers.json'
path.write_text(json.dumps({'slopes': slopes, 'frequencies': frequencies}, indent=0) + '\n')
