# docker build -t medical-transfer-benchmark .                                        (CPU)
# docker build -t medical-transfer-benchmark:cuda --build-arg BASE=nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04 .
# docker run --rm -v /data/sets:/data -v $PWD/results:/results medical-transfer-benchmark plan --suite demo
ARG BASE=debian:bookworm-slim
FROM ${BASE}
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml README.md LICENSE model_zoo.yaml ./
COPY benchmark benchmark
COPY tasks tasks
COPY results/published results/published
# the version, which the build cannot read from git: --build-arg VERSION=1.2.3
ARG VERSION=0.1.0
RUN python3 -m venv /venv && SETUPTOOLS_SCM_PRETEND_VERSION=$VERSION /venv/bin/pip install --no-cache-dir .
ENV PATH=/venv/bin:$PATH BENCHMARK_DATA=/data BENCHMARK_RESULTS=/results BENCHMARK_HOME=/home/benchmark NO_ALBUMENTATIONS_UPDATE=1
RUN useradd --create-home benchmark && mkdir -p /results && chown benchmark /results
USER benchmark
ENTRYPOINT ["benchmark"]
CMD ["--help"]
