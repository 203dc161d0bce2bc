"""XLNet (Yang et al. 2019): Transformer-XL positions and relative segments, no biases in attention, no embedding norm."""
from model import families

COMMON = dict(architecture='encoder', vocab_size=32000, positions='xl', relative_segments=True, norm_position='post',
              embed_norm=False, attention_bias=False, norm_epsilon=1e-12, activation='gelu_tanh', head='biased', dropout=0.1,
              mlp_dropout=0.1, attention_dropout=0.1, output_dropout=0.1, initializer='normal')

SIZES = {'base': dict(COMMON, layers=12, dim=768, heads=12), 'large': dict(COMMON, layers=24, dim=1024, heads=16)}

BLOCK, THEIRS = 'backbone/encoder/blocks', 'layer.{layer}'
CLASSIFIER = (('head/transform', 'sequence_summary.summary'), ('head/labels', 'logits_proj'))
FAMILY = families.Family(
    model_type='xlnet', classes='XLNet', prefix='transformer.', objective=dict(name='permuted_lm'),
    fixed=dict(architecture='encoder', positions='xl', relative_segments=True, norm_position='post', embed_norm=False,
               attention_bias=False, head='biased', initializer='normal'),
    settings=dict(
        vocab_size='vocab_size', layers='n_layer', dim='d_model', heads='n_head', head_dim='d_head', mlp_dim='d_inner',
        activation=('ff_activation', families.ACTIVATIONS), norm_epsilon='layer_norm_eps', dropout='dropout',
        mlp_dropout='dropout', attention_dropout='dropout', output_dropout='dropout', tied='tie_word_embeddings'),
    defaults=dict(d_head=None, ff_activation='gelu', layer_norm_eps=1e-12, dropout=0.1, tie_word_embeddings=True),
    expected=dict(attn_type='bi', untie_r=True, same_length=False, clamp_len=-1, bi_data=False, summary_type='last',
                  summary_use_proj=True, summary_activation='tanh'),
    aliases=dict(n_token='vocab_size', hidden_size='d_model', num_attention_heads='n_head', num_hidden_layers='n_layer'),
    ignored=('mem_len', 'reuse_len', 'use_mems_eval', 'use_mems_train', 'start_n_top', 'end_n_top'),
    training=dict(summary_last_dropout='dropout'),
    names=(
        ('backbone/embed', 'word_embedding'),
        ('query/embedding', 'mask_emb', 'vector'),
        *families.rows(f'{BLOCK}/attention', f'{THEIRS}.rel_attn', 'einsum', **{
            'query/kernel': 'q', 'key/kernel': 'k', 'value/kernel': 'v', 'relative/key/kernel': 'r'}),
        (f'{BLOCK}/attention/out/kernel', f'{THEIRS}.rel_attn.o', 'einsum_out'),
        *families.rows(f'{BLOCK}/attention/relative', f'{THEIRS}.rel_attn', content_bias='r_w_bias', position_bias='r_r_bias',
                       segment_bias='r_s_bias', segments='seg_embed'),
        (f'{BLOCK}/attention_norm', f'{THEIRS}.rel_attn.layer_norm'),
        *families.rows(BLOCK, f'{THEIRS}.ff', **{'mlp/up': 'layer_1', 'mlp/down': 'layer_2', 'mlp_norm': 'layer_norm'}),
    ),
    heads={
        'LMHeadModel': families.Head('language', (('backbone/head', 'lm_loss'),)),
        'Model': families.BARE,
        'ForSequenceClassification': families.Head('classes', CLASSIFIER, dict(read='last', activation='tanh')),
        **families.TOKEN_CLASSES,
        'ForQuestionAnsweringSimple': families.SPANS['ForQuestionAnswering'],
    },
    duplicates={'lm_loss.weight': '{prefix}word_embedding.weight'})
