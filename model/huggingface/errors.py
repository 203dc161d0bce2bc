"""What can be wrong with a Hugging Face folder. Each kind ends a command with its exit code and one message."""


class ConfigError(Exception):
    """config.json says something that no family here has, or a model has what no family there has."""

    exit_code, kind = 2, 'huggingface'


class FolderError(Exception):
    """Files are missing, damaged, or hold other tensors than config.json promises."""

    exit_code, kind = 3, 'huggingface'
