"""Hugging Face folders to workdirs and back: what `python -m train.convert` does once its flags are checked."""
