# docker build -t initbench . && docker run --rm -v "$PWD/results:/work/results" initbench
# Where an index offers torch without CUDA, a tenth of the size: --build-arg PIP_EXTRA_INDEX_URL=URL
FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv
ARG PIP_EXTRA_INDEX_URL
COPY . /opt/initbench
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir /opt/initbench

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 initbench && mkdir -p /work/results && chown -R initbench /work
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
USER initbench
WORKDIR /work
VOLUME /work/results
ENTRYPOINT ["initbench"]
CMD ["reproduce"]
