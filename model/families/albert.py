"""ALBERT, version 2 (Lan et al. 2020): layers that share their weights, embeddings 128 wide.

Version 2 is the same network without dropout (and trained for longer: configs/pretrain_albert.py has the paper's steps).
The paper says 12M, 18M, 60M and 235M; its xxlarge was never 235M. Parameters with both heads, as released.
"""
from model.families import bert

COMMON = dict(architecture='encoder', vocab_size=30000, max_length=512, types=2, embed_dim=128, share_layers=True,
              norm_position='post', norm_epsilon=1e-12, activation='gelu_tanh', head='transform', initializer='bert')

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
    'xlarge': dict(COMMON, layers=24, dim=2048, heads=16),
    'xxlarge': dict(COMMON, layers=12, dim=4096, heads=64),
}
PARAMETERS = {'base': 11_813_810, 'large': 17_847_474, 'xlarge': 59_021_490, 'xxlarge': 223_158_450}

MODEL_TYPE = 'albert'
PREFIX = 'albert.'
FIXED = dict(bert.FIXED, share_layers=True)
APART = dict(embed_dim='dim')                 # there is a projection from one to the other in any case
SETTINGS = dict(bert.SETTINGS, embed_dim='embedding_size')
DEFAULTS = dict(bert.DEFAULTS, hidden_act='gelu_new', hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
EXPECTED = dict(position_embedding_type='absolute', num_hidden_groups=1, inner_group_num=1, tie_word_embeddings=True)
ENCODER, BLOCK = 'backbone/encoder', 'backbone/encoder/block'
THEIRS = 'albert.encoder.albert_layer_groups.0.albert_layers.0'
NAMES = (
    ('backbone/embed', 'albert.embeddings.word_embeddings'),
    (f'{ENCODER}/positions', 'albert.embeddings.position_embeddings'),
    (f'{ENCODER}/types', 'albert.embeddings.token_type_embeddings'),
    (f'{ENCODER}/embed_norm', 'albert.embeddings.LayerNorm'),
    (f'{ENCODER}/project', 'albert.encoder.embedding_hidden_mapping_in'),
    (f'{BLOCK}/attention/query', f'{THEIRS}.attention.query'),
    (f'{BLOCK}/attention/key', f'{THEIRS}.attention.key'),
    (f'{BLOCK}/attention/value', f'{THEIRS}.attention.value'),
    (f'{BLOCK}/attention/out', f'{THEIRS}.attention.dense'),
    (f'{BLOCK}/attention_norm', f'{THEIRS}.attention.LayerNorm'),
    (f'{BLOCK}/mlp/up', f'{THEIRS}.ffn'),
    (f'{BLOCK}/mlp/down', f'{THEIRS}.ffn_output'),
    (f'{BLOCK}/mlp_norm', f'{THEIRS}.full_layer_layer_norm'),
)
LANGUAGE = (
    ('backbone/head/transform', 'predictions.dense'),
    ('backbone/head/norm', 'predictions.LayerNorm'),
    ('backbone/head/kernel', 'predictions.decoder.weight'),
    ('backbone/head/bias', 'predictions.bias'),
)
HEADS = {
    'language': LANGUAGE,
    'pretraining': LANGUAGE + (('head/pooler/dense', 'albert.pooler'), ('head/labels', 'sop_classifier.classifier')),
    'pooler': (('head/dense', 'albert.pooler'),),
    'classes': (('head/transform', 'albert.pooler'), ('head/labels', 'classifier')),
    'token_classes': (('head/labels', 'classifier'),),
    'spans': (('head/labels', 'qa_outputs'),),
}
BARE = 'AlbertModel'
ARCHITECTURES = {
    'AlbertForPreTraining': ('pretraining', {}),
    'AlbertForMaskedLM': ('language', {}),
    'AlbertModel': ('pooler', {}),
    'AlbertForSequenceClassification': ('classes', dict(read='first', activation='tanh')),
    'AlbertForTokenClassification': ('token_classes', {}),
    'AlbertForQuestionAnswering': ('spans', {}),
}
DUPLICATES = {'predictions.decoder.weight': 'albert.embeddings.word_embeddings.weight',
              'predictions.decoder.bias': 'predictions.bias'}
BUFFERS = {r'embeddings\.position_ids$': None}
