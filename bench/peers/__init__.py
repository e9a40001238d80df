"""The same job done with other stream processors, side by side: ``python -m bench.peers``."""
