"""A config without faults."""


def get_config():
    return dict(steps=100, objective=dict(name='causal_lm'), tokenizer=dict(kind='bytes'))
