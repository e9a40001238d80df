"""Keeps every cell's window live and publishes what the model makes of it; loses nothing."""
