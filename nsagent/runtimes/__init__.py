"""Names of containers from the engines that run them. An engine that fails costs names, never sockets."""
