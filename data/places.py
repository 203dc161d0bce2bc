"""Where a file or a folder is: a path of this machine, ~ and ~USER expanded, or a location on gs:// and the like, which a package opens."""
import importlib.util
import os
import pathlib
import re
from typing import Any

from data import errors

PACKAGES = {'gs': 'gcsfs', 's3': 's3fs', 'az': 'adlfs'}  # {scheme: the package that opens it}
ADVICE = {'hf': 'download it first: hf download NAME --local-dir=FOLDER (a dataset: --repo-type=dataset)', 'file': 'write the path alone'}


def path(location: str | os.PathLike) -> Any:
    """pathlib.Path, or etils.epath.Path for gs:// and the like (importing it costs 0.1 s: only when needed). DataError for what `wrong`
    finds."""
    if found := wrong(location):
        raise errors.DataError(f'{location}: {found}')
    if '://' in str(location):
        from etils import epath
        return epath.Path(location)
    found = pathlib.Path(os.path.expanduser(location))
    return found.absolute() if str(found).startswith('~') else found  # ./~x, whose ./ pathlib drops


def wrong(location: str | os.PathLike) -> str | None:
    """Why nothing can be there: a scheme that nothing here opens, or whose package is missing, or a home folder that does not exist. None
    where something can. Names may have commas between. No connection is made."""
    text, known = os.fspath(location), ', '.join(f'{name}://' for name in PACKAGES)
    for scheme in re.findall(r'(?:^|,)\s*([^,]*?)://', text):
        if scheme not in PACKAGES:
            return f'expected a path of this machine, {known}, got {scheme}://; {ADVICE.get(scheme, "download it first")}'
        if not importlib.util.find_spec(PACKAGES[scheme]):
            return (f'expected the package {PACKAGES[scheme]}, which opens {scheme}://, got none; pip install {PACKAGES[scheme]} '
                    f'(there are {known})')
    user = text.partition('/')[0]
    if user.startswith('~') and os.path.expanduser(user) == user:
        return f'expected the home folder of {user}, got none; write the path in full, or ./{text} for that name in this folder'
    return None
