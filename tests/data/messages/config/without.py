def get_config():
    return dict(steps=100)
