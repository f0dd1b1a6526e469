"""Frozen values that the rooms of the house hand to each other; nothing here does I/O."""
