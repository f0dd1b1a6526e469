"""Tests of identity: text and records in, records out."""
