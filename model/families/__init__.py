"""Model families: the shapes of the published sizes, as pure data.

SIZES       {size: settings of model/config.py}, so that a config says `config.model = dict(bert.SIZES['base'])`
PARAMETERS  {size: how many numbers train}, counted from the released model or, where none was, from the paper. Papers round,
            some generously; where theirs is another number, the file says so.
"""
