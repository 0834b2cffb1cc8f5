#!/bin/sh
# make demo: a lock taken, refused and handed over, on this machine alone. Needs nothing but sh and coreutils.
# ./demo.sh DIRECTORY-OF-THE-HELPER
set -eu

helper=${1:-target/debug}/ctdb_mutex_file_helper
if [ ! -x "$helper" ]; then
    echo "demo: $helper: not there; build it with: cargo build" >&2
    exit 1
fi
dir=$(mktemp -d)
lock=$dir/cluster.lock

clean_up() {
    # The parents end with their helpers. One that is gone already needs no signal.
    for pid in "$dir"/*.pid; do
        [ -f "$pid" ] && kill -TERM "$(cat "$pid")" 2>/dev/null
    done
    wait
    rm -rf "$dir"
}
trap 'clean_up || true' EXIT
trap 'exit 1' HUP INT TERM

say() { printf '%s\n' "$*"; }
step() { printf '\n%s\n' "$*"; sleep 1; } # for the reader
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# A helper as CTDB runs it: standard output into a pipe ($dir/NAME), below a parent of its own that stands for ctdbd.
start() {
    name=$1
    shift
    mkfifo "$dir/$name"
    # The shell lets go of the pipe: its end is to be the helper's doing alone.
    sh -c '"$@" & echo $! >"$0"; exec >/dev/null; wait' "$dir/$name.pid" "$helper" "$lock" "$@" \
        >"$dir/$name" 2>>"$dir/messages" &
    parent=$!
}

# Reads the byte from the pipe on standard input.
expect_taken() {
    byte=$(dd bs=1 count=1 2>/dev/null)
    if [ "$byte" != 0 ]; then
        echo "demo: expected 0, the helper said '$byte'; its messages:" >&2
        cat "$dir/messages" >&2
        exit 1
    fi
}

say "ctdb_mutex_file_helper holds a CTDB cluster lock: one file, one holder, a status byte on a pipe."
say "The line in ctdb.conf would be:  cluster lock = !/usr/libexec/ctdb/ctdb_mutex_file_helper FILE"

step "1. Node A takes the lock."
start A
parent_of_a=$parent
exec 3<"$dir/A"
expect_taken <&3
say "   It says 0: held."
"$helper" "$lock" --status 2>&1 | sed 's/^/   --status: /'

step "2. Node B tries while A has it."
began=$(now_ms)
byte=$("$helper" "$lock" 2>/dev/null) || true
say "   It says $byte: contended, after $(($(now_ms) - began)) ms (it looks twice, 50 ms apart). Nothing is taken."
[ "$byte" = 1 ] || { echo "demo: expected 1" >&2; exit 1; }

step "3. Node B waits for the lock. Then A's ctdbd, the parent of its helper, dies (kill -9)."
start B --wait-seconds 10
exec 4<"$dir/B"
sleep 1 # B is to be waiting by now
began=$(now_ms)
kill -KILL "$parent_of_a"
expect_taken <&4
say "   B has the lock $(($(now_ms) - began)) ms after the kill: A's helper saw its parent die, and let go by itself."

step "4. Node C waits for the lock. Then B's helper itself is killed (kill -9)."
start C --wait-seconds 10
exec 5<"$dir/C"
sleep 1
began=$(now_ms)
kill -KILL "$(cat "$dir/B.pid")"
cat <&4 >/dev/null # until the end of the pipe, which tells CTDB that the lock is lost
lost=$(now_ms)
expect_taken <&5
say "   B's ctdbd knows after $((lost - began)) ms: its pipe has ended. C has the lock after $(($(now_ms) - began)) ms."

step "5. CTDB on node C stops: it sends SIGTERM to its helper."
began=$(now_ms)
kill -TERM "$(cat "$dir/C.pid")"
cat <&5 >/dev/null
ended=$(now_ms)
wait "$parent" || true # its helper is gone
say "   The pipe has ended after $((ended - began)) ms, and the helper is gone after $(($(now_ms) - began)) ms."
"$helper" "$lock" --status 2>&1 | sed 's/^/   --status: /'
say
say "That was all. Nothing is left running, and $dir is removed."
