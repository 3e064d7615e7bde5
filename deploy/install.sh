#!/bin/sh
# Installs lora-edge on this machine, or brings an installation up to date. Safe to run again:
# it never touches a configuration, and never the state.
#
#   sudo deploy/install.sh                    from the source tree that this file is in
#   sudo deploy/install.sh --package FILE     from a wheel
#   deploy/install.sh --prefix DIR            only put the files below DIR (also DESTDIR=DIR):
#                                             needs no root, makes no user, starts nothing
#   --config-from COMMAND                     prints the configuration to begin with
#                                             (default: the installed "lora-edge print-config")
set -eu
# Whatever umask root has: the service's user has to read the program.
umask 022

here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}
package=$(dirname "$here")
config_from=

fail() {
    echo "install.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --prefix) root=${2:?--prefix needs a directory}; shift 2 ;;
        --package) package=${2:?--package needs a file}; shift 2 ;;
        --config-from) config_from=${2:?--config-from needs a command}; shift 2 ;;
        -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) fail "unknown option $1 (see --help)" ;;
    esac
done

program=/opt/lora-edge/bin/lora-edge
config=$root/etc/lora-edge/gateway.toml

put_files() {
    install -D -m 644 "$here/lora-edge.service" "$root/etc/systemd/system/lora-edge.service"
    install -D -m 644 "$here/60-lora-edge.rules" "$root/etc/udev/rules.d/60-lora-edge.rules"
    install -D -m 644 "$here/lora-edge.sysusers" "$root/etc/sysusers.d/lora-edge.conf"
    install -D -m 644 "$here/lora-edge.tmpfiles" "$root/etc/tmpfiles.d/lora-edge.conf"
    install -D -m 644 "$here/lora-edge-power.path" "$root/etc/systemd/system/lora-edge-power.path"
    install -D -m 644 "$here/lora-edge-power.service" \
        "$root/etc/systemd/system/lora-edge-power.service"
    install -D -m 755 "$here/power-helper.sh" "$root/usr/local/lib/lora-edge/power-helper.sh"
    install -d -m 750 "$root/etc/lora-edge"
}

put_program() {
    # Half made, or made for the Python of an earlier Debian: begin anew.
    /opt/lora-edge/bin/python -m pip --version > /dev/null 2>&1 ||
        python3 -m venv --clear /opt/lora-edge
    /opt/lora-edge/bin/python -m pip install --quiet --upgrade "${package}[mqtt,nats,web]"
    # pip takes a wheel of the version that is installed for the same wheel.
    case $package in
        *.whl) /opt/lora-edge/bin/python -m pip install --quiet --force-reinstall --no-deps "$package" ;;
    esac
}

# Written beside its place and then moved: a power cut leaves no half of a configuration.
put_config() {
    if [ -e "$config" ]; then
        echo "kept $config"
        return
    fi
    (umask 027 && "$@" > "$config.new")
    chmod 640 "$config.new"
    [ -n "$root" ] || chown root:lora-edge "$config.new"
    mv "$config.new" "$config"
    echo "wrote $config: edit it before the first start"
}

if [ -n "$root" ]; then
    put_files
    [ -z "$config_from" ] || put_config "$config_from"
    exit 0
fi

[ "$(id -u)" -eq 0 ] || fail "run it as root, or give --prefix DIR"
put_files
systemd-sysusers lora-edge.conf
systemd-tmpfiles --create lora-edge.conf
put_program
ln -sf "$program" /usr/local/bin/lora-edge
# Not what is in it: a keys file belongs to the service's user and to nobody else.
chown root:lora-edge /etc/lora-edge
if [ -n "$config_from" ]; then
    put_config "$config_from"
else
    put_config "$program" print-config
fi
# In a container nobody listens: the host's rules count there.
if [ -S /run/udev/control ]; then
    udevadm control --reload
    udevadm trigger --subsystem-match=tty --action=add
fi
systemctl daemon-reload
systemctl enable --quiet lora-edge.service
# Only what already ran: a fresh configuration has to be edited first.
systemctl try-restart lora-edge.service
echo "next: sudo lora-edge check-config && sudo systemctl start lora-edge"
