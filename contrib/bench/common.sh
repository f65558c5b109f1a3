# What the scripts beside it share: sourced by them, and leads to the root of the project.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# need TOOL …
need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "missing: $tool (see the head of $0)" >&2; exit 2; }
    done
}

# workplace [DIR]: says which directory files are written to, a new one in $TMPDIR if there is no other.
workplace() {
    local work=${1:-$(mktemp -d)}
    mkdir -p "$work" && realpath "$work"
}

# serve DIR PORT DIRECTIVES [LOG]: an nginx on loopback whose own files are in DIR.
serve() {
    local dir=$1 port=$2 directives=$3 log=${4:-off}
    cat >"$dir/nginx.conf" <<EOF
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
events { worker_connections 64; }
http {
    access_log $log; sendfile on; tcp_nopush on;
    client_body_temp_path $dir/t1; proxy_temp_path $dir/t2; fastcgi_temp_path $dir/t3;
    uwsgi_temp_path $dir/t4; scgi_temp_path $dir/t5;
    server { listen 127.0.0.1:$port; $directives }
}
EOF
    nginx -c "$dir/nginx.conf"
}

# stop DIR: ends the nginx of `serve`, if there is one.
stop() {
    [ -s "$1/nginx.pid" ] && kill "$(cat "$1/nginx.pid")" 2>/dev/null || true
}

# once NAME COMMAND …: a file or directory in $work, made by COMMAND with its path as last argument, beside its name:
# an interrupted run leaves none that is short.
once() {
    local file=$work/$1
    shift
    [ -e "$file" ] && return
    echo "making ${file##*/}" >&2
    "$@" "$file.part"
    mv "$file.part" "$file"
}

# debian FILE: a tar of about 600 MB, a machine's root file system and not a container's.
debian() {
    mmdebstrap --quiet --variant=important \
        --include=linux-image-cloud-amd64,vim,git,python3,locales,openssh-server,cloud-init,tcpdump,perl bookworm "$1"
}

# rootfs: sets $tar, the root file system that is measured with: $TAR, or one that is made once.
rootfs() {
    if [ -n "${TAR:-}" ]; then
        tar=$(realpath "$TAR")
    else
        once rootfs.tar debian
        tar=$work/rootfs.tar
    fi
}

# wants WORD …: whether any of them is in $only.
wants() {
    local word
    for word in "$@"; do
        [[ $only == *" $word "* ]] && return
    done
    return 1
}

# six TAR LAYOUT: an OCI layout of six gzip layers, as nearly all layers are: the tree in five parts, and one that changes
# and removes some of it. The name of the image is `six`.
six() {
    local parts=$2.parts part
    rm -rf "$parts" "$2" && mkdir -p "$parts" "$2/blobs/sha256"
    python3 - "$1" "$parts" <<'PYTHON'
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
    for part in "$parts"/*.tar; do gzip -6 -n -k "$part"; done
    python3 - "$parts" "$2" <<'PYTHON'
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
json.dump({"schemaVersion": 2, "mediaType": kind + "index.v1+json", "manifests": [manifest]}, open(f"{layout}/index.json", "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(f"{layout}/oci-layout", "w"))
PYTHON
    rm -rf "$parts"
}

load() { cut -d' ' -f1 /proc/loadavg; }

# ratio A B: how many times B is in A.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# timed NAME COMMAND …: one more time of NAME, in microseconds, into $scratch; and what it cost the processors.
timed() {
    local log=$scratch/$1 start TIMEFORMAT='%3U %3S'
    shift
    start=${EPOCHREALTIME/./}
    { time "$@" >/dev/null 2>&3; } 3>&2 2>>"$log.cpu"
    echo $((${EPOCHREALTIME/./} - start)) >>"$log.times"
}

# median NAME, seconds NAME, processor NAME: of its $runs times; the last in seconds of user and system.
median() { sort -n "$scratch/$1.times" | sed -n "$(((runs + 1) / 2))p"; }
seconds() { awk -v t="$(median "$1")" 'BEGIN { printf "%.3f", t / 1e6 }'; }
processor() { awk '{ print $1 + $2 }' "$scratch/$1.cpu" | sort -n | sed -n "$(((runs + 1) / 2))p"; }
