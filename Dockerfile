# The official image of PostgreSQL, with the extension in it.
#
#   docker build --build-arg PG_MAJOR=18 --tag postgres-session-guard:18 .
ARG PG_MAJOR=18

FROM rust:1.95-bookworm AS rust

# Built where it will run: for this libc, with the headers of this PostgreSQL.
FROM postgres:${PG_MAJOR}-bookworm AS build
ARG PG_MAJOR
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH
# Debian keeps no earlier versions that these could be pinned to.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential ca-certificates libclang-dev libssl-dev pkg-config \
      "postgresql-server-dev-$PG_MAJOR" \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY scripts/cargo scripts/
RUN scripts/cargo install cargo-pgrx --version 0.19.3 --locked
COPY . .
RUN export PGRX_PG_CONFIG_PATH="/usr/lib/postgresql/$PG_MAJOR/bin/pg_config" \
 && scripts/cargo pgrx package --pg-config "$PGRX_PG_CONFIG_PATH" --no-default-features --features "pg$PG_MAJOR" \
      --out-dir /package

FROM postgres:${PG_MAJOR}-bookworm
COPY --from=build /package/usr /usr
