# The proxy of docker-compose.yml. The context is the top of the source tree.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --bin rproxy

# What plays recordings without rproxy; no distribution has version 3 yet.
FROM rust:1.95.0-slim-bookworm AS player
RUN cargo install --locked --version 3.2.0 --root /player asciinema

FROM debian:12.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends openssh-client zstd \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --shell /bin/sh rproxy \
    && install -d -o rproxy -g rproxy -m 700 /var/lib/rproxy \
    && install -d -m 777 /exchange \
    && install -d /etc/rproxy \
    && ln -s /etc/rproxy/rproxy.yaml /home/rproxy/rproxy.yaml
COPY --from=build /source/target/release/rproxy /usr/local/bin/
COPY --from=player /player/bin/asciinema /usr/local/bin/
COPY tests/docker/proxy.sh /usr/local/bin/
COPY tests/docker/rproxy.yaml /etc/rproxy/
ENV RPROXY_DATA_DIR=/var/lib/rproxy
USER rproxy
WORKDIR /home/rproxy
EXPOSE 3023
CMD ["proxy.sh"]
