"""Tests of what doctor finds out."""
