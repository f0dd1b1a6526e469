"""One pass: collect facts, decide what they mean. All but `collect` is pure."""
