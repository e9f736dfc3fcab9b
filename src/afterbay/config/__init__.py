"""The configuration: `schema` is what a user may write, `load` reads it, `snapshot` is what is served."""
