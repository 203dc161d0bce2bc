"""`python -m train.generate --workdir=DIR --prompt="..."`: what the model of a run says.

Decoders continue the prompt; encoder-decoders read it and answer; encoders fill its masks, spelt <mask>. The newest good
checkpoint is used, its moving average of the weights if it has one, on whatever devices there are.
"""
import argparse
import dataclasses
import json
import os
import sys

from train.settings import command, errors


def parser():
    made = argparse.ArgumentParser(prog='python -m train.generate', description=__doc__.split('\n')[0], allow_abbrev=False)
    made.add_argument('--workdir', required=True, metavar='DIR', help='workdir of a run')
    made.add_argument('--prompt', action='append', default=None, metavar='TEXT', help='may be given several times; default: the empty text')
    made.add_argument('--method', choices=('sample', 'greedy'), default='sample')
    made.add_argument('--temperature', type=float, default=0.8)
    made.add_argument('--top_k', type=int, default=0, metavar='K', help='draw from the K likeliest tokens; 0 = off')
    made.add_argument('--top_p', type=float, default=1.0, metavar='P', help='draw from the likeliest tokens with probability P together')
    made.add_argument('--num_return_sequences', type=int, default=1, metavar='N')
    made.add_argument('--max_new_tokens', type=int, default=128, metavar='N')
    made.add_argument('--step', type=int, default=None, help='checkpoint to use; default: the newest')
    made.add_argument('--seed', type=int, default=0)
    made.add_argument('--json', action='store_true', help='one JSON object a continuation: prompt, text, tokens')
    return made


def check(options):
    """errors.Error with everything that is wrong with the options."""
    wrong = [errors.Problem(f'--{name} = {getattr(options, name)}', f'expected {expected}.') for name, expected, fine in (
        ('temperature', 'more than 0; --method=greedy takes the likeliest token', options.temperature > 0),
        ('top_k', '0 (off) or more', options.top_k >= 0),
        ('top_p', 'more than 0 and at most 1', 0 < options.top_p <= 1),
        ('num_return_sequences', 'at least 1', options.num_return_sequences >= 1),
        ('max_new_tokens', 'at least 1', options.max_new_tokens >= 1)) if not fine]
    if options.method == 'greedy' and options.num_return_sequences > 1:
        wrong.append(errors.Problem(f'--num_return_sequences = {options.num_return_sequences}',
                                      'greedy has one answer; use --method=sample for several.'))
    if not os.path.exists(os.path.join(options.workdir, 'config.json')) and '://' not in options.workdir:
        wrong.append(errors.Problem(f'--workdir = {options.workdir}', 'no run there: expected a folder with config.json, as '
                                      'python -m train.main --workdir=DIR writes.'))
    if wrong:
        raise errors.Error(wrong, kind='generate', end='nothing was generated')


def answers(options):
    """[{'prompt', 'text', 'tokens'}] for the options; imports JAX."""
    from train.parallel import platform
    platform.prepare(os.environ)
    from data import tokenizer as tokenizers
    from train.checkpoints import checkpoint, initial, workdir
    from train.prediction import fill_mask

    config, tokenizer = workdir.read(options.workdir), tokenizers.load(os.path.join(options.workdir, 'tokenizer'))
    encoder = config.model.architecture == 'encoder'
    if encoder:
        fill_mask.check(options, config, tokenizer)
    initial.complete(options.workdir, config, 'generate', 'nothing was generated')
    params, _ = checkpoint.load_params(options.workdir, step=options.step, patterns=('',) if encoder else ('^backbone/',),
                                       what='params' if config.ema is None else 'ema', notice=lambda text: print(text, file=sys.stderr))
    if encoder:
        return fill_mask.answers(options.prompt, config, tokenizer, params)
    return continuations(options, config, tokenizer, params)


def continuations(options, config, tokenizer, params):
    """What a decoder says after the prompts, or an encoder-decoder to them."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from data import example
    from model import transformer
    from model.decoding import generate

    special, room = tokenizer.special, config.model.max_length if config.model.positions == 'learned' else None
    shape = dataclasses.replace(config.model, unroll=max(config.model.layers, config.model.decoder_layers or 0))  # twice as fast on a CPU
    backbone = transformer.Transformer(shape, dtype=jnp.dtype(config.dtype))

    prompts = [text for text in options.prompt or [''] for _ in range(options.num_return_sequences)]
    tokens, lengths, source = inputs([tokenizer.encode(text) for text in prompts], special, config.model.architecture, config.objective)
    longest = tokens.shape[1]
    if room is not None and longest + options.max_new_tokens > room:
        raise errors.Error([errors.Problem(
            f'--max_new_tokens = {options.max_new_tokens}', f'the prompt has {longest} tokens with BOS and the model has {room} positions: '
            f'at most {max(room - longest, 0)} fit.')], kind='generate', end='nothing was generated')
    tokens = generate.generate(
        backbone.apply, params['backbone'], tokens, lengths, jax.random.key(options.seed), max_new_tokens=options.max_new_tokens,
        temperature=0.0 if options.method == 'greedy' else options.temperature, top_k=options.top_k, top_p=options.top_p,
        eos=special.eos, pad=special.pad, source=source)
    said = [example.before(row, special.eos) for row in np.asarray(tokens)]
    return [{'prompt': prompt, 'text': tokenizer.decode(row), 'tokens': row.tolist()} for prompt, row in zip(prompts, said)]


def inputs(prompts, special, architecture, objective=None):
    """(what the decoder reads first int32[B, T], its lengths int32[B], further fields) for prompts of ids, as in training."""
    import numpy as np

    from data import example
    source, starts = {}, [np.append(special.bos, ids) for ids in prompts]
    if architecture == 'encoder_decoder':
        asked = [getattr(objective, 'prompt', lambda ids, special: (ids, special.bos))(ids, special) for ids in prompts]
        prompts, starts = [ids for ids, _ in asked], [np.array([first]) for _, first in asked]
        size = max(map(len, prompts)) + 1
        source = example.stack([example.encoder({
            'tokens': example.padded(np.append(ids, special.eos), size, special.pad),
            **example.bidirectional([len(ids) + 1], size)}) for ids in prompts])
    elif hasattr(objective, 'prefix'):        # its tokens see one another, as in training
        starts = [np.append(special.bos, objective.prefix(ids, special)) for ids in prompts]
        places = [example.prefix([len(start)], [len(start)], max(map(len, starts))) for start in starts]
        source = {name: np.stack([place[name] for place in places]) for name in ('sees', 'seen')}
    size = max(map(len, starts))
    return np.stack([example.padded(start, size, special.pad) for start in starts]), np.array([len(s) for s in starts], np.int32), source


def main(argv=None):
    """Runs the command line; returns the exit code."""
    options = parser().parse_args(argv)

    def run():
        check(options)
        found = answers(options)
        from train.checkpoints import workdir
        between = '' if workdir.read(options.workdir).model.architecture == 'decoder' else '\n→ '
        for i, one in enumerate(found):
            print(json.dumps(one, ensure_ascii=False) if options.json else '\n' * bool(i) + one['prompt'] + between + one['text'])

    return command.run(run)


if __name__ == '__main__':
    command.main(main)
