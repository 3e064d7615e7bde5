#!/bin/sh
# Cuts the power of a device, or pulls its reset pin, when the gateway asks for it. Root runs this by
# lora-edge-power.service; the gateway itself has no such rights. A request is an entry of a directory,
# named after a concentrator; what that name stands for is in a table that only root writes:
#
#   # concentrator  how   what             (/etc/lora-edge/power.conf)
#   roof            usb   1-1 2            hub and port, as lsusb -t and uhubctl number them
#   pole            gpio  gpiochip0 17     pulled low for 0.2 s
#
#   power-helper.sh [REQUESTS [TABLE [SYS]]]
set -eu

requests=${1:-/run/lora-edge-power}
table=${2:-/etc/lora-edge/power.conf}
sys=${3:-/sys}
off_s=${OFF_S:-5} # regulators and capacitors hold a board up for a second or two

cut_usb() { # hub port
    for switch in "$sys/bus/usb/devices/$1"/*:1.0/*-port"$2"/disable; do
        if [ -e "$switch" ]; then
            echo 1 > "$switch"
            sleep "$off_s"
            echo 0 > "$switch"
            return 0
        fi
    done
    # Kernels before 6.0 have no such switch.
    uhubctl -l "$1" -p "$2" -a cycle -d "$off_s" > /dev/null
}

pull_gpio() { # chip line
    case $(gpioset --version) in
        *" v1."*) gpioset --mode=time --usec=200000 "$1" "$2=0" ;;
        *) gpioset --chip "$1" --toggle 200ms,0 "$2=0" ;;
    esac
}

serve() { # concentrator
    while read -r name how first second _; do
        [ "$name" = "$1" ] || continue
        case $first$second in
            *[!A-Za-z0-9.-]* | "") echo "power-helper: $name: unusable line in $table" >&2; return 1 ;;
        esac
        case $how in
            usb) cut_usb "$first" "$second" ;;
            gpio) pull_gpio "$first" "$second" ;;
            *) echo "power-helper: $name: unknown way $how in $table" >&2; return 1 ;;
        esac
        echo "power-helper: $name: done by $how $first $second"
        return 0
    done < "$table"
    echo "power-helper: $table has no such concentrator" >&2
    return 1
}

failed=0
for request in "$requests"/*; do
    [ -e "$request" ] || [ -L "$request" ] || continue
    # Before it is served, so that what fails is not tried for ever. Links are not followed.
    rm -rf -- "$request"
    serve "${request##*/}" || failed=1
done
exit "$failed"
