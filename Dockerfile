# dfl_tf in a container: no root, nothing written outside of /work and /cache.
#
#   docker build -t dfl-tf .                                   # CPU
#   docker build -t dfl-tf:gpu --build-arg FLAVOR=gpu .        # NVIDIA GPUs
#
#   docker run --rm --read-only --tmpfs /tmp --user "$(id -u):$(id -g)" \
#     -v "$PWD/workspace:/work" -v dfl-tf-cache:/cache dfl-tf train /work
#   (with a GPU: add --gpus all and take dfl-tf:gpu, for example with --require-gpu)
#
# `docker stop --time 300` sends SIGTERM, which saves: give it, and --save-deadline, the time that a
# save takes.
FROM python:3.12-slim AS build
ARG FLAVOR=cpu
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/dfl_tf
ENV PATH=/opt/dfl_tf/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE THIRD_PARTY_NOTICES.md /src/
COPY dfl_tf /src/dfl_tf
COPY ops /src/ops
COPY tools/container_requirements.py /src/tools/
WORKDIR /src
# pip takes tensorflow-cpu for no tensorflow: all requirements first, then the package by itself,
# with the C++ library for the TensorFlow that is there now
RUN python tools/container_requirements.py "$FLAVOR" > requirements.txt \
    && pip install -r requirements.txt \
    && DFL_TF_NATIVE=require pip install --no-build-isolation --no-deps .

FROM python:3.12-slim
RUN useradd --uid 1000 --create-home dfl && mkdir -p /work /cache && chown dfl /work /cache && chmod 1777 /cache
COPY --from=build /opt/dfl_tf /opt/dfl_tf
ENV PATH=/opt/dfl_tf/bin:$PATH \
    XDG_CACHE_HOME=/cache XDG_DATA_HOME=/cache/data \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER dfl
WORKDIR /work
VOLUME ["/cache"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["dfl-tf"]
CMD ["--help"]
