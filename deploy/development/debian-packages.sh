#!/bin/sh
# Install the Debian packages that the integration tests need, when we may; otherwise say which
# tests will be listed as NOT RUN and how to change that; with "report" only say so.
# Never systemd-resolved or systemd-timesyncd.
set -eu

missing=""
check() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
check mosquitto mosquitto
check mosquitto_sub mosquitto-clients
check prometheus prometheus
check promtool prometheus
check systemd-analyze systemd
check shellcheck shellcheck
check strace strace
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
[ -n "$(printf '%s' "$missing" | tr -d ' ')" ] || exit 0

line="apt-get install -y --no-install-recommends $missing"
if [ "${1:-}" = report ]; then
    echo "NOT RUN (listed above as SKIPPED): tests that need Debian packages; to run them: sudo $line"
    exit 0
fi
if [ "$(id -u)" = 0 ]; then as=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as="sudo"
else
    echo "NOT RUN: tests that need Debian packages; to run them: sudo $line"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
for attempt in 1 2 3; do
    if $as apt-get update -qq && $as $line -qq >/dev/null; then exit 0; fi
    echo "installing Debian packages failed (attempt $attempt)" >&2
    sleep 5
done
[ "${CI:-}" = true ] && exit 1
echo "NOT RUN: tests that need Debian packages; to run them: sudo $line"
