#!/usr/bin/env bash
# How long does a table of many pins take to compile?
#
#     contrib/bench/table.sh [IMAGES]      (default: 2500 images x 4 architectures = 10,000 pins)
#
# Makes a catalog with distinct hashes, puts it into a scratch copy of the package below
# target/bench, builds the dependencies, and then times the library crate alone, without features:
# once after a change of the source, once after a change of the catalog (which runs build.rs too).
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
images=${1:-2500}
scratch=$root/target/bench/table
export CARGO_TARGET_DIR=$root/target/bench/table-target
# An incremental build would find the old table in its cache and measure nothing.
export CARGO_INCREMENTAL=0

rm -rf "$scratch"
mkdir -p "$scratch/contrib"
cd "$root"
cp -r Cargo.toml Cargo.lock build.rs src templates tests examples benches "$scratch/"
cp -r contrib/refresh "$scratch/contrib/"
cd "$scratch"

awk -v images="$images" 'BEGIN {
    srand(1)
    split("amd64 arm64 ppc64el s390x", arches, " ")
    print "{\"schema\": 1, \"origins\": {\"bench\": {\"url\": \"https://images.example.org/\","
    print "\"retention\": {\"builds\": 3}}}, \"images\": {"
    for (i = 1; i <= images; i++) {
        printf "\"bench-%05d\": {\"distro\": \"bench\", \"version\": \"%05d\", \"kind\": \"rootfs\",\n", i, i
        print "\"arches\": [\"amd64\", \"arm64\", \"ppc64el\", \"s390x\"],"
        print "\"source\": {\"type\": \"fixed\", \"origin\": \"bench\"}, \"pins\": {"
        for (a = 1; a <= 4; a++) {
            hash = sprintf("%07x%01x", i, a)
            while (length(hash) < 64) hash = hash sprintf("%04x", int(rand() * 65536))
            printf "\"%s\": {\"snapshot\": \"20260128_13:00\", \"sha256\": \"%s\", \"size\": %d, \"bumped_at\": \"2026-01-29\",\n", arches[a], hash, 3000000 + i
            printf "\"url\": \"https://images.example.org/images/bench/%05d/%s/default/20260128_13:00/rootfs.tar.xz\"}%s\n", i, arches[a], a < 4 ? "," : ""
        }
        printf "}}%s\n", i < images ? "," : ""
    }
    print "}}"
}' > catalog.json

library=(--quiet --no-default-features --lib)
timed() {
    local what=$1 start end
    shift
    start=$(date +%s%N)
    "$@"
    end=$(date +%s%N)
    printf '%-52s %6d ms\n' "$what" $(((end - start) / 1000000))
}

# Once with the project's own catalog: what the library costs without a large table.
measure() {
    echo "$1: catalog.json of $(stat -c %s catalog.json) bytes, $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
    for profile in check build "build --release"; do
        read -ra command <<< "$profile"
        cargo "${command[@]}" "${library[@]}"
        touch src/lib.rs
        timed "  cargo $profile, the library alone" cargo "${command[@]}" "${library[@]}"
        touch catalog.json
        timed "  cargo $profile, build.rs run and the library" cargo "${command[@]}" "${library[@]}"
    done
}
mv catalog.json large.json
cp "$root/catalog.json" catalog.json
measure "the project's own pins"
mv large.json catalog.json
touch catalog.json
measure "$((images * 4)) pins"
