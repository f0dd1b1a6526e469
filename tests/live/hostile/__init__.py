"""Processes of a plain user that do at random whatever such a user may do; see nest.py."""
