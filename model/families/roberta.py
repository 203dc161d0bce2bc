"""RoBERTa (Liu et al. 2019): BERT without sentence types, 50,265 pieces, erf GELU (fairseq). The paper says 125M and 355M.

fairseq numbers positions from 2, one more than the id of its padding, so that its table has two rows more than are used; the
released models have a table of types with one row.
"""
from model.families import bert

COMMON = dict(architecture='encoder', vocab_size=50265, max_length=512, position_offset=2, types=1, norm_position='post',
              norm_epsilon=1e-5, activation='gelu', head='transform', dropout=0.1, attention_dropout=0.1, initializer='normal')

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
}
PARAMETERS = {'base': 124_697_433, 'large': 355_412_057}

MODEL_TYPE = 'roberta'
PREFIX = 'roberta.'
FIXED = dict(bert.FIXED, activation='gelu')
SETTINGS = {**{setting: key for setting, key in bert.SETTINGS.items() if setting != 'activation'},
            'position_offset': ('pad_token_id', 1), 'max_length': ('max_position_embeddings', 'after_padding')}
DEFAULTS = dict(bert.DEFAULTS, pad_token_id=1)
EXPECTED = dict(bert.EXPECTED, hidden_act='gelu')  # of the language head, whatever config.json says
NAMES = tuple((ours, theirs.replace('bert.', PREFIX, 1)) for ours, theirs in bert.NAMES)
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
