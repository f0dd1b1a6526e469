"""Details of one process."""
