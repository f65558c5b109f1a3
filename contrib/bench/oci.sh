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

rootfs

image=$work/$(stat -c '%s-%Y' "$tar").oci
once "${image##*/}" six "$tar"

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
