"""The command line: options to one call, its answer to stdout, its errors to an exit status.

The outermost layer: clocks, the environment, signals and terminals are read and set here and nowhere
else, and so are settings of the process but for its limit of open files, which a pass raises.
"""
