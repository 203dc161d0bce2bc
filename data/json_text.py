"""JSON that anybody may have damaged."""
import json
from typing import Any

DEEP = 200                                    # levels: Python walks nested values to about 1,000


def value(text: str) -> Any:
    """The value of a JSON text. ValueError also for more than DEEP levels, which functions that call themselves could not walk."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError('nesting too deep') from None
    level, depth = [found], 0
    while level := [inside for one in level if isinstance(one, (dict, list))
                    for inside in (one.values() if isinstance(one, dict) else one) if isinstance(inside, (dict, list))]:
        depth += 1
        if depth > DEEP:
            raise ValueError('nesting too deep')
    return found
