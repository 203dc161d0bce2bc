"""ELECTRA (Clark et al. 2020): the discriminator, which is fine-tuned. The paper says 14M, 110M and 335M.

Small has embeddings 128 wide. `GENERATORS` are the generator's width as a share of the discriminator's; it has as many layers
and borrows the embeddings. The released small model had a generator as wide as itself. ELECTRA's GELU is the exact one.
"""
from model.families import bert

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
FIXED = dict(bert.FIXED, activation='gelu')
SETTINGS = {**{setting: key for setting, key in bert.SETTINGS.items() if setting != 'activation'}, 'embed_dim': 'embedding_size'}
DEFAULTS = bert.DEFAULTS
EXPECTED = dict(bert.EXPECTED, hidden_act='gelu')  # of its generator's head, whatever config.json says
NAMES = (
    *((ours, theirs.replace('bert.', PREFIX, 1)) for ours, theirs in bert.NAMES),
    ('backbone/encoder/project', 'electra.embeddings_project'),
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
