"""The settings of an objective: its class by its name, its fields and, of a mixture, those of its members.

Members are settings like all others, `objective.members.NAME.*`: `name` (of the member's objective), `weight` and the fields of that
objective's dataclass. What there is to set follows from the names alone. A prefix here is that of an objective's keys: 'objective.', or
'objective.members.NAME.' and so on.
"""
from typing import Annotated, Any

from data import objectives
from train.settings import schema, values


def classes(given: dict[str, values.Given], prefix: str = 'objective.') -> dict[str, type | None]:
    """{prefix: Objective class} of the objective and its members; None where the name is missing or unknown."""
    try:
        found = {prefix: objectives.load(given[prefix + 'name'].read(str))}
    except (KeyError, ValueError):
        return {prefix: None}
    start = prefix + 'members.'
    names = [key[len(start):].partition('.')[0] for key in given if key.startswith(start) and '.' in key[len(start):]]
    for name in dict.fromkeys(names if found[prefix].members is not None else ()):
        found.update(classes(given, f'{start}{name}.'))
    return found


def walk(objective: Any, prefix: str = 'objective.') -> dict[str, Any]:
    """{prefix: Objective} of an objective and its members; {} for None."""
    found = {} if objective is None else {prefix: objective}
    for member in objective and objective.members or ():
        found.update(walk(member.objective, f'{prefix}members.{member.name}.'))
    return found


def kinds(parts: dict[str, Any]) -> dict[str, Any]:
    """{dotted key: annotation} of every setting, with those of {prefix: Objective class or instance, or None}."""
    name = Annotated[str, tuple(objectives.names()), 'of a file in data/objectives']
    found = {**schema.kinds(), 'objective.name': name}
    for prefix, part in parts.items():
        found.update({prefix + 'name': name} | ({prefix + 'weight': float} if prefix != 'objective.' else {}))
        fields = schema.kinds(part if isinstance(part, type) else type(part), prefix) if part else {}
        found.update({key: kind for key, kind in fields.items() if key.rpartition('.')[2] not in schema.FOLLOWS})
    return found


def owner(parts: dict[str, Any], key: str) -> str:
    """The prefix of the objective that a key belongs to: the innermost member's; the weight is its mixture's."""
    return max((prefix for prefix in parts if key.startswith(prefix) and key != prefix + 'weight'), key=len, default='objective.')


def path(objective: Any) -> str:
    """The file of an Objective (class or instance)."""
    return f'data/objectives/{objective.__module__.rpartition(".")[2]}.py'
