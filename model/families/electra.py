"""ELECTRA (Clark et al. 2020): the discriminator, which is fine-tuned. The paper says 14M, 110M and 335M.

Small has embeddings 128 wide. `GENERATORS` are the generator's width as a share of the discriminator's; it has as many layers
and borrows the embeddings. The released small model had a generator as wide as itself. ELECTRA's GELU is the exact one.
"""
from model import families

COMMON = dict(architecture='encoder', vocab_size=30522, max_length=512, types=2, norm_position='post', norm_epsilon=1e-12,
              activation='gelu', head='transform', dropout=0.1, attention_dropout=0.1, initializer='bert')

SIZES = {
    'small': dict(COMMON, layers=12, dim=256, heads=4, embed_dim=128),
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
}
PARAMETERS = {'small': 13_549_057, 'base': 109_483_009, 'large': 335_142_913}
GENERATORS = {'small': 1 / 4, 'base': 1 / 3, 'large': 1 / 4}

MODEL_TYPE = 'electra'
PREFIX = 'electra.'
FIXED = dict(architecture='encoder', norm_position='post', head='transform', activation='gelu')
SETTINGS = dict(vocab_size='vocab_size', max_length='max_position_embeddings', types='type_vocab_size',
                layers='num_hidden_layers', dim='hidden_size', embed_dim='embedding_size',
                heads='num_attention_heads', mlp_dim='intermediate_size',
                norm_epsilon='layer_norm_eps', dropout='hidden_dropout_prob', attention_dropout='attention_probs_dropout_prob',
                tied='tie_word_embeddings')
DEFAULTS = dict(type_vocab_size=2, layer_norm_eps=1e-12, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
                tie_word_embeddings=True)
EXPECTED = dict(hidden_act='gelu', position_embedding_type='absolute', is_decoder=False, add_cross_attention=False)
ENCODER, BLOCK, THEIRS = 'backbone/encoder', 'backbone/encoder/blocks', 'electra.encoder.layer.{layer}'
NAMES = (
    ('backbone/embed', 'electra.embeddings.word_embeddings'),
    (f'{ENCODER}/positions', 'electra.embeddings.position_embeddings'),
    (f'{ENCODER}/types', 'electra.embeddings.token_type_embeddings'),
    (f'{ENCODER}/embed_norm', 'electra.embeddings.LayerNorm'),
    (f'{ENCODER}/project', 'electra.embeddings_project'),
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
    'discriminator': (('head/transform', 'discriminator_predictions.dense'),
                      ('head/labels', 'discriminator_predictions.dense_prediction')),
    'language': (('backbone/head/transform', 'generator_predictions.dense'),
                 ('backbone/head/norm', 'generator_predictions.LayerNorm'),
                 ('backbone/head', 'generator_lm_head')),
    'classes': (('head/transform', 'classifier.dense'), ('head/labels', 'classifier.out_proj')),
    'token_classes': (('head/labels', 'classifier'),),
    'spans': (('head/labels', 'qa_outputs'),),
}
BARE = 'ElectraModel'
ARCHITECTURES = {
    'ElectraForPreTraining': ('discriminator', {}),
    'ElectraModel': ('discriminator', {}),
    'ElectraForMaskedLM': ('language', {}),
    'ElectraForSequenceClassification': ('classes', dict(read='first', activation='gelu')),
    'ElectraForTokenClassification': ('token_classes', {}),
    'ElectraForQuestionAnswering': ('spans', {}),
}
DUPLICATES = {'generator_lm_head.weight': 'electra.embeddings.word_embeddings.weight'}
BUFFERS = {r'embeddings\.position_ids$': None}
