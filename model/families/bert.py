"""BERT (Devlin et al. 2019). Parameters with both heads; the paper says 110M and 340M.

`google-research/bert` computes GELU by its tanh approximation and LayerNorm with epsilon 1e-12.
"""

COMMON = dict(architecture='encoder', vocab_size=30522, max_length=512, types=2, norm_position='post', norm_epsilon=1e-12,
              activation='gelu_tanh', head='transform', dropout=0.1, attention_dropout=0.1, initializer='bert')

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
}
PARAMETERS = {'base': 110_106_428, 'large': 336_226_108}
