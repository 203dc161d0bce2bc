"""Generation: the key-value cache as a value, and the loop that samples from it."""
