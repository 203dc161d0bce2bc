"""The settings of an objective: its class by its name, its fields and, of a mixture, those of its members.

Members are settings like all others, `objective.members.NAME.*`: `name` (of the member's objective), `weight` and the
fields of that objective's dataclass. What there is to set follows from the names alone: `outline` makes an Objective of
default values from them, `build` the one with the values that were given.
"""
import dataclasses

from data import objectives
from train.settings import errors, schema, values


def outline(given, complete=True, prefix='objective.'):
    """(Objective of default values or None, prefixes of keys whose objective is unknown, problems).

    given: [(key, value or text, origin, is it text)]; later ones win. `complete`: a missing name is a problem.
    """
    named = [(value, origin, text) for key, value, origin, text in given if key == prefix + 'name']
    if not named:
        text = f'missing; expected one of {", ".join(objectives.names())}.'
        return None, [prefix], [errors.Problem(prefix + 'name', text)] * complete
    value, origin, text = named[-1]
    try:
        found = objectives.load(values.given(str, value, text))()
    except ValueError as error:
        return None, [prefix], [errors.Problem(f'{prefix}name = {errors.shown(value)}', f'{error}.', origin)]
    members, lost, wrong = [], [], []
    if found.members is not None:
        from data.objectives import mixture  # here, not above: --help does without numpy
        inside = [key.removeprefix(prefix + 'members.') for key, *_ in given if key.startswith(prefix + 'members.')]
        for name in dict.fromkeys(key.partition('.')[0] for key in inside if '.' in key):
            member, *more = outline(given, complete, f'{prefix}members.{name}.')
            members += [mixture.Member(name, member)] if member else []
            lost, wrong = lost + more[0], wrong + more[1]
        found = dataclasses.replace(found, members=tuple(members))
    return found, lost, wrong


def kinds(objective, prefix='objective.'):
    """{dotted key: type} of the settings of an Objective (class or instance, or None), its members' included."""
    found = {prefix + 'name': str}
    if objective is not None:
        fields = schema.kinds(objective if isinstance(objective, type) else type(objective), prefix)
        found.update({key: kind for key, kind in fields.items() if key.rpartition('.')[2] not in schema.FOLLOWS})
    for member in (objective and objective.members) or ():
        inner = f'{prefix}members.{member.name}.'
        found.update({inner + 'name': str, inner + 'weight': float, **kinds(member.objective, inner)})
    return found


def build(outline, found, follows, prefix='objective.'):
    """The Objective from {dotted key: value}; `follows`: {field: value} of what the config says (schema.FOLLOWS)."""
    given = {**found, **{prefix + name: value for name, value in follows.items()}}
    if outline.members is not None:
        from data.objectives import mixture
        given[prefix + 'members'] = tuple(
            mixture.Member(member.name, build(member.objective, found, follows, f'{prefix}members.{member.name}.'),
                           found.get(f'{prefix}members.{member.name}.weight', member.weight)) for member in outline.members)
    return schema.build(type(outline), given, prefix)


def owner(objective, key, prefix='objective.'):
    """(the Objective that a key belongs to: the innermost member whose it is, the prefix of its keys)."""
    for member in (objective and objective.members) or ():
        inner = f'{prefix}members.{member.name}.'
        if key.startswith(inner) and key != inner + 'weight':
            return owner(member.objective, key, inner)
    return objective, prefix


def parts(objective, prefix='objective.'):
    """[(prefix of its keys, an Objective that makes examples)]: of a mixture its members', else the objective itself."""
    if objective is None or objective.members is None:
        return [(prefix, objective)] * (objective is not None)
    return [found for member in objective.members for found in parts(member.objective, f'{prefix}members.{member.name}.')]


def path(objective):
    """The file of an Objective (class or instance)."""
    return f'data/objectives/{schema.objective_name(objective)}.py'
