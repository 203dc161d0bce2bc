"""Vocabularies of text: SentencePiece models, ours and foreign, and the tokenizers of Hugging Face folders; data/tokenizer.py opens them."""
