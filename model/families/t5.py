"""T5 (Raffel et al. 2020) and T5 1.1, whose sizes are `v1_1-...`: gated GELU, an output matrix of its own, no dropout.

A tied output reads states scaled by 1 / sqrt(D). Tables have 32,128 rows for 32,000 pieces and 100 sentinels. The paper says
60M, 220M, 770M, 3B and 11B, also known as small, base, large, xl and xxl.
"""
from model import families

SHAPE = dict(architecture='encoder_decoder', vocab_size=32128, positions='relative', norm='rmsnorm', norm_epsilon=1e-6,
             bias=False, attention_scale=1.0, initializer='t5')
FIRST = dict(SHAPE, activation='relu', dropout=0.1, mlp_dropout=0.1, output_dropout=0.1, attention_dropout=0.1)
SECOND = dict(SHAPE, activation='gelu_tanh', gated=True, tied=False)

SIZES = {
    'small': dict(FIRST, layers=6, dim=512, heads=8, head_dim=64, mlp_dim=2048, logit_scale=512 ** -0.5),
    'base': dict(FIRST, layers=12, dim=768, heads=12, head_dim=64, mlp_dim=3072, logit_scale=768 ** -0.5),
    'large': dict(FIRST, layers=24, dim=1024, heads=16, head_dim=64, mlp_dim=4096, logit_scale=1024 ** -0.5),
    '3b': dict(FIRST, layers=24, dim=1024, heads=32, head_dim=128, mlp_dim=16384, logit_scale=1024 ** -0.5),
    '11b': dict(FIRST, layers=24, dim=1024, heads=128, head_dim=128, mlp_dim=65536, logit_scale=1024 ** -0.5),
    'v1_1-small': dict(SECOND, layers=8, dim=512, heads=6, head_dim=64, mlp_dim=1024),
    'v1_1-base': dict(SECOND, layers=12, dim=768, heads=12, head_dim=64, mlp_dim=2048),
    'v1_1-large': dict(SECOND, layers=24, dim=1024, heads=16, head_dim=64, mlp_dim=2816),
    'v1_1-xl': dict(SECOND, layers=24, dim=2048, heads=32, head_dim=64, mlp_dim=5120),
    'v1_1-xxl': dict(SECOND, layers=24, dim=4096, heads=64, head_dim=64, mlp_dim=10240),
}
SIZES.update({'xl': SIZES['3b'], 'xxl': SIZES['11b']})

ACTIVATIONS = {'relu': 'relu', 'gelu': 'gelu', 'silu': 'silu', 'gated-gelu': 'gelu_tanh', 'gated-silu': 'silu', 'gated-relu': 'relu'}
BLOCK, THEIRS = 'backbone/{role}/blocks', '{role}.block.{layer}.layer'
PROJECTIONS = dict(query='q', key='k', value='v', out='o')
CLASSIFIER = families.rows('head', 'classification_head', transform='dense', labels='out_proj')
FAMILY = families.Family(
    model_type='t5', classes='T5', prefix='',
    fixed=dict(architecture='encoder_decoder', positions='relative', norm='rmsnorm', bias=False, attention_scale=1.0, initializer='t5'),
    settings=dict(
        vocab_size='vocab_size', layers='num_layers', decoder_layers='num_decoder_layers', dim='d_model', heads='num_heads',
        head_dim='d_kv', mlp_dim='d_ff', activation=('feed_forward_proj', ACTIVATIONS),
        gated=('feed_forward_proj', {name: name.startswith('gated-') for name in ACTIVATIONS}),
        relative_buckets='relative_attention_num_buckets', relative_distance='relative_attention_max_distance',
        norm_epsilon='layer_norm_epsilon', dropout='dropout_rate', mlp_dropout='dropout_rate', output_dropout='dropout_rate',
        attention_dropout='dropout_rate', tied=('tie_word_embeddings', 't5_tied'), logit_scale=('scale_decoder_outputs', 't5_scale')),
    defaults=dict(num_decoder_layers=None, feed_forward_proj='relu', relative_attention_num_buckets=32,
                  relative_attention_max_distance=128, layer_norm_epsilon=1e-6, dropout_rate=0.1, tie_word_embeddings=True,
                  scale_decoder_outputs=None),
    expected=dict(is_decoder=False),
    same={'dense_act_fn': ('feed_forward_proj', {**{name: name.removeprefix('gated-') for name in ACTIVATIONS}, 'gated-gelu': 'gelu_new'}),
          'is_gated_act': ('feed_forward_proj', {name: name.startswith('gated-') for name in ACTIVATIONS})},
    aliases=dict(hidden_size='d_model', num_attention_heads='num_heads', num_hidden_layers='num_layers', head_dim='d_kv'),
    ignored=('initializer_factor', 'n_positions'),  # T5's first files name the length that it was trained with
    training=dict(classifier_dropout='dropout'),
    names=(
        ('backbone/embed', 'shared'),
        ('backbone/{role}/positions', '{role}.block.0.layer.0.SelfAttention.relative_attention_bias'),
        (f'{BLOCK}/attention_norm', f'{THEIRS}.0.layer_norm'),
        *families.rows(f'{BLOCK}/attention', f'{THEIRS}.0.SelfAttention', **PROJECTIONS),
        (f'{BLOCK}/cross_attention_norm', f'{THEIRS}.1.layer_norm'),
        *families.rows(f'{BLOCK}/cross_attention', f'{THEIRS}.1.EncDecAttention', **PROJECTIONS),
        *((f'backbone/{role}/blocks/{ours}', f'{role}.block.{{layer}}.layer.{place}.{theirs}', *only)
          for role, place in (('encoder', 1), ('decoder', 2))
          for ours, theirs, *only in (
              ('mlp_norm', 'layer_norm'),
              ('mlp/gate', 'DenseReluDense.wi_0'),
              ('mlp/up', 'DenseReluDense.wi_1', None, f'backbone/{role}/blocks/mlp/gate/kernel'),
              ('mlp/up', 'DenseReluDense.wi'),
              ('mlp/down', 'DenseReluDense.wo'))),
        ('backbone/{role}/norm', '{role}.final_layer_norm'),
    ),
    heads={
        'ForConditionalGeneration': families.Head('language', (('backbone/head', 'lm_head'),)),
        'Model': families.BARE,
        'WithLMHeadModel': families.Head('language'),  # the first name of ForConditionalGeneration
        'ForSequenceClassification': families.Head('classes', CLASSIFIER, dict(read='last', activation='tanh'), prefix='transformer.'),
        **families.SPANS,
    },
    output='lm_head.weight',
    duplicates={'lm_head.weight': '{prefix}shared.weight', '{prefix}encoder.embed_tokens.weight': '{prefix}shared.weight',
                '{prefix}decoder.embed_tokens.weight': '{prefix}shared.weight'},
    buffers={r'^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$': None})  # in old files, never read
