"""Pure renderers: the same Snapshot gives the same text, in chunks that are cheap to write."""
