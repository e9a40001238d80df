"""Accuracy on recorded batteries: every protocol split by cell, causal, and beside baselines under the same rules."""
