def get_config():
    config = dict(steps=100)
