#!/usr/bin/env bash
# How fast `ensure` is, beside the programs that people use instead, as ratios from one run.
#
#   contrib/bench/fetch.sh [DIR]     DIR: where files are written (default: a new directory in $TMPDIR)
#
# Needs, all from Debian: nginx-light hyperfine curl openssl jq time. Nothing leaves loopback.
set -euo pipefail
source "$(dirname "$0")/common.sh"
need nginx hyperfine curl openssl sha256sum jq /usr/bin/time rustc cargo

work=$(workplace "${1:-}")
port=${PORT:-18098}
runs=${RUNS:-15}
cleanup() {
    stop "$work"
    rm -rf "$work/www" "$work/cache" "$work/warm" "$work/out" "$work/hello" "$work/hello.rs"
}
trap cleanup EXIT

cargo build --release --quiet
bin=$PWD/target/release/distro-fetch
mkdir -p "$work/www"
for size in 15 150 1500; do
    head -c "${size}M" /dev/urandom >"$work/www/$size.tar"
done
chmod 755 "$work" "$work/www"
serve "$work" "$port" "root $work/www;"
url=http://127.0.0.1:$port/150.tar
hash=$(sha256sum "$work/www/150.tar" | cut -d' ' -f1)

echo "machine: $(nproc) cores, $(stat -f -c %T "$work") at $work, load $(cut -d' ' -f1 /proc/loadavg)"
echo "binary: $(stat -c %s "$bin") bytes"

# Medians: a shared machine has outliers. The curl commands do not fsync; `ensure` does.
median() { jq -r ".results[$1].median" "$work/times.json"; }

hyperfine -N --style none --warmup 2 --runs "$runs" --export-json "$work/times.json" \
    --prepare "rm -rf $work/cache $work/out" \
    "$bin --progress none --cache-dir $work/cache ensure $url --sha256 $hash" \
    "curl -sS -o $work/out $url" \
    "sh -c 'curl -sS -o $work/out $url && sha256sum $work/out'" \
    "sh -c 'curl -sS -o $work/out $url && openssl dgst -sha256 $work/out'" >/dev/null
printf 'cold, 150 MB: ensure %.3f s, curl %.3f s, curl && sha256sum %.3f s, curl && openssl %.3f s\n' \
    "$(median 0)" "$(median 1)" "$(median 2)" "$(median 3)"
echo "  ensure takes $(ratio "$(median 0)" "$(median 1)") of the time of curl alone            (goal: at most 1.2)"
echo "  ensure is $(ratio "$(median 2)" "$(median 0)") times faster than curl && sha256sum   (goal: at least 2.5)"
echo "  ensure is $(ratio "$(median 3)" "$(median 0)") times faster than curl && openssl     (goal: at least 1.6)"

for size in 15 150 1500; do
    rm -rf "$work/cache"
    sum=$(sha256sum "$work/www/$size.tar" | cut -d' ' -f1)
    kib=$(/usr/bin/time -f %M "$bin" --progress none --cache-dir "$work/cache" \
        ensure "http://127.0.0.1:$port/$size.tar" --sha256 "$sum" 2>&1 >/dev/null | tail -n 1)
    echo "peak memory, $size MB: $(awk -v k="$kib" 'BEGIN { printf "%.1f", k / 1024 }') MiB (goal: at most 16)"
done

echo 'fn main() { println!("hello"); }' >"$work/hello.rs"
rustc -O -C strip=symbols -C panic=abort -o "$work/hello" "$work/hello.rs"
"$bin" --progress none --cache-dir "$work/warm" ensure "$url" --sha256 "$hash" >/dev/null
hyperfine -N --style none --warmup 50 --runs 1000 --export-json "$work/times.json" \
    "$bin --cache-dir $work/warm ensure $url --sha256 $hash" "$work/hello" >/dev/null
awk -v a="$(median 0)" -v b="$(median 1)" 'BEGIN { printf "warm: ensure %.2f ms, hello world %.2f ms\n", a * 1000, b * 1000 }'
echo "  a warm ensure takes $(ratio "$(median 0)" "$(median 1)") of the time of hello world   (goal: at most 1.3)"
