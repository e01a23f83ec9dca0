#!/bin/sh
# Make a Debian 13 with RabbitMQ 4 in a folder, for tests on a machine whose own broker is older. Needs root and
# debootstrap; about a minute and 500 MB. Nothing is done where it is there already.
#
#     deploy/dev/debian13-root.sh FOLDER
#     RABBITMQ_SERVER="deploy/dev/in-root.sh FOLDER /usr/lib/rabbitmq/bin/rabbitmq-server" make test
set -eu

root=${1:?usage: $0 FOLDER}
if [ -x "$root/usr/lib/rabbitmq/bin/rabbitmq-server" ]; then
    exit 0
fi
command -v debootstrap >/dev/null || {
    echo "$0: debootstrap is missing: apt-get install --no-install-recommends debootstrap" >&2
    exit 1
}
# The mirror that this machine installs from; Debian's own where none is found.
mirror=$(sed -n 's/^deb [^h]*\(http[^ ]*\) .*/\1/p; s/^URIs: *\(http[^ ]*\).*/\1/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
    /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -v security | head -n 1)
unfinished="$root.unfinished"
rm -rf "$unfinished"
debootstrap --variant=minbase trixie "$unfinished" "${mirror:-http://deb.debian.org/debian}"
# No service of the package may start: the tests run private nodes.
printf '#!/bin/sh\nexit 101\n' >"$unfinished/usr/sbin/policy-rc.d"
chmod +x "$unfinished/usr/sbin/policy-rc.d"
cp /etc/resolv.conf /etc/hosts "$unfinished/etc/"
"$(dirname "$0")/in-root.sh" "$unfinished" /usr/bin/env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends rabbitmq-server
mv "$unfinished" "$root"
