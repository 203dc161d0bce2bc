"""From documents to rows: packing, sentence pairs, streams, two-sided rows, rows of several objectives."""
