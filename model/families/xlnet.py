"""XLNet (Yang et al. 2019): Transformer-XL positions and relative segments, no biases in attention, no embedding norm."""

COMMON = dict(architecture='encoder', vocab_size=32000, positions='xl', relative_segments=True, norm_position='post',
              embed_norm=False, attention_bias=False, norm_epsilon=1e-12, activation='gelu_tanh', head='biased', dropout=0.1,
              mlp_dropout=0.1, attention_dropout=0.1, output_dropout=0.1, initializer='normal')

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
}
PARAMETERS = {'base': 116_750_336, 'large': 360_300_800}
