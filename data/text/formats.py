"""The formats of text files by their endings. Imports nothing, so that settings can name them."""

FORMATS = {'text': ('.txt', '.text', '.md'), 'jsonl': ('.jsonl', '.ndjson'), 'json': ('.json',), 'csv': ('.csv',), 'tsv': ('.tsv',),
           'parquet': ('.parquet',)}
COMPRESSIONS = ('.gz', '.xz', '.bz2', '.zst')     # of all but parquet
DOCUMENTS = ('file', 'blank_line', 'line')        # what a document of a text file is


def of(name: str) -> tuple[str, str]:
    """(format, ending of the compression) of a file's name; '' where the ending says none."""
    name = name.lower()
    compression = next((ending for ending in COMPRESSIONS if name.endswith(ending)), '')
    name = name.removesuffix(compression)
    found = next((format for format, endings in FORMATS.items() if name.endswith(endings)), '')
    return ('', '') if found == 'parquet' and compression else (found, compression)
