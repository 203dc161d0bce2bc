"""BERT (Devlin et al. 2019). Parameters with both heads; the paper says 110M and 340M.

`google-research/bert` computes GELU by its tanh approximation and LayerNorm with epsilon 1e-12.
"""
from model import families

COMMON = dict(architecture='encoder', vocab_size=30522, max_length=512, types=2, norm_position='post', norm_epsilon=1e-12,
              activation='gelu_tanh', head='transform', dropout=0.1, attention_dropout=0.1, initializer='bert')

SIZES = {'base': dict(COMMON, layers=12, dim=768, heads=12), 'large': dict(COMMON, layers=24, dim=1024, heads=16)}

ENCODER, BLOCK, THEIRS = 'backbone/encoder', 'backbone/encoder/blocks', 'encoder.layer.{layer}'
LANGUAGE = (
    *families.rows('backbone/head', 'cls.predictions', transform='transform.dense', norm='transform.LayerNorm'),
    *families.rows('backbone/head', 'cls.predictions', kernel='decoder.weight', bias='bias'),
)
PAIR = (('head/pooler/dense', '{prefix}pooler.dense'), ('head/labels', 'cls.seq_relationship'))
FAMILY = families.Family(
    model_type='bert', classes='Bert', prefix='bert.', pairs='next_sentence',
    fixed=dict(architecture='encoder', norm_position='post', head='transform', initializer='bert',
               tied=True),                    # an untied head of `transformers` has a second bias
    settings=dict(
        vocab_size='vocab_size', max_length='max_position_embeddings', types='type_vocab_size', layers='num_hidden_layers',
        dim='hidden_size', heads='num_attention_heads', mlp_dim='intermediate_size', activation=('hidden_act', families.ACTIVATIONS),
        norm_epsilon='layer_norm_eps', dropout='hidden_dropout_prob', attention_dropout='attention_probs_dropout_prob'),
    defaults=dict(type_vocab_size=2, hidden_act='gelu', layer_norm_eps=1e-12, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
                  tie_word_embeddings=True),
    expected=dict(position_embedding_type='absolute', is_decoder=False, add_cross_attention=False, tie_word_embeddings=True),
    names=(
        ('backbone/embed', 'embeddings.word_embeddings'),
        *families.rows(ENCODER, 'embeddings', positions='position_embeddings', types='token_type_embeddings', embed_norm='LayerNorm'),
        *families.rows(f'{BLOCK}/attention', f'{THEIRS}.attention.self', query='query', key='key', value='value'),
        *families.rows(BLOCK, THEIRS, **{'attention/out': 'attention.output.dense', 'attention_norm': 'attention.output.LayerNorm'}),
        *families.rows(BLOCK, THEIRS, **{'mlp/up': 'intermediate.dense', 'mlp/down': 'output.dense', 'mlp_norm': 'output.LayerNorm'}),
    ),
    heads={
        'ForPreTraining': families.Head('pretraining', LANGUAGE + PAIR),
        'ForMaskedLM': families.Head('language', LANGUAGE),
        'ForNextSentencePrediction': families.Head('pair', PAIR),
        'Model': families.Head('pooler', (('head/dense', '{prefix}pooler.dense'),)),
        'ForSequenceClassification': families.Head(
            'classes', (('head/transform', '{prefix}pooler.dense'), ('head/labels', 'classifier')), dict(read='first', activation='tanh')),
        **families.TOKEN_CLASSES, **families.SPANS,
    },
    duplicates={'cls.predictions.decoder.weight': '{prefix}embeddings.word_embeddings.weight',
                'cls.predictions.decoder.bias': 'cls.predictions.bias'},
    ignored=('directionality', 'pooler_fc_size', 'pooler_num_attention_heads', 'pooler_num_fc_layers', 'pooler_size_per_head',
             'pooler_type'),
    training=dict(classifier_dropout='dropout'),
    buffers=families.POSITION_IDS)
