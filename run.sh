#!/bin/sh
# Run the service; `sh run.sh help` lists the verbs.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
VENV=${VENV:-$root/.venv}
run_lock=requirements.lock
test_lock=tests/requirements.lock
locks=$root/utils/serve/locks.py
uv='uv>=0.13,<0.14'
cd "$root"

# Names in capitals are settings: a variable that came from the environment is exported again, and
# the service is not to find its ENV or ROOT changed.

say() { printf '%s\n' "$@"; }
warn() { printf '%s\n' "$*" >&2; }
die() { warn "run.sh: $*"; exit 1; }

# Every way out passes here, so that nothing is left half done: `undo` takes back what the verb has
# begun. After an interrupt it also sets `outcome`, which says what is true now.
undo=:
step=
interrupt=
outcome='nothing was changed'
interrupted() { interrupt=$1 && exit "$2"; }
leave() {
    trap '' INT TERM HUP
    [ -z "$step" ] || kill -KILL "-$step" "$step" 2>/dev/null || :
    $undo
    [ -z "$interrupt" ] || warn "run.sh: interrupted by $interrupt; $outcome"
}
trap leave EXIT
trap 'interrupted INT 130' INT
trap 'interrupted TERM 143' TERM
trap 'interrupted HUP 129' HUP

# Run a command that may take long. In the background, for the shell waits for one in the foreground
# before it looks at a signal, and Ctrl-C reaches what is in the foreground too: a Python shows a
# traceback.
patiently() {
    "$@" &
    step=$!
    if wait "$step"; then step=; else step=; return 1; fi
}

# The same in a session of its own, so that its children can be ended with it.
step() { patiently "$self" "$locks" exec --session "$@" </dev/null 9>&-; }

# Hold the file's lock from here to the end of this script, however it ends.
hold() {
    reason=$({ : >>"$1"; } 2>&1) || die "cannot write $1: ${reason##*: }"
    exec 9>>"$1"
    patiently "$self" "$locks" wait 9
}

# --- The environment -------------------------------------------------------------------------
# $VENV is a link to a folder of $VENV.d. Each is made whole before the link leads to it, and is
# never changed afterwards: a failed or interrupted installation leaves the one that works, and a
# running service keeps its own until it is restarted. Its file `installed` comes last and lists
# the Python and the checksums of the locks; a folder without it was never finished.

find_python() {
    if [ -z "${PYTHON:-}" ]; then
        if "$VENV/bin/python" -c '' 2>/dev/null; then PYTHON=$VENV/bin/python; else PYTHON=python3; fi
    fi
    found=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.executable)') ||
        die "cannot run $PYTHON: set PYTHON to a Python of 3.11 or newer"
    version=${found%% *}
    self=${found#* } # what PYTHON leads to: pyenv's is a script, whose pid is not Python's
    case $version in
        2.* | 3.[0-9] | 3.10) die "$PYTHON is Python $version: set PYTHON to one of 3.11 or newer" ;;
    esac
}

# Set py to the Python of an environment that has these locks installed; make one if there is none.
prepare() {
    find_python
    remind
    if ! has "$VENV" "$@"; then
        hold "$VENV.lock"
        has "$VENV" "$@" || reuse "$@" || make_environment "$@"
        exec 9>&-
    fi
    home=$(cd -- "$VENV" && pwd -P)
    py=$home/bin/python
}

# The same for a verb that also has to work where there is no environment.
find_environment() {
    find_python
    home=$(cd -- "$VENV" 2>/dev/null && pwd -P) || home=$VENV
    py=$home/bin/python
}

has() {
    environment=$1
    shift
    [ -x "$environment/bin/python" ] && listed "python $version" || return 1
    for file; do listed "$file $(cksum <"$file")" || return 1; done
}

listed() { grep -qxF "$1" "$environment/installed" 2>/dev/null; }

# Lead the link to an environment that is there already, as after a change that was taken back.
reuse() {
    for candidate in "$VENV.d"/*; do
        if has "$candidate" "$@"; then use "$candidate" && return; fi
    done
    return 1
}

# The link is relative, so that the folder can be renamed.
use() {
    if [ -d "$VENV" ] && [ ! -L "$VENV" ]; then mv "$VENV" "$VENV.d/replaced.$$"; fi
    ln -sfn "$(basename "$VENV.d")/$(basename "$1")" "$VENV"
}

make_environment() {
    case ${NO_INSTALL:-0} in 0) ;; *) die "$VENV lacks what $* lists, and NO_INSTALL is set" ;; esac
    warn "Creating $VENV with Python $version ..."
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$PYTHON has no venv module: install it (Debian, Ubuntu: apt install python3-venv)"
    reason=$(mkdir -p "$VENV.d" 2>&1) || die "cannot make $VENV.d: ${reason##*: }"
    remove_unused
    making=$VENV.d/$(date +%s).$$
    undo=remove_half_made
    step "$PYTHON" -m venv "$making" || die "cannot create $VENV$kept"
    say "python $version" >"$making/part"
    for file; do
        warn "Installing $file ..."
        # --no-deps: the lock has them all. The hashes say that they are the ones that were tested.
        step "$making/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
            --require-hashes -r "$file" || die "cannot install $file$kept"
        say "$file $(cksum <"$file")" >>"$making/part"
    done
    mv "$making/part" "$making/installed"
    undo=:
    use "$making"
}

remove_half_made() { rm -rf "$making"; }

# Remove environments, but not the one in use from now on, nor what a living process runs on.
remove_unused() {
    kept=
    current=$(cd -- "$VENV" 2>/dev/null && pwd -P) || current=
    [ ! -f "$VENV/installed" ] || kept="; the environment that was there is as it was"
    for candidate in "$VENV.d"/*; do
        [ "$(cd -- "$candidate" 2>/dev/null && pwd -P)" != "$current" ] || continue
        "$self" "$locks" holder "$candidate/installed" >/dev/null || rm -rf "$candidate"
    done
}

# What is asked for, without comments: a change of one does not make the lock old.
asked_for() { say "# of $1: $(sed 's/[[:space:]]*#.*//; /^$/d' "$1" | cksum)"; }

remind() {
    for file in requirements.txt tests/requirements.txt; do
        [ ! -f "$file" ] || grep -qxF "$(asked_for "$file")" "${file%txt}lock" ||
            warn "$file has changed since its lock was made: run sh run.sh lock"
    done
}

# Pin all that is asked for, with what it needs and the hashes; versions that still fit stay.
lock() {
    find_python
    tools=$(mktemp -d)
    undo=remove_tools
    { step "$PYTHON" -m venv "$tools" && step "$tools/bin/python" -m pip install --quiet "$uv"; } ||
        die "cannot install $uv; the locks are as they were"
    pin requirements
    pin tests/requirements --constraints requirements.lock
    say "requirements.lock and tests/requirements.lock are up to date"
}

remove_tools() { rm -rf "$tools"; }

pin() {
    file=$1
    shift
    cp "$file.lock" "$tools/lock" 2>/dev/null || : >"$tools/lock"
    step "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --output-file "$tools/lock" "$@" "$file.txt" ||
        die "cannot make $file.lock; it is as it was"
    { say "# Made by \`sh run.sh lock\`." && asked_for "$file.txt" && cat "$tools/lock"; } >"$tools/new"
    mv "$tools/new" "$file.lock"
}

# --- The running service ---------------------------------------------------------------------
# The master is the process that holds the lock of RUN_DIR/master (utils/serve/locks.py). What it
# says of itself stands in RUN_DIR/state (utils/serve/state.py).

# Print a setting, also where there is no environment that can tell, or other settings are wrong.
setting() {
    "$py" -m conf "$1" 2>/dev/null && return
    text=$(sed -n "s/^$1=//p" "${ENV_FILE:-.env}" 2>/dev/null | tr -d "\"'") || text=
    say "${text:-$2}"
}

# Set RUN_DIR to its one name, whatever it is called by.
locate() {
    RUN_DIR=$(setting RUN_DIR "${RUN_DIR:-run}")
    [ ! -d "$RUN_DIR" ] || RUN_DIR=$(cd -- "$RUN_DIR" && pwd -P)
}

make_run_dir() {
    locate
    reason=$(mkdir -p -- "$RUN_DIR" 2>&1) || die "cannot make $RUN_DIR: ${reason##*: }"
    locate
}

# For a verb that changes what runs: no two of them work at once.
take() {
    make_run_dir
    hold "$RUN_DIR/lock"
}

# Set pid to the running master's, or fail.
running() { pid=$("$self" "$locks" holder "$RUN_DIR/master"); }

# Print a value of the state file; there is none while nothing serves.
state() { sed -n "s/^$1=//p" "$RUN_DIR/state" 2>/dev/null || :; }

# Fail unless this is a number to compute with: 08 is none for a shell, and a text may be a command.
is_number() { case $1 in '' | 0?* | *[!0-9]* | ????????????*) return 1 ;; esac; }

# Print GRACEFUL_TIMEOUT times $1, plus $2.
graceful() {
    seconds=$(setting GRACEFUL_TIMEOUT 30)
    is_number "$seconds" || seconds=30
    say $((seconds * $1 + $2))
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

# Become gunicorn, as the master of RUN_DIR.
serve() {
    exec "$py" "$locks" exec "$@" --uses "$home" --master "$RUN_DIR" \
        "$py" -m gunicorn -c "$root/gunicorn_conf.py" --pid "$RUN_DIR/pid" app:g_app
}

loads() { step "$py" -m gunicorn --check-config -c "$root/gunicorn_conf.py" app:g_app; }
can_listen() { step "$py" -m utils.serve.address "$@"; }

# The same beside the running service: it may listen there itself, even if it does not serve yet.
can_take_over() {
    if is_up; then can_listen "$(state address)"; else running || can_listen; fi
}

# What takes the processes' stdout and stderr; LOG_DIR=- has no folder for it.
find_console() {
    logs=$(setting LOG_DIR "${LOG_DIR:-logs}")
    [ "$logs" != - ] || logs=$RUN_DIR
    console=$logs/console.log
}

# Appended to, so that anything may rotate it; the master bounds it (bound_console in utils/log).
open_console() {
    find_console
    reason=$({ mkdir -p -- "$logs" && : >>"$console"; } 2>&1) ||
        die "cannot write $console: ${reason##*: }"
    printed=$(wc -c <"$console")
    export CONSOLE="$console"
}

launch() {
    undo=abandon
    # Whoever calls from a program that a supervisord runs is not supervised by it.
    (unset SUPERVISOR_SERVER_URL && serve --session) </dev/null >>"$console" 2>&1 9>&- &
    pid=$!
    if await 60 up_or_gone && welcome; then undo=: && return; fi
    warn "pyserver did not start:"
    tail -c "+$((printed + 1))" "$console" | tail -n 40 >&2
    exit 1
}

welcome() { step "$py" -m utils.serve.state "$RUN_DIR"; }
up_or_gone() { [ "$(state pid)" = "$pid" ] || ended; }
ended() { ! kill -0 "$pid" 2>/dev/null; }

# End what has begun to start. A worker that boots does not hear TERM (gunicorn#1910): wait briefly.
abandon() {
    kill -TERM "$pid" 2>/dev/null || :
    await 2 ended || kill -KILL "-$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
    forget
}

# Remove the files of a master that is gone.
forget() {
    ! running || return 0
    rm -f "$RUN_DIR/pid" "$RUN_DIR/state"
    outcome="nothing is left running"
}

halt() {
    undo=still_stopping
    kill -TERM "$pid"
    patiently "$self" "$locks" gone "$RUN_DIR/master" "$(graceful 2 30)" ||
        die "pid $pid does not stop"
    undo=:
    outcome="pyserver has stopped"
}

still_stopping() { outcome="pid $pid has been told to stop, and will"; }

# --- supervisord -----------------------------------------------------------------------------
# A supervisord that runs `run` would start again what is stopped behind its back: the verbs go
# through it. The master left its program's name and its address in RUN_DIR/supervisor.

supervised() {
    [ -s "$RUN_DIR/supervisor" ] || return 1
    program=$(head -n 1 "$RUN_DIR/supervisor")
    server=$(tail -n +2 "$RUN_DIR/supervisor")
    [ -x "$RUN_DIR/environment/bin/python" ] ||
        die "a supervisord keeps pyserver up, and the environment to ask it with is gone: $server"
    said=$(ctl pid 2>&1) && return
    case $said in
        *"no such file"* | *"refused connection"*) return 1 ;; # it is gone
        *) die "cannot ask the supervisord at $server: $said" ;;
    esac
}

ctl() { "$RUN_DIR/environment/bin/python" -m supervisor.supervisorctl -s "$server" "$@" 9>&-; }

# Have supervisord do it, and print what it says only if it cannot.
ask() {
    outcome="supervisord goes on to $1 $program"
    said=$(ctl "$1" "$program" 2>&1) || die "supervisord cannot $1 $program: $said"
}

await_supervised() {
    { await 60 is_up && welcome; } || die "pyserver did not start: see logs/console.log"
}

# Wait for a master that is starting or stopping: only then is it known whether there is one.
settle() {
    await "$(graceful 2 60)" settled ||
        die "pyserver neither starts nor stops (pid $pid)"
}

settled() { ! running || is_up; }
is_up() { running && [ "$(state pid)" = "$pid" ]; }

# --- The verbs -------------------------------------------------------------------------------

start() {
    prepare "$run_lock"
    take
    if running; then settle; fi
    if running; then say "pyserver is already running (pid $pid)" && return; fi
    open_console
    can_listen || die "pyserver did not start"
    if supervised; then ask start && await_supervised; else launch; fi
}

stop() {
    find_environment
    locate
    [ ! -d "$RUN_DIR" ] || take
    if supervised; then
        ask stop
        say "pyserver has stopped; its supervisord waits for sh run.sh start"
    elif running; then
        halt
        say "pyserver has stopped"
    else
        say "pyserver is not running"
    fi
}

restart() {
    prepare "$run_lock"
    take
    open_console
    { loads && can_take_over; } || die "restart refused; what was running still is"
    if supervised; then
        ask restart
        await_supervised
    else
        ! running || halt
        launch
    fi
}

reload() {
    find_environment
    take
    running || die "pyserver is not running"
    is_up || die "pyserver is starting or stopping (pid $pid)"
    reloads=$(state reloads)
    [ -x "$RUN_DIR/environment/bin/python" ] ||
        die "the environment that pyserver runs on is gone: sh run.sh restart makes another one"
    has "$RUN_DIR/environment" "$run_lock" ||
        die "pyserver was started with another Python or $run_lock: new packages take a restart"
    find_console
    rm -f "$RUN_DIR/refused"
    kill -HUP "$pid"
    outcome="pyserver goes on reloading"
    await "$(graceful 1 60)" reloaded ||
        die "the workers were not replaced: see $logs"
    [ ! -f "$RUN_DIR/refused" ] || {
        cat "$RUN_DIR/refused" >&2
        die "reload refused; the running service is untouched"
    }
    running || die "the service is gone: see $logs"
    say "pyserver has reloaded"
}

reloaded() { [ "$(state reloads)" != "$reloads" ] || [ -f "$RUN_DIR/refused" ] || ended; }

# Set RUN_DIR to that of `sh run.sh dev`, and fail if nothing serves there.
dev_running() {
    RUN_DIR=$root/.dev/run
    running
}

status() {
    find_environment
    locate
    by=
    if ! running; then
        dev_running || { say "pyserver is not running" && exit 3; }
        by=" under sh run.sh dev"
    fi
    started=$(state started)
    if ! is_up || ! is_number "$started"; then
        say "pyserver is starting or stopping (pid $pid)"
        exit 0
    fi
    say "pyserver is running$by" "  pid      $pid" "  address  $(state address)" \
        "  workers  $(state workers)" "  uptime   $(($(date +%s) - started)) s"
}

run() {
    prepare "$run_lock"
    make_run_dir
    serve
}

# Start a supervisord that keeps the service up; its own files are in run/ and logs/.
supervise() {
    prepare "$run_lock"
    take
    if supervised; then die "a supervisord keeps pyserver up already: $server"; fi
    ! running || die "pyserver is running without supervisord (pid $pid): sh run.sh stop ends it"
    { loads && can_listen; } || die "pyserver did not start"
    needed=$(graceful 2 10)
    [ "$(sed -n 's/^stopwaitsecs=//p' supervisord.conf)" -ge "$needed" ] ||
        die "supervisord would kill a stop that takes long: set its stopwaitsecs to $needed or more"
    mkdir -p run logs
    "$py" -m supervisor.supervisord -c supervisord.conf 9>&- || die "supervisord did not start"
    undo=shut_down
    if await 60 is_up && welcome; then undo=: && return; fi
    warn "pyserver did not start:"
    tail -n 40 logs/console.log >&2
    exit 1
}

shut_down() {
    pid=$(cat run/supervisord.pid 2>/dev/null) || pid=
    if "$py" -m supervisor.supervisorctl shutdown >/dev/null 2>&1; then await 60 ended || :; fi
    "$self" "$locks" gone "$RUN_DIR/master" 60 || :
    forget
}

module() {
    prepare "$run_lock"
    use_module "$@"
}

use_module() { exec "$py" "$locks" exec --uses "$home" "$py" -m "$@"; }

# Run the migrations; without a MYSQL_HOST those of the MariaDB that `sh run.sh dev` has running.
migrate() {
    prepare "$run_lock"
    if [ -f .dev/env ] && [ -z "$("$py" -m conf MYSQL_HOST)" ]; then
        "$self" "$locks" holder .dev/lock >/dev/null ||
            { warn "MYSQL_HOST is not set, and sh run.sh dev is not running" && exit 1; }
        warn "MYSQL_HOST is not set: this is the MariaDB of sh run.sh dev"
        set -a
        # shellcheck disable=SC1091  # dev makes it, with all values quoted
        . ./.dev/env
    fi
    trap '' INT # until it listens itself: Python would answer with a traceback of its imports
    use_module utils.mysql.migrations "$@"
}

tests() {
    # Before anything is installed: this needs no packages, and takes no time.
    if [ $# -eq 0 ]; then find_python; "$PYTHON" -m tests.support.programs || exit 1; fi
    prepare "$run_lock" "$test_lock"
    if [ $# -eq 0 ]; then use_module tests; fi
    use_module pytest "$@"
}

check() {
    prepare "$run_lock" "$test_lock"
    failed=0
    for tool in 'ruff check .' 'ruff format --check .' mypy; do
        # shellcheck disable=SC2086  # its words are the arguments
        "$py" -m $tool || failed=1
    done
    "$home/bin/shellcheck" run.sh .ci/run || failed=1
    return $failed
}

verb=${1:-help}
[ $# -eq 0 ] || shift
case $verb in
    start | stop | reload | restart | status | run | supervise | lock | check) "$verb" ;;
    config) module conf "$@" ;;
    migrate) migrate "$@" ;;
    dev) module utils.dev ;;
    test) tests "$@" ;;
    *)
        say "usage: sh run.sh start|stop|reload|restart|status|run|supervise|dev|migrate|config|test|check|lock"
        [ "$verb" = help ]
        ;;
esac
