"""The command: serve, check, demo, client configuration."""
