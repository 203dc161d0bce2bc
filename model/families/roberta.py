"""RoBERTa (Liu et al. 2019): BERT without sentence types, 50,265 pieces, erf GELU (fairseq). The paper says 125M and 355M.

fairseq numbers positions from 2, so that its table has two rows more than are used.
"""

COMMON = dict(architecture='encoder', vocab_size=50265, max_length=512, norm_position='post', norm_epsilon=1e-5,
              activation='gelu', head='transform', dropout=0.1, attention_dropout=0.1, initializer='normal')

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
}
PARAMETERS = {'base': 124_697_433, 'large': 355_412_057}
