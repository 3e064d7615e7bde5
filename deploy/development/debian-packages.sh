#!/bin/sh
# Install the Debian packages that the integration tests need, when we may; otherwise say which
# tests will be listed as NOT RUN and how to change that; with "report" only say so.
# Never systemd-resolved or systemd-timesyncd.
set -eu

missing=""
check() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
check mosquitto mosquitto
check mosquitto_sub mosquitto-clients
check nats-server nats-server
check prometheus prometheus
check promtool prometheus
check systemd-analyze systemd
check shellcheck shellcheck
check strace strace
check faketime faketime
check cc "gcc libc6-dev"
check losetup mount
check mkfs.ext4 e2fsprogs
