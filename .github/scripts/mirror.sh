#!/usr/bin/env bash
# Brings the pins of the catalog into a mirror.
#
#   mirror.sh DIR
#
#   IMAGES, ARCH, RETAIN, URL      as contrib/mirror/README.md has them, without MIRROR_
#   VERIFY=true                    reads and hashes everything that is there
#
# `code=N` goes to GITHUB_OUTPUT if the mirror can be served as it is now.
set -euo pipefail

dir=$1
read -r -a images <<< "${IMAGES:---all}"
arguments=("$dir" "${images[@]}" --arch "${ARCH:-amd64}")
[ -z "${RETAIN:-}" ] || arguments+=(--retain "$RETAIN")
[ "${VERIFY:-}" != true ] || arguments+=(--verify)
if [ -n "${URL:-}" ]; then
    arguments+=(--url "$URL")
fi

code=0
target/release/distro-fetch mirror "${arguments[@]}" || code=$?
case $code in
# Some pins may have failed: each is named above, and the others are there.
0 | 1 | 4 | 5 | 6 | 7 | 9) echo "code=$code" >> "${GITHUB_OUTPUT:-/dev/stdout}" ;;
*)
    echo "::error::the mirror ended with code $code, and is left as it was"
    exit 1
    ;;
esac
