"""Recordings in; a stream, or a backtest report, out."""
