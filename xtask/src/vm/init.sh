#!/bin/busybox sh
# The first process of the guest. What the host is to know goes through the second serial line, in sections that
# `xtask/src/vm/report.rs` reads; the first one is the kernel's.
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

# section NAME COMMAND...: runs it, and tells what it said and how it ended.
section() {
    local name=$1 code
    shift
    "$@" >/tmp/said 2>/tmp/complained </dev/null
    code=$?
    {
        echo "@@ $name said"
        cat /tmp/said
        echo
        echo "@@ $name complained"
        cat /tmp/complained
        echo
        echo "@@ $name ended $code"
    } >/dev/ttyS1
}

# build NAME GOROOT [COMMAND...]: a build by this toolchain under gotrace, with a cache as it was on the host.
# Before it go the words that change how it is run.
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

# Times and memory, beside what the kernel tells the parent.
usage() {
    section usage /bin/usage children /bin/gotrace /tmp 64
}

each_toolchain() {
    while read -r root; do
        build "$(basename "$root")" "$root"
    done </toolchains
}

# A machine that is set up against it.
narrow() {
    echo 4 >/proc/sys/kernel/perf_event_paranoid
    build paranoid "$newest"

    # Without the right to raise it.
    build memlock "$newest" /usr/bin/setpriv --bounding-set -sys_resource sh -c 'ulimit -l 64 && exec "$@"' sh

    umount /sys/fs/bpf
    umount /sys/kernel/tracing
    build tracefs "$newest"

    mount -t tmpfs none /sys/kernel/btf
    build btf "$newest"
}

# refused NAME [WORD...]: what becomes of a command where nothing can be traced.
refused() {
    local name=$1
    shift
    section "$name" gotrace run "$@" -- echo untraced
}

case $(tr ' ' '\n' </proc/cmdline | sed -n 's/^gotrace.asked=//p') in
all)
    doctor
    usage
    each_toolchain
    narrow
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
    # As in a container: the kernel does not say how it is locked, but it refuses as before.
    umount /sys/kernel/security
    refused hidden --strict
    ;;
esac

section end true
sync
poweroff -f
