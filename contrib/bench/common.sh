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

load() { cut -d' ' -f1 /proc/loadavg; }

# ratio A B: how many times B is in A.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

# timed NAME COMMAND …: one more time of NAME, in microseconds, into $scratch.
timed() {
    local log=$scratch/$1.times start
    shift
    start=${EPOCHREALTIME/./}
    "$@" >/dev/null
    echo $((${EPOCHREALTIME/./} - start)) >>"$log"
}

# median NAME, seconds NAME: of its $runs times.
median() { sort -n "$scratch/$1.times" | sed -n "$(((runs + 1) / 2))p"; }
seconds() { awk -v t="$(median "$1")" 'BEGIN { printf "%.3f", t / 1e6 }'; }
