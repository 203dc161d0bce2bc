"""RoBERTa (Liu et al. 2019): BERT without sentence types, 50,265 pieces, erf GELU (fairseq). The paper says 125M and 355M.

fairseq numbers positions from 2, so that its table has two rows more than are used; the released models have a table of types
with one row.
"""
from model import families

COMMON = dict(architecture='encoder', vocab_size=50265, max_length=512, position_offset=2, types=1, norm_position='post',
              norm_epsilon=1e-5, activation='gelu', head='transform', dropout=0.1, attention_dropout=0.1, initializer='normal')

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
}
PARAMETERS = {'base': 124_697_433, 'large': 355_412_057}

MODEL_TYPE = 'roberta'
PREFIX = 'roberta.'
FIXED = dict(architecture='encoder', norm_position='post', head='transform', position_offset=2)
SETTINGS = dict(vocab_size='vocab_size', max_length=('max_position_embeddings', -2), types='type_vocab_size',
                layers='num_hidden_layers', dim='hidden_size', heads='num_attention_heads', mlp_dim='intermediate_size',
                activation=('hidden_act', families.ACTIVATIONS), norm_epsilon='layer_norm_eps', dropout='hidden_dropout_prob',
                attention_dropout='attention_probs_dropout_prob', tied='tie_word_embeddings')
DEFAULTS = dict(type_vocab_size=2, hidden_act='gelu', layer_norm_eps=1e-12, hidden_dropout_prob=0.1,
                attention_probs_dropout_prob=0.1, tie_word_embeddings=True)
EXPECTED = dict(position_embedding_type='absolute', pad_token_id=1, is_decoder=False, add_cross_attention=False)
ENCODER, BLOCK, THEIRS = 'backbone/encoder', 'backbone/encoder/blocks', 'roberta.encoder.layer.{layer}'
NAMES = (
    ('backbone/embed', 'roberta.embeddings.word_embeddings'),
    (f'{ENCODER}/positions', 'roberta.embeddings.position_embeddings'),
    (f'{ENCODER}/types', 'roberta.embeddings.token_type_embeddings'),
    (f'{ENCODER}/embed_norm', 'roberta.embeddings.LayerNorm'),
    (f'{BLOCK}/attention/query', f'{THEIRS}.attention.self.query'),
    (f'{BLOCK}/attention/key', f'{THEIRS}.attention.self.key'),
    (f'{BLOCK}/attention/value', f'{THEIRS}.attention.self.value'),
    (f'{BLOCK}/attention/out', f'{THEIRS}.attention.output.dense'),
    (f'{BLOCK}/attention_norm', f'{THEIRS}.attention.output.LayerNorm'),
    (f'{BLOCK}/mlp/up', f'{THEIRS}.intermediate.dense'),
    (f'{BLOCK}/mlp/down', f'{THEIRS}.output.dense'),
    (f'{BLOCK}/mlp_norm', f'{THEIRS}.output.LayerNorm'),
)
HEADS = {
    'language': (('backbone/head/transform', 'lm_head.dense'), ('backbone/head/norm', 'lm_head.layer_norm'),
                 ('backbone/head/kernel', 'lm_head.decoder.weight'), ('backbone/head/bias', 'lm_head.bias')),
    'pooler': (('head/dense', 'roberta.pooler.dense'),),
    'classes': (('head/transform', 'classifier.dense'), ('head/labels', 'classifier.out_proj')),
    'token_classes': (('head/labels', 'classifier'),),
    'spans': (('head/labels', 'qa_outputs'),),
}
BARE = 'RobertaModel'
ARCHITECTURES = {
    'RobertaForMaskedLM': ('language', {}),
    'RobertaModel': ('pooler', {}),
    'RobertaForSequenceClassification': ('classes', dict(read='first', activation='tanh')),
    'RobertaForTokenClassification': ('token_classes', {}),
    'RobertaForQuestionAnswering': ('spans', {}),
}
DUPLICATES = {'lm_head.decoder.weight': 'roberta.embeddings.word_embeddings.weight', 'lm_head.decoder.bias': 'lm_head.bias'}
BUFFERS = {r'embeddings\.position_ids$': None}
