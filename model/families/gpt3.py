"""GPT-3 (Brown et al. 2020): table 2.1, parameters from table D.1, which rounds less.

Its XL is printed with 24 heads of 128 in 2,048 dimensions; the count is that of 16. Its 13B is printed 5,140 wide with 40
heads of 128, and so it is here; the count is that of 5,120, which more meshes divide (0.6 % fewer). Half of the layers had
locally banded attention of an unpublished width, `windows=(None, width)`; here all are dense.
"""

COMMON = dict(architecture='decoder', vocab_size=50257, max_length=2048, activation='gelu_tanh', initializer='gpt2')

SIZES = {
    'small': dict(COMMON, layers=12, dim=768, heads=12),
    'medium': dict(COMMON, layers=24, dim=1024, heads=16),
    'large': dict(COMMON, layers=24, dim=1536, heads=16),
    'xl': dict(COMMON, layers=24, dim=2048, heads=16),
    '2.7b': dict(COMMON, layers=32, dim=2560, heads=32),
    '6.7b': dict(COMMON, layers=32, dim=4096, heads=32),
    '13b': dict(COMMON, layers=40, dim=5140, heads=40, head_dim=128),
    '175b': dict(COMMON, layers=96, dim=12288, heads=96),
}
