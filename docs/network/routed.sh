#!/bin/sh
# A network of its own for a guest, with the host as the router between it and the rest. Other machines need a route to it.
#
# Run as root: UPLINK=eth0 ./routed.sh up, and later: UPLINK=eth0 ./routed.sh down
set -eu

UPLINK=${UPLINK:-eth0}
TAP=${TAP:-tap0}
# The host's address in the guest's network.
ADDRESS=${ADDRESS:-10.0.0.1/24}
# Who may attach a guest to the TAP interface without being root.
OWNER=${OWNER:-${SUDO_USER:-root}}

# Whether there is an interface $1.
exists() {
    ip link show dev "$1" >/dev/null 2>&1
}

# Whether packets that come in by the interface $1 are passed on.
forward() {
    echo "$2" >"/proc/sys/net/ipv4/conf/$1/forwarding"
}

case ${1:-} in
up)
    ip tuntap add "$TAP" mode tap user "$OWNER"
    # The TAP interface keeps in mind what is to be restored.
    ip link set "$TAP" alias "forwarding was $(cat "/proc/sys/net/ipv4/conf/$UPLINK/forwarding")"
    ip address add "$ADDRESS" dev "$TAP"
    ip link set "$TAP" up
    forward "$TAP" 1
    forward "$UPLINK" 1
    ;;
down)
    if exists "$TAP"; then
        before=$(ip link show dev "$TAP" | sed -n 's/.*alias forwarding was //p')
        # Also where a guest is attached to it.
        ip link delete "$TAP"
        if [ -n "$before" ]; then
            forward "$UPLINK" "$before"
        fi
    fi
    ;;
*)
    echo "usage: UPLINK=eth0 $0 up|down" >&2
    exit 64
    ;;
esac
