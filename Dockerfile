# Throughline: two stages on Debian, no root, a read-only root file system will do (state is in /state).
# DEBIAN_IMAGE pins the base by digest before you build for others: docs/operations.md, "Pinned images".
# tools/run_dockerfile.py executes these very steps on a plain Debian root, without Docker.

ARG DEBIAN_IMAGE=debian:bookworm-slim
FROM ${DEBIAN_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv ca-certificates
WORKDIR /src
COPY requirements-run.lock pyproject.toml README.md ./
RUN python3 -m venv /opt/throughline
RUN /opt/throughline/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement requirements-run.lock
COPY app app
COPY migrations migrations
COPY openapi openapi
COPY docs docs
RUN /opt/throughline/bin/pip install --no-cache-dir --no-deps --no-build-isolation --no-index .

FROM ${DEBIAN_IMAGE}
RUN apt-get update && apt-get install --yes --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home throughline && install --directory --owner throughline --mode 0700 /state
COPY --from=build /opt/throughline /opt/throughline
ENV PATH=/opt/throughline/bin:/usr/bin:/bin
ENV TL_HOST=0.0.0.0
ENV TL_STATE_DIR=/state
ENV PYTHONDONTWRITEBYTECODE=1
WORKDIR /state
USER throughline
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ.get(\"TL_PORT\", \"8000\")}/readyz', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["throughline", "serve"]
