#!/usr/bin/env bash
# How fast `publish` is, beside openssl hashing the same files, as ratios from one run; and how much memory it takes.
#
#   contrib/bench/publish.sh [DIR]    DIR: where the images are made once and kept (default: a new directory in $TMPDIR)
#
#   VERSIONS=N   versions of the first tree (default 2000: some 2.5 GB), each of three files of mixed sizes
#   MANY=N       versions of the second tree, of small files (default 10000): publishing again when nothing has changed
#   RUNS=N       turns (default 5)
#
# Needs: openssl time (Debian). Everything is read once before, so that no turn waits for a disk.
#
# openssl hashes each file once. `publish` has to hash a root twice: alone, and behind its metadata, which is another
# hash from the first block on. So the second pair has openssl do the same: each root also behind its metadata.
set -euo pipefail
source "$(dirname "$0")/common.sh"
need openssl xargs cargo /usr/bin/time

work=$(workplace "${1:-}")
scratch=$(realpath "$(mktemp -d)")
trap 'rm -rf "$scratch"' EXIT
versions=${VERSIONS:-2000}
many=${MANY:-10000}
runs=${RUNS:-5}

cargo build --release --quiet --locked
bin=$PWD/target/release/distro-fetch

# tree COUNT LARGE DIR: COUNT versions, ten of a product: metadata of 2 KB, a squashfs and a tarball of up to LARGE KB.
tree() {
    local n folder size
    head -c $((${2} * 1024 + 65536)) /dev/urandom >"$scratch/noise"
    for ((n = 0; n < $1; n++)); do
        folder=$3/images/os$((n / 100))/r$((n / 10 % 10))/amd64/default/$(printf '202601%02d_13:00' $((n % 10 + 1)))
        mkdir -p "$folder"
        size=$((n * 7919 % $2 + 1))
        # Each file begins elsewhere in the same noise.
        tail -c +$((n + 1)) "$scratch/noise" | head -c 2000 >"$folder/incus.tar.xz" || true
        tail -c +$((n * 3 + 1)) "$scratch/noise" | head -c $((size * 1024)) >"$folder/rootfs.squashfs" || true
        tail -c +$((n * 5 + 1)) "$scratch/noise" | head -c $((size * 512 + 1)) >"$folder/rootfs.tar.xz" || true
    done
}
once "tree-$versions" tree "$versions" 1600
once "many-$many" tree "$many" 4
root=$work/tree-$versions
files() { find "$root/images" -type f -print0; }
files | xargs -0 cat >/dev/null

fresh() { rm -rf "$1"/.publish.* "$1/streams"; }
ours() { "$bin" --quiet --progress none --jobs "$(nproc)" publish "$1"; }
once_each() { files | xargs -0 -P"$(nproc)" -n 200 openssl dgst -sha256; }
behind_too() {
    once_each
    find "$root/images" -name 'rootfs.*' -print0 | xargs -0 -P"$(nproc)" -n 50 sh -c '
        for root; do cat "${root%/*}/incus.tar.xz" "$root" | openssl dgst -sha256; done' sh
}

echo "machine: $(nproc) cores, load $(load); $(openssl version)"
echo "tree: $versions versions, $(files | tr -cd '\0' | wc -c) files, $(du -s --apparent-size -m "$root/images" | cut -f1) MiB; medians of $runs turns"
for _ in $(seq "$runs"); do
    fresh "$root"
    timed ours ours "$root"
    timed once_each once_each
    timed behind_too behind_too
done
printf 'first publish     %s s; openssl, each file once  %s s: %s of it (goal: at most 1.00)\n' \
    "$(seconds ours)" "$(seconds once_each)" "$(ratio "$(median ours)" "$(median once_each)")"
printf 'first publish     %s s; openssl, the same hashes %s s: %s of it\n' \
    "$(seconds ours)" "$(seconds behind_too)" "$(ratio "$(median ours)" "$(median behind_too)")"

fresh "$root"
memory=$(/usr/bin/time -f %M "$bin" --quiet --progress none --jobs "$(nproc)" publish "$root" 2>&1 >/dev/null | tail -n 1)
echo "first publish     $((memory / 1024)) MiB at most (goal: at most 64)"

root=$work/many-$many
ours "$root" >/dev/null
for _ in $(seq "$runs"); do
    timed again ours "$root"
done
memory=$(/usr/bin/time -f %M "$bin" --quiet --progress none publish "$root" 2>&1 >/dev/null | tail -n 1)
printf 'nothing changed   %s s for %s versions (goal: less than 1 s for 10,000), %s MiB at most\n' \
    "$(seconds again)" "$many" "$((memory / 1024))"
