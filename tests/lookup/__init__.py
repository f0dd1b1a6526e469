"""Tests of nsagent.lookup."""
