#!/usr/bin/env bash
# Runs the refresher and leaves in DIR what `propose.sh` wants.
#
#   resolve.sh DIR
#
#   ONLY, KEEP_GOING      what was asked for by hand
#   INTERVAL, MAX_AGE     days
#
# `changed=true` goes to GITHUB_OUTPUT, the summary to GITHUB_STEP_SUMMARY.
set -euo pipefail

mkdir -p "$1"
dir=$(realpath "$1")

arguments=(--interval "${INTERVAL:-7}" --max-age "${MAX_AGE:-120}")
arguments+=(--summary "$dir/summary.md" --subject "$dir/subject.txt")
[ -z "${ONLY:-}" ] || arguments+=("--only=$ONLY")
[ "${KEEP_GOING:-true}" != true ] || arguments+=(--keep-going)

code=0
# What is not for it is not in its environment, whatever a later version of this job has.
env -u GITHUB_TOKEN -u GH_TOKEN -u ACTIONS_ID_TOKEN_REQUEST_TOKEN -u ACTIONS_RUNTIME_TOKEN \
    cargo refresh "${arguments[@]}" || code=$?

if [ -s "$dir/summary.md" ]; then
    # A summary of a step may have 1 MiB.
    head -c 1000000 "$dir/summary.md" >> "${GITHUB_STEP_SUMMARY:-/dev/stderr}"
fi

case $code in
0) echo "nothing has changed" ;;
10) ;;
11) echo "::warning::some pins failed, or stand still: see the summary" ;;
*)
    echo "::error::the refresher ended with code $code" >&2
    exit 1
    ;;
esac

changed=$(git status --porcelain --untracked-files=no)
case $changed in
'') echo "changed=false" >> "${GITHUB_OUTPUT:-/dev/stdout}" ;;
' M catalog.json')
    cp catalog.json "$dir/"
    echo "changed=true" >> "${GITHUB_OUTPUT:-/dev/stdout}"
    ;;
*)
    printf '::error::something else than catalog.json has changed:\n%s\n' "$changed" >&2
    exit 1
    ;;
esac
