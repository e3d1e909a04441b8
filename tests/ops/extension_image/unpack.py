"""Unpacks the layers of an image, as what mounts it does, after it has compared each digest.

    unpack.py ARCHIVE FOLDER
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

archive = tarfile.open(sys.argv[1])


def read(name):
    return archive.extractfile(name).read()


def blob(descriptor):
    algorithm, digest = descriptor["digest"].split(":")
    content = read(f"blobs/{algorithm}/{digest}")
    assert len(content) == descriptor["size"], descriptor
    assert hashlib.new(algorithm, content).hexdigest() == digest, descriptor
    return content


assert json.loads(read("oci-layout"))["imageLayoutVersion"] == "1.0.0"
[descriptor] = json.loads(read("index.json"))["manifests"]
manifest = json.loads(blob(descriptor))
config = json.loads(blob(manifest["config"]))
assert {"architecture": config["architecture"], "os": config["os"]} == descriptor["platform"]
for layer, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
    content = gzip.decompress(blob(layer))
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == diff_id
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        assert all(entry.uid == 0 and not entry.mode & 0o222 for entry in files)
        files.extractall(sys.argv[2], filter="data")
Path(sys.argv[2]).chmod(0o555)
