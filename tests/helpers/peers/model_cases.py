"""The matrix of tests/helpers/peers/models.py: families, heads, the settings in which published models differ. Data and numpy."""
import dataclasses
from typing import Any, Callable, Tuple, Union

import numpy as np

FIRST = 3                                     # ids below are special; a row's tokens are drawn from here on


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of a small model and its batch."""
    dim: int = 32
    layers: int = 2
    heads: int = 4
    vocab: int = 99
    hidden: int = 48                          # of the feed-forward layer
    rows: int = 3
    length: int = 14


# Settings of a family for a Shape, in the words of its configuration class.

def gpt2(s):
    return dict(vocab_size=s.vocab, n_positions=64, n_embd=s.dim, n_layer=s.layers, n_head=s.heads, pad_token_id=0,
                bos_token_id=1, eos_token_id=2)


def bert(s):
    return dict(vocab_size=s.vocab, hidden_size=s.dim, num_hidden_layers=s.layers, num_attention_heads=s.heads,
                intermediate_size=s.hidden, max_position_embeddings=64)


def roberta(s):
    return dict(bert(s), type_vocab_size=1, layer_norm_eps=1e-5)


def albert(s):
    return dict(bert(s), embedding_size=s.dim // 2)


def electra(s):
    return dict(bert(s), embedding_size=s.dim // 2)


def xlnet(s):
    return dict(vocab_size=s.vocab, d_model=s.dim, n_layer=s.layers, n_head=s.heads, d_inner=s.hidden)


def t5(s):
    return dict(vocab_size=s.vocab, d_model=s.dim, d_kv=6, d_ff=s.hidden, num_layers=s.layers, num_decoder_layers=s.layers + 1,
                num_heads=s.heads, relative_attention_num_buckets=8, relative_attention_max_distance=10, decoder_start_token_id=0)


def bart(s):
    return dict(vocab_size=s.vocab, d_model=s.dim, encoder_layers=s.layers, decoder_layers=s.layers + 1, encoder_ffn_dim=s.hidden,
                decoder_ffn_dim=s.hidden, encoder_attention_heads=s.heads, decoder_attention_heads=s.heads,
                max_position_embeddings=64)


def bloom(s):
    return dict(vocab_size=s.vocab, hidden_size=s.dim, n_layer=s.layers, n_head=s.heads, pad_token_id=0)


def llama(s):
    return dict(vocab_size=s.vocab, hidden_size=s.dim, num_hidden_layers=s.layers, num_attention_heads=s.heads,
                num_key_value_heads=s.heads, intermediate_size=s.hidden, max_position_embeddings=64, pad_token_id=0)


def grouped(s):
    """Query heads that share keys and values: the largest number of groups below that of heads."""
    return dict(num_key_value_heads=max(k for k in range(1, s.heads) if not s.heads % k))


# What a model reads.

def drawn(s, rng, length=None):
    """(lengths, ids) of `rows` rows, the first one full."""
    length = length or s.length
    lengths = np.concatenate([[length], rng.integers(length // 2, length, s.rows - 1)])
    return lengths, rng.integers(FIRST, s.vocab, (s.rows, length))


def padded(lengths, ids, pad):
    """Right padding: ids and mask."""
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    return np.where(mask, ids, pad or 0), mask.astype(np.int64)


def text(config, s, rng):
    ids, mask = padded(*drawn(s, rng), config.pad_token_id)
    return {'input_ids': ids, 'attention_mask': mask}


def pairs(config, s, rng):
    """Text of two sentences."""
    found = text(config, s, rng)
    second = np.arange(s.length) >= rng.integers(1, s.length // 2, s.rows)[:, None]
    return {**found, 'token_type_ids': second * found['attention_mask']}


def left(config, s, rng):
    """Left padding, which XLNet's own tokenizer makes: its classifiers read the last place."""
    lengths, ids = drawn(s, rng)
    mask = np.arange(s.length) >= s.length - lengths[:, None]
    return {'input_ids': np.where(mask, ids, config.pad_token_id), 'attention_mask': mask.astype(np.int64)}


def left_pairs(config, s, rng):
    """The same with XLNet's types: 0, 1, and 2 for the last token."""
    types = np.sort(rng.integers(0, 2, (s.rows, s.length)), axis=1)
    types[:, -1] = 2
    return {**left(config, s, rng), 'token_type_ids': types}


def permuted(config, s, rng):
    """Text in a drawn order: about half of the tokens are context, of rank 0; some of the others are targets, at `slots`."""
    _, ids = drawn(s, rng)
    order = 1 + np.argsort(rng.random((s.rows, s.length)), axis=1)
    ranks = np.where(rng.random((s.rows, s.length)) < 0.5, 0, order)
    ranks[:, :3] = order[:, :3]
    slots = np.argsort(np.where(ranks > 0, rng.random((s.rows, s.length)), 2), axis=1)[:, :3]
    types = np.sort(rng.integers(0, 3, (s.rows, s.length)), axis=1)
    return {'input_ids': ids, 'token_type_ids': types, 'ranks': ranks, 'slots': slots}


def remembered(config, s, rng):
    """The same after five tokens of memory."""
    return {**permuted(config, s, rng), 'mems': rng.standard_normal((s.layers, s.rows, 5, s.dim)).astype(np.float32)}


def source_and_target(config, s, rng):
    """An encoder's text and a decoder's, shorter."""
    ids, mask = padded(*drawn(s, rng), config.pad_token_id)
    said, said_mask = padded(*drawn(s, rng, max(2, s.length // 2)), config.pad_token_id)
    said[:, 0] = config.decoder_start_token_id
    return {'input_ids': ids, 'attention_mask': mask, 'decoder_input_ids': said, 'decoder_attention_mask': said_mask}


def twice(config, s, rng):
    """BART's heads: the decoder reads the same text, moved one to the right; each text ends in EOS."""
    lengths, ids = drawn(s, rng)
    ids[np.arange(s.rows), lengths - 1] = config.eos_token_id
    ids, mask = padded(lengths, ids, config.pad_token_id)
    moved = np.concatenate([np.full((s.rows, 1), config.decoder_start_token_id), ids[:, :-1]], axis=1)
    return {'input_ids': ids, 'attention_mask': mask, 'decoder_input_ids': moved, 'decoder_attention_mask': mask}


@dataclasses.dataclass(frozen=True)
class Case:
    """settings: of the configuration class, or a function of the Shape that makes them."""
    architecture: str
    family: Callable
    inputs: Callable = text
    settings: Union[dict, Callable] = dataclasses.field(default_factory=dict)
    shape: Any = dataclasses.field(default_factory=dict)     # other sizes than Shape's
    untie: bool = False                                      # T5 1.1: an output of its own, which the class does not make
    rewritten: Any = dataclasses.field(default_factory=dict)  # entries of config.json as on the hub
    removed: Tuple[str, ...] = ()


LABELS = dict(num_labels=3)
ROPE = dict(rope_type='llama3', factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)
SCALED = dict(rope_parameters=dict(ROPE, rope_theta=10000.0))
# Llama 3.1 and 3.2 as released: the older keys.
HUB_ROPE = dict(rewritten=dict(rope_scaling=ROPE, rope_theta=10000.0), removed=('rope_parameters',))
HUB_T5 = dict(rewritten=dict(tie_word_embeddings=False), removed=('scale_decoder_outputs',))
GATED = dict(feed_forward_proj='gated-gelu', tie_word_embeddings=False)

CASES = {
    'gpt2': Case('GPT2LMHeadModel', gpt2),
    'gpt2_classes': Case('GPT2ForSequenceClassification', gpt2, settings=LABELS),
    'gpt2_token_classes': Case('GPT2ForTokenClassification', gpt2, settings=LABELS),
    'gpt2_spans': Case('GPT2ForQuestionAnswering', gpt2),
    'gpt2_bare': Case('GPT2Model', gpt2),

    'bert': Case('BertForPreTraining', bert, pairs),
    'bert_gelu_new': Case('BertForPreTraining', bert, pairs, dict(hidden_act='gelu_new', type_vocab_size=3)),
    'bert_masked_lm': Case('BertForMaskedLM', bert, pairs),
    'bert_next_sentence': Case('BertForNextSentencePrediction', bert, pairs),
    'bert_classes': Case('BertForSequenceClassification', bert, pairs, LABELS),
    'bert_token_classes': Case('BertForTokenClassification', bert, pairs, LABELS),
    'bert_spans': Case('BertForQuestionAnswering', bert, pairs),
    'bert_pooler': Case('BertModel', bert, pairs),

    'roberta': Case('RobertaForMaskedLM', roberta),
    'roberta_classes': Case('RobertaForSequenceClassification', roberta, settings=LABELS),
    'roberta_token_classes': Case('RobertaForTokenClassification', roberta, settings=LABELS),
    'roberta_spans': Case('RobertaForQuestionAnswering', roberta),

    'albert': Case('AlbertForPreTraining', albert, pairs),
    'albert_masked_lm': Case('AlbertForMaskedLM', albert, pairs, shape=dict(layers=3)),
    'albert_classes': Case('AlbertForSequenceClassification', albert, pairs, LABELS),
    'albert_token_classes': Case('AlbertForTokenClassification', albert, pairs, LABELS),
    'albert_spans': Case('AlbertForQuestionAnswering', albert, pairs),

    'electra': Case('ElectraForPreTraining', electra, pairs),
    'electra_equal': Case('ElectraForPreTraining', electra, pairs, lambda s: dict(embedding_size=s.dim)),
    'electra_generator': Case('ElectraForMaskedLM', electra, pairs),
    'electra_generator_equal': Case('ElectraForMaskedLM', electra, pairs, lambda s: dict(embedding_size=s.dim)),
    'electra_classes': Case('ElectraForSequenceClassification', electra, pairs, LABELS),
    'electra_token_classes': Case('ElectraForTokenClassification', electra, pairs, LABELS),
    'electra_spans': Case('ElectraForQuestionAnswering', electra, pairs),
    'electra_bare': Case('ElectraModel', electra, pairs),

    'xlnet': Case('XLNetLMHeadModel', xlnet, left_pairs),
    'xlnet_gelu_new': Case('XLNetLMHeadModel', xlnet, text, dict(ff_activation='gelu_new')),
    'xlnet_permuted': Case('XLNetLMHeadModel', xlnet, permuted),
    'xlnet_remembered': Case('XLNetLMHeadModel', xlnet, remembered),
    'xlnet_classes': Case('XLNetForSequenceClassification', xlnet, left_pairs, LABELS),
    'xlnet_token_classes': Case('XLNetForTokenClassification', xlnet, left_pairs, LABELS),
    'xlnet_spans': Case('XLNetForQuestionAnsweringSimple', xlnet, left_pairs),
    'xlnet_bare': Case('XLNetModel', xlnet, left_pairs),

    't5': Case('T5ForConditionalGeneration', t5, source_and_target),
    't5_long': Case('T5ForConditionalGeneration', t5, source_and_target,
                    dict(relative_attention_num_buckets=32, relative_attention_max_distance=128),
                    dict(rows=1, length=150, vocab=61)),
    't5_v1_1': Case('T5ForConditionalGeneration', t5, source_and_target, GATED, untie=True, **HUB_T5),
    't5_v1_1_saved_again': Case('T5ForConditionalGeneration', t5, source_and_target, GATED, untie=True),
    't5_tied_unscaled': Case('T5ForConditionalGeneration', t5, source_and_target, GATED, **HUB_T5),
    't5_classes': Case('T5ForSequenceClassification', t5, twice, LABELS),
    't5_spans': Case('T5ForQuestionAnswering', t5, twice),
    't5_bare': Case('T5Model', t5, source_and_target),

    'bart': Case('BartForConditionalGeneration', bart, source_and_target),
    'bart_scaled': Case('BartForConditionalGeneration', bart, source_and_target, dict(scale_embedding=True)),
    'bart_classes': Case('BartForSequenceClassification', bart, twice, LABELS),
    'bart_spans': Case('BartForQuestionAnswering', bart, twice),
    'bart_bare': Case('BartModel', bart, source_and_target),

    'bloom': Case('BloomForCausalLM', bloom),
    'bloom_odd_heads': Case('BloomForCausalLM', bloom, shape=dict(dim=40, heads=5)),
    'bloom_classes': Case('BloomForSequenceClassification', bloom, settings=LABELS),
    'bloom_token_classes': Case('BloomForTokenClassification', bloom, settings=LABELS),
    'bloom_spans': Case('BloomForQuestionAnswering', bloom),
    'bloom_bare': Case('BloomModel', bloom),

    'llama': Case('LlamaForCausalLM', llama),
    'llama_grouped': Case('LlamaForCausalLM', llama, settings=grouped),
    'llama_tied': Case('LlamaForCausalLM', llama, settings=dict(tie_word_embeddings=True, rms_norm_eps=1e-5)),
    'llama_scaled': Case('LlamaForCausalLM', llama, settings=lambda s: dict(grouped(s), max_position_embeddings=512, **SCALED),
                         shape=dict(rows=1, length=90, vocab=61)),
    'llama_scaled_hub': Case('LlamaForCausalLM', llama, shape=dict(rows=1, length=90, vocab=61),
                             settings=lambda s: dict(grouped(s), max_position_embeddings=512, **SCALED), **HUB_ROPE),
    'llama_biased': Case('LlamaForCausalLM', llama, settings=dict(attention_bias=True, mlp_bias=True)),
    'llama_head_dim': Case('LlamaForCausalLM', llama, settings=lambda s: dict(grouped(s), head_dim=12)),
    'llama_spans': Case('LlamaForQuestionAnswering', llama),
    'llama_classes': Case('LlamaForSequenceClassification', llama, settings=LABELS),
    'llama_token_classes': Case('LlamaForTokenClassification', llama, settings=LABELS),
    'llama_bare': Case('LlamaModel', llama),

    'qwen2': Case('Qwen2ForCausalLM', llama, settings=grouped),
    'qwen2_spans': Case('Qwen2ForQuestionAnswering', llama, settings=grouped),
    'qwen2_classes': Case('Qwen2ForSequenceClassification', llama, settings=LABELS),
    'qwen2_token_classes': Case('Qwen2ForTokenClassification', llama, settings=LABELS),
    'qwen2_bare': Case('Qwen2Model', llama, settings=grouped),
    'qwen2_head_dim': Case('Qwen2ForCausalLM', llama, settings=lambda s: dict(grouped(s), head_dim=12)),
    'qwen2_tied': Case('Qwen2ForCausalLM', llama, settings=dict(tie_word_embeddings=True)),
}
