# The official image of PostgreSQL, with the extension in it:
#
#   docker build --build-arg PG_MAJOR=18 --tag postgres-session-guard:18 .
#
# The extension alone, which CloudNativePG mounts beside a PostgreSQL of its own (18 and later):
#
#   docker build --build-arg PG_MAJOR=18 --target extension --tag session-guard-extension:18 .
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
 && apt-get install -y --no-install-recommends build-essential ca-certificates jq libclang-dev libssl-dev pkg-config \
      "postgresql-server-dev-$PG_MAJOR" \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY scripts/cargo scripts/
RUN scripts/cargo install cargo-pgrx --version 0.19.3 --locked
COPY . .
RUN export PGRX_PG_CONFIG_PATH="/usr/lib/postgresql/$PG_MAJOR/bin/pg_config" \
 && scripts/cargo pgrx package --pg-config "$PGRX_PG_CONFIG_PATH" --no-default-features --features "pg$PG_MAJOR" \
      --out-dir /package \
 && strip --strip-unneeded "/package/usr/lib/postgresql/$PG_MAJOR/lib/pg_session_guard.so" \
 && mkdir -p /licenses/pg_session_guard \
 && cp LICENSE /licenses/pg_session_guard \
 && scripts/linked-crates "$PG_MAJOR" >/licenses/pg_session_guard/linked-crates.txt

FROM scratch AS extension
ARG PG_MAJOR
LABEL org.opencontainers.image.title="pg_session_guard" \
      org.opencontainers.image.version="1.0.0" \
      org.opencontainers.image.vendor="the pg_session_guard authors" \
      org.opencontainers.image.source="https://pg-session-guard.invalid/source" \
      org.opencontainers.image.licenses="PostgreSQL" \
      io.cloudnativepg.image.base.pgmajor="$PG_MAJOR" \
      io.cloudnativepg.image.base.os="bookworm"
COPY --from=build /package/usr/lib/postgresql/${PG_MAJOR}/lib/ /lib/
COPY --from=build /package/usr/share/postgresql/${PG_MAJOR}/extension/ /share/extension/
COPY --from=build /licenses/ /licenses/

FROM postgres:${PG_MAJOR}-bookworm
LABEL org.opencontainers.image.title="pg_session_guard" \
      org.opencontainers.image.version="1.0.0" \
      org.opencontainers.image.vendor="the pg_session_guard authors" \
      org.opencontainers.image.source="https://pg-session-guard.invalid/source" \
      org.opencontainers.image.licenses="PostgreSQL"
COPY --from=build /package/usr /usr
COPY --from=build /licenses/ /usr/share/doc/
