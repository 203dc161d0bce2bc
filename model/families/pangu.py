"""PanGu-alpha (Zeng et al. 2021): GPT-2's decoder, whose last layer takes its queries from a table of positions.

Shapes of the released code: the layers include the query layer, and 2.6b has 32 heads (the report's table: 40). The report says
2.6B, 13.1B and 207.0B parameters; 40 layers 5,120 wide come to 12.8B. transformers has no such model, so there are no names here.
"""

COMMON = dict(architecture='decoder', vocab_size=40000, max_length=1024, query_layer=True, activation='gelu_tanh', dropout=0.1,
              attention_dropout=0.1, initializer='gpt2')

SIZES = {
    '2.6b': dict(COMMON, layers=32, dim=2560, heads=32),
    '13b': dict(COMMON, layers=40, dim=5120, heads=40),
    '200b': dict(COMMON, layers=64, dim=16384, heads=128),
}
