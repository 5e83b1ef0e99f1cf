# syntax=docker/dockerfile:1
# CPU image:  docker build -t onnxd .
# GPU image:  docker build -t onnxd:gpu --build-arg BASE=nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04 --build-arg RUNTIME=gpu .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG RUNTIME=cpu
SHELL ["/bin/bash", "-o", "pipefail", "-euc"]
WORKDIR /src
# hadolint ignore=DL3008
RUN if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then \
        apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && \
        rm -rf /var/lib/apt/lists/*; \
    fi && python3 -m venv /opt/onnxd && python3 -m venv /opt/build
COPY requirements requirements
RUN /opt/onnxd/bin/python -m pip install --no-cache-dir --require-hashes -r "requirements/serve-$RUNTIME.txt" && \
    /opt/build/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY protos protos
COPY clients clients
COPY sim_core sim_core
COPY server server
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels ./protos ./clients . && \
    /opt/onnxd/bin/python -m pip install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM ${BASE} AS serve
# hadolint ignore=DL3008
RUN if ! command -v python3 >/dev/null; then \
        apt-get update && apt-get install -y --no-install-recommends python3 && \
        rm -rf /var/lib/apt/lists/*; \
    fi && useradd --system --uid 10001 --create-home --home-dir /var/lib/onnxd onnxd
COPY --from=build /opt/onnxd /opt/onnxd
# In a container the listeners face the network, so nobody may load, unload or change settings over it;
# watching the repository goes on. A few seconds of lingering let a load balancer notice that the server is to go.
ENV PATH=/opt/onnxd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    MALLOC_ARENA_MAX=2 \
    ONNXD_HOST=0.0.0.0 \
    ONNXD_MODEL_CONTROL_API=false \
    ONNXD_SETTINGS_API=false \
    ONNXD_MODEL_REPOSITORY=/models \
    ONNXD_STATE_DIR=/var/lib/onnxd \
    ONNXD_DRAIN_LINGER=5s \
    ONNXD_LOG_FORMAT=json
USER 10001
VOLUME ["/models", "/var/lib/onnxd"]
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["onnxd"]
CMD ["serve"]
