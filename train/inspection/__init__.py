"""What `python -m train.inspect` is made of: what is in an example, whether it keeps the contract, and how it is shown."""
