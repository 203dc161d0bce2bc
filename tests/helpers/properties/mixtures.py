"""Mixtures and alternations of objectives."""
from tests.helpers.properties import causal, denoising, given, masked, permuted, replaced, spans
from tests.helpers.properties.given import expect

MEMBERS = {function.__name__: function for function in (
    causal.causal_lm, causal.fill_in_the_middle, causal.prefix_lm, denoising.denoising, masked.masked_lm, permuted.permuted_lm,
    replaced.replaced_token_detection, spans.deshuffle, spans.span_corruption, spans.ul2)}


def mixture(examples, members=None, **_):
    """members: {name: {'name': objective, 'weight': number, 'lengths': {field: length}, its settings}}, in the order of `task`."""
    expect(bool(members), 'the members of the mixture are given')
    total = sum(settings.get('weight', 1.0) for settings in members.values())
    for task, (name, settings) in enumerate(members.items()):
        own = [one for one, x in examples if x.task % len(members) == task]
        expect(all(one['denoiser'].split('/')[0] == name for one in own), f'task {task} is {name}')
        given.share(len(own), len(examples), settings.get('weight', 1.0) / total, f'share of {name}')
        settings = {key: value for key, value in settings.items() if key != 'weight'}
        if own:
            narrow = [narrowed(one, settings['lengths']) for one in own]
            MEMBERS[settings['name']]([(one, given.Example(one)) for one in narrow], **settings)


def narrowed(one, lengths):
    """An example as its member made it: what a mixture pads or adds is taken away."""
    fields, inner = {}, one['denoiser'].partition('/')[2] or None
    for name, value in one['example'].items():
        group = name if name == 'slots' else 'targets' if name in ('targets', 'weights') else \
            'encoder_tokens' if name.startswith('encoder_') else 'tokens'
        if name in ('index', 'labels'):
            fields[name] = value
        elif group in lengths and name != 'task':
            fields[name] = value[:lengths[group]]
    return {**one, 'denoiser': inner, 'example': fields}
