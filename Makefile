# `make` names what there is.

ifdef PG_CONFIG
export PG_CONFIG
endif
ifdef ONLY
export ONLY
endif
ifdef PG_CONFIGS
export PG_CONFIGS
endif
pg_config = $(shell command -v $(or $(PG_CONFIG),pg_config))
major = $(shell scripts/major $(pg_config))

.PHONY: help demo demo-ha psql check test test-examples test-python test-node test-rust test-versions test-superset test-stock test-drivers test-browser screenshots test-patroni test-monitoring test-docs docs test-sql-edition histories-sql-edition \
  test-matrix test-loaded test-stalls histories fuzz sqlsmith valgrind bench plots recording added-time lint deny install installcheck all deb test-deb extension-image test-extension-image dist clean

help:
	@echo 'To try it, in a PostgreSQL of its own below target/:'
	@echo '  make demo           tells the story (the first time builds for some minutes)'
	@echo '  make psql           a psql where the story ended'
	@echo '  make demo-ha        the same with a standby, a pooler, and a failover'
	@echo
	@echo 'To install it. PG_CONFIG=/usr/lib/postgresql/18/bin/pg_config chooses the PostgreSQL:'
	@echo '  make install        into that PostgreSQL, as a user who may write there'
	@echo '  make installcheck   the SQL tests, on the running server that PGHOST and PGPORT lead to'
	@echo '  make deb            Debian packages into target/deb/, for each PostgreSQL at hand in Debian'"'"'s layout'
	@echo '  make extension-image  the image that CloudNativePG mounts, for PostgreSQL 18 and later'
	@echo '  make docs           the site of docs/ into target/site/'
	@echo
	@echo 'To change it:'
	@echo '  make check          the quick tests, in under a minute; TEST=verdict runs that SQL or isolation test alone'
	@echo '  make test           most tests, on private clusters; those that take long have targets of their own'
	@echo '  make lint           rustfmt, layers, prose, versions, clippy, rustdoc, shellcheck, and pgspot over the SQL'
	@echo '  make deny           licences, sources and known vulnerabilities of the crates that are used'
	@echo '  make bench          what it costs, against what one would write instead (12 minutes; QUICK=1, FULL=1)'
	@echo '  make added-time     what the Python and the Node package add to a request, by turns with the same app without (4 minutes)'
	@echo '  make plots          draws the plots of the last make bench anew'
	@echo '  make recording      records make demo for the docs'
	@echo '  make clean          removes what was built'
	@echo
	@echo 'Tests by subject:'
	@echo '  make test-matrix    on every PostgreSQL at hand: PG_CONFIGS=…, and those of Debian and PGDG'
	@echo '  make test-sql-edition  the SQL edition: the SQL and isolation tests, its contract against the library, and moving (4 minutes)'
	@echo '  make test-examples  the example apps, over HTTP'
	@echo '  make test-python    the Python package: types, wheel and sdist, and each adapter over HTTP (2 minutes)'
	@echo '  make test-node      the Node package: types, tarball, Express and Fastify, over HTTP (2 minutes)'
	@echo '  make test-rust      the Rust crate: its tarball, and axum over tokio-postgres and sqlx, over HTTP (3 minutes once built)'
	@echo '  make test-versions  the Python and the Node package on the oldest and the newest frameworks (half an hour); ONLY=django-4.2'
	@echo '  make test-superset  a real Superset, and Airflow, guarded and stock, over HTTP (10 minutes, 2 GB)'
	@echo '  make test-stock     better-auth, Auth.js, Express and Django apps as they are, over HTTP (2 minutes)'
	@echo '  make test-drivers   twelve drivers, and PgBouncer, in front of one table of cases'
	@echo '  make test-browser   a disable as a browser sees it, and the pages for administrators (Chromium)'
	@echo '  make screenshots    the same, and renews the pictures of the docs'
	@echo '  make test-patroni   switchovers and failovers by two versions of Patroni, with HAProxy, under load (10 minutes)'
	@echo '  make test-monitoring  the queries, the dashboard and the alerts of examples/monitoring'
	@echo '  make test-docs      the SQL of README.md and of docs/, with the answers that it gives'
	@echo '  make histories      concurrent histories for SECONDS=600, from SEED=…'
	@echo '  make histories-sql-edition  the same on the SQL edition, at READ COMMITTED, and each planted fault'
	@echo '  make fuzz           CASES=4000000 of each property of the pure core, and SECONDS_EACH=60 by coverage'
	@echo '  make sqlsmith       QUERIES=100000 random queries over functions and tables: no crash, no internal error'
	@echo '  make valgrind       the SQL tests on a server that valgrind watches'
	@echo '  make test-loaded    all of make test RUNS=10 times in a row, beside a busy loop on each core (hours)'
	@echo '  make test-stalls    the SQL and isolation tests, while the clock goes 3 s ahead after each statement (10 minutes); TEST=attach'
	@echo
	@echo 'To release it:'
	@echo '  make test-deb       installs each Debian package into a clean root, uses it there, and removes it; with'
	@echo '                      RELEASES="noble trixie" those that it first builds within these releases, in target/releases/'
	@echo '  make test-extension-image  a PostgreSQL 18 finds the extension in the unpacked image, and updates it'
	@echo '  make dist           the rest of a release into target/dist/: PGXN, packages of clients/, SBOM, checksums'

demo:
	@scripts/demo

demo-ha:
	@scripts/demo-ha

psql:
	@scripts/demo psql

check:
	@scripts/check $(TEST)

test:
	@scripts/test

test-examples:
	@scripts/with-cluster examples tests/apps/examples/run tests/apps/flask_appbuilder/run tests/apps/django_express_axum/run

test-python:
	@scripts/with-cluster python tests/apps/python/run

test-node:
	@scripts/with-cluster node tests/apps/node/run

test-rust:
	@scripts/with-cluster rust tests/apps/rust/run

test-versions:
	@scripts/with-cluster versions tests/apps/versions/run

test-superset:
	@scripts/with-cluster superset tests/apps/superset/run tests/apps/airflow/run

test-stock:
	@scripts/with-cluster stock tests/apps/stock/run

test-drivers:
	@scripts/with-cluster drivers tests/drivers/run

test-browser:
	@scripts/with-cluster browser tests/apps/browser/run

screenshots:
	@SCREENSHOTS=1 scripts/with-cluster browser tests/apps/browser/run

test-patroni:
	@scripts/operations patroni

test-monitoring:
	@scripts/operations monitoring

test-docs:
	@scripts/operations docs

docs:
	@scripts/docs

test-sql-edition:
	@scripts/regress-sql-edition
	@scripts/with-cluster move tests/sql_edition/contract tests/sql_edition/move

test-matrix:
	@scripts/test-matrix

test-loaded:
	@scripts/loaded $(RUNS)

test-stalls:
	@scripts/stalls $(TEST)

histories:
	@scripts/histories $(or $(PG_CONFIG),$$(scripts/setup)) --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

histories-sql-edition:
	@scripts/histories-sql-edition --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

fuzz:
	@scripts/fuzz

sqlsmith:
	@scripts/sqlsmith

valgrind:
	@scripts/valgrind

bench:
	@scripts/bench

added-time:
	@RELEASE=1 ADDED_TIME=1 scripts/with-cluster added-time tests/apps/python/run tests/apps/node/run

plots:
	@bench/plots

recording:
	@scripts/recording

lint:
	@scripts/lint

deny:
	@scripts/deny

install:
	PGRX_PG_CONFIG_PATH=$(pg_config) scripts/cargo pgrx install --release --pg-config $(pg_config) \
	  --no-default-features --features pg$(major)

installcheck:
	scripts/regress $(pg_config)

deb:
	@scripts/deb

test-deb:
	@scripts/test-deb $(RELEASES)

extension-image:
	@scripts/extension-image $(PG_CONFIG)

test-extension-image:
	@tests/ops/extension_image/run $(or $(PG_CONFIG),$$(scripts/setup)) "$$(scripts/extension-image $(PG_CONFIG))"

dist:
	@scripts/dist

# What PGXN's client calls before install.
all:
	PGRX_PG_CONFIG_PATH=$(pg_config) scripts/cargo pgrx package --pg-config $(pg_config) \
	  --no-default-features --features pg$(major)

clean:
	scripts/cargo clean
