"""What the user asks for: text to Filter, and the rows of a Snapshot that it selects. Pure."""
