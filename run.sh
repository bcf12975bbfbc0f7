#!/bin/sh
# Run the service; `sh run.sh help` lists the verbs, which are the last of four parts.
set -eu

# Our variables are lower-case: assigning one that came from the environment exports the new value.
root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
VENV=${VENV:-$root/.venv}
locks=utils.serve.locks
cd "$root"
umask o-w # whatever the caller's is: nobody else changes packages or code

# --- How this script ends --------------------------------------------------------------------

say() { printf '%s\n' "$@"; }
warn() { printf '%s\n' "$*" >&2; }
die() { warn "run.sh: $*"; exit 1; }

# Every way out passes here: the step at work ends, and `undo` removes what is half made.
step=
undo=:
leave() {
    trap '' INT TERM HUP
    [ -z "$step" ] || kill -KILL "-$step" "$step" 2>/dev/null || :
    $undo
}
interrupted() { warn "run.sh: interrupted by $1; sh run.sh status tells what runs"; exit "$2"; }
trap leave EXIT
trap 'interrupted INT 130' INT
trap 'interrupted TERM 143' TERM
trap 'interrupted HUP 129' HUP

# Run a command that may take long: in the background, for a shell looks at no signal while it runs
# one in the foreground; in a session of its own, so that it ends with all its children, and Ctrl-C
# does not reach it (Python would show a traceback).
step() {
    "$self" -m "$locks" session "$@" </dev/null &
    step=$!
    if wait "$step"; then step=; else step=; return 1; fi
}

files() { "$self" -m utils.files "$@"; }

# Hold the file's lock from here to the end of this script, however it ends; wait for so long.
hold() {
    files file "$1" 600 || exit 1 # before the shell opens it: that would follow a link
    exec 9>>"$1"
    step "$self" -m "$locks" wait 9 "$1" "$2" || exit 1
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

ended() { ! kill -0 "$1" 2>/dev/null; }

# --- The environment -------------------------------------------------------------------------
# $VENV is a link to a folder of $VENV.d. Each is made whole before the link leads to it, and is
# never changed afterwards: a failed or interrupted installation leaves the one that works, and a
# running service keeps its own until it is restarted. Its file `installed` comes last and lists
# the Python and the checksums of the locks; a folder without it was never finished.

# The numeric user that a folder belongs to, or `everybody` who may write to it.
# shellcheck disable=SC2012  # the name stands behind what is read
owner() {
    ls -ldn -- "$1/." | {
        read -r mode _ uid _
        case $mode in ????????w*) say everybody ;; *) say "$uid" ;; esac
    }
}

find_python() {
    if [ -d "$VENV" ]; then # what is in it is executed here, before utils/files.py can look
        case " 0 $(id -u) $(owner "$root") " in
            *" $(owner "$VENV") "*) ;;
            *) die "$VENV belongs to another user, or everybody may write to it" ;;
        esac
    fi
    PYTHON=${PYTHON:-$(command -v "$VENV/bin/python" || say python3)}
    found=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.executable)
sys.exit(sys.version_info < (3, 11))') ||
        die "set PYTHON to a Python of 3.11 or newer: $PYTHON is ${found:-not a Python that runs}"
    version=${found%% *}
    self=${found#* }      # what PYTHON leads to: pyenv's is a script, whose pid is not Python's
    py=$VENV/bin/python # if there is one: `stop` and `status` work without
}

# Set py to the Python of an environment that has requirements.lock, and this other lock, installed;
# make one if there is none.
prepare() {
    set -- requirements.lock "$@"
    find_python
    remind
    if ! has "$VENV" "$@"; then
        files path "$VENV.d" || exit 1
        hold "$VENV.lock" 1200
        has "$VENV" "$@" || make_environment "$@"
        exec 9>&-
    fi
    home=$(cd -- "$VENV" && pwd -P)
    py=$home/bin/python
}

# What an environment is made of, a line each.
contents() { say "python $version" && cksum "$@"; }

has() {
    environment=$1
    shift
    [ -x "$environment/bin/python" ] && [ -f "$environment/installed" ] &&
        ! contents "$@" | grep -qvxFf "$environment/installed"
}

make_environment() {
    [ "${NO_INSTALL:-0}" = 0 ] || die "$VENV lacks what $* lists, and NO_INSTALL is set"
    warn "Creating $VENV with Python $version ..."
    made=$VENV.d/$(date +%s).$$
    undo=remove_made
    step "$PYTHON" -m venv "$made" || die "cannot create $VENV; nothing was changed"
    contents "$@" >"$made/contents"
    for file; do
        warn "Installing $file ..."
        # --no-deps: the lock has them all. The hashes say that they are the ones that were tested.
        step "$made/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
            --require-hashes -r "$file" || die "cannot install $file; nothing was changed"
    done
    mv "$made/contents" "$made/installed"
    undo=:
    if [ -d "$VENV" ] && [ ! -L "$VENV" ]; then mv "$VENV" "$VENV.d/replaced.$$"; fi
    ln -sfn "$(basename "$VENV.d")/$(basename "$made")" "$VENV" # relative: it can be renamed
    remove_unused
}

remove_made() { rm -rf "$made"; }

# Remove other environments, but for those that a living process runs on.
remove_unused() {
    for candidate in "$VENV.d"/*; do
        [ "$candidate" = "$made" ] || "$self" -m "$locks" holder "$candidate/installed" >/dev/null ||
            [ $? != 1 ] || rm -rf "$candidate"
    done
}

# What is asked for, without comments: a change of one does not make the lock old.
asked_for() { say "of $1: $(sed 's/[[:space:]]*#.*//; /^$/d' "$1" | cksum)"; }

remind() {
    for file in requirements.txt tests/requirements.txt; do
        [ ! -f "$file" ] || grep -qF "$(asked_for "$file")" "${file%txt}lock" ||
            warn "$file has changed since its lock was made: run sh run.sh lock"
    done
}

# Pin all that is asked for, with what it needs and the hashes; versions that still fit stay.
lock() {
    find_python
    made=$(mktemp -d)
    undo=remove_made
    step "$PYTHON" -m venv "$made" || die "cannot create $made"
    step "$made/bin/python" -m pip install --quiet 'uv>=0.13,<0.14' || die "cannot install uv"
    for file in requirements tests/requirements; do
        # Both locks agree: tests/requirements.txt has requirements.lock as its constraints.
        step "$made/bin/uv" pip compile --quiet --universal --python-version 3.11 \
            --generate-hashes --custom-compile-command "sh run.sh lock  # $(asked_for $file.txt)" \
            --output-file "$file.lock" "$file.txt" || die "cannot make $file.lock; it is as it was"
    done
    say "requirements.lock and tests/requirements.lock are up to date"
}

# --- The running service ---------------------------------------------------------------------
# The master is the process that holds the lock of RUN_DIR/master (utils/serve/locks.py). What it
# says of itself stands in RUN_DIR/state (utils/serve/state.py).

# Read the settings that the verbs need, all by one process.
find_service() {
    values=$("$py" -m conf RUN_DIR LOG_DIR GRACEFUL_TIMEOUT SERVICE_NAME 2>/dev/null) || guess
    { read -r run_dir && read -r log_dir && read -r grace && read -r name; } <<END
$values
END
    [ "$log_dir" != - ] || log_dir=$run_dir # no folder has the logs then
    console=$log_dir/console.log
}

# Where there is no environment, or settings are wrong: a service that runs can be stopped anyway.
guess() {
    text=$(sed -n 's/^RUN_DIR=//p' "${ENV_FILE:-.env}" 2>/dev/null | tr -d "\"'") || text=
    values=$(say "${RUN_DIR:-${text:-run}}" "${LOG_DIR:-logs}" 30 "the service")
}

# The same for a verb that changes what runs: no two of them work at once.
take() {
    find_service
    files folder "$run_dir" || exit 1
    hold "$run_dir/lock" $((grace * 4 + 240)) # what others may take
}

# Set pid to that of the process which holds the file's lock; fail if nobody does.
held() { pid=$("$self" -m "$locks" holder "$1") || { [ $? = 1 ] || exit 1 && return 1; }; }

running() { held "$run_dir/master"; }
state() { "$self" -m utils.serve.state "$1" "$run_dir" || :; } # nothing before it serves
is_up() { running && [ "$(state pid)" = "$pid" ]; }
settled() { ! running || is_up; } # neither starting nor stopping

loads() { step "$py" -m gunicorn --check-config -c "$root/gunicorn_conf.py" app:g_app; }
welcome() { step "$py" -m utils.serve.state welcome "$run_dir"; }

# Fail if the service cannot listen; a running one may do so itself, even if it does not serve yet.
can_listen() {
    own=
    if is_up; then own=$(state address); elif running; then return; fi
    step "$py" -m utils.serve.address "$own"
}

# Run gunicorn by this command, as the master of RUN_DIR.
master() {
    "$@" "$self" -m "$locks" master "$run_dir" "$home" \
        "$py" -m gunicorn -c "$root/gunicorn_conf.py" --pid "$run_dir/pid" app:g_app
}

# Start a command that outlives this script, and return when the service answers. What it prints is
# appended, so that anything may rotate it; the master bounds it (bound_console in utils/log).
launch() {
    { files folder "${console%/*}" && files file "$console" 640; } || exit 1
    printed=$(wc -c <"$console")
    undo=abandon
    "$self" -m "$locks" session "$@" </dev/null >>"$console" 2>&1 9>&- &
    launched=$!
    if await 60 up_or_ended && welcome; then undo=: && return; fi
    warn "$name did not start:"
    files show "$console" "$printed" >&2
    exit 1
}

up_or_ended() { is_up || ended "$launched"; }

# End what was launched. A worker that boots does not hear TERM (gunicorn#1910): wait briefly.
abandon() {
    kill -TERM "$launched" 2>/dev/null || :
    await "${patience:-2}" ended "$launched" || kill -KILL "-$launched" 2>/dev/null || :
    wait "$launched" || :
    running || rm -f "$run_dir/pid" "$run_dir/state"
}

halt() {
    kill -TERM "$pid"
    step "$self" -m "$locks" gone "$run_dir/master" $((grace * 2 + 30)) || die "pid $pid does not stop"
}

# A supervisord that runs `run` would start again what is stopped behind its back: the verbs go
# through it. The master left its program's name and its address in RUN_DIR/supervisor.
supervised() {
    [ -s "$run_dir/supervisor" ] || return 1
    supervisor=$(files show "$run_dir/supervisor") || exit 1
    { read -r program && read -r server; } <<END
$supervisor
END
    said=$(ctl pid 2>&1) && return
    case $said in *"no such file"* | *"refused connection"*) return 1 ;; esac # it is gone
    die "cannot ask the supervisord at $server: $(plain "$said")"
}

ctl() { # supervisorctl itself would wait for ever
    "$py" -c "import socket; socket.setdefaulttimeout($((grace * 2 + 120)))
from supervisor.supervisorctl import main; main()" -s "$server" "$@"
}
# Have it done, unless something else answers at that address by now: then what ran still does.
ask() {
    running || pid=
    before=$pid
    said=$(ctl "$1" "$program" 2>&1) || die "supervisord cannot $1 $program: $(plain "$said")"
    ! running || [ "$pid" != "$before" ] ||
        die "the supervisord at $server cannot $1 $name (pid $pid), which is not its own"
}

# Another process' words without what would command a terminal.
plain() { say "$1" | LC_ALL=C tr -c '\n -~' '?'; }

# Start what does not run, or stop and start it, by the verb for supervisord.
bring_up() {
    if supervised; then
        ask "$1"
        { await 60 is_up && welcome; } || die "$name did not start: see logs/console.log"
    else
        ! running || halt
        export CONSOLE="$console"
        unset SUPERVISOR_SERVER_URL # that of a supervised program which calls this, not ours
        master launch
    fi
}

# --- The verbs -------------------------------------------------------------------------------

start() {
    prepare
    take
    await $((grace * 2 + 60)) settled || die "$name has not finished starting or stopping (pid $pid)"
    if running; then say "$name is already running (pid $pid)" && return; fi
    can_listen || die "$name did not start"
    bring_up start
}

restart() {
    prepare
    take
    { loads && can_listen; } || die "restart refused; what was running still is"
    bring_up restart
}

stop() {
    find_python
    take
    if supervised; then ask stop; elif running; then halt; else
        say "$name is not running" && return
    fi
    say "$name has stopped"
}

reload() {
    find_python
    remind
    take
    running || die "$name is not running"
    is_up || die "$name is starting or stopping (pid $pid)"
    has "$run_dir/environment" requirements.lock ||
        die "$name was started with another Python or requirements.lock: new packages need a restart"
    reloads=$(state reloads)
    rm -f "$run_dir/refused"
    kill -HUP "$pid"
    { await $((grace + 60)) reloaded && running; } || die "it has not reloaded: see $log_dir"
    [ ! -f "$run_dir/refused" ] ||
        { files show "$run_dir/refused" >&2 && die "reload refused; the running service is untouched"; }
    say "$name has reloaded"
}

reloaded() { [ "$(state reloads)" != "$reloads" ] || [ -f "$run_dir/refused" ] || ended "$pid"; }

status() {
    find_python
    find_service
    by=
    running || { run_dir=.dev/run && by=" under sh run.sh dev"; }
    running || { say "$name is not running" && exit 3; }
    is_up || { say "$name is starting or stopping (pid $pid)" && return; }
    say "$name is running$by" "$(state facts)"
}

run() {
    prepare
    find_service
    master exec
}

# Start a supervisord that keeps the service up; its own files are in run/ and logs/.
supervise() {
    prepare
    take
    ! supervised || die "a supervisord keeps $name up already: $server"
    ! running || die "$name is running without supervisord (pid $pid): sh run.sh stop ends it"
    { loads && can_listen; } || die "$name did not start"
    patience=$((grace * 2 + 10))
    [ "$(sed -n 's/^stopwaitsecs=//p' supervisord.conf)" -ge "$patience" ] ||
        die "supervisord would kill a stop that takes long: set its stopwaitsecs to $patience or more"
    files folder run || exit 1
    console=logs/console.log
    umask 027 # supervisord's own log, and what the service prints
    launch "$self" -m "$locks" use "$home" "$py" -m supervisor.supervisord --nodaemon --silent
}

# Become a module of the environment, which stays as long as this runs.
module() { exec "$self" -m "$locks" use "$home" "$py" -m "$@"; }

# Run the migrations; without a MYSQL_HOST those of the server that `sh run.sh dev` has running.
migrate() {
    prepare
    host=$("$py" -m conf MYSQL_HOST) || exit 1
    trap '' INT # until it listens itself: Python would answer with a traceback of its imports
    if [ -z "$host" ] && [ -f .dev/env ]; then
        held .dev/lock || { warn "MYSQL_HOST is not set, and sh run.sh dev is not running" && exit 1; }
        warn "MYSQL_HOST is not set: this is the server of sh run.sh dev"
        exec "$self" -m "$locks" dev .dev/env \
            "$self" -m "$locks" use "$home" "$py" -m utils.mysql.migrations "$@"
    fi
    module utils.mysql.migrations "$@"
}

# Look at the port before anything starts; a wrong setting is shown until it is right.
dev() {
    prepare
    run_dir=.dev/run
    ! "$py" -m conf >/dev/null 2>&1 || can_listen || exit 1
    module utils.dev
}

tests() {
    # Before anything is installed: this needs no packages, and takes no time.
    if [ $# -eq 0 ]; then find_python && "$PYTHON" -m tests.support.programs || exit 1; fi
    prepare tests/requirements.lock
    case "$*" in "" | --mysql) module tests "$@" ;; esac
    module pytest "$@"
}

check() {
    prepare tests/requirements.lock
    "$py" -m ruff check .
    "$py" -m ruff format --check .
    "$py" -m mypy
    "$home/bin/shellcheck" run.sh .ci/run
}

verb=${1:-help}
[ $# -eq 0 ] || shift
case $verb in
    start | stop | reload | restart | status | run | supervise | lock | check | migrate) "$verb" "$@" ;;
    config) prepare; module conf "$@" ;;
    dev) dev ;;
    test) tests "$@" ;;
    *)
        say "usage: sh run.sh start|stop|reload|restart|status|run|supervise|dev|migrate|config|test|check|lock"
        [ "$verb" = help ]
        ;;
esac
