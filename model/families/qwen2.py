"""Qwen2 (Yang et al. 2024): Llama's network with biases in the projections to queries, keys and values, and nowhere else.

`max_length` is how far the released model reads.
"""

COMMON = dict(architecture='decoder', max_length=131072, positions='rotary', rotary_base=1000000.0, norm='rmsnorm',
              norm_epsilon=1e-6, bias=False, attention_bias=True, out_bias=False, activation='silu', gated=True, initializer='normal')

SIZES = {
    '0.5b': dict(COMMON, vocab_size=151936, layers=24, dim=896, heads=14, kv_heads=2, mlp_dim=4864),
    '1.5b': dict(COMMON, vocab_size=151936, layers=28, dim=1536, heads=12, kv_heads=2, mlp_dim=8960),
    '7b': dict(COMMON, vocab_size=152064, layers=28, dim=3584, heads=28, kv_heads=4, mlp_dim=18944, tied=False),
}
PARAMETERS = {'0.5b': 494_032_768, '1.5b': 1_543_714_304, '7b': 7_615_616_512}
