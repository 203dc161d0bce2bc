"""What a trained model is asked: metrics on held-out text, continuations, filled masks."""
