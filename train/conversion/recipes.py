"""What an imported model was pretrained with: the objective of its family and head, as the papers and their code have it."""
from model import families

ARCHITECTURES = {'decoder': dict(name='causal_lm'), 'encoder': dict(name='masked_lm'),
                 'encoder_decoder': dict(name='span_corruption')}


def objective(family: families.Family, architecture: str, head: str) -> dict:
    """{setting: value} of the objective of an imported model; head: the kind of its head (model/task_model.py)."""
    if head == 'discriminator':
        return dict(name='replaced_token_detection')
    found = dict(family.objective or ARCHITECTURES[architecture])
    if head in ('pair', 'pretraining') and family.pairs:
        found['inputs'] = family.pairs
    return found


def frame(objective, architecture):
    """(roles before, roles after) of the special tokens around a text that a model reads, as its training rows have them."""
    plain = {'encoder': (('cls',), ('sep',)), 'encoder_decoder': ((), ('eos',)), 'decoder': (('bos',), ())}
    return objective.frame or plain[architecture]
