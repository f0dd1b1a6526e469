"""The config file of the agent: YAML text -> a frozen Config, every error with its place. Pure."""
