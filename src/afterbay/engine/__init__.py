"""The asynchronous part: it sees ports, policies and dialects, never a socket, a database or a clock of its own."""
