#!/usr/bin/env bash
# How fast a container image becomes a directory, beside skopeo and umoci, as ratios from one run.
#
#   contrib/bench/oci.sh [DIR]     DIR: where the image is made once and kept (default: a new directory in $TMPDIR)
#
#   TAR=FILE     a root file system to use instead of the one that mmdebstrap makes (about 600 MB)
#   SCRATCH=DIR  in a new directory of it, images are pulled and unpacked (default: /dev/shm; needs room for two)
#   RUNS=N       turns (default 5)
#
# Needs, all from Debian: mmdebstrap (unless TAR is set; wants the network) docker-registry skopeo umoci python3 tar gzip
# time, and root. But for mmdebstrap, nothing leaves loopback.
#
# Ours: `convert docker://…@sha256:… -o DIR/` into an empty cache. Theirs: `skopeo copy` to a layout, `umoci unpack`.
set -euo pipefail
source "$(dirname "$0")/common.sh"
need docker-registry skopeo umoci python3 tar gzip cargo /usr/bin/time

work=$(workplace "${1:-}")
scratch=$(realpath "$(mktemp -d -p "${SCRATCH:-/dev/shm}")")
port=${PORT:-18098}
runs=${RUNS:-5}
registry=
cleanup() {
    [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
    chmod -R u+rwX "$scratch" 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT

cargo build --release --quiet --locked
bin=$PWD/target/release/distro-fetch

if [ -n "${TAR:-}" ]; then
    tar=$(realpath "$TAR")
else
    once rootfs.tar debian
    tar=$work/rootfs.tar
fi

# Six layers: the tree in five parts, and one that changes and removes some of it.
layers() {
    python3 - "$tar" "$1" <<'PYTHON'
import io, sys, tarfile
source, folder = sys.argv[1:]
parts = [tarfile.open(f"{folder}/{n}.tar", "w", format=tarfile.PAX_FORMAT) for n in range(6)]
with tarfile.open(source) as tree:
    where, docs = {}, []
    for entry in tree:
        path = entry.name.lstrip("./")
        if not path:
            continue
        key = "/".join(path.split("/")[:3])
        part = 0 if entry.isdir() else sum(key.encode()) % 5
        if entry.islnk():
            part = where.get(entry.linkname.lstrip("./"), part)
        if entry.isfile():
            where[path] = part
            if path.startswith("usr/share/doc/"):
                docs.append(path)
        parts[part].addfile(entry, tree.extractfile(entry) if entry.isreg() else None)
for path in docs[::2]:
    folder_of, name = path.rsplit("/", 1)
    parts[5].addfile(tarfile.TarInfo(f"{folder_of}/.wh.{name}"))
for path in docs[1::2]:
    entry = tarfile.TarInfo(path)
    entry.size = 6
    parts[5].addfile(entry, io.BytesIO(b"other\n"))
for part in parts:
    part.close()
PYTHON
}
# An OCI layout of them, gzip as nearly all layers are.
layout() {
    local parts=$work/parts.part
    rm -rf "$parts" "$1" && mkdir -p "$parts" "$1/blobs/sha256"
    layers "$parts"
    for part in "$parts"/*.tar; do gzip -6 -n -k "$part"; done
    python3 - "$parts" "$1" <<'PYTHON'
import hashlib, json, os, shutil, sys
parts, layout = sys.argv[1:]
def digest(path):
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
def blob(document):
    data = json.dumps(document).encode()
    name = hashlib.sha256(data).hexdigest()
    open(f"{layout}/blobs/sha256/{name}", "wb").write(data)
    return {"digest": "sha256:" + name, "size": len(data)}
kind = "application/vnd.oci.image."
layers, diffs = [], []
for n in range(6):
    path = f"{parts}/{n}.tar"
    diffs.append(digest(path))
    name = digest(path + ".gz")
    layers.append({"mediaType": kind + "layer.v1.tar+gzip", "digest": name, "size": os.path.getsize(path + ".gz")})
    shutil.move(path + ".gz", f"{layout}/blobs/sha256/{name[7:]}")
config = blob({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs}})
manifest = blob({"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                 "config": {"mediaType": kind + "config.v1+json", **config}, "layers": layers})
manifest |= {"mediaType": kind + "manifest.v1+json", "annotations": {"org.opencontainers.image.ref.name": "six"}}
json.dump({"schemaVersion": 2, "manifests": [manifest]}, open(f"{layout}/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(f"{layout}/oci-layout", "w"))
PYTHON
    rm -rf "$parts"
}
image=$work/$(stat -c '%s-%Y' "$tar").oci
once "${image##*/}" layout

mkdir "$scratch/registry"
cat >"$scratch/registry.yml" <<YAML
version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: $scratch/registry } }
http: { addr: 127.0.0.1:$port }
YAML
docker-registry serve "$scratch/registry.yml" >"$scratch/registry.log" 2>&1 &
registry=$!
for _ in $(seq 100); do
    skopeo copy --quiet --dest-tls-verify=false "oci:$image:six" "docker://127.0.0.1:$port/debian:six" 2>/dev/null && break
    sleep 0.1
done
digest=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://127.0.0.1:$port/debian:six")

echo "machine: $(nproc) cores, $(stat -f -c %T "$scratch") at \$SCRATCH, load $(load); $(umoci --version | head -n 1); $(skopeo --version)"
echo "image: 6 layers, $(($(du -sb "$image" | cut -f1) / 1000000)) MB of gzip, of a tar of $(($(stat -c %s "$tar") / 1000000)) MB; medians of $runs turns"

run() {
    rm -rf "$scratch"/{cache,tree,layout,bundle}
    timed "$@"
}
ours() {
    "$bin" --quiet --progress none --cache-dir "$scratch/cache" \
        convert "docker://127.0.0.1:$port/debian@$digest" --insecure --platform linux/amd64 -o "$scratch/tree/"
}
theirs() {
    skopeo copy --quiet --src-tls-verify=false "docker://127.0.0.1:$port/debian@$digest" "oci:$scratch/layout:six"
    umoci unpack --image "$scratch/layout:six" "$scratch/bundle" 2>/dev/null
}

run once theirs
expect=$("$bin" digest "$scratch/bundle/rootfs")
run once ours
[ "$("$bin" digest "$scratch/tree")" = "$expect" ] || { echo "the trees differ" >&2; exit 1; }
for _ in $(seq "$runs"); do
    run ours ours
    run theirs theirs
done
printf 'pull and merge %s s, skopeo and umoci %s s: %s times faster (goal: at least 1.5; load %s)\n' \
    "$(seconds ours)" "$(seconds theirs)" "$(ratio "$(median theirs)" "$(median ours)")" "$(load)"
rm -rf "$scratch"/{cache,tree,layout,bundle}
peak=$(/usr/bin/time -f %M "$bin" --quiet --progress none --cache-dir "$scratch/cache" \
    convert "docker://127.0.0.1:$port/debian@$digest" --insecure --platform linux/amd64 -o "$scratch/tree/" 2>&1 >/dev/null |
    tail -n 1 | awk '{ printf "%.1f", $1 / 1024 }')
echo "peak memory: $peak MiB (goal: at most 96)"
