"""Speed, always as a ratio to something measured in the same run: these numbers travel between machines, seconds do not."""
