#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""vfctl beside what else makes and binds VFs, in turn on one host; gate G10.

Times are given as ratios to the bare writes of a shell loop, for the lab's processor is emulated. Writes
are counted by strace in a round that is not timed, probes of the native driver by a kprobe.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

VFS = 127
GATE = 1.1
PROBE = "/sys/kernel/tracing/events/kprobes/native/"
BARE = """
dev=$1
echo 0 >$dev/sriov_drivers_autoprobe
echo %d >$dev/sriov_numvfs
for vf in $(readlink $dev/virtfn*); do
	echo vfio-pci >$dev/$vf/driver_override
	echo ${vf##*/} >/sys/bus/pci/drivers/vfio-pci/bind
done
echo 1 >$dev/sriov_drivers_autoprobe
""" % VFS
# These two bind and make nothing: the VFs are made as above, so that no native driver has them first.
MAKE = """
dev=$1
echo 0 >$dev/sriov_drivers_autoprobe
echo %d >$dev/sriov_numvfs
vfs=$(readlink $dev/virtfn*)
%%s
echo 1 >$dev/sriov_drivers_autoprobe
""" % VFS
DRIVERCTL = MAKE % "for vf in $vfs; do driverctl --nosave set-override ${vf##*/} vfio-pci; done"
DPDK = MAKE % "python3 /mnt/devbind.py --bind=vfio-pci $(for vf in $vfs; do echo ${vf##*/}; done)"


def read(path):
    with open(path, errors="replace") as f:
        return f.read()


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def run(cmd):
    done = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{cmd[0]}: status {done.returncode}: {done.stdout[-300:]}")
    return done.stdout


def probes():
    return sum(int(n) for n in re.findall(r"hitcount:\s*(\d+)", read(PROBE + "hist")))


def bound(dev):
    links = [n for n in os.listdir(dev) if n.startswith("virtfn")]
    drivers = [os.path.realpath(f"{dev}/{n}/driver") for n in links]
    return sum(os.path.basename(d) == "vfio-pci" for d in drivers)


def remove(dev):
    write(f"{dev}/sriov_numvfs", "0")
    write(f"{dev}/sriov_drivers_autoprobe", "1")


def sysfs_writes(cmd):
    """How many writes to files of sysfs @cmd and its children make."""
    trace = "/mnt/strace"
    run(["strace", "-f", "-qq", "-y", "-e", "trace=write,pwrite64", "-o", trace] + cmd)
    return sum("</sys/" in line.split(",")[0] for line in read(trace).splitlines())


def teach_devbind():
    """dpdk-devbind knows no storage: a copy in which that is one more kind of network card."""
    text = read("/usr/bin/dpdk-devbind.py")
    kind = "{'Class': '01', 'Vendor': None, 'Device': None, 'SVendor': None, 'SDevice': None}, "
    write("/mnt/devbind.py", text.replace("network_devices = [", "network_devices = [" + kind, 1))


def timed(row, dev):
    before, start = probes(), time.monotonic()
    run(row["cmd"])
    row["seconds"].append(time.monotonic() - start)
    row["probes"].append(probes() - before)
    if bound(dev) != VFS:
        raise RuntimeError(f"{row['what']}: {bound(dev)} of {VFS} VFs are bound")


def cell(values, digits=2):
    mid = f"{statistics.median(values):.{digits}f}"
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return mid if low == high else f"{mid} [{low}..{high}]"


def bind(a):
    dev = f"/sys/bus/pci/devices/{a.pf}"
    teach_devbind()
    write("/sys/kernel/tracing/kprobe_events", "p:native nvme_probe")
    write(PROBE + "trigger", "hist:keys=common_pid")

    def row(what, cmd, rounds):
        return {"what": what, "cmd": cmd, "rounds": rounds, "seconds": [], "probes": []}

    shell = ["bash", "-ec"]
    rows = [row("bare writes", shell + [BARE, "bare", dev], a.rounds),
            row("vfctl", [a.vfctl, "create", a.pf, str(VFS), "--driver", "vfio-pci"], a.rounds),
            row("dpdk-devbind", shell + [DPDK, "dpdk", dev], a.peer_rounds),
            row("driverctl", shell + [DRIVERCTL, "driverctl", dev], a.peer_rounds)]
    for n in range(max(a.rounds, a.peer_rounds)):
        for r in rows:
            if n < r["rounds"]:
                print(f"# round {n + 1}: {r['what']}", file=sys.stderr, flush=True)
                timed(r, dev)
                remove(dev)
    for r in rows:
        print(f"# writes of {r['what']}", file=sys.stderr, flush=True)
        r["writes"] = sysfs_writes(r["cmd"])
        r["again"] = sysfs_writes(r["cmd"]) if r["what"] == "vfctl" else None
        remove(dev)
    base = statistics.median(rows[0]["seconds"])
    print(f"\n{f'{VFS} VFs made and bound to vfio-pci':<40}{'time, to bare writes':>24}"
          f"{'sysfs writes':>14}{'for a VF':>10}{'again':>8}{'native probes':>15}")
    for r in rows:
        del r["cmd"]
        r["ratio"] = [s / base for s in r["seconds"]]
        again = "-" if r["again"] is None else r["again"]
        print(f"{r['what']:<40}{cell(r['ratio']):>24}{r['writes']:>14}{r['writes'] / VFS:>10.2f}"
              f"{again:>8}{cell(r['probes'], 0):>15}")
    mid = statistics.median(rows[1]["ratio"])
    good = mid <= GATE and rows[1]["again"] == 0 and not any(rows[1]["probes"])
    print(f"G10: vfctl {mid:.2f} of the bare writes, {GATE} at most: {'holds' if good else 'MISSED'}")
    return {"what": "bind", "vfs": VFS, "rows": rows}, not good


def cpu_ms(cmd):
    pid = os.fork()
    if not pid:
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        os.execv(cmd[0], cmd)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{cmd}: status {status}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def list_functions(a):
    cmd = [a.vfctl, "--sysfs-root", a.sysfs, "list"]
    rows = [{"what": "text", "cmd": cmd, "cpu_ms": []},
            {"what": "JSON", "cmd": cmd + ["--json"], "cpu_ms": []}]
    for _ in range(a.rounds):
        for r in rows:
            r["cpu_ms"].append(cpu_ms(r["cmd"]))
    count = len(os.listdir(a.sysfs + "/bus/pci/devices"))
    print(f"{f'vfctl list, {count} functions':<40}{'ms of CPU: median [least..most]':>34}")
    for r in rows:
        del r["cmd"]
        print(f"{r['what']:<40}{cell(r['cpu_ms'], 0):>34}")
    return {"what": "list", "functions": count, "rows": rows}, False


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("what", choices=("bind", "list"))
    p.add_argument("--vfctl", required=True)
    p.add_argument("--pf")
    p.add_argument("--sysfs")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--peer-rounds", type=int, default=5)
    p.add_argument("--json", required=True)
    a = p.parse_args()
    result, failed = bind(a) if a.what == "bind" else list_functions(a)
    with open(a.json, "w") as f:
        json.dump(result, f, indent=1)
    sys.exit(failed)


main()
