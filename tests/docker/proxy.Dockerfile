# The proxy of docker-compose.yml. The context is the top of the source tree, of which the build sees what
# cargo reads: a change anywhere else builds nothing anew. What was downloaded and compiled stays in caches
# of the builder, so that a change in the sources compiles what depends on it.

# What plays recordings without rproxy; no distribution has version 3 yet.
FROM rust:1.95.0-slim-bookworm AS player
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build,id=player \
    CARGO_TARGET_DIR=/build cargo install --locked --version 3.2.0 --root /player asciinema

# The interface in the browser.
FROM node:20.19-bookworm-slim AS interface
COPY web /web
RUN --mount=type=cache,target=/root/.npm /web/build.sh

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /source
COPY build.rs Cargo.toml Cargo.lock ./
COPY benches benches
COPY src src
COPY --from=interface /web/dist web/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,id=rproxy \
    cargo build --release --locked --bin rproxy \
    && install target/release/rproxy /usr/local/bin/

FROM debian:12.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends openssh-client zstd \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --shell /bin/sh rproxy \
    && install -d -o rproxy -g rproxy -m 700 /var/lib/rproxy \
    && install -d -m 777 /exchange \
    && install -d /etc/rproxy \
    && ln -s /etc/rproxy/rproxy.yaml /home/rproxy/rproxy.yaml
COPY --from=player /player/bin/asciinema /usr/local/bin/
COPY --from=build /usr/local/bin/rproxy /usr/local/bin/
COPY tests/docker/proxy.sh /usr/local/bin/
ENV RPROXY_DATA_DIR=/var/lib/rproxy
USER rproxy
WORKDIR /home/rproxy
EXPOSE 3023
CMD ["proxy.sh"]
