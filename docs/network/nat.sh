#!/bin/sh
# A private network for a guest behind the host's address: the guest reaches all that the host reaches, and others reach one port of the
# guest by a port of the host.
#
# Run as root: UPLINK=eth0 ./nat.sh up, and later: UPLINK=eth0 ./nat.sh down
set -eu

UPLINK=${UPLINK:-eth0}
TAP=${TAP:-tap0}
# The host's address in the guest's network, and the guest's.
ADDRESS=${ADDRESS:-10.0.0.1/24}
GUEST=${GUEST:-10.0.0.2}
# The host's port that leads to the guest's.
PORT=${PORT:-8080}
GUEST_PORT=${GUEST_PORT:-80}
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
    nft --file - <<RULES
table ip ukvm {
    chain incoming {
        type nat hook prerouting priority dstnat;
        iifname "$UPLINK" fib daddr type local tcp dport $PORT dnat to $GUEST:$GUEST_PORT
    }
    chain outgoing {
        type nat hook postrouting priority srcnat;
        iifname "$TAP" oifname "$UPLINK" masquerade
    }
}
RULES
    ;;
down)
    if nft list table ip ukvm >/dev/null 2>&1; then
        nft delete table ip ukvm
    fi
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
