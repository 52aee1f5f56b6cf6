# docker build -t initbench . && docker run --rm -v "$PWD/results:/work/results" initbench
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
COPY . /opt/initbench
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir /opt/initbench
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /work
ENTRYPOINT ["initbench"]
CMD ["reproduce"]
