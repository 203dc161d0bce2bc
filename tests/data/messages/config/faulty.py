"""A config with faults of every kind."""

VARIANTS = ('', 'keys', 'types', 'values', 'raises', 'objective')


def get_config(variant=''):
    config = dict(steps=100, objective=dict(name='causal_lm'), model=dict(dim=512, heads=6), mesh=dict(data=2, tensor=3))
    if variant == 'keys':
        config['optimiser'] = dict(learning_rate=1e-3)
        config['model'] = dict(n_layers=2, seq_len=3)
        config['objective']['rate'] = 0.15
    if variant == 'types':
        config = dict(config, steps='many', batch_size=2.5, data=dict(train=['a.txt', 'b.txt']), tensorboard='yes', dtype=None,
                      optimizer=dict(no_decay='bias', multipliers={'embed': 0.1}), model=3, mesh={})
    if variant == 'values':
        config = dict(config, model=dict(heads=0, dropout=1.5, norm='batchnorm'), optimizer=dict(learning_rate=-1), mesh={})
    if variant == 'objective':
        config = dict(steps=100, objective=dict(name=3))
    if variant == 'raises':
        config['steps'] = total_steps // 2
    return config
