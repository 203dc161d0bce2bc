"""ELECTRA (Clark et al. 2020): the discriminator, which is fine-tuned. The paper says 14M, 110M and 335M.

Small has embeddings 128 wide. `GENERATORS` are the generator's width as a share of the discriminator's; it has as many layers
and uses the same embeddings. The released small model had a generator as wide as itself. ELECTRA's GELU is the exact one.
"""
import dataclasses

from model import families
from model.families import bert

COMMON = dict(bert.COMMON, activation='gelu')

SIZES = {
    'small': dict(COMMON, layers=12, dim=256, heads=4, embed_dim=128),
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
}
GENERATORS = {'small': 1 / 4, 'base': 1 / 3, 'large': 1 / 4}

CLASSIFIER = (('head/transform', 'classifier.dense'), ('head/labels', 'classifier.out_proj'))
JUDGE = families.rows('head', 'discriminator_predictions', transform='dense', labels='dense_prediction')
LANGUAGE = (*families.rows('backbone/head', 'generator_predictions', transform='dense', norm='LayerNorm'),
            ('backbone/head', 'generator_lm_head'))
FAMILY = dataclasses.replace(
    bert.FAMILY, model_type='electra', classes='Electra', prefix='electra.', pairs=None,
    fixed=dict(bert.FAMILY.fixed, activation='gelu'),
    settings={**{setting: key for setting, key in bert.FAMILY.settings.items() if setting != 'activation'}, 'embed_dim': 'embedding_size'},
    expected=dict(bert.FAMILY.expected, hidden_act='gelu'),  # its generator's head has it even if config.json names another
    ignored=('summary_type', 'summary_use_proj', 'summary_activation', 'summary_last_dropout'),  # of multiple choice
    names=(*bert.FAMILY.names, ('backbone/encoder/project', 'embeddings_project')),
    heads={
        'ForPreTraining': families.Head('discriminator', JUDGE),
        'Model': families.BARE,
        'ForMaskedLM': families.Head('language', LANGUAGE),
        'ForSequenceClassification': families.Head('classes', CLASSIFIER, dict(read='first', activation='gelu')),
        **families.TOKEN_CLASSES, **families.SPANS,
    },
    duplicates={'generator_lm_head.weight': '{prefix}embeddings.word_embeddings.weight'})
