"""Configuration: what the service can be told, and how it is read."""
