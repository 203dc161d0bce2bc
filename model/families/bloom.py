"""BLOOM (BigScience 2022): a decoder with ALiBi instead of a table of positions and a norm of the embeddings.

The names are those of the released models, 560M to 176B parameters. Trained on rows of 2,048 tokens; tanh GELU, all biases.
"""

COMMON = dict(architecture='decoder', vocab_size=250880, positions='alibi', embed_norm=True, norm_epsilon=1e-5,
              activation='gelu_tanh', initializer='gpt2')

SIZES = {
    '560m': dict(COMMON, layers=24, dim=1024, heads=16),
    '1b1': dict(COMMON, layers=24, dim=1536, heads=16),
    '1b7': dict(COMMON, layers=24, dim=2048, heads=16),
    '3b': dict(COMMON, layers=30, dim=2560, heads=32),
    '7b1': dict(COMMON, layers=30, dim=4096, heads=32),
    '176b': dict(COMMON, layers=70, dim=14336, heads=112),
}
PARAMETERS = {'560m': 559_214_592, '1b1': 1_065_314_304, '1b7': 1_722_408_960, '3b': 3_002_557_440, '7b1': 7_069_016_064,
              '176b': 176_247_271_424}
