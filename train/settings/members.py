"""The settings of an objective: its class by its name, its fields and, of a mixture, those of its members.

Members are settings like all others, `objective.members.NAME.*`: `name` (of the member's objective), `weight` and the fields of that
objective's dataclass. What there is to set follows from the names alone. A prefix here is that of an objective's keys: 'objective.', or
'objective.members.NAME.' and so on.
"""
from typing import Any

from data import objectives
from train.settings import errors, schema, values


def classes(given: list[tuple], complete: bool = True, prefix: str = 'objective.') -> tuple[dict, list[str], list[errors.Problem]]:
    """({prefix: Objective class} of the objective and its members, prefixes whose objective is unknown, problems).

    given: [(key, value or text, origin, is it text)]; later ones win. `complete`: a missing name is a problem.
    """
    named = [(value, origin, text) for key, value, origin, text in given if key == prefix + 'name']
    if not named:
        text = f'missing; expected one of {", ".join(objectives.names())}.'
        return {}, [prefix], [errors.Problem(prefix + 'name', text)] * complete
    value, origin, text = named[-1]
    try:
        found, lost, wrong = {prefix: objectives.load(values.given(str, value, text))}, [], []
    except ValueError as error:
        return {}, [prefix], [errors.Problem(f'{prefix}name = {errors.shown(value)}', f'{error}.', origin)]
    keys = [key.removeprefix(prefix + 'members.') for key, *_ in given if key.startswith(prefix + 'members.')]
    for name in dict.fromkeys(key.partition('.')[0] for key in keys if '.' in key and mixes(found[prefix])):
        inside, *more = classes(given, complete, f'{prefix}members.{name}.')
        found, lost, wrong = {**found, **inside}, lost + more[0], wrong + more[1]
    return found, lost, wrong


def mixes(objective: Any) -> bool:
    """Whether an Objective (class or instance, or None) has members."""
    return objective is not None and objective.members is not None


def walk(objective: Any, prefix: str = 'objective.') -> dict[str, Any]:
    """{prefix: Objective} of an objective and its members; {} for None."""
    found = {} if objective is None else {prefix: objective}
    for member in objective.members if mixes(objective) else ():
        found.update(walk(member.objective, f'{prefix}members.{member.name}.'))
    return found


def kinds(parts: dict[str, Any]) -> dict[str, Any]:
    """{dotted key: annotation} of the settings of {prefix: Objective class or instance}."""
    found = {'objective.name': str}
    for prefix, part in parts.items():
        found.update({prefix + 'name': str} if prefix == 'objective.' else {prefix + 'name': str, prefix + 'weight': float})
        fields = schema.kinds(part if isinstance(part, type) else type(part), prefix)
        found.update({key: kind for key, kind in fields.items() if key.rpartition('.')[2] not in schema.FOLLOWS})
    return found


def build(parts: dict[str, type], found: dict[str, Any], follows: dict[str, Any], prefix: str = 'objective.') -> Any:
    """The Objective of {prefix: class} and {dotted key: value}; `follows`: {field: value of the config} (schema.FOLLOWS)."""
    given = {**found, **{prefix + name: value for name, value in follows.items()}}
    if mixes(parts[prefix]):
        from data.objectives import mixture  # here, not above: --help does without numpy
        start = prefix + 'members.'
        inner = {part[len(start):-1]: part for part in parts if part.startswith(start) and '.' not in part[len(start):-1]}
        given[prefix + 'members'] = tuple(mixture.Member(name, build(parts, found, follows, part), found.get(part + 'weight', 1.0))
                                          for name, part in inner.items())
    return schema.build(parts[prefix], given, prefix)


def owner(parts: dict[str, Any], key: str) -> str:
    """The prefix of the objective that a key belongs to: the innermost member's; the weight is its mixture's."""
    return max((prefix for prefix in parts if key.startswith(prefix) and key != prefix + 'weight'), key=len, default='objective.')


def path(objective: Any) -> str:
    """The file of an Objective (class or instance)."""
    return f'data/objectives/{schema.objective_name(objective)}.py'
