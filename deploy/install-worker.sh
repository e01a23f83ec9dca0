#!/bin/sh
# Turns a bare machine into a Buildbot worker that takes its work from RabbitMQ. `--help` says how to use it.
#
# POSIX sh: it has to run where nothing is installed yet (dash, busybox ash, bash 3 of macOS).
# The broker's password never stands on the command line of a process: it goes through pipes, variables of this shell
# and files that only the worker's user can read.
set -eu
umask 022

PACKAGE='buildbot-amqp'
NAME='worker-agent'
PREFIX="/opt/$NAME"
USER_NAME="$NAME"
# Commands run as this one, who can read nothing of the agent's.
BUILD_NAME='worker-build'
BUILDS="/var/lib/$BUILD_NAME"
CONFIG="/etc/$NAME.toml"
CONFIG_DIR="/etc/$NAME"
STATE="/var/lib/$NAME"
UNIT="/etc/systemd/system/$NAME.service"
RC_SCRIPT="/etc/init.d/$NAME"
PLIST="/Library/LaunchDaemons/org.buildbot-amqp.$NAME.plist"
RUN_LOG="$STATE/agent.log"
RUN_PID="$STATE/agent.pid"
WAIT=60

usage() {
    cat <<'USAGE'
Usage: install-worker.sh --source SOURCE [options] [URL]

Makes this machine a Buildbot worker. Asks for nothing but the broker's URL, amqp[s]://USER@HOST[:PORT]/[VHOST].
It comes from the argument, from the variable WORKER_AGENT_AMQP_URL, from a file, or is asked for. The password is
asked for, or stands in the URL of the variable or file, or in the variable WORKER_AGENT_PASSWORD; never give it as an
argument, which every user of the machine could read.

Run again, it upgrades: configuration, identity and running builds stay.

On Linux the agent and its commands are two users, worker-agent and worker-build, so that a build can read neither the
broker's password nor the agent's state. An installation whose configuration has no line run_as stays with one user
until it is given one: run_as = "worker-build", then run this again.

  --url-file FILE   read the URL from this file (- for standard input)
  --config FILE     the agent's configuration, as `master-bridge enroll` writes it (- for standard input): no URL is
                    asked for. Run again with another one, its account, authorities and keys take the place of the
                    first's; what else /etc/worker-agent.toml says stays
  --source SOURCE   install from this folder, wheel, URL or Git reference (git+https://…@REF). A bare name is refused:
                    anybody may register one at a package index. So is http:// without #sha256=…
  --name NAME       what people call this worker (default: the host's name)
  --slots N         builds at the same time (default: 1)
  --wait SECONDS    how long to wait until the worker is seen at the broker (default: 60)
  --no-service      set up no service; print the command that runs the worker
  --start           where there is no service manager: start the worker in the background, until the next boot
  --dry-run         say what would be done, do nothing
  --uninstall       remove all of it: service, program, configuration, builds and user
  --print-unit      print the systemd unit and leave
  -h, --help        this text

Exit status: 0 done; 1 something could not be done, said above; 2 the arguments are wrong.
USAGE
}

# ---------------------------------------------------------------- saying and doing

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
found() { printf '  %-8s%s\n' "$1" "$2"; }
# What was done; a dry run has said already what would be.
did() { [ "$dry" = yes ] || found ok "$1"; }
fail() {
    printf 'install-worker: %s\n' "$*" >&2
    exit 1
}
misuse() {
    printf 'install-worker: %s\nTry --help.\n' "$*" >&2
    exit 2
}

# Does what it is told, or says it in a dry run. Never give it a secret.
run() {
    if [ "$dry" = yes ]; then
        say "  would run: $*"
    else
        "$@"
    fi
}

# Writes standard input to FILE ($1), mode $2, owner $3, in one step: nobody sees half a file, or one he may not see.
write_file() {
    if [ "$dry" = yes ]; then
        cat >/dev/null
        say "  would write: $1 (mode $2, owner $3)"
        return 0
    fi
    rm -f "$1.new"
    (umask 077 && cat >"$1.new")
    chmod "$2" "$1.new"
    chown "$3" "$1.new"
    mv -f "$1.new" "$1"
}

# The same without its output, unless it fails.
quietly() {
    if [ "$dry" = yes ]; then
        say "  would run: $*"
    elif output=$("$@" 2>&1); then
        return 0
    else
        status=$?
        printf '%s\n' "$output" | tail -n 20 >&2
        printf 'install-worker: failed with status %s: %s\n' "$status" "$*" >&2
        return "$status"
    fi
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as the worker's user, with an environment of its own: nothing of root's, and not the terminal. Before
# Linux 6.2 who has it as controlling terminal may type on it (TIOCSTI), and who has it open may read what root types and
# give it orders; other processes of that user may take this one over. So it has a session of its own, and its output
# comes through a pipe, as printable characters.
as_user() {
    {
        as_user_status=$(
            {
                { (become_user "$@" </dev/null 2>&1 3>&- 4>&-) || as_user_code=$?; printf '%s' "${as_user_code:-0}" >&3; } |
                    LC_ALL=C tr -cd '\t\n -~' >&4
            } 3>&1
        )
    } 4>&1
    return "$as_user_status"
}

# Busybox has a program of that name that cannot change the user.
have_setpriv() { setpriv --help 2>&1 | grep -q -- --reuid; }

# What an agent has that starts commands as another user; commands have none of it.
RIGHTS='-all,+setuid,+setgid,+kill'
AGENT_RIGHTS="--inh-caps=$RIGHTS --ambient-caps=$RIGHTS --bounding-set=$RIGHTS"

# Takes the place of this subshell. `rights`: options of setpriv that leave it some.
become_user() {
    set -- env -i HOME="$STATE" USER="$USER_NAME" LOGNAME="$USER_NAME" LANG="${LANG:-C.UTF-8}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
    if [ "$system" = macos ]; then
        exec perl -MPOSIX -e 'POSIX::setsid(); exec @ARGV' sudo -u "$USER_NAME" -- "$@"
    elif have_setpriv; then
        # shellcheck disable=SC2086 # words, or none
        exec setsid setpriv --reuid "$USER_NAME" --regid "$USER_NAME" --clear-groups ${rights:-} -- "$@"
    else
        # busybox: words are quoted one by one, they hold no secrets
        quoted=''
        for word in "$@"; do
            quoted="$quoted '$(printf '%s' "$word" | sed "s/'/'\\\\''/g")'"
        done
        exec setsid su -s /bin/sh "$USER_NAME" -c "exec $quoted"
    fi
}

# ---------------------------------------------------------------- the machine

find_system() {
    case "$(uname -s)" in
    Linux) system=linux ;;
    Darwin) system=macos ;;
    *) fail "this is $(uname -s); known are Linux and macOS. docs/how-to/worker-machine.md tells how to set a worker up by hand" ;;
    esac
    distribution=$system
    if [ -r /etc/os-release ]; then
        # shellcheck source=/dev/null
        distribution=$(. /etc/os-release && printf '%s %s' "${ID:-linux}" "${VERSION_ID:-}")
    elif [ "$system" = macos ]; then
        distribution="macos $(sw_vers -productVersion)"
    fi
    for manager in apt-get dnf apk brew none; do
        if have "$manager" || [ "$manager" = none ]; then break; fi
    done
    if [ -d /run/systemd/system ]; then
        service=systemd
    elif [ "$system" = macos ]; then
        service=launchd
    elif have openrc-run || [ -x /sbin/openrc-run ]; then
        service=openrc
    else
        service=none
    fi
    if [ "$no_service" = yes ]; then service=none; fi
}

apt_ready=no
install_packages() {
    [ "$dry" = yes ] || say "          installing it: $*"
    case "$manager" in
    apt-get)
        if [ "$apt_ready" = no ]; then
            quietly apt-get update -qq
            apt_ready=yes
        fi
        quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
        ;;
    dnf) quietly dnf install -y -q "$@" ;;
    apk) quietly apk add --quiet "$@" ;;
    brew) quietly sudo -u "${SUDO_USER:-root}" brew install --quiet "$@" ;;
    *) fail "no package manager is known here (apt-get, dnf, apk, brew): install $* yourself and run this again" ;;
    esac
}

# Python is started with -I: it takes no module from the current folder, which may be one of the worker's.

# Exits 0 for a Python that is new enough, and that the worker's user can run (one in /root he cannot).
PYTHON_FITS='
import os, sys
path = os.path.realpath(sys.executable)
folders = []
while path != "/":
    path = os.path.dirname(path)
    folders.append(path)
sys.exit(sys.version_info < (3, 10) or not all(os.stat(folder).st_mode & 1 for folder in folders))
'

# Such a Python, the system's own first; empty when there is none.
find_python() {
    python=''
    for candidate in /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3 \
        /opt/homebrew/bin/python3 /usr/local/bin/python3; do
        have "$candidate" || continue
        # Apple's stand-in would open a dialog where the developer tools are not installed
        if [ "$system" = macos ] && [ "$(command -v "$candidate")" = /usr/bin/python3 ] &&
            ! xcode-select -p >/dev/null 2>&1; then
            continue
        fi
        if "$candidate" -I -c "$PYTHON_FITS" 2>/dev/null; then
            python=$(command -v "$candidate")
            return 0
        fi
    done
}

check_python() {
    find_python
    if [ -z "$python" ]; then
        found missing 'Python 3.10 or newer'
        case "$manager" in
        apk | apt-get | dnf) install_packages python3 ;;
        brew) install_packages python@3.12 ;;
        *) install_packages 'Python 3.10 or newer' ;;
        esac
        find_python
        if [ -z "$python" ]; then
            [ "$dry" = yes ] && return 0
            fail "$distribution brings no Python 3.10 or newer. Install one (python3.11 of your distribution's backports, or pyenv), then run this again"
        fi
    fi
    found ok "Python $("$python" -I -c 'import platform; print(platform.python_version())') ($python)"
    if "$python" -I -c 'import venv, ensurepip' 2>/dev/null; then
        found ok 'venv and pip for it'
    else
        found missing 'venv and pip for it'
        series=$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        case "$manager" in
        apt-get)
            if [ "$python" = /usr/bin/python3 ]; then install_packages python3-venv; else install_packages "python$series-venv"; fi
            ;;
        apk) install_packages py3-pip ;;
        *) install_packages python3-pip ;;
        esac
        [ "$dry" = yes ] || "$python" -I -c 'import venv, ensurepip' 2>/dev/null ||
            fail "$python still has no venv and ensurepip; install them for Python $series and run this again"
        [ "$dry" = yes ] || found ok 'venv and pip for it'
    fi
    if "$python" -I -c 'import ssl' 2>/dev/null; then
        found ok 'TLS for it (amqps)'
    else
        found missing "TLS: this Python was built without the module ssl, so only amqp:// will work"
    fi
}

check_certificates() {
    for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
        if [ -s "$file" ]; then
            found ok "certificate authorities ($file)"
            return 0
        fi
    done
    found missing 'certificate authorities'
    install_packages ca-certificates
    [ "$dry" = yes ] || found ok 'certificate authorities'
}

check_machine() {
    step "Checking this machine"
    found ok "$distribution on $(uname -m), packages by $manager, services by $service"
    check_python
    check_certificates
    if have git; then
        found ok "$(git --version)"
    else
        found note 'no git: builds that check out from Git will not come here until it is installed'
    fi
    free=$(df -Pk "$(dirname "$STATE")" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
    if [ -z "$free" ]; then
        found note "how much is free at $(dirname "$STATE") could not be found out"
    elif [ "$free" -lt 1024 ]; then
        found note "only $free MiB free at $(dirname "$STATE"): builds may not fit"
    else
        found ok "$free MiB free at $(dirname "$STATE")"
    fi
}

# ---------------------------------------------------------------- the broker's URL

# Sets config_text to the configuration in the file $config_file, which is read once and before anything is changed.
# It holds a password: it goes on through pipes only.
read_configuration() {
    [ -n "$config_file" ] || return 0
    if [ "$config_file" = - ]; then
        config_text=$(cat) || fail 'standard input cannot be read; it should hold the configuration'
        config_file='standard input'
    else
        [ -e "$config_file" ] || fail "$config_file: there is no such file"
        [ ! -d "$config_file" ] || fail "$config_file is a folder; name the file in it"
        config_text=$(cat "$config_file" 2>/dev/null) ||
            fail "$config_file cannot be read by $(id -un): copy it to this machine's own disk, or give it by standard input: --config - <$config_file"
    fi
    [ -n "$config_text" ] || fail "$config_file is empty; it should hold what \`master-bridge enroll\` wrote (a script that sh itself reads from standard input leaves no place there for it)"
    config_text="$config_text
"
    says_config amqp_url || says_config amqp_url_file ||
        fail "$config_file names no broker: it has no line amqp_url = …, which is the last one that \`master-bridge enroll\` writes. Copy it anew"
}

# Has the text on standard input a line that sets $1?
sets() { grep -Eq "^[[:space:]]*$1[[:space:]]*="; }
# Has the configuration that was given one?
says_config() { printf '%s' "$config_text" | sets "$1"; }
# Has the configuration that is in place one?
says_kept() { [ -f "$CONFIG" ] && sets "$1" <"$CONFIG"; }

# A password that others of this machine may have read is none.
check_readers() {
    [ -f "$config_file" ] || return 0
    [ -z "$(find -L "$config_file" -prune \( -perm -040 -o -perm -004 \))" ] ||
        found note "others than its owner may read $config_file, which holds a password. If somebody did: \`master-bridge enroll NAME --renew\`"
}

# Sets url, without ever handing it to another process.
find_url() {
    step "Broker"
    if [ -n "$config_text" ]; then
        found ok "as $config_file says"
        check_readers
        return 0
    fi
    if says_kept amqp_url; then
        found kept "the URL in $CONFIG (give another --config to change it)"
        return 0
    fi
    if [ -s "$CONFIG_DIR/amqp-url" ]; then
        found kept "the URL in $CONFIG_DIR/amqp-url (edit that file to change it)"
        url=''
        return 0
    fi
    url=''
    if [ -n "$url_file" ]; then
        if [ "$url_file" = - ]; then
            IFS= read -r url || [ -n "$url" ] || fail 'standard input is empty; it should hold the broker URL'
        else
            IFS= read -r url <"$url_file" || [ -n "$url" ] || fail "$url_file is empty; it should hold the broker URL"
        fi
    elif [ -n "$url_argument" ]; then
        url=$url_argument
    elif [ -n "$url_variable" ]; then
        url=$url_variable
    elif [ "$dry" = yes ]; then
        found note 'no URL given; it would be asked for'
        return 0
    elif ( : </dev/tty ) 2>/dev/null; then
        printf '  Broker URL (amqps://USER@HOST/): ' >/dev/tty
        IFS= read -r url </dev/tty
    else
        fail 'no broker URL: give it as an argument, in WORKER_AGENT_AMQP_URL or by --url-file (there is no terminal to ask on)'
    fi
    case "$url" in
    amqp://?* | amqps://?*) ;;
    *) fail 'the broker URL must begin with amqp:// or amqps:// and name a host, as in amqps://builder7@broker.example.org/' ;;
    esac
    add_password
    rest=${url#*://}
    host=${rest##*@}
    found ok "${url%%://*}://…@${host%%/*}"
}

# Puts the password into url when it has a user and no password. Sets password.
add_password() {
    rest=${url#*://}
    case "$rest" in
    *@*) account=${rest%@*} ;;
    *) return 0 ;;
    esac
    case "$account" in
    *:*) return 0 ;;
    esac
    password=$password_variable
    if [ -n "$password" ]; then
        :
    elif [ "$dry" = no ] && ( : </dev/tty ) 2>/dev/null; then
        printf '  Password of %s: ' "$account" >/dev/tty
        stty -echo </dev/tty
        IFS= read -r password </dev/tty || password=''
        stty echo </dev/tty
        printf '\n' >/dev/tty
    fi
    [ -n "$password" ] || return 0
    # percent-encoded by Python, which gets it through a pipe (printf is part of the shell, no process)
    encoded=$(printf '%s' "$password" | "$python" -I -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.stdin.read(), safe=""))')
    url="${url%%://*}://$account:$encoded@${rest##*@}"
    password=''
}

# ---------------------------------------------------------------- installing

# Makes user $1, whose home is $2, with a group of the same name: no password, no login. 1: it is there already.
make_account() {
    if id "$1" >/dev/null 2>&1; then
        found kept "user $1"
        return 1
    elif [ "$system" = macos ]; then
        number=400
        while dscl . -list /Users UniqueID | awk '{ print $2 }' | grep -qx "$number"; do number=$((number + 1)); done
        run dscl . -create "/Groups/$1" PrimaryGroupID "$number"
        run dscl . -create "/Users/$1" UniqueID "$number"
        run dscl . -create "/Users/$1" PrimaryGroupID "$number"
        run dscl . -create "/Users/$1" UserShell /usr/bin/false
        run dscl . -create "/Users/$1" NFSHomeDirectory "$2"
        run dscl . -create "/Users/$1" IsHidden 1
    elif have useradd; then
        shell=/usr/sbin/nologin
        [ -x "$shell" ] || shell=/sbin/nologin
        run useradd --system --user-group --home-dir "$2" --no-create-home --shell "$shell" "$1"
    else
        run addgroup -S "$1"
        run adduser -S -D -H -h "$2" -s /sbin/nologin -G "$1" "$1"
    fi
    did "user $1: no password, no login, home $2"
}

make_users() {
    step "User $USER_NAME"
    if make_account "$USER_NAME" "$STATE"; then made_user=yes; fi
    run mkdir -p "$STATE" "$CONFIG_DIR/capabilities.d"
    run chown "$USER_NAME:$USER_NAME" "$STATE"
    run chmod 0700 "$STATE"
    run chown "root:$USER_NAME" "$CONFIG_DIR" "$CONFIG_DIR/capabilities.d"
    run chmod 0750 "$CONFIG_DIR" "$CONFIG_DIR/capabilities.d"
    decide_separation
    [ "$separate" = yes ] || return 0
    # an in-place restart keeps the rights that the process has: the first time it has to be another one
    [ "$(sed -n 's/^separate=//p' "$PREFIX/installed" 2>/dev/null | tail -n 1)" = yes ] || regain=yes
    if make_account "$BUILD_NAME" "$BUILDS"; then made_build_user=yes; fi
    run mkdir -p "$BUILDS"
    run chown "$BUILD_NAME:$BUILD_NAME" "$BUILDS"
    run chmod 0750 "$BUILDS"
    did "commands run as $BUILD_NAME, the agent as $USER_NAME"
}

# Sets separate: are commands to run as a user of their own?
decide_separation() {
    separate=no
    one_user="commands run as the agent's own user, $USER_NAME: a build can read the broker's password"
    if [ "$system" != linux ]; then
        found note "$one_user. Two users need Linux"
        return 0
    fi
    if [ -e "$CONFIG" ] && ! says_kept run_as && ! says_config run_as; then
        found note "$one_user. To change that put run_as = \"$BUILD_NAME\" into $CONFIG and run this again"
        return 0
    fi
    if ! have_setpriv; then
        found missing 'setpriv, which starts commands as another user'
        if [ "$manager" = apk ]; then install_packages setpriv; else install_packages util-linux || :; fi
    fi
    if have_setpriv || [ "$dry" = yes ]; then
        separate=yes
    elif says_kept run_as || says_config run_as; then
        fail "the configuration has run_as, and there is no setpriv (util-linux): install it, or take that line away"
    else
        found note "$one_user. Two users need the program setpriv (util-linux)"
    fi
}

# A name alone would be looked up at a package index, where whoever registered it would run code here, as root.
check_source() {
    remedy='give a folder, a wheel, a URL or a Git reference: --source ./buildbot-amqp, --source https://HOST/FILE.whl#sha256=…, --source git+https://HOST/REPOSITORY@REF'
    case "$source" in
    '') misuse "--source is missing: $remedy" ;;
    *://*) check_url ;;
    /*) ;;
    */* | *.whl) source="$(pwd)/$source" ;; # what follows must not depend on the folder we are in
    *)
        [ -d "$source" ] || misuse "--source $source is neither a path nor a URL, and a name at a package index may be anybody's: $remedy"
        source="$(pwd)/$source"
        ;;
    esac
}

# On the way from there nobody may put something else in its place: TLS and SSH see to that, a hash or a commit's whole id
# does where they are not used.
check_url() {
    case "$(printf '%s' "${source%%://*}" | tr '[:upper:]' '[:lower:]')" in
    https | file | git+https | git+ssh | git+file) return 0 ;;
    git+*)
        id=${source##*@}
        if is_hex "${id%%#*}" 40; then return 0; fi
        ;;
    *)
        case "$source" in
        *'#'*sha256=*)
            id=${source##*sha256=}
            if is_hex "${id%%&*}" 64; then return 0; fi
            ;;
        esac
        ;;
    esac
    misuse "--source $source: on its way here anybody could put something else in its place, which would run as root. Use https, or say what it must be: http://HOST/FILE.whl#sha256=… (64 digits), git+http://HOST/REPOSITORY@COMMIT (40 digits)"
}

# Is $1 made of $2 hexadecimal digits?
is_hex() {
    case "$1" in *[!0-9a-fA-F]*) return 1 ;; esac
    [ "${#1}" -eq "$2" ]
}

# What pip is asked to install, with what a worker needs beside it: cryptography, too, since `enroll` gives it keys to
# trust; what traces need, where the configuration that is given, or else the one in place, asks for them.
requirement() {
    extras=worker,signing
    if [ -n "$config_text" ] && says_config traces; then asked=$(printf '%s' "$config_text"); else asked=$(cat "$CONFIG" 2>/dev/null || :); fi
    if printf '%s\n' "$asked" | grep -Eq '^[[:space:]]*traces[[:space:]]*=[[:space:]]*true'; then extras=$extras,otel; fi
    asked=''
    case "$source" in
    *://* | git+*) printf '%s[%s] @ %s' "$PACKAGE" "$extras" "$source" ;;
    *) printf '%s[%s]' "$source" "$extras" ;;
    esac
}

# Each version has a virtual environment of its own; `current` leads to the one in use, and is switched at once when
# everything is there, and the new program can work with the configuration. A failed installation changes nothing.
install_program() {
    step "Program"
    venv="$PREFIX/venvs/$(date +%Y%m%d-%H%M%S)-$$"
    if [ -L "$PREFIX/current" ]; then
        old=$(cd "$PREFIX/current" && pwd -P)
    fi
    run mkdir -p "$PREFIX/venvs"
    [ "$dry" = yes ] || printf '%s\n' "made_user=$made_user" "made_build_user=$made_build_user" "separate=$separate" >>"$PREFIX/installed"
    if ! run "$python" -I -m venv "$venv"; then
        rm -rf "$venv"
        fail "no virtual environment could be made in $venv; see above"
    fi
    if ! run "$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check "$(requirement)"; then
        rm -rf "$venv"
        fail "pip could not install $(requirement); what is installed already was not touched. pip's own configuration is used (pip config list)"
    fi
    if [ "$dry" = no ]; then
        if ! version=$("$venv/bin/worker-agent" --version 2>&1); then
            rm -rf "$venv"
            fail "what was installed from $source does not start; what was there before was not touched:
$version"
        fi
        found ok "$version, beside what is there"
    fi
}

switch_program() {
    if [ "$dry" = no ]; then
        rm -f "$PREFIX/current.new"
        ln -s "$venv" "$PREFIX/current.new"
        # mv -T / -h differ between systems; rename(2) replaces the link at once everywhere
        "$python" -I -c 'import os, sys; os.replace(sys.argv[1], sys.argv[2])' "$PREFIX/current.new" "$PREFIX/current"
        found ok "$PREFIX/current is the new program"
        # the one before stays: sessions that run were started from it
        for other in "$PREFIX/venvs"/*; do
            case "$other" in
            "$venv" | "${old:-}") ;;
            *) rm -rf "$other" ;;
            esac
        done
    else
        say "  would switch: $PREFIX/current to $venv"
    fi
}

# A kept file of an earlier version may be the worker's own. A new file takes its place, since whoever has the old one open
# could go on writing to it. A link is the administrator's: where it leads is not changed.
take_over() {
    if [ -L "$1" ]; then
        found note "$1 is a link: see to it that the file is root's, readable by the group $USER_NAME (0640)"
    elif [ "$dry" = yes ]; then
        say "  would make it root's, readable by the group $USER_NAME (0640): $1"
    elif [ -f "$1" ]; then
        # shellcheck disable=SC2094 # it writes to a file beside, and renames that
        write_file "$1" 0640 "root:$USER_NAME" <"$1"
    fi
}

# Makes the configuration at $checked, which is in use already or gets there by put_configuration.
write_configuration() {
    step "Configuration"
    checked=$CONFIG.new
    if [ -n "$url" ]; then
        printf '%s\n' "$url" | write_file "$CONFIG_DIR/amqp-url" 0640 "root:$USER_NAME"
        did "$CONFIG_DIR/amqp-url (root's, readable by the group $USER_NAME)"
        url=''
    else
        take_over "$CONFIG_DIR/amqp-url"
    fi
    if [ -n "$config_text" ]; then
        compose_configuration
    elif [ -e "$CONFIG" ]; then
        take_over "$CONFIG"
        found kept "$CONFIG"
        [ -z "$slots$worker_name" ] ||
            found note "--slots and --name are for a new configuration: change these settings in $CONFIG, then run this again"
        checked=$CONFIG
    else
        {
            say "# Settings of the worker agent; 'worker-agent --help' lists them all. Kept when the program is upgraded."
            say "amqp_url_file = \"$CONFIG_DIR/amqp-url\""
            say "state = \"$STATE\""
            [ "$separate" = no ] || say "run_as = \"$BUILD_NAME\""
            say 'auto_capabilities = true'
            say "slots = ${slots:-1}"
            [ -z "$worker_name" ] || say "name = \"$worker_name\""
        } | write_file "$checked" 0640 "root:$USER_NAME"
    fi
}

# What was given, with what else this machine's own says.
compose_configuration() {
    if [ "$dry" = yes ]; then
        say "  would write: $checked (mode 0640, owner root:$USER_NAME), and try it"
        return 0
    fi
    set -- --new "$config_file" --kept "$CONFIG" --default "state = \"$STATE\""
    [ "$separate" = no ] || set -- "$@" --default "run_as = \"$BUILD_NAME\""
    [ -z "$slots" ] || set -- "$@" --given "slots = $slots"
    [ -z "$worker_name" ] || set -- "$@" --given "name = \"$worker_name\""
    if ! config_text=$(printf '%s' "$config_text" | "$venv/bin/python" -I -m worker_agent.program.configuring "$@"); then
        config_text=''
        refuse "$config_file cannot be used: see above"
    fi
    printf '%s\n' "$config_text" | write_file "$checked" 0640 "root:$USER_NAME"
    config_text=''
}

# The new program says whether it can work with it, before either takes the place of what works.
check_configuration() {
    [ "$dry" = no ] || return 0
    if said=$(as_user "$venv/bin/worker-agent" --config "$checked" check); then
        found ok 'the program can work with it'
    else
        printf '%s\n' "$said" | sed "s|$checked|$CONFIG|g" >&2
        refuse "the new program cannot work with this configuration"
    fi
}

# Nothing new stays.
refuse() {
    rm -f "$CONFIG.new"
    rm -rf "$venv"
    fail "$1. Program and configuration are as they were before"
}

put_configuration() {
    [ "$checked" != "$CONFIG" ] || return 0
    run mv -f "$checked" "$CONFIG"
    if [ -z "$config_file" ]; then
        did "$CONFIG; probes and capabilities of your own go into $CONFIG_DIR/capabilities.d"
        return 0
    fi
    did "$CONFIG (root's, readable by the group $USER_NAME), from $config_file"
    [ "$dry" = yes ] || [ ! -f "$config_file" ] || found note "$config_file is not needed any more and holds a password: rm $config_file"
}

systemd_unit() {
    cat <<'UNIT'
# Buildbot worker agent. Written by deploy/install-worker.sh; change it by `systemctl edit worker-agent`.
[Unit]
Description=Buildbot worker agent, brokered by RabbitMQ
Wants=network-online.target
After=network-online.target
# It waits for the broker by itself, and is never given up.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
User=worker-agent
Group=worker-agent
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/opt/worker-agent/current/bin/python -I -m worker_agent --config /etc/worker-agent.toml
# Restart in place, with the program as installed now; builds go on meanwhile.
ExecReload=/bin/sh -c 'kill -USR2 $MAINPID'
WorkingDirectory=/var/lib/worker-agent
StateDirectory=worker-agent
StateDirectoryMode=0700
UMask=0027

# Only the main process is signalled. The keepers of running sessions survive its end and are taken up again by the
# next one; a drain (SIGTERM) has so long to finish its builds.
KillMode=process
TimeoutStopSec=90
Restart=always
RestartSec=500ms
# 2: wrong configuration, 73: the state folder cannot be used; another try changes nothing.
RestartPreventExitStatus=2 73
WatchdogSec=60
TimeoutStartSec=60
# A build that is killed for its memory takes neither the agent nor the other builds with it.
OOMPolicy=continue
LimitNOFILE=65536
TasksMax=infinity

# Builds run in here, so nothing that compilers, debuggers, JITs or test suites need is taken away. Not set on purpose:
# PrivateTmp (a restart would remove /tmp under running builds), MemoryDenyWriteExecute, PrivateDevices (GPU, KVM),
# RestrictNamespaces (rootless containers), SystemCallArchitectures (32-bit builds).
NoNewPrivileges=yes
# To start commands as the user of `run_as`, and to end them; commands have none of these. Without `run_as` both are empty.
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL
AmbientCapabilities=CAP_SETUID CAP_SETGID CAP_KILL
ProtectSystem=strict
ReadWritePaths=/tmp /var/tmp -/var/lib/worker-build
ProtectHome=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictRealtime=yes
KeyringMode=private

[Install]
WantedBy=multi-user.target
UNIT
}

openrc_script() {
    cat <<'SCRIPT'
#!/sbin/openrc-run
# Buildbot worker agent. Written by deploy/install-worker.sh.
name="Buildbot worker agent"
supervisor=supervise-daemon
command=/opt/worker-agent/current/bin/python
command_args="-I -m worker_agent --config /etc/worker-agent.toml"
command_user="worker-agent:worker-agent"
directory=/var/lib/worker-agent
output_log=/var/log/worker-agent.log
error_log=/var/log/worker-agent.log
respawn_delay=2
# SIGTERM drains; so long for the builds that run
retry="TERM/90/TERM/10/KILL/5"
extra_started_commands="reload"

depend() {
    need net
    after firewall
}

start_pre() {
    checkpath --file --owner worker-agent:worker-agent --mode 0640 /var/log/worker-agent.log
}

reload() {
    ebegin "Restarting $name in place"
    supervise-daemon "$RC_SVCNAME" --signal USR2
    eend $?
}
SCRIPT
}

launchd_plist() {
    cat <<'PLIST'
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
    <key>Label</key><string>org.buildbot-amqp.worker-agent</string>
    <key>ProgramArguments</key>
    <array>
        <string>/opt/worker-agent/current/bin/python</string><string>-I</string><string>-m</string><string>worker_agent</string>
        <string>--config</string><string>/etc/worker-agent.toml</string>
    </array>
    <key>UserName</key><string>worker-agent</string>
    <key>WorkingDirectory</key><string>/var/lib/worker-agent</string>
    <key>EnvironmentVariables</key>
    <dict>
        <key>PATH</key><string>/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin</string>
    </dict>
    <key>RunAtLoad</key><true/>
    <key>KeepAlive</key><true/>
    <!-- the keepers of running sessions survive the agent's end -->
    <key>AbandonProcessGroup</key><true/>
    <key>ExitTimeOut</key><integer>90</integer>
    <key>StandardOutPath</key><string>/var/log/worker-agent.log</string>
    <key>StandardErrorPath</key><string>/var/log/worker-agent.log</string>
</dict>
</plist>
PLIST
}

# With one user the agent needs no right.
fit_unit() {
    if [ "$separate" = yes ]; then cat; else sed -e 's/^\(CapabilityBoundingSet\|AmbientCapabilities\)=.*/\1=/'; fi
}

# With two users the agent keeps the rights to start and to end commands of the other.
fit_openrc() {
    if [ "$separate" = no ]; then
        cat
        return 0
    fi
    start="--reuid=$USER_NAME --regid=$USER_NAME --init-groups $AGENT_RIGHTS --"
    start="$start env HOME=$STATE USER=$USER_NAME LOGNAME=$USER_NAME $PREFIX/current/bin/python"
    sed -e "s|^command=.*|command=$(command -v setpriv)|" -e "s|^command_args=\"|&$start |" -e '/^command_user=/d'
}

start_service() {
    step "Service"
    case "$service" in
    systemd)
        systemd_unit | fit_unit | write_file "$UNIT" 0644 root:root
        run systemctl daemon-reload
        run systemctl enable --quiet "$NAME"
        if [ "$dry" = no ] && [ "$regain" = no ] && systemctl is-active --quiet "$NAME"; then
            systemctl reload "$NAME"
            found ok "$NAME restarted in place; running builds go on"
        else
            run systemctl restart "$NAME"
            did "$NAME enabled and started (systemctl status $NAME)"
        fi
        ;;
    openrc)
        openrc_script | fit_openrc | write_file "$RC_SCRIPT" 0755 root:root
        run rc-update add "$NAME" default
        if [ "$dry" = no ] && [ "$regain" = yes ] && rc-service "$NAME" status >/dev/null 2>&1; then
            rc-service "$NAME" restart
            found ok "$NAME restarted: its commands run as $BUILD_NAME now"
        elif [ "$dry" = no ] && rc-service "$NAME" status >/dev/null 2>&1; then
            rc-service "$NAME" reload
            found ok "$NAME restarted in place; running builds go on"
        else
            run rc-service "$NAME" start
            did "$NAME added and started (rc-service $NAME status)"
        fi
        ;;
    launchd)
        launchd_plist | write_file "$PLIST" 0644 root:wheel
        # in root's folder, where nobody can put a link in its place
        [ -e "/var/log/$NAME.log" ] || : | write_file "/var/log/$NAME.log" 0640 "$USER_NAME:$USER_NAME"
        if [ "$dry" = no ] && launchctl print "system/org.buildbot-amqp.$NAME" >/dev/null 2>&1; then
            launchctl kill SIGUSR2 "system/org.buildbot-amqp.$NAME"
            found ok "$NAME restarted in place; running builds go on"
        else
            run launchctl bootstrap system "$PLIST"
            did "$NAME loaded (launchctl print system/org.buildbot-amqp.$NAME)"
        fi
        ;;
    none)
        if [ "$start" = yes ]; then
            start_in_background
        else
            if [ "$separate" = yes ]; then
                found note 'no service manager: start the worker yourself, as root:'
                say "      setpriv --reuid=$USER_NAME --regid=$USER_NAME --init-groups $AGENT_RIGHTS -- $(command_line)"
            else
                found note 'no service manager: start the worker yourself, as the user '"$USER_NAME"':'
                say "      $(command_line)"
            fi
        fi
        ;;
    esac
}

command_line() { printf '%s' "$PREFIX/current/bin/python -I -m worker_agent --config $CONFIG"; }

# Restarts a worker in place that was started in the background. The pid file and the folder are the worker's, so this
# is done with the worker's rights: whatever stands there, no process of another user is signalled, no link of it followed
# by root.
restart_in_background() {
    # shellcheck disable=SC2016 # the inner shell expands these
    as_user /bin/sh -c '[ -f "$1" ] && read -r pid <"$1" && case "$pid" in "" | 0* | *[!0-9]*) exit 1 ;; esac && kill -USR2 "$pid"' \
        sh "$RUN_PID" >/dev/null
}

start_in_background() {
    if [ "$dry" = yes ]; then
        say "  would start in the background: $(command_line)"
    elif [ "$regain" = yes ] && as_user test -e "$RUN_PID"; then
        found note "a worker with one user may run already: end it (kill -TERM the number in $RUN_PID), remove that file and run this again"
    elif restart_in_background; then
        found ok 'worker restarted in place; running builds go on'
    else
        # A redirection of the function would leave our own output open in the subshell, and whoever reads that waits.
        # shellcheck disable=SC2016 # the inner shell expands these
        (
            exec </dev/null >/dev/null 2>&1
            [ "$separate" = no ] || rights=$AGENT_RIGHTS
            become_user /bin/sh -c 'cd "$1" && echo $$ >"$2" && exec >>"$3" 2>&1 && shift 3 && exec "$@"' \
                sh "$STATE" "$RUN_PID" "$RUN_LOG" \
                "$PREFIX/current/bin/python" -I -m worker_agent --config "$CONFIG"
        ) &
        found ok "worker started in the background; it logs to $RUN_LOG"
    fi
}

wait_for_broker() {
    [ "$dry" = no ] || return 0
    if [ "$service" = none ] && [ "$start" = no ]; then
        say ''
        say "Then see whether the broker knows it, and what it serves:"
        say "      $PREFIX/current/bin/worker-agent --config $CONFIG columns --wait $WAIT"
        return 0
    fi
    step "Waiting until the broker sees this worker (up to $WAIT s)"
    if as_user "$PREFIX/current/bin/worker-agent" --config "$CONFIG" columns --wait "$WAIT"; then
        say ''
        say "Done: this machine is a worker. What it can do: $PREFIX/current/bin/worker-agent --config $CONFIG capabilities"
        return 0
    fi
    case "$service" in
    systemd) hint="journalctl -u $NAME -n 50" ;;
    openrc | launchd) hint="tail -n 50 /var/log/$NAME.log" ;;
    *) hint="tail -n 50 $RUN_LOG" ;;
    esac
    fail "the worker is installed, but the broker has not seen it. Why: $hint
It goes on trying; the broker's URL is in $CONFIG or $CONFIG_DIR/amqp-url"
}

# ---------------------------------------------------------------- removing

# Ends what still runs as the worker's user: it is nobody else's. Busybox and macOS have pkill as well.
end_processes() {
    id "$USER_NAME" >/dev/null 2>&1 || return 0
    if [ "$dry" = yes ]; then
        say "  would end: every process of user $USER_NAME"
        return 0
    fi
    for signal in TERM KILL; do
        tries=0
        while [ "$tries" -lt 50 ]; do
            pids=$(processes_of_user)
            [ -n "$pids" ] || return 0
            # with the user's rights: a number that another process got meanwhile is not signalled
            # shellcheck disable=SC2016,SC2086 # the inner shell expands it; one word each
            [ "$tries" -gt 0 ] || as_user /bin/sh -c 'kill "$@"' sh "-$signal" $pids >/dev/null || :
            sleep 0.1 2>/dev/null || sleep 1
            tries=$((tries + 1))
        done
    done
    # they could put links into the folder while it is removed
    fail "processes of $USER_NAME do not end: $(processes_of_user | tr '\n' ' '). Nothing was removed; end them and run this again"
}

processes_of_user() {
    number=$(id -u "$USER_NAME")
    if [ -d /proc/1 ]; then
        for status in /proc/[0-9]*/status; do
            awk -v number="$number" '/^State:/ { dead = ($2 == "Z") } /^Pid:/ { pid = $2 } /^Uid:/ && $2 == number && !dead { print pid }' "$status" 2>/dev/null || :
        done
    else
        ps -axo pid=,uid= | awk -v number="$number" '$2 == number { print $1 }'
    fi
}

uninstall() {
    step "Removing the worker from this machine"
    case "$service" in
    systemd)
        if [ -e "$UNIT" ]; then
            run systemctl disable --now --quiet "$NAME" || found note "$NAME could not be stopped by systemctl"
            run rm -f "$UNIT"
            run rm -rf "$UNIT.d"
            run systemctl daemon-reload
        fi
        ;;
    openrc)
        if [ -e "$RC_SCRIPT" ]; then
            run rc-service "$NAME" stop || :
            run rc-update delete "$NAME" default || :
            run rm -f "$RC_SCRIPT"
        fi
        ;;
    launchd)
        if [ -e "$PLIST" ]; then
            run launchctl bootout "system/org.buildbot-amqp.$NAME" || :
            run rm -f "$PLIST"
        fi
        ;;
    esac
    end_processes
    if grep -qs '^made_build_user=yes$' "$PREFIX/installed"; then
        # its processes are nobody else's, either; its folder is empty of whatever they could still do there
        agent_user=$USER_NAME USER_NAME=$BUILD_NAME
        end_processes
        USER_NAME=$agent_user
        run rm -rf "$BUILDS"
        if have userdel; then run userdel "$BUILD_NAME"; else run deluser "$BUILD_NAME"; fi
        did "user $BUILD_NAME and its builds removed"
    fi
    ours=no
    if [ -e "$PREFIX/installed" ] && grep -q '^made_user=yes$' "$PREFIX/installed"; then ours=yes; fi
    run rm -rf "$PREFIX" "$CONFIG" "$CONFIG.new" "$CONFIG_DIR" "$STATE" "/var/log/$NAME.log"
    did 'program, configuration, identity and builds removed'
    if [ "$ours" = yes ] && id "$USER_NAME" >/dev/null 2>&1; then
        if [ "$system" = macos ]; then
            run dscl . -delete "/Users/$USER_NAME"
            run dscl . -delete "/Groups/$USER_NAME"
        elif have userdel; then
            run userdel "$USER_NAME"
        else
            run deluser "$USER_NAME"
        fi
        did "user $USER_NAME removed"
    elif id "$USER_NAME" >/dev/null 2>&1; then
        found kept "user $USER_NAME, which was there before"
    fi
    say ''
    say "Packages of the system (Python, certificates) were left; they are not only ours."
    say "So was the account at the broker: \`master-bridge revoke NAME\` takes that away."
}

# ---------------------------------------------------------------- main

main() {
    # out of the environment: no process that is started here needs them
    url_variable=${WORKER_AGENT_AMQP_URL:-} password_variable=${WORKER_AGENT_PASSWORD:-}
    unset WORKER_AGENT_AMQP_URL WORKER_AGENT_PASSWORD
    source='' url_file='' config_file='' url_argument='' worker_name='' slots='' config_text=''
    no_service=no start=no dry=no action=install made_user=no made_build_user=no separate=no regain=no old='' url=''
    while [ $# -gt 0 ]; do
        case "$1" in
        --url-file | --config | --source | --name | --slots | --wait)
            [ $# -ge 2 ] || misuse "$1 needs a value"
            case "$1" in
            --url-file) url_file=$2 ;;
            --config) config_file=$2 ;;
            --source) source=$2 ;;
            --name) worker_name=$2 ;;
            --slots) slots=$2 ;;
            --wait) WAIT=$2 ;;
            esac
            shift
            ;;
        --no-service) no_service=yes ;;
        --start) start=yes ;;
        --dry-run) dry=yes ;;
        --uninstall) action=uninstall ;;
        --print-unit)
            systemd_unit
            exit 0
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        amqp://* | amqps://*)
            given=${1#*://}
            case "${given%@*}" in
            *:*@* | "$given") ;; # no account
            *:*) misuse "a password on a command line can be read by every user of this machine. Leave it out and be asked, or put the URL into WORKER_AGENT_AMQP_URL or a file (--url-file)" ;;
            esac
            url_argument=$1
            ;;
        *) misuse "what is $1? A broker URL begins with amqp:// or amqps://" ;;
        esac
        shift
    done
    case "$slots" in *[!0-9]* | 0) misuse "--slots $slots: a number from 1 on is needed" ;; esac
    case "$WAIT" in '' | *[!0-9]*) misuse "--wait $WAIT: a number of seconds is needed" ;; esac
    [ "$action" = uninstall ] || check_source
    [ -z "$config_file" ] || [ -z "$url_file$url_argument" ] || misuse "--config says where the broker is: leave the URL out"
    case "$worker_name" in *[!A-Za-z0-9._-]*) misuse "--name $worker_name: use letters, digits, '.', '_' and '-'" ;; esac

    find_system
    if [ "$dry" = no ] && [ "$(id -u)" != 0 ]; then
        fail "run this as root (sudo sh install-worker.sh …): it makes a user and a service. --dry-run needs no root"
    fi
    if [ "$action" = uninstall ]; then
        uninstall
        return 0
    fi
    read_configuration
    check_machine
    find_url
    make_users
    install_program
    write_configuration
    check_configuration
    switch_program
    put_configuration
    start_service
    wait_for_broker
}

# in one piece at the end: a script that is piped into sh and cut off does nothing
main "$@"
