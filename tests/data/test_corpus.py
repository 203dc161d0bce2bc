"""What a run is told about the words of its text."""
from data import corpus, tokenizer
from data.text import cache


def test_chinese_by_character_is_said():
    vocabulary = tokenizer.Bytes()
    said = []
    for text in ('话说天下大势，分久必合。' * 9, 'It was the best of times. ' * 99, '話' + 'a' * 300):
        tokens = cache.Tokens.from_arrays([vocabulary.encode(text)], vocabulary.special, tokenizer=vocabulary)
        said.append(corpus.words_of_chinese(tokens))
    assert said == ['whole words: each Chinese character (83% of the text) is one; with data.words=jieba the words of the package jieba '
                    'are, as in BERT-wwm', None, None]
    tokens.segment = list
    assert corpus.words_of_chinese(tokens) is None
