"""Speaking HTTP to providers: addresses, credentials, connections."""
