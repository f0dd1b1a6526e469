"""Who holds the ends of a connection, for programs that ask often."""
