"""Synthetic hosts with known sockets, and how long nsagent and its peers take to read them: `python -m tests.bench`."""
