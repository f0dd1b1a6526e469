"""The command line: options to one call, its answer to stdout, its errors to an exit status.

The outermost layer: clocks, the environment, signals and process-wide settings are read and set
here and nowhere else.
"""
