"""XLNet (Yang et al. 2019): Transformer-XL positions and relative segments, no biases in attention, no embedding norm."""
from model import families

COMMON = dict(architecture='encoder', vocab_size=32000, positions='xl', relative_segments=True, norm_position='post',
              embed_norm=False, attention_bias=False, norm_epsilon=1e-12, activation='gelu_tanh', head='biased', dropout=0.1,
              mlp_dropout=0.1, attention_dropout=0.1, output_dropout=0.1, initializer='normal')

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
}
PARAMETERS = {'base': 116_750_336, 'large': 360_300_800}

MODEL_TYPE = 'xlnet'
PREFIX = 'transformer.'
FIXED = dict(architecture='encoder', positions='xl', relative_segments=True, norm_position='post', embed_norm=False,
             attention_bias=False, head='biased')
SETTINGS = dict(vocab_size='vocab_size', layers='n_layer', dim='d_model', heads='n_head', head_dim='d_head', mlp_dim='d_inner',
                activation=('ff_activation', families.ACTIVATIONS), norm_epsilon='layer_norm_eps', dropout='dropout',
                mlp_dropout='dropout', attention_dropout='dropout', output_dropout='dropout', tied='tie_word_embeddings')
DEFAULTS = dict(d_head=None, ff_activation='gelu', layer_norm_eps=1e-12, dropout=0.1, tie_word_embeddings=True)
EXPECTED = dict(attn_type='bi', untie_r=True, same_length=False, clamp_len=-1, summary_type='last', summary_use_proj=True,
                summary_activation='tanh')
BLOCK, THEIRS = 'backbone/encoder/blocks', 'transformer.layer.{layer}'
NAMES = (
    ('backbone/embed', 'transformer.word_embedding'),
    ('query/embedding', 'transformer.mask_emb', 'vector'),
    (f'{BLOCK}/attention/query/kernel', f'{THEIRS}.rel_attn.q', 'einsum'),
    (f'{BLOCK}/attention/key/kernel', f'{THEIRS}.rel_attn.k', 'einsum'),
    (f'{BLOCK}/attention/value/kernel', f'{THEIRS}.rel_attn.v', 'einsum'),
    (f'{BLOCK}/attention/out/kernel', f'{THEIRS}.rel_attn.o', 'einsum_out'),
    (f'{BLOCK}/attention/relative/key/kernel', f'{THEIRS}.rel_attn.r', 'einsum'),
    (f'{BLOCK}/attention/relative/content_bias', f'{THEIRS}.rel_attn.r_w_bias'),
    (f'{BLOCK}/attention/relative/position_bias', f'{THEIRS}.rel_attn.r_r_bias'),
    (f'{BLOCK}/attention/relative/segment_bias', f'{THEIRS}.rel_attn.r_s_bias'),
    (f'{BLOCK}/attention/relative/segments', f'{THEIRS}.rel_attn.seg_embed'),
    (f'{BLOCK}/attention_norm', f'{THEIRS}.rel_attn.layer_norm'),
    (f'{BLOCK}/mlp/up', f'{THEIRS}.ff.layer_1'),
    (f'{BLOCK}/mlp/down', f'{THEIRS}.ff.layer_2'),
    (f'{BLOCK}/mlp_norm', f'{THEIRS}.ff.layer_norm'),
)
HEADS = {
    'language': (('backbone/head', 'lm_loss'),),
    'classes': (('head/transform', 'sequence_summary.summary'), ('head/labels', 'logits_proj')),
    'token_classes': (('head/labels', 'classifier'),),
    'spans': (('head/labels', 'qa_outputs'),),
}
BARE = 'XLNetModel'
ARCHITECTURES = {
    'XLNetLMHeadModel': ('language', {}),
    'XLNetModel': ('language', {}),
    'XLNetForSequenceClassification': ('classes', dict(read='last', activation='tanh')),
    'XLNetForTokenClassification': ('token_classes', {}),
    'XLNetForQuestionAnsweringSimple': ('spans', {}),
}
DUPLICATES = {'lm_loss.weight': 'transformer.word_embedding.weight'}
BUFFERS = {}
