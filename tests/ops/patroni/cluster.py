"""Three nodes of Patroni, one etcd, and HAProxy, on loopback, in a folder of their own."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import psutil
import psycopg
import yaml
from python_helpers import EXAMPLES, waiting
from python_helpers.ports import free_ports

EXAMPLE = EXAMPLES / "patroni"
LOOPBACK = "127.0.0.1"
PATIENCE = 90
TTL = 20  # Patroni's shortest.


def wait_until(what, question):
    return waiting.wait_until(what, question, PATIENCE, pause=0.1)


class Node:
    """A machine of the cluster: Patroni, and the server that it runs."""

    def __init__(self, folder, name, etcd):
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        self.port, self.api = free_ports(2)
        config = yaml.safe_load((EXAMPLE / "patroni.yml").read_text())
        del config["etcd3"]
        config |= {"name": name, os.environ["ETCD_API"]: {"hosts": etcd}}
        config["restapi"] = {"listen": f"{LOOPBACK}:{self.api}", "connect_address": f"{LOOPBACK}:{self.api}"}
        config["bootstrap"]["dcs"] |= {"ttl": TTL, "loop_wait": 1, "retry_timeout": 5}
        config["postgresql"] |= {
            "listen": f"{LOOPBACK}:{self.port}",
            "connect_address": f"{LOOPBACK}:{self.port}",
            "data_dir": str(self.folder / "data"),
            "bin_dir": os.environ["BINDIR"],
            "pgpass": str(self.folder / "pgpass"),
            "pg_hba": ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
            "parameters": {"unix_socket_directories": str(self.folder), "fsync": "off"},
            "callbacks": {
                "on_role_change": f"{EXAMPLE}/acknowledge_timeline 'host={LOOPBACK} port={self.port} dbname=postgres user=postgres'"
            },
        }
        (self.folder / "patroni.yml").write_text(yaml.safe_dump(config))

    def start(self):
        log = (self.folder / "log").open("a")
        self.patroni = subprocess.Popen([*shlex.split(os.environ["PATRONI"]), self.folder / "patroni.yml"], stdout=log, stderr=log)

    def postmaster(self):
        return psutil.Process(int((self.folder / "data" / "postmaster.pid").read_text().split()[0]))

    def kill_server(self):
        """Every process of the server at once. Patroni lives."""
        kill_family(self.postmaster())

    def kill_machine(self):
        """Every process of the node at once."""
        postmaster = self.postmaster()
        kill_family(psutil.Process(self.patroni.pid))
        kill_family(postmaster)
        self.patroni.wait()

    def connect(self, **options):
        return psycopg.connect(host=LOOPBACK, port=self.port, user="postgres", dbname="postgres", autocommit=True, **options)


def kill_family(parent):
    # Stopped first, so that the parent cannot start another child meanwhile.
    parent.send_signal(signal.SIGSTOP)
    for process in [*parent.children(recursive=True), parent]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass


def haproxy_config(nodes, ports):
    """The example's, with the addresses and ports of here."""
    config = (EXAMPLE / "haproxy.cfg").read_text()
    config = config.replace("check port 8008", "check")
    for name, port in ports.items():
        config, replaced = re.subn(rf"(listen {name}\n    bind) \S+", rf"\1 {LOOPBACK}:{port}", config)
        assert replaced == 1
    for node in nodes:
        config, replaced = re.subn(rf"(server {node.name}) \S+", rf"\1 {LOOPBACK}:{node.port} port {node.api}", config)
        assert replaced == len(ports)
    return config


class Cluster:
    """The three nodes, what their Patroni says of them, and the ways to them."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="guard-patroni.", dir="/tmp"))
        client, peer, *ports = free_ports(4)
        self.ports = dict(zip(["write", "read"], ports))
        address = f"http://{LOOPBACK}:{client}"
        log = (self.folder / "etcd.log").open("w")
        etcd = [os.environ["ETCD"], "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--enable-v2"]
        etcd += ["--listen-client-urls", address, "--advertise-client-urls", address]
        etcd += ["--listen-peer-urls", f"http://{LOOPBACK}:{peer}"]
        self.etcd = subprocess.Popen(etcd, stdout=log, stderr=log)
        self.nodes, self.haproxy = [], None
        try:
            self.nodes = [Node(self.folder, f"node{number}", f"{LOOPBACK}:{client}") for number in (1, 2, 3)]
            for node in self.nodes:
                node.start()
            self.start_haproxy()
            self.wait_until_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start_haproxy(self):
        config = self.folder / "haproxy.cfg"
        config.write_text(haproxy_config(self.nodes, self.ports))
        log = (self.folder / "haproxy.log").open("w")
        self.haproxy = subprocess.Popen([*shlex.split(os.environ["HAPROXY"]), "-db", "-f", config], stdout=log, stderr=log)

    def __exit__(self, *_):
        if self.haproxy:
            self.haproxy.terminate()
            self.haproxy.wait(PATIENCE)
        for node in self.nodes:
            if node.patroni.poll() is None:
                node.patroni.terminate()
        for node in self.nodes:
            node.patroni.wait(PATIENCE)
        self.etcd.terminate()
        self.etcd.wait(PATIENCE)
        shutil.rmtree(self.folder)

    def ask(self, path, body=None, method=None, patience=3):
        """The answer of the first Patroni that gives one."""
        for node in self.nodes:
            data = body and json.dumps(body).encode()
            request = urllib.request.Request(f"http://{LOOPBACK}:{node.api}{path}", data, method=method)
            try:
                with urllib.request.urlopen(request, timeout=patience) as response:
                    return response.read().decode()
            except OSError:
                continue
        return None

    def members(self):
        answer = self.ask("/cluster")
        return json.loads(answer)["members"] if answer else []

    def leader(self):
        names = [member["name"] for member in self.members() if member["role"] == "leader" and member["state"] == "running"]
        return next((node for node in self.nodes if node.name in names), None)

    def wait_until_led_by_another_than(self, old):
        return wait_until("another leader", lambda: (new := self.leader()) and new is not old and new)

    def wait_until_whole(self, is_synchronous=True):
        def is_whole():
            members = self.members()
            standbys = [member for member in members if member["role"] != "leader"]
            return (
                len(members) == len(self.nodes)
                and all(member["state"] in ("running", "streaming") for member in members)
                and len({member.get("timeline") for member in members}) == 1
                and any(member["role"] == "sync_standby" for member in standbys) == is_synchronous
                and self.streaming() == len(standbys)
            )

        wait_until("three nodes, one of them synchronous", is_whole)

    def streaming(self):
        """How many standbys the leader sends to. Patroni 3.0 says "running" of one, whether it streams or not."""
        try:
            with self.leader().connect() as there:
                return there.execute("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").fetchone()[0]
        except (AttributeError, psycopg.Error):
            return 0

    def switch_over(self):
        assert "Successfully" in (self.ask("/switchover", {"leader": self.leader().name}, patience=40) or "")

    def conninfo(self, way):
        if way in self.ports:
            # Nothing here but HAProxy asks what the server is.
            return f"host={LOOPBACK} port={self.ports[way]} user=postgres dbname=postgres connect_timeout=2"
        # libpq's own way to find the leader, or a standby, among several hosts.
        hosts, ports = ",".join([LOOPBACK] * len(self.nodes)), ",".join(str(node.port) for node in self.nodes)
        return (
            f"host={hosts} port={ports} user=postgres dbname=postgres target_session_attrs={way} "
            "load_balance_hosts=random connect_timeout=2"
        )

    def connect(self, way):
        return psycopg.connect(self.conninfo(way), autocommit=True)
