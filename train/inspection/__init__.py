"""`python -m train.inspect`: the fields of an example, whether they keep the contract, and how they are shown."""
