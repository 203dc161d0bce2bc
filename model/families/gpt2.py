"""GPT-2 (Radford et al. 2019). The paper's 117M, 345M, 762M and 1542M were miscounted, as the authors said later."""

COMMON = dict(architecture='decoder', vocab_size=50257, max_length=1024, activation='gelu_tanh', initializer='gpt2')

SIZES = {
    'small': dict(COMMON, layers=12, dim=768, heads=12),
    'medium': dict(COMMON, layers=24, dim=1024, heads=16),
    'large': dict(COMMON, layers=36, dim=1280, heads=20),
    'xl': dict(COMMON, layers=48, dim=1600, heads=25),
}
PARAMETERS = {'small': 124_439_808, 'medium': 354_823_168, 'large': 774_030_080, 'xl': 1_557_611_200}
