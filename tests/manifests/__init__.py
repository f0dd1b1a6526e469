"""Tests of the manifests: the chart, what is rendered from it, and rules that no schema knows."""
