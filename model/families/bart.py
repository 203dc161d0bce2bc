"""BART (Lewis et al. 2020): post-norm encoder-decoder with learned positions and a norm of the embeddings, erf GELU.

fairseq numbers positions from 2, so that its tables have two rows more than are used.
"""

COMMON = dict(architecture='encoder_decoder', vocab_size=50265, max_length=1024, norm_position='post', norm_epsilon=1e-5,
              activation='gelu', dropout=0.1, attention_dropout=0.1, initializer='normal')

SIZES = {
    'base': dict(COMMON, layers=6, dim=768, heads=12),
    'large': dict(COMMON, layers=12, dim=1024, heads=16),
}
PARAMETERS = {'base': 139_420_416, 'large': 406_291_456}
