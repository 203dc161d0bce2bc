"""The training loop, its parts, and one small file a command."""
