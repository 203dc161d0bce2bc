"""Vocabularies of text: SentencePiece models, ours and foreign, and tokenizers of Hugging Face folders; data/tokenizer.py opens them."""
