"""The formats of text files by their endings. Imports nothing of weight, so that settings can name them."""
from typing import Any

FORMATS = {'text': ('.txt', '.text', '.md'), 'jsonl': ('.jsonl', '.ndjson'), 'json': ('.json',), 'csv': ('.csv',), 'tsv': ('.tsv',),
           'parquet': ('.parquet',)}
COMPRESSIONS = ('.gz', '.xz', '.bz2', '.zst')     # of all but parquet
DOCUMENTS = ('file', 'blank_line', 'line')        # what a document of a text file is


def add_flags(parser: Any, documents: str | None = 'file') -> None:
    """Adds --field, --format and --documents (its default: `documents`), which a command hands to data/text/sources.py, to a parser."""
    parser.add_argument('--field', default='text', help='column of JSON, CSV, parquet and TFDS rows; default: text')
    parser.add_argument('--format', choices=FORMATS, help='of files; default: by their endings, before .gz .xz .bz2 .zst')
    parser.add_argument('--documents', choices=DOCUMENTS, default=documents, help='what a document of a text file is; blank_line: what is '
                        f"between blank lines; default: {documents or 'as the run has it'}")


def of(name: str) -> tuple[str, str]:
    """(format, ending of the compression) of a file's name; '' where the ending says none."""
    name = name.lower()
    compression = next((ending for ending in COMPRESSIONS if name.endswith(ending)), '')
    name = name.removesuffix(compression)
    found = next((format for format, endings in FORMATS.items() if name.endswith(endings)), '')
    return ('', '') if found == 'parquet' and compression else (found, compression)
