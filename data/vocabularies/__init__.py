"""Vocabularies of text: SentencePiece models and the tokenizers of Hugging Face folders; data/tokenizer.py loads them."""
