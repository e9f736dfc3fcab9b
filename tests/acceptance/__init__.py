"""The running gateway from outside: real sockets, unmodified SDKs."""
