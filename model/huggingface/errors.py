"""Errors of Hugging Face folders. Each ends a command with its exit code and one message."""


class ConfigError(Exception):
    """config.json has a setting that no family here supports, or no family at Hugging Face supports a model of ours."""

    exit_code, kind = 2, 'huggingface'


class FolderError(Exception):
    """Files are missing or damaged, or hold other tensors than config.json describes."""

    exit_code, kind = 3, 'huggingface'
