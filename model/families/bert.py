"""BERT (Devlin et al. 2019). Parameters with both heads; the paper says 110M and 340M.

`google-research/bert` computes GELU by its tanh approximation and LayerNorm with epsilon 1e-12.
"""
from model import families

COMMON = dict(architecture='encoder', vocab_size=30522, max_length=512, types=2, norm_position='post', norm_epsilon=1e-12,
              activation='gelu_tanh', head='transform', dropout=0.1, attention_dropout=0.1, initializer='bert')

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
}
PARAMETERS = {'base': 110_106_428, 'large': 336_226_108}

MODEL_TYPE = 'bert'
PREFIX = 'bert.'
FIXED = dict(architecture='encoder', norm_position='post', head='transform', tied=True)  # untied, `transformers` has another bias
SETTINGS = dict(vocab_size='vocab_size', max_length='max_position_embeddings', types='type_vocab_size', layers='num_hidden_layers',
                dim='hidden_size', heads='num_attention_heads', mlp_dim='intermediate_size',
                activation=('hidden_act', families.ACTIVATIONS), norm_epsilon='layer_norm_eps', dropout='hidden_dropout_prob',
                attention_dropout='attention_probs_dropout_prob')
DEFAULTS = dict(type_vocab_size=2, hidden_act='gelu', layer_norm_eps=1e-12, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
                tie_word_embeddings=True)
EXPECTED = dict(position_embedding_type='absolute', is_decoder=False, add_cross_attention=False, tie_word_embeddings=True)
ENCODER, BLOCK, THEIRS = 'backbone/encoder', 'backbone/encoder/blocks', 'bert.encoder.layer.{layer}'
NAMES = (
    ('backbone/embed', 'bert.embeddings.word_embeddings'),
    (f'{ENCODER}/positions', 'bert.embeddings.position_embeddings'),
    (f'{ENCODER}/types', 'bert.embeddings.token_type_embeddings'),
    (f'{ENCODER}/embed_norm', 'bert.embeddings.LayerNorm'),
    (f'{BLOCK}/attention/query', f'{THEIRS}.attention.self.query'),
    (f'{BLOCK}/attention/key', f'{THEIRS}.attention.self.key'),
    (f'{BLOCK}/attention/value', f'{THEIRS}.attention.self.value'),
    (f'{BLOCK}/attention/out', f'{THEIRS}.attention.output.dense'),
    (f'{BLOCK}/attention_norm', f'{THEIRS}.attention.output.LayerNorm'),
    (f'{BLOCK}/mlp/up', f'{THEIRS}.intermediate.dense'),
    (f'{BLOCK}/mlp/down', f'{THEIRS}.output.dense'),
    (f'{BLOCK}/mlp_norm', f'{THEIRS}.output.LayerNorm'),
)
LANGUAGE = (
    ('backbone/head/transform', 'cls.predictions.transform.dense'),
    ('backbone/head/norm', 'cls.predictions.transform.LayerNorm'),
    ('backbone/head/kernel', 'cls.predictions.decoder.weight'),
    ('backbone/head/bias', 'cls.predictions.bias'),
)
PAIR = (('head/pooler/dense', 'bert.pooler.dense'), ('head/labels', 'cls.seq_relationship'))
HEADS = {
    'language': LANGUAGE,
    'pretraining': LANGUAGE + PAIR,
    'pair': PAIR,
    'pooler': (('head/dense', 'bert.pooler.dense'),),
    'classes': (('head/transform', 'bert.pooler.dense'), ('head/labels', 'classifier')),
    'token_classes': (('head/labels', 'classifier'),),
    'spans': (('head/labels', 'qa_outputs'),),
}
BARE = 'BertModel'
ARCHITECTURES = {
    'BertForPreTraining': ('pretraining', {}),
    'BertForMaskedLM': ('language', {}),
    'BertForNextSentencePrediction': ('pair', {}),
    'BertModel': ('pooler', {}),
    'BertForSequenceClassification': ('classes', dict(read='first', activation='tanh')),
    'BertForTokenClassification': ('token_classes', {}),
    'BertForQuestionAnswering': ('spans', {}),
}
DUPLICATES = {'cls.predictions.decoder.weight': 'bert.embeddings.word_embeddings.weight',
              'cls.predictions.decoder.bias': 'cls.predictions.bias'}
BUFFERS = {r'embeddings\.position_ids$': None}
