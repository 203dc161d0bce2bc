"""BLOOM (BigScience 2022): a decoder with ALiBi instead of a table of positions and a norm of the embeddings.

The names are those of the released models, 560M to 176B parameters. Trained on rows of 2,048 tokens; tanh GELU, all biases.
"""
from model import families
from model.families import gpt2

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

BLOCK, THEIRS = gpt2.BLOCK, gpt2.THEIRS
FAMILY = families.Family(
    model_type='bloom', classes='Bloom', prefix='transformer.',
    fixed=dict(architecture='decoder', positions='alibi', embed_norm=True, activation='gelu_tanh', initializer='gpt2'),
    settings=dict(
        vocab_size='vocab_size', layers='n_layer', dim='hidden_size', heads='n_head', norm_epsilon='layer_norm_epsilon',
        dropout='hidden_dropout', attention_dropout='attention_dropout', tied='tie_word_embeddings'),
    defaults=dict(layer_norm_epsilon=1e-5, hidden_dropout=0.0, attention_dropout=0.0, tie_word_embeddings=True),
    aliases=dict(n_embed='hidden_size', num_hidden_layers='n_layer', num_attention_heads='n_head'),  # of the released files
    expected=dict(apply_residual_connection_post_layernorm=False, slow_but_exact=False),  # the exact way leaves biases out
    ignored=('attention_softmax_in_fp32', 'bias_dropout_fusion', 'masked_softmax_fusion', 'n_inner', 'offset_alibi', 'pretraining_tp',
             'seq_length', 'skip_bias_add', 'skip_bias_add_qkv'),
    names=(
        ('backbone/embed', 'word_embeddings'),
        ('backbone/decoder/embed_norm', 'word_embeddings_layernorm'),
        *families.rows(BLOCK, THEIRS, attention_norm='input_layernorm', mlp_norm='post_attention_layernorm'),
        (gpt2.QUERY_KEY_VALUE, f'{THEIRS}.self_attention.query_key_value', 'heads'),
        (f'{BLOCK}/attention/out', f'{THEIRS}.self_attention.dense'),
        *families.rows(f'{BLOCK}/mlp', f'{THEIRS}.mlp', up='dense_h_to_4h', down='dense_4h_to_h'),
        ('backbone/decoder/norm', 'ln_f'),
    ),
    heads={**families.DECODER, **families.TOKEN_CLASSES, **families.SPANS},
    duplicates={'lm_head.weight': '{prefix}word_embeddings.weight'})
