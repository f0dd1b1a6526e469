"""Tests of nsagent.cli, in-process wherever that shows the same."""
