"""Recorded batteries in, the neutral form out: one module a form."""

from replay.readers.errors import RecordingError
from replay.readers.mapping import Mapping, load_mapping
from replay.readers.reading import FORMATS, Format, iter_recordings, read

__all__ = ["FORMATS", "Format", "Mapping", "RecordingError", "iter_recordings", "load_mapping", "read"]
