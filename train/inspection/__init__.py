"""What `python -m train.inspect` is made of: which examples, what is in them, whether they keep the contract, and how they are shown."""
