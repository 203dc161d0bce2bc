"""Qwen2 (Yang et al. 2024): Llama's network with biases in the projections to queries, keys and values, and nowhere else.

`max_length` is the context length of the released model.
"""
from model.families import llama

COMMON = dict(architecture='decoder', max_length=131072, positions='rotary', rotary_base=1000000.0, norm='rmsnorm',
              norm_epsilon=1e-6, bias=False, attention_bias=True, out_bias=False, activation='silu', gated=True, initializer='normal')

SIZES = {
    '0.5b': dict(COMMON, vocab_size=151936, layers=24, dim=896, heads=14, kv_heads=2, mlp_dim=4864),
    '1.5b': dict(COMMON, vocab_size=151936, layers=28, dim=1536, heads=12, kv_heads=2, mlp_dim=8960),
    '7b': dict(COMMON, vocab_size=152064, layers=28, dim=3584, heads=28, kv_heads=4, mlp_dim=18944, tied=False),
}
PARAMETERS = {'0.5b': 494_032_768, '1.5b': 1_543_714_304, '7b': 7_615_616_512}

MODEL_TYPE = 'qwen2'
PREFIX, NAMES, HEADS, DUPLICATES, BUFFERS = llama.PREFIX, llama.NAMES, llama.HEADS, llama.DUPLICATES, llama.BUFFERS
FIXED = dict(llama.FIXED, attention_bias=True, out_bias=False)
SETTINGS = {setting: rule for setting, rule in llama.SETTINGS.items() if setting not in ('head_dim', 'attention_bias', 'mlp_bias')}
DEFAULTS = dict(num_key_value_heads=32, hidden_act='silu', rms_norm_eps=1e-6, rope_theta=10000.0, rope_scaling=None,
                attention_dropout=0.0, tie_word_embeddings=False)
EXPECTED = dict(use_sliding_window=False)
BARE = 'Qwen2Model'
ARCHITECTURES = {name.replace('Llama', 'Qwen2'): head for name, head in llama.ARCHITECTURES.items()}
