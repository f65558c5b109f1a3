#!/usr/bin/env bash
# What a run of the refresher costs against a large simplestreams server, beside what Python needs to
# parse the same document and do nothing with it, as ratios from one run.
#
#   contrib/bench/refresh.sh [DIR]     DIR: where files are written (default: a new directory in $TMPDIR)
#
# Needs, all from Debian: nginx-light python3 time. Nothing leaves loopback.
set -euo pipefail
source "$(dirname "$0")/common.sh"
need nginx python3 /usr/bin/time cargo

work=$(workplace "${1:-}")
port=${PORT:-18099}
runs=${RUNS:-15}
cleanup() {
    stop "$work"
    rm -rf "$work/www" "$work"/{catalog.json,subject.txt,out,access.log,nginx.conf,python,refresh}
}
trap cleanup EXIT

cargo build --release --quiet --locked --package distro-fetch-refresh
bin=$PWD/target/release/refresh

# Products like those of linuxcontainers.org: three builds with five files each, all hashes distinct,
# always the same. The catalog follows every tenth.
python3 - "$work" <<'EOF'
import hashlib, json, os, sys

work = sys.argv[1]
PRODUCTS, IMAGES = 4000, 200
ARCHES = ["amd64", "arm64"]
SERIALS = ["20260126_13:00", "20260127_13:00", "20260128_13:00"]
FILES = [("lxd.tar.xz", "lxd.tar.xz"), ("incus.tar.xz", "incus.tar.xz"), ("rootfs.tar.xz", "root.tar.xz"),
         ("rootfs.squashfs", "squashfs"), ("disk.qcow2", "disk-kvm.img")]

def sha256(*words):
    return hashlib.sha256("/".join(words).encode()).hexdigest()

def product(release, arch):
    versions = {}
    for serial in SERIALS:
        folder = f"images/bench/{release}/{arch}/default/{serial}"
        combined = {f"combined_{it}_sha256": sha256(folder, it) for it in ["rootxz", "squashfs", "disk-kvm-img"]}
        combined["combined_sha256"] = combined["combined_rootxz_sha256"]
        items = {}
        for name, ftype in FILES:
            digest = sha256(folder, name)
            items[ftype] = {"ftype": ftype, "sha256": digest, "size": 1000 + int(digest[:6], 16), "path": f"{folder}/{name}"}
            if name in ("lxd.tar.xz", "incus.tar.xz"):
                # One fingerprint for both: their metadata is the same.
                items[ftype] |= combined | {"sha256": sha256(folder, "metadata")}
        versions[serial] = {"items": items}
    return {"aliases": f"bench/{release}/default,bench/{release}", "arch": arch, "os": "Bench", "release": release,
            "release_title": release, "requirements": {}, "variant": "default", "versions": versions}

releases = [f"{n:04}" for n in range(PRODUCTS // len(ARCHES))]
products = {f"bench:{release}:{arch}:default": product(release, arch) for release in releases for arch in ARCHES}
step = len(releases) // IMAGES
images = {f"bench-{release}": {
    "distro": "bench", "version": release, "kind": "rootfs", "ephemeral": True, "arches": ARCHES, "pins": {},
    "source": {"type": "simplestreams", "origin": "bench", "index": "streams/v1/index.json",
               "product": f"bench:{release}:{{arch}}:default", "item": "root.tar.xz"}} for release in releases[::step]}

streams = f"{work}/www/streams/v1"
os.makedirs(streams)
def write(path, document):
    with open(path, "w") as file:
        json.dump(document, file, separators=(",", ":"))
write(f"{streams}/images.json", {"content_id": "images", "datatype": "image-downloads", "format": "products:1.0", "products": products})
write(f"{streams}/index.json", {"format": "index:1.0", "index": {"images": {"datatype": "image-downloads",
    "path": "streams/v1/images.json", "format": "products:1.0", "products": list(products)}}})
write(f"{work}/catalog.json", {"schema": 1, "images": images, "origins": {
    "bench": {"url": "https://images.example.org/", "retention": {"builds": 3}}}})
EOF
chmod 755 "$work" "$work/www"
serve "$work" "$port" "root $work/www;" "$work/access.log combined"
document=$work/www/streams/v1/images.json
size=$(stat -c %s "$document")

# Each is a whole process. `refresh --check` ends with 10: the file would change.
cat >"$work/python" <<EOF
#!/bin/sh
exec python3 -c "import json; json.load(open('$document'))"
EOF
cat >"$work/refresh" <<EOF
#!/bin/sh
exec "$bin" --catalog "$work/catalog.json" --origin bench=http://127.0.0.1:$port/ --subject "$work/subject.txt" --check >"$work/out" 2>&1
EOF
chmod +x "$work/python" "$work/refresh"
export SOURCE_DATE_EPOCH=1769644800 # 2026-01-29

echo "machine: $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg); binary: $(stat -c %s "$bin") bytes"
awk -v s="$size" 'BEGIN { printf "document: %.1f MB, 4000 products, 3 builds, 5 files each; catalog: 200 images, 400 pins to find\n", s / 1e6 }'

code=0
"$work/refresh" || code=$?
if [ "$code" != 10 ] || ! grep -q '^catalog: 400 pins added' "$work/subject.txt"; then
    cat "$work/out" >&2
    echo "the refresher did not find the 400 pins (exit code $code)" >&2
    exit 1
fi
# One line is one request.
requests=$(wc -l <"$work/access.log")
documents=$(awk '{ print $7 }' "$work/access.log" | sort -u | wc -l)
echo "requests: $requests for $documents documents (goal: one for each)"

# In turns, so that a busy moment of a shared machine hits both; medians.
once() {
    local start=${EPOCHREALTIME/./}
    "$1" || true
    echo $((${EPOCHREALTIME/./} - start)) >>"$1.times"
}
rm -f "$work"/{python,refresh}.times
for _ in $(seq "$runs"); do
    once "$work/python"
    once "$work/refresh"
done
median() { sort -n "$work/$1.times" | sed -n "$(((runs + 1) / 2))p"; }
peak() { { /usr/bin/time -f %M "$work/$1" || true; } 2>&1 | tail -n 1; }

awk -v p="$(median python)" -v r="$(median refresh)" 'BEGIN { printf "time: refresh %.3f s, json.load %.3f s\n", r / 1e6, p / 1e6 }'
echo "  a whole refresh takes $(ratio "$(median refresh)" "$(median python)") of the time of json.load alone   (goal: at most 0.5)"
refresh=$(peak refresh) python=$(peak python)
awk -v p="$python" -v r="$refresh" 'BEGIN { printf "peak memory: refresh %.1f MiB, json.load %.1f MiB\n", r / 1024, p / 1024 }'
echo "  a whole refresh takes $(ratio "$((refresh * 1024))" "$size") times the document                (goal: at most 3)"
echo "  json.load takes $(ratio "$((python * 1024))" "$size") times the document"
rm -f "$work"/{python,refresh}.times
