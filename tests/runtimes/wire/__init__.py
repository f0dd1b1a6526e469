"""Tests of the engines, each over a real unix socket."""
