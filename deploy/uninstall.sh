#!/bin/sh
# Removes lora-edge from this machine. Frames that no upstream has acknowledged, the configuration
# and the user are kept, so that an installation can come back; --purge removes them as well.
#
#   sudo deploy/uninstall.sh [--purge]
#   deploy/uninstall.sh --prefix DIR [--purge]    undoes install.sh --prefix DIR (also DESTDIR=DIR)
set -eu

root=${DESTDIR:-}
purge=

while [ $# -gt 0 ]; do
    case $1 in
        --prefix) root=${2:?--prefix needs a directory}; shift 2 ;;
        --purge) purge=yes; shift ;;
        -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "uninstall.sh: unknown option $1 (see --help)" >&2; exit 2 ;;
    esac
done

if [ -z "$root" ]; then
    [ "$(id -u)" -eq 0 ] || { echo "uninstall.sh: run it as root, or give --prefix DIR" >&2; exit 2; }
    [ ! -e /etc/systemd/system/lora-edge.service ] ||
        systemctl disable --now --quiet lora-edge.service lora-edge-power.path
fi

rm -f "$root/etc/systemd/system/lora-edge.service" \
    "$root/etc/udev/rules.d/60-lora-edge.rules" \
    "$root/etc/sysusers.d/lora-edge.conf" \
    "$root/etc/tmpfiles.d/lora-edge.conf" \
    "$root/etc/systemd/system/lora-edge-power.path" \
    "$root/etc/systemd/system/lora-edge-power.service" \
    "$root/usr/local/bin/lora-edge"
rm -rf "$root/opt/lora-edge" "$root/usr/local/lib/lora-edge"

if [ -n "$purge" ]; then
    rm -rf "$root/etc/lora-edge" "$root/var/lib/lora-edge"
fi

if [ -z "$root" ]; then
    systemctl daemon-reload
    [ ! -S /run/udev/control ] || udevadm control --reload
    if [ -n "$purge" ]; then
        ! getent passwd lora-edge > /dev/null || userdel lora-edge
        # It outlives its user if somebody else was a member.
        ! getent group lora-edge > /dev/null || groupdel lora-edge
    else
        echo "kept /etc/lora-edge and /var/lib/lora-edge (--purge removes them)"
    fi
fi
