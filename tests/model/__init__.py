"""Tests of nsagent.model."""
