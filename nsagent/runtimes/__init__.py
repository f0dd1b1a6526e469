"""Names of containers from the runtimes that run them. A runtime that fails costs names, never sockets."""
