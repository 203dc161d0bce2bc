"""What an imported model was pretrained with: the objective of its family and head, as the papers and their code have it."""

FAMILIES = {                                  # {model_type: settings of the objective}; others follow from the architecture
    'bert': dict(name='masked_lm'),
    'roberta': dict(name='masked_lm', inputs='full_sentences', count='roberta', candidates='row', random_ids='text'),
    'albert': dict(name='masked_lm', select='ngram'),
    'xlnet': dict(name='permuted_lm'),
    't5': dict(name='span_corruption'),
    'bart': dict(name='denoising', permute=1.0, infill=0.3, mean_span_length=3.5, random=0.1),
}
ARCHITECTURES = {'decoder': dict(name='causal_lm'), 'encoder': dict(name='masked_lm'),
                 'encoder_decoder': dict(name='span_corruption')}
PAIRS = {'bert': 'next_sentence', 'albert': 'sentence_order'}  # what the pair head of the family judges


def objective(model_type, architecture, head):
    """{setting: value} of the objective for a model; head: the kind of its head (model/task_model.py)."""
    if head == 'discriminator':
        return dict(name='replaced_token_detection')
    found = dict(FAMILIES.get(model_type, ARCHITECTURES[architecture]))
    if head in ('pair', 'pretraining') and model_type in PAIRS:
        found['inputs'] = PAIRS[model_type]
    return found


def frame(objective, architecture):
    """(roles before, roles after) of the special tokens around a text that a model reads, as its training rows have them."""
    plain = {'encoder': (('cls',), ('sep',)), 'encoder_decoder': ((), ('eos',)), 'decoder': (('bos',), ())}
    return objective.frame or plain[architecture]
