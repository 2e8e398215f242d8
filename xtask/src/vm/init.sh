#!/bin/busybox sh
# The first process of the guest. It sends results to the host through the second serial line, in sections that
# `xtask/src/vm/report.rs` parses. The kernel uses the first serial line.
/bin/busybox mkdir -p /proc /sys /dev /tmp /out /root
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t securityfs security /sys/kernel/security
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t tracefs tracing /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
stty -F /dev/ttyS1 raw
ifconfig lo up

# section NAME COMMAND...: runs the command, and sends its output and exit code.
section() {
    local name=$1 code
    shift
    "$@" >/tmp/stdout 2>/tmp/stderr </dev/null
    code=$?
    {
        echo "@@ $name stdout"
        cat /tmp/stdout
        echo
        echo "@@ $name stderr"
        cat /tmp/stderr
        echo
        echo "@@ $name exit $code"
    } >/dev/ttyS1
}

# build NAME GOROOT [COMMAND...]: runs a build by this toolchain under gotrace, with the host's cache. COMMAND precedes
# the build's command line and changes its environment.
build() {
    local name=$1 root=$2
    shift 2
    rm -rf /tmp/cache /tmp/trace.json /out/hello
    cp -r "$root.cache" /tmp/cache
    cd /build/hello
    section "$name" "$@" env GOROOT="$root" PATH="$root/bin:/bin" GOCACHE=/tmp/cache GOENV=off GOFLAGS= GOTOOLCHAIN=local \
        GOPROXY=off CGO_ENABLED=0 GOTELEMETRY=off \
        gotrace run -v --strict --quiet --format json --output /tmp/trace.json -- go build -o /out/hello .
    section "$name-trace" cat /tmp/trace.json
}

section kernel uname -r
newest=$(tail -n 1 /toolchains)

doctor() {
    section doctor env PATH="$newest/bin:/bin" gotrace doctor --format json
}

# Compares times and memory with the kernel's results for the parent.
usage() {
    section usage /bin/usage children /bin/gotrace /tmp 64
}

each_toolchain() {
    while read -r root; do
        build "$(basename "$root")" "$root"
    done </toolchains
}

# Builds on a machine with restrictions.
restricted() {
    echo 4 >/proc/sys/kernel/perf_event_paranoid
    build paranoid "$newest"

    # The command has no right to raise the limit.
    build memlock "$newest" /usr/bin/setpriv --bounding-set -sys_resource sh -c 'ulimit -l 64 && exec "$@"' sh

    umount /sys/fs/bpf
    umount /sys/kernel/tracing
    build tracefs "$newest"

    mount -t tmpfs none /sys/kernel/btf
    build btf "$newest"
}

# refused NAME [OPTION...]: runs a command that gotrace cannot trace.
refused() {
    local name=$1
    shift
    section "$name" gotrace run "$@" -- echo untraced
}

case $(tr ' ' '\n' </proc/cmdline | sed -n 's/^gotrace.checks=//p') in
all)
    doctor
    usage
    each_toolchain
    restricted
    ;;
builds)
    doctor
    usage
    each_toolchain
    ;;
integrity)
    section lockdown cat /sys/kernel/security/lockdown
    doctor
    build "$(basename "$newest")" "$newest"
    ;;
confidentiality)
    section lockdown cat /sys/kernel/security/lockdown
    doctor
    refused strict --strict
    refused lenient
    # As in a container, the state of the lockdown is not readable, but the kernel still refuses.
    umount /sys/kernel/security
    refused hidden --strict
    ;;
esac

section end true
sync
poweroff -f
