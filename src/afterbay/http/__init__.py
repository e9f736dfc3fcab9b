"""The HTTP surface: one bare ASGI application. HTTP matters only; everything else is the engine's."""
