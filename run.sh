#!/bin/sh
# Run the service; `sh run.sh help` lists the verbs.
set -eu

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
VENV=${VENV:-$ROOT/.venv}
PY=$VENV/bin/python
STAMP=$VENV/installed
cd "$ROOT"

say() { printf '%s\n' "$@"; }
warn() { printf '%s\n' "$*" >&2; }
die() { warn "run.sh: $*"; exit 1; }

# Hold the file's lock from here to the end of this script, however it ends.
lock() {
    exec 9>"$1"
    "$PYTHON" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

find_python() {
    if [ -z "${PYTHON:-}" ]; then
        if [ -f "$STAMP" ] && "$PY" -c '' 2>/dev/null; then PYTHON=$PY; else PYTHON=python3; fi
    fi
    version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
        die "cannot run $PYTHON: set PYTHON to a Python of 3.10 or newer"
    case $version in
        2.* | 3.[0-9]) die "$PYTHON is Python $version: set PYTHON to one of 3.10 or newer" ;;
    esac
}

# Have these requirements files installed in $VENV; a half-made one has no stamp and is made anew.
prepare() {
    find_python
    installed "$@" && return
    lock "$VENV.lock"
    stamped "python $version" || make_venv
    for file; do installed "$file" || install "$file"; done
    exec 9>&-
}

stamped() { grep -qxF "$1" "$STAMP" 2>/dev/null; }

installed() {
    stamped "python $version" || return 1
    for file; do stamped "$file $(cksum <"$file")" || return 1; done
}

make_venv() {
    locate
    ! running || die "$VENV has to be made anew: stop the service first"
    warn "Creating $VENV with Python $version ..."
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$PYTHON has no venv module: install it (Debian, Ubuntu: apt install python3-venv)"
    "$PYTHON" -m venv --clear "$VENV"
    say "python $version" >"$STAMP"
}

install() {
    warn "Installing $1 ..."
    mv "$STAMP" "$STAMP.part"
    "$PY" -m pip install --quiet --disable-pip-version-check -r "$1" || die "cannot install $1"
    { grep -v "^$1 " "$STAMP.part"; say "$1 $(cksum <"$1")"; } >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
}

# Set RUN_DIR, LOG_DIR and GRACEFUL_TIMEOUT, also where $VENV is missing or settings are wrong.
locate() {
    values=$("$PY" -m conf RUN_DIR LOG_DIR GRACEFUL_TIMEOUT 2>/dev/null) ||
        values=$(printf '%s\n' "${RUN_DIR:-run}" "${LOG_DIR:-logs}" 30)
    { read -r RUN_DIR && read -r LOG_DIR && read -r GRACEFUL_TIMEOUT; } <<EOF
$values
EOF
    case $RUN_DIR in /*) ;; *) RUN_DIR=$ROOT/$RUN_DIR ;; esac
    mkdir -p "$RUN_DIR"
    CONSOLE=$LOG_DIR/console.log
    [ "$LOG_DIR" != - ] || CONSOLE=$RUN_DIR/console.log
}

# Open what takes the processes' stdout and stderr: appended to, and bounded, for nobody looks at it
# while all is well. The shell, or mkdir, says why it cannot be written.
open_console() {
    mkdir -p "${CONSOLE%/*}"
    (: >>"$CONSOLE") || exit 1
    printed=$(wc -c <"$CONSOLE")
    [ "$printed" -gt 10000000 ] || return 0
    mv -f "$CONSOLE" "$CONSOLE.1"
    printed=0
}

serve() { exec "$@" "$PY" -m gunicorn -c "$ROOT/gunicorn_conf.py" --pid "$RUN_DIR/pid" app:g_app; }
check() { "$PY" -m gunicorn --check-config -c "$ROOT/gunicorn_conf.py" app:g_app; }

# Tell whether the process is our master: a pid alone may be anybody's by now.
is_master() {
    if [ -d /proc/self ]; then
        command=$(2>/dev/null tr '\0' ' ' <"/proc/$1/cmdline") || return 1
    else
        command=$(ps -p "$1" -o args=) || return 1
    fi
    case $command in
        *" -m gunicorn -c $ROOT/gunicorn_conf.py --pid $RUN_DIR/pid app:g_app"*) ;;
        *) return 1 ;;
    esac
}

# Set pid to the running master's, or fail.
running() {
    pid=$(cat "$RUN_DIR/pid" 2>/dev/null) || return 1
    case $pid in '' | *[!0-9]*) return 1 ;; esac
    is_master "$pid"
}

# Repeat a command until it succeeds; fail after that many seconds.
await() {
    tries=$(($1 * 20))
    shift
    until "$@"; do
        [ "$tries" -gt 0 ] || return 1
        tries=$((tries - 1))
        sleep 0.05
    done
}

serving_or_gone() { [ -s "$RUN_DIR/state" ] || ! kill -0 "$pid" 2>/dev/null; }
gone() { ! is_master "$pid"; }
reloaded() { [ "$(state reloads)" != "$reloads" ] || [ -f "$RUN_DIR/refused" ] || gone; }

# Print a value of the state file, which utils/serve/state.py describes.
state() { sed -n "s/^$1=//p" "$RUN_DIR/state" 2>/dev/null; }

# Print it if it is a number that a shell can compute with: 08 is none, and text may be a command.
number() {
    value=$(state "$1")
    case $value in '' | 0?* | *[!0-9]* | ????????????*) return 1 ;; esac
    say "$value"
}

launch() {
    [ ! -f "$RUN_DIR/pid" ] || warn "Removing a stale pid file"
    rm -f "$RUN_DIR/pid" "$RUN_DIR/state"
    (serve "$PY" -c 'import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])') \
        </dev/null >>"$CONSOLE" 2>&1 9>&- &
    pid=$!
    if await 60 serving_or_gone && "$PY" -m utils.serve.state "$RUN_DIR"; then return; fi
    warn "pyserver did not start:"
    tail -c "+$((printed + 1))" "$CONSOLE" | tail -n 40 >&2
    ! kill "$pid" 2>/dev/null || await "$GRACEFUL_TIMEOUT" gone || kill -9 "$pid"
    rm -f "$RUN_DIR/pid" "$RUN_DIR/state"
    exit 1
}

halt() {
    kill -TERM "$pid"
    await $((GRACEFUL_TIMEOUT * 2 + 30)) gone || die "pid $pid does not stop"
}

start() {
    prepare requirements.txt
    locate
    lock "$RUN_DIR/lock"
    if running; then say "pyserver is already running (pid $pid)"; else open_console; launch; fi
}

stop() {
    find_python
    locate
    lock "$RUN_DIR/lock"
    if running; then halt && say "pyserver has stopped"; else say "pyserver is not running"; fi
}

restart() {
    prepare requirements.txt
    locate
    lock "$RUN_DIR/lock"
    open_console
    check || die "restart refused; what was running still is"
    ! running || halt
    launch
}

reload() {
    find_python
    locate
    lock "$RUN_DIR/lock"
    running || die "pyserver is not running"
    installed requirements.txt || die "requirements.txt has changed: new packages take a restart"
    reloads=$(number reloads) || die "pyserver is starting or stopping (pid $pid)"
    rm -f "$RUN_DIR/refused"
    kill -HUP "$pid"
    await $((GRACEFUL_TIMEOUT + 60)) reloaded || die "the workers were not replaced: see ${CONSOLE%/*}"
    [ ! -f "$RUN_DIR/refused" ] || {
        cat "$RUN_DIR/refused" >&2
        die "reload refused; the running service is untouched"
    }
    running || die "the service is gone: see ${CONSOLE%/*}"
    say "pyserver has reloaded"
}

# Set RUN_DIR to that of `sh run.sh dev`, and fail if nothing serves there.
dev_running() {
    RUN_DIR=$ROOT/.dev/run
    running
}

status() {
    locate
    by=
    running || {
        dev_running || { say "pyserver is not running"; exit 3; }
        by=" under sh run.sh dev"
    }
    started=$(number started) || { say "pyserver is starting or stopping (pid $pid)"; exit 0; }
    say "pyserver is running$by" "  pid      $pid" "  address  $(state address)" \
        "  workers  $(state workers)" "  uptime   $(($(date +%s) - started)) s"
}

run() {
    prepare requirements.txt
    locate
    ! running || die "pyserver is already running (pid $pid)"
    rm -f "$RUN_DIR/pid" "$RUN_DIR/state"
    serve
}

module() {
    prepare requirements.txt
    exec "$PY" -m "$@"
}

# Run the migrations; without a MYSQL_HOST those of the MariaDB that `sh run.sh dev` has running.
migrate() {
    prepare requirements.txt
    if [ -f .dev/env ] && [ -z "$("$PY" -m conf MYSQL_HOST)" ]; then
        exec "$PY" -m utils.dev.migrate "$@"
    fi
    exec "$PY" -m utils.mysql.migrations "$@"
}

tests() {
    # Before anything is installed: this needs no packages, and takes no time.
    if [ $# -eq 0 ]; then find_python; "$PYTHON" -m tests.support.programs || exit 1; fi
    prepare requirements.txt tests/requirements.txt
    exec "$PY" -m pytest "$@"
}

verb=${1:-help}
[ $# -eq 0 ] || shift
case $verb in
    start | stop | reload | restart | status | run) "$verb" ;;
    config) module conf "$@" ;;
    migrate) migrate "$@" ;;
    dev) module utils.dev ;;
    test) tests "$@" ;;
    *) say "usage: sh run.sh start|stop|reload|restart|status|run|dev|migrate|test|config"; [ "$verb" = help ] ;;
esac
