"""Tests of nsagent.events."""
