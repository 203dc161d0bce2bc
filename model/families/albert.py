"""ALBERT, version 2 (Lan et al. 2020): layers that share their weights, embeddings 128 wide.

Version 2 is the same network without dropout (and trained for longer: configs/pretrain_albert.py has the paper's steps).
The paper says 12M, 18M, 60M and 235M; its xxlarge has 223M. Parameters with both heads, as released.
"""
import dataclasses

from model import families
from model.families import bert

COMMON = dict(bert.COMMON, vocab_size=30000, embed_dim=128, share_layers=True, dropout=0.0, attention_dropout=0.0)

SIZES = {
    'base': dict(COMMON, layers=12, dim=768, heads=12),
    'large': dict(COMMON, layers=24, dim=1024, heads=16),
    'xlarge': dict(COMMON, layers=24, dim=2048, heads=16),
    'xxlarge': dict(COMMON, layers=12, dim=4096, heads=64),
}

BLOCK, THEIRS = 'backbone/encoder/block', 'encoder.albert_layer_groups.0.albert_layers.0'
LANGUAGE = families.rows('backbone/head', 'predictions', transform='dense', norm='LayerNorm', kernel='decoder.weight', bias='bias')
FAMILY = dataclasses.replace(
    bert.FAMILY, model_type='albert', classes='Albert', prefix='albert.', objective=dict(name='masked_lm', select='ngram'),
    pairs='sentence_order',
    fixed=dict(bert.FAMILY.fixed, share_layers=True),
    ignored=('down_scale_factor', 'gap_size', 'net_structure_type', 'num_memory_blocks'),
    training=dict(classifier_dropout_prob='dropout'),
    apart=dict(embed_dim='dim'),              # `transformers` always projects from one to the other
    settings=dict(bert.FAMILY.settings, embed_dim='embedding_size'),
    defaults=dict(bert.FAMILY.defaults, hidden_act='gelu_new', hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
    expected=dict(position_embedding_type='absolute', num_hidden_groups=1, inner_group_num=1, tie_word_embeddings=True),
    names=(
        *bert.FAMILY.names[:4],               # the embeddings
        ('backbone/encoder/project', 'encoder.embedding_hidden_mapping_in'),
        *families.rows(f'{BLOCK}/attention', f'{THEIRS}.attention', query='query', key='key', value='value', out='dense'),
        *families.rows(BLOCK, THEIRS, attention_norm='attention.LayerNorm', mlp_norm='full_layer_layer_norm'),
        *families.rows(f'{BLOCK}/mlp', THEIRS, up='ffn', down='ffn_output'),
    ),
    heads={
        'ForPreTraining': families.Head('pretraining', (
            *LANGUAGE, ('head/pooler/dense', '{prefix}pooler'), ('head/labels', 'sop_classifier.classifier'))),
        'ForMaskedLM': families.Head('language', LANGUAGE),
        'Model': families.Head('pooler', (('head/dense', '{prefix}pooler'),)),
        'ForSequenceClassification': families.Head(
            'classes', (('head/transform', '{prefix}pooler'), ('head/labels', 'classifier')), dict(read='first', activation='tanh')),
        **families.TOKEN_CLASSES, **families.SPANS,
    },
    duplicates={'predictions.decoder.weight': '{prefix}embeddings.word_embeddings.weight', 'predictions.decoder.bias': 'predictions.bias'})
