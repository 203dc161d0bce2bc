"""UL2 (Tay et al. 2022): T5 with gated SiLU and a tied output; 20B as released, and a base.

The paper does not describe the shape of its base models in full; this one is T5 1.1's base with UL2's choices.
"""

COMMON = dict(architecture='encoder_decoder', vocab_size=32128, positions='relative', norm='rmsnorm', norm_epsilon=1e-6,
              bias=False, attention_scale=1.0, activation='silu', gated=True, initializer='t5')

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12, mlp_dim=2048, logit_scale=768 ** -0.5),
    '20b': dict(COMMON, layers=32, dim=4096, heads=16, mlp_dim=16384, logit_scale=4096 ** -0.5),
}
