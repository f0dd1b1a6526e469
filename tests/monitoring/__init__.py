"""Alert rules and dashboard: the real promtool judges them, and every metric and label in them is one that there is."""
