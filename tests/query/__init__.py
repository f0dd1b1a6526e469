"""Tests of nsagent.query."""
