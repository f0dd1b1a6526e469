"""Tests on this very kernel: real netns, real processes, real containers, exact numbers."""
