"""RoBERTa (Liu et al. 2019): BERT without sentence types, 50,265 pieces, erf GELU (fairseq). The paper says 125M and 355M.

fairseq numbers positions from 2, one more than the id of its padding, so that its table begins with two unused rows. The released
models have a table of types with one row.
"""
import dataclasses

from model import families
from model.families import bert

COMMON = dict(bert.COMMON, vocab_size=50265, position_offset=2, types=1, norm_epsilon=1e-5, activation='gelu', initializer='normal')

SIZES = {'base': dict(COMMON, layers=12, dim=768, heads=12), 'large': dict(COMMON, layers=24, dim=1024, heads=16)}

CLASSIFIER = (('head/transform', 'classifier.dense'), ('head/labels', 'classifier.out_proj'))
FAMILY = dataclasses.replace(
    bert.FAMILY, model_type='roberta', classes='Roberta', prefix='roberta.', pairs=None,
    objective=dict(name='masked_lm', inputs='full_sentences', count='roberta', candidates='row', random_ids='text'),
    fixed=dict(bert.FAMILY.fixed, activation='gelu', initializer='normal'),
    settings={**{setting: key for setting, key in bert.FAMILY.settings.items() if setting != 'activation'},
              'position_offset': ('pad_token_id', 1), 'max_length': ('max_position_embeddings', 'after_padding')},
    defaults=dict(bert.FAMILY.defaults, pad_token_id=1),
    expected=dict(bert.FAMILY.expected, hidden_act='gelu'),  # the language head has it even if config.json names another
    heads={
        'ForMaskedLM': families.Head('language', families.rows('backbone/head', 'lm_head', transform='dense', norm='layer_norm',
                                                               kernel='decoder.weight', bias='bias')),
        'Model': bert.FAMILY.heads['Model'],
        'ForSequenceClassification': families.Head('classes', CLASSIFIER, dict(read='first', activation='tanh')),
        **families.TOKEN_CLASSES, **families.SPANS,
    },
    duplicates={'lm_head.decoder.weight': '{prefix}embeddings.word_embeddings.weight', 'lm_head.decoder.bias': 'lm_head.bias'})
