"""ALBERT, version 2 (Lan et al. 2020): layers that share their weights, embeddings 128 wide.

Version 2 is the same network without dropout (and trained for longer: configs/pretrain_albert.py has the paper's steps).
The paper says 12M, 18M, 60M and 235M; its xxlarge was never 235M. Parameters with both heads, as released.
"""

COMMON = dict(architecture='encoder', vocab_size=30000, max_length=512, types=2, embed_dim=128, share_layers=True,
              norm_position='post', norm_epsilon=1e-12, activation='gelu_tanh', head='transform', initializer='bert')

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
    'xlarge': dict(COMMON, layers=24, dim=2048, heads=16),
    'xxlarge': dict(COMMON, layers=12, dim=4096, heads=64),
}
PARAMETERS = {'base': 11_813_810, 'large': 17_847_474, 'xlarge': 59_021_490, 'xxlarge': 223_158_450}
