"""`--profile=FIRST:LAST`: a trace of these steps in the workdir, for Perfetto and XProf, and the operations that took longest.

An operation is one of the compiled step. The program's text says where in the source it comes from, by the named scopes of the step and
the modules of the model.
"""
import collections
import contextlib
import pathlib
import re
import tempfile
from typing import Any, Callable, Iterable

from etils import epath
import jax

from train.monitoring import display
from train.settings import errors

FOLDER, SHOWN = 'profile', 10
NESTS = re.compile(r'(while|call|conditional)\b')  # operations whose time is that of others, which are in the trace too


class Profile(contextlib.AbstractContextManager):
    """Traces the steps window = (first, last), None = none. program: the text of the compiled step, asked for at the end.

    errors.Error if the run, which goes on from step `begun`, ends before the last of them; a notice if it has passed the first.
    """

    def __init__(self, window: tuple[int, int] | None, folder: str, begun: int, end: int, screen: display.Display,
                 program: Callable[[], str]):
        self.window, self.folder, self.screen, self.program = window, epath.Path(folder) / FOLDER, screen, program
        if jax.process_count() > 1:
            self.folder /= f'process_{jax.process_index()}'
        self.step, self.local = begun, None
        if window and window[1] > end:
            text = f'expected steps from {begun + 1} to {end}, which this run takes.'
            raise errors.Error([errors.Problem(f'--profile = {window[0]}:{window[1]}', text)])
        if window and begun >= window[0]:     # the same command again continues
            screen.notice(f'no profile: steps {window[0]} to {window[1]} are behind this run, or in part')
            self.window = None

    def __enter__(self):
        self.begin()
        return self

    def begin(self) -> None:
        """Begins the trace, if the next step is the first."""
        if self.window and self.step + 1 == self.window[0]:
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0   # Python's calls are many, and make the steps slower
            self.local = tempfile.TemporaryDirectory()
            jax.profiler.start_trace(self.local.name, profiler_options=options)

    def after(self, step: int, measured: Any) -> None:
        """To be called after each step, with what it returned, which is waited for before a trace begins and ends."""
        if self.window and step in (self.window[0] - 1, self.window[1]):
            jax.block_until_ready(measured)
        self.step = step
        if self.window and step == self.window[1]:
            self.finish()
        self.begin()

    def finish(self) -> None:
        """Ends the trace, copies it into the workdir and shows its largest operations."""
        local, self.local = self.local, None
        with local as folder:
            jax.profiler.stop_trace()
            found = pathlib.Path(folder)
            try:
                for path in filter(pathlib.Path.is_file, found.rglob('*')):
                    (self.folder / path.relative_to(found)).parent.mkdir(parents=True, exist_ok=True)
                    (self.folder / path.relative_to(found)).write_bytes(path.read_bytes())
            except OSError as error:          # a full disk is no reason to end a run
                self.screen.notice(f'the profile was not written: {error.strerror or error}')
            times = durations(found.rglob('*.xplane.pb'))
        first, count = self.window[0], self.step - self.window[0] + 1
        lines = largest(times, origins(self.program()), count * jax.local_device_count())
        self.screen.notice('\n'.join([
            f'profile of steps {first} to {self.step}: {self.folder} (*.trace.json.gz for ui.perfetto.dev; xprof --logdir={self.folder})',
            'largest operations, by their share of the time of all, with milliseconds a step and device:', *lines]))

    def __exit__(self, kind, error, traceback):
        if self.local and error is None and self.step >= self.window[0]:  # the run ends before the last step of the window
            self.finish()
        elif self.local:
            jax.profiler.stop_trace()
            self.local.cleanup()


def durations(paths: Iterable[pathlib.Path]) -> dict[str, float]:
    """{operation: milliseconds} on all devices of this process, in traces of jax.profiler (*.xplane.pb)."""
    found = collections.Counter()
    for path in paths:
        planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
        devices = [plane for plane in planes if plane.name.startswith('/device:')]
        for plane in devices or planes:       # a CPU's operations are among the host's
            lines = list(plane.lines)
            for line in [line for line in lines if line.name == 'XLA Ops'] or lines:
                for event in line.events:
                    stats = dict(event.stats)
                    name = stats.get('hlo_op') or (line.name == 'XLA Ops' and event.name.split(' ')[0].lstrip('%'))
                    if name and not NESTS.match(name):
                        found[name] += event.duration_ns / 1e6
    return found


def origins(program: str) -> dict[str, str]:
    """{operation: 'gradients/backward/TokenLoss/.../mlp/up/dot_general'}, where the program's text says what its operations come from."""
    named = re.findall(r'^\s*(?:ROOT )?%?([\w.\-]+) = .*?op_name="([^"]*)"', program, re.MULTILINE)
    found = {}
    for operation, source in named:
        source = re.sub(r'^jit\(\w+\)/|\b(while|body|eval_jaxpr|closed_call|shard_map)/', '', source)
        source = re.sub(r'transpose\(jvp\(([^()]*)\)\)', r'backward/\1', source)
        found[operation] = re.sub(r'\bjvp\(([^()]*)\)', r'forward/\1', source)
    return found


def largest(times: dict[str, float], sources: dict[str, str], count: int) -> list[str]:
    """A line for each of the operations that took longest: its share of the time of all, and its milliseconds divided by `count`."""
    every = sum(times.values())
    return [f'{time / every:7.1%} {time / count:10,.3f} ms  {name:28} {sources.get(name, "")}'.rstrip()
            for name, time in sorted(times.items(), key=lambda item: -item[1])[:SHOWN]]
