"""cyclecast: a streaming online predictor of battery life for live BMS telemetry. This package is its front door."""

__version__ = "0.1.0"
