"""The Transformer: knows nothing of data or training."""
