"""Which process, container and pod holds each socket, in every network namespace of a Linux node."""

__version__ = "0.2.0"
