"""One file a command: what it takes, what its help teaches, and what it calls."""
