"""BART (Lewis et al. 2020): post-norm encoder-decoder with learned positions and a norm of the embeddings, erf GELU.

fairseq numbers positions from 2, so that its tables have two rows more than are used.
"""
from model import families

COMMON = dict(architecture='encoder_decoder', vocab_size=50265, max_length=1024, position_offset=2, norm_position='post',
              norm_epsilon=1e-5, activation='gelu', dropout=0.1, attention_dropout=0.1, initializer='normal')

SIZES = {
    'base': dict(COMMON, layers=6, dim=768, heads=12),
    'large': dict(COMMON, layers=12, dim=1024, heads=16),
}
PARAMETERS = {'base': 139_420_416, 'large': 406_291_456}

MODEL_TYPE = 'bart'
PREFIX = 'model.'
FIXED = dict(architecture='encoder_decoder', norm_position='post', position_offset=2, tied=True)  # untied, each side has a table
SETTINGS = dict(vocab_size='vocab_size', max_length='max_position_embeddings', layers='encoder_layers',
                decoder_layers='decoder_layers', dim='d_model', heads='encoder_attention_heads', mlp_dim='encoder_ffn_dim',
                activation=('activation_function', families.ACTIVATIONS), embed_scale=('scale_embedding', 'bart_scale'),
                dropout='dropout', mlp_dropout='activation_dropout', attention_dropout='attention_dropout')
SAME = {'decoder_attention_heads': 'encoder_attention_heads', 'decoder_ffn_dim': 'encoder_ffn_dim'}
DEFAULTS = dict(activation_function='gelu', scale_embedding=False, dropout=0.1, activation_dropout=0.0, attention_dropout=0.0,
                tie_word_embeddings=True)
EXPECTED = dict(normalize_before=False, normalize_embedding=True, add_final_layer_norm=False, static_position_embeddings=False,
                tie_word_embeddings=True)
BLOCK, THEIRS = 'backbone/{role}/blocks', 'model.{role}.layers.{layer}'
NAMES = (
    ('backbone/embed', 'model.shared'),
    ('backbone/{role}/positions', 'model.{role}.embed_positions'),
    ('backbone/{role}/embed_norm', 'model.{role}.layernorm_embedding'),
    (f'{BLOCK}/attention/query', f'{THEIRS}.self_attn.q_proj'),
    (f'{BLOCK}/attention/key', f'{THEIRS}.self_attn.k_proj'),
    (f'{BLOCK}/attention/value', f'{THEIRS}.self_attn.v_proj'),
    (f'{BLOCK}/attention/out', f'{THEIRS}.self_attn.out_proj'),
    (f'{BLOCK}/attention_norm', f'{THEIRS}.self_attn_layer_norm'),
    (f'{BLOCK}/cross_attention/query', f'{THEIRS}.encoder_attn.q_proj'),
    (f'{BLOCK}/cross_attention/key', f'{THEIRS}.encoder_attn.k_proj'),
    (f'{BLOCK}/cross_attention/value', f'{THEIRS}.encoder_attn.v_proj'),
    (f'{BLOCK}/cross_attention/out', f'{THEIRS}.encoder_attn.out_proj'),
    (f'{BLOCK}/cross_attention_norm', f'{THEIRS}.encoder_attn_layer_norm'),
    (f'{BLOCK}/mlp/up', f'{THEIRS}.fc1'),
    (f'{BLOCK}/mlp/down', f'{THEIRS}.fc2'),
    (f'{BLOCK}/mlp_norm', f'{THEIRS}.final_layer_norm'),
)
HEADS = {
    'language': (('backbone/head', 'lm_head'),),
    'classes': (('head/transform', 'classification_head.dense'), ('head/labels', 'classification_head.out_proj')),
    'spans': (('head/labels', 'qa_outputs'),),
}
BARE = 'BartModel'
ARCHITECTURES = {
    'BartForConditionalGeneration': ('language', {}),
    'BartModel': ('language', {}),
    'BartForSequenceClassification': ('classes', dict(read='last', activation='tanh')),
    'BartForQuestionAnswering': ('spans', {}),
}
DUPLICATES = {'lm_head.weight': 'model.shared.weight', 'model.encoder.embed_tokens.weight': 'model.shared.weight',
              'model.decoder.embed_tokens.weight': 'model.shared.weight'}
BUFFERS = {r'^final_logits_bias$': 0, r'^model\.(en|de)coder\.version$': None}
