"""What npm would publish: its files, its types, and both ways to load it."""

import json
import tarfile

import pytest
from adapters import TARGET
from python_helpers import ROOT
from python_helpers.commands import output_of, run

PACKAGE = ROOT / "clients" / "node"
BUILD = TARGET.parent
ENTRIES = {"express", "fastify", "index"}
TSC = ("node", str(BUILD / "node_modules" / "typescript" / "bin" / "tsc"))


def test_the_tarball_has_what_is_built_and_nothing_else():
    (tarball,) = BUILD.glob("*.tgz")
    version = json.loads((PACKAGE / "package.json").read_text())["version"]
    assert tarball.name == f"pg-session-guard-{version}.tgz"
    with tarfile.open(tarball) as opened:
        names = {member.name.removeprefix("package/") for member in opened if member.isfile()}
    sources = {path.stem for path in (PACKAGE / "src").glob("*.ts")}
    expected = {"LICENSE", "README.md", "package.json"}
    expected |= {f"dist/{name}{ending}" for name in sources for ending in (".js", ".d.ts")}
    expected |= {f"dist/{name}{ending}" for name in ENTRIES for ending in (".mjs", ".d.mts")}
    assert names == expected


def test_the_version_is_that_of_the_extension():
    version = json.loads((PACKAGE / "package.json").read_text())["version"]
    assert f'\nversion = "{version}"\n' in (ROOT / "Cargo.toml").read_text()


COMPILED = [
    ("express_app.mts", "nodenext", "nodenext"),
    ("express_app.mts", "esnext", "bundler"),
    ("express_store_app.mts", "nodenext", "nodenext"),
    ("fastify_app.cts", "nodenext", "nodenext"),
]


@pytest.mark.parametrize("app, module, resolution", COMPILED)
def test_an_app_in_typescript_compiles(app, module, resolution):
    # Without --skipLibCheck: the types that the package ships are checked, too.
    options = ["--ignoreConfig", "--strict", "--noEmit", "--noUncheckedIndexedAccess", "--esModuleInterop"]
    options += ["--target", "es2022", "--types", "node", "--module", module, "--moduleResolution", resolution]
    done = run((*TSC, *options, app), None, TARGET)
    assert done.returncode == 0, done.stdout


LOADS = {
    "express by require": ("loads.cjs", "const { SessionGuard } = require('pg-session-guard/express');"),
    "express by import": ("loads.mjs", "import { SessionGuard } from 'pg-session-guard/express';"),
    "fastify by require": ("loads.cjs", "const { SessionGuard } = require('pg-session-guard/fastify');"),
    "fastify by import": ("loads.mjs", "import { SessionGuard } from 'pg-session-guard/fastify';"),
}


@pytest.mark.parametrize("way", LOADS)
def test_each_entry_loads_both_ways(way):
    name, line = LOADS[way]
    used = "const guard = new SessionGuard({ query() {} }); console.log(typeof guard.required, typeof guard.start);"
    (TARGET / name).write_text(f"{line}\n{used}\n")
    assert output_of(("node", name), None, TARGET) == "function function\n"


def test_an_app_that_imports_and_requires_has_one_class():
    lines = [
        "import { createRequire } from 'node:module';",
        "const require = createRequire(import.meta.url);",
        "const names = ['', '/express', '/fastify'];",
        "for (const name of names) {",
        "  const imported = await import(`pg-session-guard${name}`), required = require(`pg-session-guard${name}`);",
        "  const shared = Object.keys(required).every((key) => required[key] === imported[key]);",
        "  console.log(shared && Object.keys(required).length === Object.keys(imported).length);",
        "  console.log(required.CannotAsk === require('pg-session-guard').CannotAsk);",
        "}",
    ]
    (TARGET / "both.mjs").write_text("\n".join(lines))
    assert output_of(("node", "both.mjs"), None, TARGET) == "true\n" * 6
