"""BART (Lewis et al. 2020): post-norm encoder-decoder with learned positions and a norm of the embeddings, erf GELU.

fairseq numbers positions from 2, so that its tables have two rows more than are used.
"""
from model import families

COMMON = dict(architecture='encoder_decoder', vocab_size=50265, max_length=1024, position_offset=2, norm_position='post',
              norm_epsilon=1e-5, activation='gelu', dropout=0.1, attention_dropout=0.1, initializer='normal')

SIZES = {'base': dict(COMMON, layers=6, dim=768, heads=12), 'large': dict(COMMON, layers=12, dim=1024, heads=16)}

BLOCK, THEIRS = 'backbone/{role}/blocks', '{role}.layers.{layer}'
PROJECTIONS = dict(query='q_proj', key='k_proj', value='v_proj', out='out_proj')
CLASSIFIER = families.rows('head', 'classification_head', transform='dense', labels='out_proj')
FAMILY = families.Family(
    model_type='bart', classes='Bart', prefix='model.',
    objective=dict(name='denoising', permute=1.0, infill=0.3, mean_span_length=3.5, random=0.1),
    fixed=dict(architecture='encoder_decoder', norm_position='post', position_offset=2, initializer='normal',
               tied=True),                    # an untied one has a table for each side
    settings=dict(
        vocab_size='vocab_size', max_length='max_position_embeddings', layers='encoder_layers', decoder_layers='decoder_layers',
        dim='d_model', heads='encoder_attention_heads', mlp_dim='encoder_ffn_dim',
        activation=('activation_function', families.ACTIVATIONS), embed_scale=('scale_embedding', 'bart_scale'),
        dropout='dropout', mlp_dropout='activation_dropout', attention_dropout='attention_dropout'),
    same={'decoder_attention_heads': 'encoder_attention_heads', 'decoder_ffn_dim': 'encoder_ffn_dim'},
    aliases=dict(hidden_size='d_model', num_attention_heads='encoder_attention_heads', num_hidden_layers='encoder_layers'),
    ignored=('init_std', 'add_bias_logits', 'classif_dropout'),
    training=dict(encoder_layerdrop=None, decoder_layerdrop=None, classifier_dropout='dropout'),
    defaults=dict(decoder_attention_heads=16, decoder_ffn_dim=4096, activation_function='gelu', scale_embedding=False, dropout=0.1,
                  activation_dropout=0.0, attention_dropout=0.0, tie_word_embeddings=True, num_labels=3),
    expected=dict(normalize_before=False, normalize_embedding=True, add_final_layer_norm=False, static_position_embeddings=False,
                  tie_word_embeddings=True),
    names=(
        ('backbone/embed', 'shared'),
        *families.rows('backbone/{role}', '{role}', positions='embed_positions', embed_norm='layernorm_embedding'),
        *families.rows(f'{BLOCK}/attention', f'{THEIRS}.self_attn', **PROJECTIONS),
        *families.rows(f'{BLOCK}/cross_attention', f'{THEIRS}.encoder_attn', **PROJECTIONS),
        *families.rows(BLOCK, THEIRS, attention_norm='self_attn_layer_norm', cross_attention_norm='encoder_attn_layer_norm'),
        *families.rows(BLOCK, THEIRS, **{'mlp/up': 'fc1', 'mlp/down': 'fc2', 'mlp_norm': 'final_layer_norm'}),
    ),
    heads={
        'ForConditionalGeneration': families.Head('language', (('backbone/head', 'lm_head'),)),
        'Model': families.BARE,
        'ForSequenceClassification': families.Head('classes', CLASSIFIER, dict(read='last', activation='tanh')),
        **families.SPANS,
    },
    duplicates={'lm_head.weight': '{prefix}shared.weight', '{prefix}encoder.embed_tokens.weight': '{prefix}shared.weight',
                '{prefix}decoder.embed_tokens.weight': '{prefix}shared.weight'},
    buffers={r'^final_logits_bias$': 0, r'^model\.(en|de)coder\.version$': None})
