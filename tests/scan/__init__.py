"""Tests of nsagent.scan: hand-made facts, fixture trees, and passes over this host."""
