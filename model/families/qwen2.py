"""Qwen2 (Yang et al. 2024): Llama's network with biases in the projections to queries, keys and values, and nowhere else.

`max_length` is the context length of the released model.
"""
import dataclasses

from model.families import llama

COMMON = dict(architecture='decoder', max_length=131072, positions='rotary', rotary_base=1000000.0, norm='rmsnorm',
              norm_epsilon=1e-6, bias=False, attention_bias=True, out_bias=False, activation='silu', gated=True, initializer='normal')

SIZES = {
    '0.5b': dict(COMMON, vocab_size=151936, layers=24, dim=896, heads=14, kv_heads=2, mlp_dim=4864),
    '1.5b': dict(COMMON, vocab_size=151936, layers=28, dim=1536, heads=12, kv_heads=2, mlp_dim=8960),
    '7b': dict(COMMON, vocab_size=152064, layers=28, dim=3584, heads=28, kv_heads=4, mlp_dim=18944, tied=False),
}

FAMILY = dataclasses.replace(
    llama.FAMILY, model_type='qwen2', classes='Qwen2', fixed=dict(llama.FAMILY.fixed, attention_bias=True, out_bias=False),
    settings={**{setting: key for setting, key in llama.FAMILY.settings.items() if setting not in ('attention_bias', 'mlp_bias')},
              'windows': ('layer_types', 'full_attention')},
    defaults=dict(num_key_value_heads=32, head_dim=None, layer_types=None, hidden_act='silu', rms_norm_eps=1e-6, rope_theta=10000.0,
                  rope_scaling=None, attention_dropout=0.0, tie_word_embeddings=False),
    expected=dict(use_sliding_window=False),
    ignored=(*llama.FAMILY.ignored, 'sliding_window', 'max_window_layers'))  # read where use_sliding_window is true
