#!/bin/sh
# A bridge that has the host's network card and a TAP interface as its ports, so that a guest is a machine on the local network.
# The bridge takes over the addresses and the default route of the card, and gives them back at the end. Other routes by the card are lost.
#
# Run as root: UPLINK=eth0 ./bridge.sh up, and later: UPLINK=eth0 ./bridge.sh down
set -eu

UPLINK=${UPLINK:-eth0}
BRIDGE=${BRIDGE:-br0}
TAP=${TAP:-tap0}
# Who may attach a guest to the TAP interface without being root.
OWNER=${OWNER:-${SUDO_USER:-root}}

# Whether there is an interface $1.
exists() {
    ip link show dev "$1" >/dev/null 2>&1
}

# Moves the IPv4 addresses and the default route of $1 to $2. IPv6 finds its own anew.
move_addresses() {
    addresses=$(ip -oneline -family inet address show dev "$1" scope global | awk '{ print $4 }')
    gateway=$(ip route show default dev "$1" | awk '{ print $3; exit }')
    for address in $addresses; do
        ip address delete "$address" dev "$1"
        ip address add "$address" broadcast + dev "$2"
    done
    if [ -n "$gateway" ]; then
        ip route replace default via "$gateway" dev "$2"
    fi
}

case ${1:-} in
up)
    hardware=$(ip -oneline link show dev "$UPLINK" | sed 's/.*link\/ether \([^ ]*\).*/\1/')
    # No waiting before a new port may send, and groups of IPv6 on all ports: a guest does not join them by MLD.
    ip link add "$BRIDGE" address "$hardware" type bridge forward_delay 0 mcast_snooping 0
    ip link set "$BRIDGE" up
    ip link set "$UPLINK" master "$BRIDGE"
    move_addresses "$UPLINK" "$BRIDGE"
    ip tuntap add "$TAP" mode tap user "$OWNER"
    ip link set "$TAP" master "$BRIDGE"
    ip link set "$TAP" up
    ;;
down)
    if exists "$TAP"; then
        # Also where a guest is attached to it.
        ip link delete "$TAP"
    fi
    if exists "$BRIDGE"; then
        ip link set "$UPLINK" nomaster
        move_addresses "$BRIDGE" "$UPLINK"
        ip link delete "$BRIDGE"
    fi
    ;;
*)
    echo "usage: UPLINK=eth0 $0 up|down" >&2
    exit 64
    ;;
esac
