"""Compiles what nearly every test runs, so that of the processes which share the tests none does it for itself."""

from __future__ import annotations

from model.artifact import load
from model.predictor import Predictor
from stream.assembly import warm_kernels
from stream.kafka.handover import murmur2

if __name__ == "__main__":
    murmur2([b""])
    for built_in in ("cycle", "sample"):
        warm_kernels(load(built_in).manifest)
    Predictor(load("cycle"), "cpu").warm(1)
