# A newcomer needs two of these: make demo, make test.
# PG_CONFIG=… chooses the PostgreSQL to build for.

ifdef PG_CONFIG
export PG_CONFIG
endif
ifdef PG_CONFIGS
export PG_CONFIGS
endif
export PATH := $(CURDIR)/target/tools/bin:$(PATH)
pg_config = $(shell command -v $(or $(PG_CONFIG),pg_config))
major = $(shell scripts/major $(pg_config))

.PHONY: help demo demo-ha psql test test-patroni test-monitoring test-docs test-matrix histories fuzz valgrind bench lint install installcheck clean

help:
	@echo 'make demo           the whole story on a private throw-away cluster'
	@echo 'make psql           a psql on the cluster of the demo'
	@echo 'make demo-ha        the same with a standby, a pooler, and a failover'
	@echo 'make test           all tests, on private clusters'
	@echo 'make test-patroni   switchovers and failovers by Patroni, under load (5 minutes)'
	@echo 'make test-monitoring  the queries, the dashboard and the alerts of examples/monitoring'
	@echo 'make test-docs      the SQL of docs/operations.md and docs/scaling.md'
	@echo 'make test-matrix    on every PostgreSQL at hand: PG_CONFIGS=…, and those of Debian and PGDG'
	@echo 'make histories      concurrent histories for SECONDS=600, from SEED=…'
	@echo 'make fuzz           CASES=4000000 of each property of the pure core, and SECONDS_EACH=60 by coverage'
	@echo 'make valgrind       the SQL tests on a server that valgrind watches'
	@echo 'make bench          what it costs, against what one would write instead (12 minutes; QUICK=1, FULL=1)'
	@echo 'make lint           rustfmt and clippy'
	@echo 'make install        into the PostgreSQL of PG_CONFIG (as a user who may write there)'
	@echo 'make installcheck   the SQL tests, on the running server that PGHOST and PGPORT lead to'
	@echo 'make clean          removes what was built'

demo:
	@scripts/demo

demo-ha:
	@scripts/demo-ha

psql:
	@scripts/demo psql

test:
	@scripts/test

test-patroni:
	@scripts/operations patroni

test-monitoring:
	@scripts/operations monitoring

test-docs:
	@scripts/operations docs

test-matrix:
	@scripts/test-matrix

histories:
	@scripts/histories $(or $(PG_CONFIG),$$(scripts/setup)) --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

fuzz:
	@scripts/fuzz

valgrind:
	@scripts/valgrind

bench:
	@scripts/bench

lint:
	@scripts/lint

install:
	PGRX_PG_CONFIG_PATH=$(pg_config) cargo pgrx install --release --pg-config $(pg_config) \
	  --no-default-features --features pg$(major)

installcheck:
	scripts/regress $(pg_config)

clean:
	cargo clean
