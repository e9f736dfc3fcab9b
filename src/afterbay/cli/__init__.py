"""The command line: words for people on stderr, data on stdout."""
