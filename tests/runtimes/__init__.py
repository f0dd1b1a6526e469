"""Tests of the runtimes, each over a real unix socket."""
