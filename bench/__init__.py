"""Speed, always as a ratio to something measured in the same run: ratios travel between machines, seconds do not."""
