#!/bin/sh
# A RabbitMQ of another version than this machine's: prints the command that starts it, as RABBITMQ_SERVER wants it.
# Where this machine's own is of that version, it is that one; else a Debian that has it, made once in a folder (a minute
# and 500 MB each; needs root and debootstrap).
#
#     deploy/dev/broker-root.sh 3.10|4.0|4.3
#     RABBITMQ_SERVER=$(deploy/dev/broker-root.sh 4.3) make test
#
# The folders are in .cache/brokers, or in the one that BROKER_ROOTS names: one each, called bookworm, trixie, forky.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
version=${1:?usage: $0 3.10|4.0|4.3}
case $version in
    3.10) release=bookworm ;;
    4.0) release=trixie ;;
    4.3) release=forky ;;
    *)
        echo "$0: $version: this script knows 3.10, 4.0 and 4.3 (Debian 12, 13 and forky)" >&2
        exit 2
        ;;
esac
server=usr/lib/rabbitmq/bin/rabbitmq-server

# Does the root $1 have this version?
has() {
    for found in "$1/usr/lib/rabbitmq/lib/rabbitmq_server-$version".*; do
        [ -d "$found" ] && [ -x "$1/$server" ] && return 0
    done
    return 1
}

if has ""; then
    echo "/$server"
    exit 0
fi
root=${BROKER_ROOTS:-$here/../../.cache/brokers}/$release
if ! has "$root"; then
    command -v debootstrap >/dev/null || {
        echo "$0: debootstrap is missing: apt-get install --no-install-recommends debootstrap" >&2
        exit 1
    }
    # The mirror that this machine installs from; Debian's own where none is found.
    mirror=$(sed -n 's/^deb [^h]*\(http[^ ]*\) .*/\1/p; s/^URIs: *\(http[^ ]*\).*/\1/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -v security | head -n 1)
    # An older debootstrap knows a newer release by the script of all.
    script=/usr/share/debootstrap/scripts/$release
    [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
    unfinished="$root.unfinished"
    rm -rf "$unfinished"
    mkdir -p "$(dirname "$root")"
    {
        debootstrap --variant=minbase "$release" "$unfinished" "${mirror:-http://deb.debian.org/debian}" "$script"
        # No service of the package may start: the tests run private nodes.
        printf '#!/bin/sh\nexit 101\n' >"$unfinished/usr/sbin/policy-rc.d"
        chmod +x "$unfinished/usr/sbin/policy-rc.d"
        cp /etc/resolv.conf /etc/hosts "$unfinished/etc/"
        "$here/in-root.sh" "$unfinished" /usr/bin/env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends rabbitmq-server
    } >&2
    has "$unfinished" || {
        echo "$0: Debian $release has no RabbitMQ $version any more: $(ls "$unfinished/usr/lib/rabbitmq/lib")" >&2
        exit 1
    }
    rm -rf "$root"
    mv "$unfinished" "$root"
fi
echo "$here/in-root.sh $(cd "$root" && pwd) /$server"
