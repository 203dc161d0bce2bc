"""Accounts for each key of a config.json: a table of its family names it, or it is known to change no number of the network.

A key that is in neither list may change the network (Mistral's `sliding_window` in a file that says llama), so it is refused.
"""
from typing import Any, Iterator

from model import config as model_config, families

READ = {'architectures', 'model_type', 'id2label', 'label2id', 'num_labels', 'auto_map'}  # of every family, not of its network
HARMLESS = frozenset("""
    transformers_version dtype torch_dtype tokenizer_class name_or_path _name_or_path _commit_hash language license
    task_specific_params finetuning_task prefix _num_labels problem_type output_hidden_states output_attentions return_dict
    use_return_dict output_past chunk_size_feed_forward torchscript use_bfloat16 tf_legacy_loss gradient_checkpointing
    initializer_range attn_implementation _attn_implementation _attn_implementation_autoset
    _attn_implementation_internal _flash_attn_2_enabled transformers.js_config
    bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id mask_token_id unk_token_id decoder_start_token_id
    assistant_confidence_threshold assistant_lookbehind bad_words_ids begin_suppress_tokens diversity_penalty do_sample early_stopping
    encoder_no_repeat_ngram_size encoder_repetition_penalty epsilon_cutoff eta_cutoff exponential_decay_length_penalty
    forced_bos_token_id forced_eos_token_id force_bos_token_to_be_generated length_penalty max_length max_new_tokens min_length
    no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups num_beams num_return_sequences output_scores
    remove_invalid_values repetition_penalty return_dict_in_generate suppress_tokens target_lookbehind temperature top_k top_p typical_p
    use_cache
""".split())
EXPECTED = {'is_decoder': False, 'add_cross_attention': False, 'cross_attention_hidden_size': None, 'tie_encoder_decoder': False,
            'pruned_heads': {}, 'quantization_config': None}  # of every family, as `Family.expected`
DTYPES = ('float32', 'float16', 'bfloat16', 'float64')  # of weights, as config.json states them
UNKNOWN = 'nothing here knows this key. If no number of the network depends on it, remove it from config.json'


def expected(family: families.Family) -> dict[str, Any]:
    """{key: the only supported value} of a family, with those that all families share."""
    kind = family.fixed['architecture']
    common = {key: value for key, value in EXPECTED.items() if kind != 'decoder' or key != 'is_decoder'}  # a decoder is one
    return {**common, 'is_encoder_decoder': kind == 'encoder_decoder', **family.expected}


def named(family: families.Family) -> set[str]:
    """The keys that change the network and that a table of the family reads or compares."""
    read = {rule if isinstance(rule, str) else rule[0] for rule in family.settings.values()}
    return {*read, *family.defaults, *family.same, *expected(family)}


def ignored(family: families.Family) -> set[str]:
    """The keys that are known to change no number of the network. Those of `Family.training` change how it is trained."""
    decoder = {'is_decoder'} if family.fixed['architecture'] == 'decoder' else set()
    return {*HARMLESS, *family.ignored, *family.training, *decoder} - named(family)


def unknown(family: families.Family, given: dict[str, Any]) -> list[str]:
    """The keys of config.json, under their present names, that nobody accounts for."""
    return sorted(given.keys() - named(family) - ignored(family) - READ)


def odd(given: dict[str, Any], size: int) -> list[str]:
    """Lines about ids that a vocabulary of `size` tokens does not have, and about types of weights that are none. -1 and null are no id."""
    def known(value):
        return type(value) is int and -1 <= value < size

    lines = [f'{key} = {value!r:.60}   expected an id from 0 to {size - 1}, a list of them, -1 or null' for key, value in given.items()
             if key.endswith('_token_id') and not (value is None or (all(map(known, value)) if isinstance(value, list) else known(value)))]
    return lines + [f'{key} = {given[key]!r:.60}   expected one of {", ".join(DTYPES)}, or null' for key in ('dtype', 'torch_dtype')
                    if given.get(key) not in (None, *DTYPES)]


def notices(family: families.Family, given: dict[str, Any], config: model_config.Config) -> Iterator[str]:
    """Lines about the keys of config.json that this model does not read, and about dropouts that it trains without."""
    aside = sorted(key for key in given.keys() & ignored(family) if given[key] is not None)
    if aside:
        yield f'config.json: left aside, as they change no number of the network: {", ".join(aside)}'
    here = {key: getattr(config, setting) if setting else 0.0 for key, setting in family.training.items()}
    lines = [f'{key} = {given[key]!r:.60} ({here[key]:g} here)' for key in sorted(here.keys() & given.keys())
             if given[key] not in (None, here[key])]
    if lines:
        yield f'config.json: not the same in training: {", ".join(lines)}'
