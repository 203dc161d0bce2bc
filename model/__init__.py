"""The Transformer, independent of data and training."""
