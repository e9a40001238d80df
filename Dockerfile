# syntax=docker/dockerfile:1
# Any base with Python >= 3.11 and pip will do. Where it brings torch, that one is used; else the locked one is installed.
ARG BASE_IMAGE=pytorch/pytorch:2.9.1-cuda12.8-cudnn9-runtime

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY locks/ locks/
RUN python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "the base image needs Python >= 3.11")' \
 && python3 -m venv --without-pip /tmp/builder \
 && python3 -m pip --python /tmp/builder/bin/python install --require-hashes -r locks/build.txt
RUN if python3 -c 'import sys, torch; sys.exit(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 8))' 2>/dev/null; \
    then echo "using the base image's torch"; site=--system-site-packages; lock=locks/runtime-without-torch.txt; \
    else echo "installing torch"; site=; lock=locks/runtime.txt; fi \
 && python3 -m venv --without-pip $site /opt/cyclecast \
 && python3 -m pip --python /opt/cyclecast/bin/python install --require-hashes -r "$lock"
COPY pyproject.toml README.md LICENSE ./
COPY cyclecast/ cyclecast/
COPY stream/ stream/
COPY model/ model/
COPY replay/ replay/
# Times in whole seconds: a layer may keep no finer ones, and both byte code and compiled kernels know their source by its time.
RUN /tmp/builder/bin/python -m hatchling build -t wheel -d /tmp/dist \
 && python3 -m pip --python /opt/cyclecast/bin/python install --no-deps --no-index --no-compile /tmp/dist/*.whl \
 && cd / \
 && ours=$(/opt/cyclecast/bin/python -c 'import pathlib, replay; print(pathlib.Path(replay.__file__).parent.parent)') \
 && ln -s "$ours/replay/samples" /opt/cyclecast/samples \
 && for package in cyclecast stream model replay; do \
      find "$ours/$package" -type f -exec touch -d @1700000000 {} + \
      && /opt/cyclecast/bin/python -m compileall -q "$ours/$package" || exit 1; \
    done
# The step kernels and the LSTM, compiled for this processor; on another kind they are compiled anew when a container starts.
RUN cd / && NUMBA_CACHE_DIR=/opt/cyclecast/kernels MPLCONFIGDIR=/tmp/matplotlib /opt/cyclecast/bin/python -c \
      'from model.artifact import load; from model.predictor import Predictor; from stream.assembly import warm_kernels; \
       from stream.kafka.handover import murmur2; murmur2([b""]); \
       [warm_kernels(load(k).manifest) for k in ("cycle", "sample")]; Predictor(load("cycle"), "cpu").warm(1)' \
 && chown -R 10001:10001 /opt/cyclecast/kernels

FROM ${BASE_IMAGE} AS service
LABEL org.opencontainers.image.title="cyclecast" \
      org.opencontainers.image.description="Streaming online predictor of battery life for live BMS telemetry" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/cyclecast /opt/cyclecast
# The root file system may be read-only: what is written goes to /tmp, which may be a tmpfs, and kernels go where they are if
# that is writable (a volume), else below HOME.
ENV PATH=/opt/cyclecast/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache \
    NUMBA_CACHE_DIR=/opt/cyclecast/kernels \
    MPLCONFIGDIR=/tmp/matplotlib \
    CYCLECAST_HTTP__HOST=0.0.0.0
WORKDIR /tmp
USER 10001:10001
EXPOSE 8600 8601
# Alive, not ready: a service that waits for its broker is alive. Commands that serve no HTTP switch it off.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8601/healthz', timeout=2)"]
ENTRYPOINT ["cyclecast"]
CMD ["--help"]

# The same and JupyterLab: `docker build --target notebook`. A volume over the folder of the notebooks begins with those of the image
# and keeps what their user makes of them. Without JUPYTER_TOKEN Jupyter makes a token and logs it.
FROM service AS notebook
USER 0:0
COPY locks/notebook.txt /tmp/notebook.txt
# Laid over what is there, by the pip of the base image, which is behind the environment's own folder in PATH. The lock names no torch.
RUN PATH=${PATH#*:} python3 -m pip --python /opt/cyclecast/bin/python install --disable-pip-version-check --no-cache-dir \
      --root-user-action=ignore --require-hashes -r /tmp/notebook.txt \
 && rm /tmp/notebook.txt \
 && install -d -o 10001 -g 10001 /opt/cyclecast/notebooks
COPY deploy/jupyter/ /opt/cyclecast/etc/jupyter/
COPY --chown=10001:10001 notebooks/ /opt/cyclecast/notebooks/
WORKDIR /opt/cyclecast/notebooks
USER 10001:10001
EXPOSE 8888
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8888/api', timeout=2)"]
ENTRYPOINT ["jupyter-lab"]
CMD ["--ip=0.0.0.0"]

# The last stage is what `docker build` makes.
FROM service
