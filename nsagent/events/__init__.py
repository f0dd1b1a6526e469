"""Processes as they come and go, for other programs."""
