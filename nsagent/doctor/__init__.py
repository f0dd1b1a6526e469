"""What this machine allows, each line with its fix."""
