"""The settings of an objective: its class by its name, its fields and, of a mixture, those of its members.

Members are settings like all others, `objective.members.NAME.*`: `name` (of the member's objective), `weight` and the fields of that
objective's dataclass. What there is to set follows from the names alone. A prefix here is that of an objective's keys: 'objective.', or
'objective.members.NAME.' and so on.
"""
from typing import Any

from data import objectives
from train.settings import errors, schema, values


def classes(given: dict[str, values.Given], complete: bool = True,
            prefix: str = 'objective.') -> tuple[dict[str, type], list[str], list[errors.Problem]]:
    """({prefix: Objective class} of the objective and its members, prefixes whose objective is unknown, problems).

    `complete`: a missing name is a problem.
    """
    named = given.get(prefix + 'name')
    if named is None:
        text = f'missing; expected one of {", ".join(objectives.names())}.'
        return {}, [prefix], [errors.Problem(prefix + 'name', text)] * complete
    try:
        found, lost, wrong = {prefix: objectives.load(named.read(str))}, [], []
    except ValueError as error:
        return {}, [prefix], [named.problem(error)]
    start = prefix + 'members.'
    names = [key[len(start):].partition('.')[0] for key in given if key.startswith(start) and '.' in key[len(start):]]
    for name in dict.fromkeys(names if found[prefix].members is not None else ()):
        inside, *more = classes(given, complete, f'{start}{name}.')
        found, lost, wrong = {**found, **inside}, lost + more[0], wrong + more[1]
    return found, lost, wrong


def walk(objective: Any, prefix: str = 'objective.') -> dict[str, Any]:
    """{prefix: Objective} of an objective and its members; {} for None."""
    found = {} if objective is None else {prefix: objective}
    for member in objective and objective.members or ():
        found.update(walk(member.objective, f'{prefix}members.{member.name}.'))
    return found


def kinds(parts: dict[str, Any]) -> dict[str, Any]:
    """{dotted key: annotation} of every setting, with those of {prefix: Objective class or instance}."""
    found = {**schema.kinds(), 'objective.name': str}
    for prefix, part in parts.items():
        found.update({prefix + 'name': str} | ({prefix + 'weight': float} if prefix != 'objective.' else {}))
        fields = schema.kinds(part if isinstance(part, type) else type(part), prefix)
        found.update({key: kind for key, kind in fields.items() if key.rpartition('.')[2] not in schema.FOLLOWS})
    return found


def owner(parts: dict[str, Any], key: str) -> str:
    """The prefix of the objective that a key belongs to: the innermost member's; the weight is its mixture's."""
    return max((prefix for prefix in parts if key.startswith(prefix) and key != prefix + 'weight'), key=len, default='objective.')


def path(objective: Any) -> str:
    """The file of an Objective (class or instance)."""
    return f'data/objectives/{objective.__module__.rpartition(".")[2]}.py'
