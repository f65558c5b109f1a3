#!/usr/bin/env bash
# How fast a tar becomes an EROFS image, beside `mkfs.erofs --tar`, as ratios from one run.
#
#   contrib/bench/erofs.sh TAR [DIR]    TAR: a root file system, not compressed
#                                       DIR: where files are made (default: a new directory in $TMPDIR)
#
#   MKFS=FILE    mkfs.erofs 1.7 or newer, which knows --tar (default: the one in $PATH)
#   RUNS=N       turns (default 5)
#
# Needs: erofs-utils gzip time. Both images are checked by fsck.erofs at the end.
set -euo pipefail
tar=$(realpath "${1:?a tar}")
work=$(realpath "$(mktemp -d -p "${2:-${TMPDIR:-/tmp}}")")
cd "$(dirname "$0")/../.."
mkfs=${MKFS:-mkfs.erofs}
runs=${RUNS:-5}
trap 'rm -rf "$work"' EXIT
for tool in "$mkfs" fsck.erofs gzip /usr/bin/time cargo; do
    command -v "$tool" >/dev/null || { echo "missing: $tool (see the head of $0)" >&2; exit 2; }
done
"$mkfs" --help 2>&1 | grep -q -- --tar || { echo "$mkfs does not know --tar: see MKFS" >&2; exit 2; }

cargo build --release --quiet --locked --no-default-features --features fsimg --example erofs
ours=$PWD/target/release/examples/erofs
ln -s "$tar" "$work/rootfs.tar"
gzip -c "$tar" >"$work/rootfs.tar.gz"

# measure NAME COMMAND …: seconds and KiB of one turn, in a line of the file NAME.
measure() {
    local name=$1
    shift
    rm -f "$work/$name.erofs"
    /usr/bin/time -a -o "$work/$name" -f '%e %M' "$@" >/dev/null
}
for ((turn = 0; turn < runs; turn++)); do
    measure ours-tar "$ours" "$work/rootfs.tar" "$work/ours-tar.erofs"
    measure mkfs-tar "$mkfs" --quiet --tar=f "$work/mkfs-tar.erofs" "$work/rootfs.tar"
    rm -f "$work"/*.erofs
    measure ours-gzip "$ours" "$work/rootfs.tar.gz" "$work/ours-gzip.erofs"
    measure mkfs-gzip "$mkfs" --quiet --tar=f --gzip "$work/mkfs-gzip.erofs" "$work/rootfs.tar.gz"
    fsck.erofs "$work/ours-gzip.erofs" >/dev/null
    ls -s --block-size=M "$work"/*.erofs | sed 's|/.*/||' >"$work/sizes"
    rm -f "$work"/*.erofs
done

# The median of a column.
median() {
    sort -n -k "$2,$2" "$work/$1" | awk -v column="$2" '{ v[NR] = $column } END { print v[int((NR + 1) / 2)] }'
}
for kind in tar gzip; do
    a=$(median "ours-$kind" 1) b=$(median "mkfs-$kind" 1)
    printf '%-5s ours %6.2f s  mkfs.erofs %6.2f s  %5.2f times as fast; %d and %d KiB\n' "$kind" "$a" "$b" \
        "$(awk -v a="$a" -v b="$b" 'BEGIN { print b / a }')" "$(median "ours-$kind" 2)" "$(median "mkfs-$kind" 2)"
done
cat "$work/sizes"
