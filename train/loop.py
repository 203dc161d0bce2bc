"""The training loop: corpus, mesh, state, then steps until the last one, a signal, or early stopping.

It reads from top to bottom; every line calls a module that does one thing. The loop waits for the device only to log, evaluate,
sample and save, each at its own interval.
"""
import dataclasses
import itertools
import math
from typing import Any, Callable, Iterator

import jax
import jax.numpy as jnp

from data import corpus as corpora, example, pipeline
from data.text import cache, cache_writer
from model import paths
from train import objectives, program, state as states
from train.checkpoints import arrays, checkpoint, folders, initial, workdir
from train.inspection import opening
from train.monitoring import display, early_stopping, loss_terms, memory, profile as profiles, record, throughput
from train.optimization import schedules
from train.parallel import processes, sharding
from train.prediction import evaluation, samples
from train.reliability import signals
from train.settings import errors, parse, reads, schema


class Diverged(Exception):
    """The loss is NaN or infinite."""

    exit_code, kind = 5, 'diverged'


def run(config: schema.Config, folder: str, screen: display.Display, origins: dict | None = None, devices: list | None = None,
        time_limit: float | None = None, profile: tuple[int, int] | None = None) -> tuple[str | None, states.State]:
    """Trains `config` in the workdir `folder`, from its newest checkpoint if it has one. Returns (reason, the train State).

    The reason is None when all steps are done, else 'early stopping' or the request to stop ('SIGTERM', ...). origins: the file or flag
    that set each value, for messages; devices: None = all of all processes; time_limit: seconds after which it saves and stops;
    profile: the first and the last step of a trace, None = no trace.
    """
    corpus = open_data(config, folder, screen)
    config = parse.with_vocabulary(config, corpus.tokenizer, origins)
    config = parse.with_steps(config, pipeline.size(config.objective, corpus.train, config.seed), origins)
    devices = devices or jax.devices()
    config = parse.with_devices(config, len(devices), origins)
    for notice in workdir.claim(folder, config, origins):
        screen.notice(notice)

    module, mesh = objectives.build(config), sharding.mesh(config.mesh, devices)
    keep = config.checkpoint
    with jax.set_mesh(mesh), checkpoint.Checkpoints(f'{folder}/checkpoints', keep.keep, keep.best, keep.asynchronous) as saved, \
            signals.Signals(folder, time_limit, notice=screen.notice) as interrupts, memory.Memory(config, mesh, screen) as needs:
        compiled = program.build(config, module, mesh, program.shapes(config, corpus.train))
        state, meta = resumed(config, saved, compiled.abstract, screen) or (None, {})
        begun = int(state.step) if state else 0
        if state:
            check_data(meta, corpus, screen.notice)
        if jax.process_index() == 0:
            screen.keep(folder)
        patience = early_stopping.EarlyStopping(config.early_stopping, **meta.get('early_stopping', {}))
        if begun >= config.steps or patience.over:
            show_finished(screen, folder, config, state, meta, patience)
            return 'early stopping' if patience.over else None, state
        evaluator = None if corpus.eval is None else evaluation.build(config, corpus.eval, mesh, config.eval_batches)
        sampler = samples.build(config, corpus, module)
        sampler.trace(states.evaluated(compiled.abstract))
        parameters = paths.flatten(states.union(compiled.abstract.params, compiled.abstract.frozen))
        if begun:
            screen.notice(f'continuing at step {begun} of {config.steps}')
        if not folders.complete(saved.folder):
            introduce(screen, config, corpus, mesh, parameters)
        terms = loss_terms.Terms(module.scales, module.token_term)
        screen.start(begun, config.steps, terms)
        traced = profiles.Profile(profile, folder, begun, config.steps, screen, lambda: update.as_text())
        update = needs.compile(compiled.lower(), compiled.abstract, begun)
        state = state or start(compiled.create(), config, screen)
        count, facts = sum(leaf.size for leaf in parameters.values()), {'loss': terms.scales, 'perplexity_of': terms.tokens}
        for notice in processes.lead('workdir', lambda: workdir.write(folder, config, corpus.tokenizer, count, facts)):
            screen.notice(notice)

        learning_rate = jax.jit(schedules.build(config.optimizer, config.steps))
        pace = throughput.Pace(config, mesh, begun)

        with record.Record(folder, begun, screen, config.tensorboard, meta.get('texts')) as written, traced:
            for step, batch in enumerate(batches(config, corpus.train, mesh, begun), start=begun + 1):
                state, measured = update(state, batch)
                traced.after(step, measured)
                line, last = {}, step == config.steps
                if due(step, config.log_every) or step == 1 or last:
                    line = train_line(measured, learning_rate(step - 1)) | pace.lap(step)
                    if step == 1:
                        screen.notice(first_loss(line, config, module))
                    check_finite(step, line['train/loss'])
                evaluated = evaluator and (due(step, config.eval_every) or last)
                if evaluated:
                    with pace.pause(measured):
                        line |= evaluator(states.evaluated(state), display.progress('evaluating', screen.notice))
                    check_metrics(config, line, evaluator.undefined)
                    patience.update(line)
                if line:
                    written.metrics(step, line)
                    screen.update(step, line)
                request = interrupts.poll(step)
                reason = interrupts.reason if request == 'stop' else 'early stopping' if patience.over else None
                maybe_best = evaluated and config.checkpoint.best
                if due(step, config.checkpoint.every) or last or request or reason or maybe_best:
                    written.flush()
                    saved.save(step, state, meta_of(config, corpus, step, line, patience, written))
                if due(step, config.sample_every) or last:
                    with pace.pause(measured):
                        written.samples(step, sampled(sampler, state, step, screen))
                if reason:
                    break
            screen.notice(f'{reason}: saved at step {step} of {config.steps}' if reason else f'done: {step} steps')
            screen.notice(f'state sha256 {saved.verify(step, state)}')
    return reason, state


def open_data(config: schema.Config, folder: str, screen: display.Display) -> corpora.Corpus:
    """The corpus, which must be the same in all processes. Where it cannot be opened in one of them, all raise an error."""
    opened = []

    def found():
        corpus = corpora.open(config.data, workdir.tokenizer(folder, config.tokenizer), screen.notice)
        opened.append(corpus)
        texts = {'data.train': corpus.train, 'data.eval': corpus.eval}
        hashes = {**{name: text.fingerprint for name, text in texts.items() if text is not None}, 'tokenizer': corpus.tokenizer.hash}
        return {name: f'sha256 {value[:12]}' for name, value in hashes.items()}

    processes.agree(found)
    return opened[0]


def batches(config: schema.Config, source: cache.Tokens, mesh: jax.sharding.Mesh, begun: int) -> Iterator[dict[str, Any]]:
    """Batches on the devices, from step `begun` + 1 to the last."""
    first = 0 if config.overfit_one_batch else begun
    host = pipeline.batches(
        config.objective, source, seed=config.seed, batch_size=config.batch_size, start=first * config.batch_size,
        stop=config.steps * config.batch_size, rows=sharding.rows(mesh, config.batch_size),
        shuffle=config.objective.shuffled, threads=config.data.threads, prefetch=config.data.prefetch)
    if config.overfit_one_batch:
        host = itertools.repeat(next(host), config.steps - begun)
    for batch in host:
        yield sharding.put(mesh, example.given(batch), config.batch_size)


def resumed(config: schema.Config, saved: checkpoint.Checkpoints, abstract: states.State,
            screen: display.Display) -> tuple[states.State, dict] | None:
    """(State, meta) of the run's newest checkpoint, or of the run that it branches from; None for a run that begins."""
    found = saved.restore(abstract, screen.notice)
    if found is None and config.init.optimizer:
        found = initial.branch(config, abstract, screen.notice)
    for notice in found and (arrays.changed(found[1].get('versions', {})), workdir.redrawn(found[1], config)) or ():
        if notice:
            screen.notice(notice)
    return found


def start(state: states.State, config: schema.Config, screen: display.Display) -> states.State:
    """The fresh state, with the parameters that `config.init` takes from another run."""
    if not config.init.from_:
        return state
    found = initial.parameters(config, states.union(state.params, state.frozen), screen.notice)
    params, frozen = (paths.apply(lambda path, leaf: found.get(path, leaf), tree) for tree in (state.params, state.frozen))
    return dataclasses.replace(state, params=params, frozen=frozen, ema=None if state.ema is None else jax.tree.map(jnp.copy, params))


def introduce(screen: display.Display, config: schema.Config, corpus: corpora.Corpus, mesh: jax.sharding.Mesh,
              parameters: dict[str, Any]) -> None:
    """Shows the parameters, the data and the devices of a run that begins, or of a branch."""
    screen.show(display.parameter_table({path: leaf.shape for path, leaf in parameters.items()}))
    if config.objective.likelihood and corpus.eval and not corpus.tokenizer.lossless:
        screen.notice('no eval/bits_per_byte: the tokenizer does not give back every text as it was')
    if config.objective.whole_words and (notice := corpora.words_of_chinese(corpus.train)):
        screen.notice(notice)
    for line in opening.lines(config, corpus.train):
        screen.notice(line)
    axes = ' x '.join(f'{axis}={getattr(config.mesh, axis)}' for axis in schema.AXES)
    screen.notice(f'vocabulary {config.model.vocab_size:,} · {mesh.size} x {mesh.devices.flat[0].device_kind} · mesh {axes}')


def sampled(sampler: samples.Sampler, state: states.State, step: int, screen: display.Display) -> list[dict]:
    """The samples of a step; none, with a notice, if they fail: training does not depend on them."""
    try:
        return sampler(states.evaluated(state))
    except Exception as error:
        screen.notice(f'no samples of step {step}: {arrays.reason(error)}')
        return []


def show_finished(screen: display.Display, folder: str, config: schema.Config, state: states.State, meta: dict,
                  patience: early_stopping.EarlyStopping) -> None:
    """Says that nothing is left to train, with the hash of the state, and writes the report again."""
    step = int(state.step)
    screen.notice(finished(folder, step, config, patience))
    screen.notice(f'state sha256 {checkpoint.fingerprint(state)}')
    record.Record(folder, step, screen, written=meta.get('texts')).close()


def finished(folder: str, begun: int, config: schema.Config, patience: early_stopping.EarlyStopping) -> str:
    """The notice of a run that is finished, and how to continue it."""
    another = f'start another workdir from it: --config.init.from={folder} --workdir=OTHER'
    if patience.over:
        return f'{folder} is done: {config.early_stopping.metric} stopped improving by step {begun}. To train on, {another}'
    done, schedule = f'{folder} is done: step {begun} of {config.steps}', config.optimizer.schedule
    if reads.stretched(schedule):
        return f'{done}. To train on, {another}. More --config.steps would stretch the {schedule} schedule: its learning rate rises again'
    return f'{done}. To train on: --config.steps={2 * begun}'


def check_finite(step: int, loss: float) -> None:
    """Diverged unless the loss of a step is a finite number."""
    if not math.isfinite(loss):
        raise Diverged(f'the loss of step {step} is {loss}; lower optimizer.learning_rate or raise optimizer.warmup. '
                       'The last checkpoint is intact')


def check_metrics(config: schema.Config, line: dict[str, float], undefined: list[str]) -> None:
    """errors.Error if a metric named in the config is not measured. undefined: metrics whose weight was 0 this time."""
    measured = [name for name in line if name.startswith('eval/')]
    wanted = {'early_stopping.metric': config.early_stopping.metric, 'checkpoint.best': config.checkpoint.best}
    wrong = [errors.Problem(f'{key} = {name!r}', f'no such metric.{errors.did_you_mean(name, measured)} There are: {", ".join(measured)}.')
             for key, name in wanted.items() if name and name not in (*line, *undefined)]
    if wrong:
        raise errors.Error(wrong, end='nothing was saved at this step')


def due(step: int, every: int) -> bool:
    """Whether `step` is a multiple of `every`; never for 0."""
    return every > 0 and step % every == 0


def train_line(measured: dict[str, jax.Array], learning_rate: jax.Array) -> dict[str, float]:
    """The metrics line of a step, without the metrics that are NaN (weight 0); waits for the device."""
    measured = {name: float(value) for name, value in jax.device_get(measured).items()}
    norm = measured.pop('grad_norm')
    line = {f'train/{name}': value for name, value in measured.items() if name == 'loss' or not math.isnan(value)}
    return {**line, 'grad_norm': norm, 'learning_rate': float(learning_rate)}


def first_loss(line: dict[str, float], config: schema.Config, module) -> str:
    """A notice that compares the first loss with that of a uniform prediction, if the objective predicts nothing but tokens."""
    found, uniform = line.get('train/nll', line['train/loss']), math.log(config.model.vocab_size)
    if set(module.scales) != {'tokens'}:
        return f'first loss {found:.3f}'
    text = f'first loss {found:.3f}; ln(vocabulary) = {uniform:.3f}'
    if config.init.from_ or abs(found - uniform) < 0.1 * uniform:
        return text
    return f'{text}: far off for fresh parameters; see model.initializer and model.logit_scale'


def meta_of(config: schema.Config, corpus: corpora.Corpus, step: int, line: dict, patience: early_stopping.EarlyStopping,
            written: record.Record) -> dict:
    """What a checkpoint's meta.json holds."""
    return {'examples': step * config.batch_size, 'config': parse.to_dict(config), 'metrics': line,
            'vocab_size': config.model.vocab_size, 'tokenizer': corpus.tokenizer.hash, 'data': corpus.train.fingerprint,
            'eval_data': corpus.eval and corpus.eval.fingerprint, 'text_format': cache_writer.FORMAT, 'texts': written.written(),
            'early_stopping': {'best': patience.best, 'waited': patience.waited}}


def check_data(meta: dict, corpus: corpora.Corpus, notice: Callable[[str], None]) -> None:
    """workdir.OtherData unless the checkpoint was trained on this text with this tokenizer. A notice if sentences were found otherwise."""
    if meta.get('text_format', 1) != cache_writer.FORMAT:
        notice('sentences are found by another rule than when this run was started: rows that begin with sentences may differ')
    workdir.same(meta, 'Put the text of data.train back, or start anew with another --workdir.', tokenizer=corpus.tokenizer.hash,
                 data=corpus.train.fingerprint)
    if corpus.eval is not None and meta.get('eval_data') not in (None, corpus.eval.fingerprint):
        notice('the held-out text has changed since this run was started: evaluations before and after it are not comparable')
