"""Tests of nsagent.scan.collect."""
