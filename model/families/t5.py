"""T5 (Raffel et al. 2020) and T5 1.1, whose sizes are `v1_1-...`: gated GELU, an output matrix of its own, no dropout.

A tied output reads states scaled by 1 / sqrt(D). Tables have 32,128 rows for 32,000 pieces and 100 sentinels. The paper says
60M, 220M, 770M, 3B and 11B, also known as small, base, large, xl and xxl.
"""

SHAPE = dict(architecture='encoder_decoder', vocab_size=32128, positions='relative', norm='rmsnorm', norm_epsilon=1e-6,
             bias=False, attention_scale=1.0, initializer='t5')
DROPOUT = dict(dropout=0.1, mlp_dropout=0.1, output_dropout=0.1, attention_dropout=0.1)
FIRST = dict(SHAPE, **DROPOUT, activation='relu')
SECOND = dict(SHAPE, activation='gelu_tanh', gated=True, tied=False)

SIZES = {
    'small': dict(FIRST, layers=6, dim=512, heads=8, head_dim=64, mlp_dim=2048, logit_scale=512 ** -0.5),
    'base': dict(FIRST, layers=12, dim=768, heads=12, head_dim=64, mlp_dim=3072, logit_scale=768 ** -0.5),
    'large': dict(FIRST, layers=24, dim=1024, heads=16, head_dim=64, mlp_dim=4096, logit_scale=1024 ** -0.5),
    '3b': dict(FIRST, layers=24, dim=1024, heads=32, head_dim=128, mlp_dim=16384, logit_scale=1024 ** -0.5),
    '11b': dict(FIRST, layers=24, dim=1024, heads=128, head_dim=128, mlp_dim=65536, logit_scale=1024 ** -0.5),
    'v1_1-small': dict(SECOND, layers=8, dim=512, heads=6, head_dim=64, mlp_dim=1024),
    'v1_1-base': dict(SECOND, layers=12, dim=768, heads=12, head_dim=64, mlp_dim=2048),
    'v1_1-large': dict(SECOND, layers=24, dim=1024, heads=16, head_dim=64, mlp_dim=2816),
    'v1_1-xl': dict(SECOND, layers=24, dim=2048, heads=32, head_dim=64, mlp_dim=5120),
    'v1_1-xxl': dict(SECOND, layers=24, dim=4096, heads=64, head_dim=64, mlp_dim=10240),
}
SIZES.update({'xl': SIZES['3b'], 'xxl': SIZES['11b']})
PARAMETERS = {'small': 60_506_624, 'base': 222_903_552, 'large': 737_668_096, '3b': 2_851_598_336, '11b': 11_307_321_344,
              'v1_1-small': 76_961_152, 'v1_1-base': 247_577_856, 'v1_1-large': 783_150_080, 'v1_1-xl': 2_849_757_184,
              'v1_1-xxl': 11_135_332_352}
PARAMETERS.update({'xl': PARAMETERS['3b'], 'xxl': PARAMETERS['11b']})
