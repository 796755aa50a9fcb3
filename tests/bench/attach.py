#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What handing functions over costs: viaduct and QEMU in turn on one host; gates G4 and G5.

strace gives the time inside mapping and populating, and counts system calls up to the first KVM_RUN.
It stops every thread at every call, so how long functions take to open is told by the kernel in a
run of its own: kprobes at the begin and the end of VFIO's ioctls. Another counts function level
resets. Times are reported as ratios alone, for the lab's processor is emulated: by page size to
small pages of the same VMM, seven VFs to one.
"""
import argparse
import fcntl
import json
import os
import re
import signal
import statistics
import struct
import subprocess
import sys
import threading
import time

MIB = 1024
TRACE = "/mnt/strace"
TRACING = "/sys/kernel/tracing/"
PROBE = TRACING + "events/kprobes/flr/"
VCPU = TRACING + "events/kprobes/vcpu/"
# The ioctls of container, group and function, and populating; with the register of what is asked.
PROBES = {"vfio_fops_unl_ioctl": "si", "vfio_group_fops_unl_ioctl": "si",
          "vfio_device_fops_unl_ioctl": "si", "do_madvise": "cx"}
PAGES = ("4K", "transparent", "2M", "1G")
VFIO_SET_IOMMU, VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_GET_DEVICE_FD = 0x3B66, 0x3B68, 0x3B6A
VFIO_TYPE1V2_IOMMU = 3
KVM_RUN = 0xAE80
MADV_POPULATE_WRITE = 23


def read(path):
    with open(path, errors="replace") as f:
        return f.read()


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def viaduct(a, memory, vfs):
    cmd = [a.viaduct, "run", "--kernel", a.kernel, "--initrd", a.initrd, "--serial", "none",
           "--memory", memory]
    return cmd + [word for vf in vfs for word in ("--device", f"vfio-pci,host={vf}")]


def qemu(a, memory, vfs):
    """@memory as viaduct has it. Small pages are a memfd's, huge ones a hugetlb memfd's."""
    size, _, page = memory.partition(",page-size=")
    cmd = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-m", size, "-nodefaults",
           "-no-user-config", "-display", "none", "-kernel", a.kernel, "-initrd", a.initrd]
    if page:
        backend = f"memory-backend-memfd,id=m,size={size},share=on"
        backend += f",hugetlb=on,hugetlbsize={page}" if page != "4K" else ""
        cmd += ["-M", "q35,memory-backend=m", "-object", backend]
    else:
        cmd += ["-M", "q35"]
    return cmd + [word for vf in vfs for word in ("-device", f"vfio-pci,host={vf}")]


def calls(text):
    """(name and arguments, start, seconds) of each call up to the first KVM_RUN."""
    begun = {}
    for line in text.splitlines():
        m = re.match(r"^(\d+) +([\d.]+) (.*)$", line)
        if not m:
            continue
        pid, start, what = m.group(1), float(m.group(2)), m.group(3)
        if "KVM_RUN" in what:
            return
        if what.endswith("<unfinished ...>"):
            begun[pid] = (what, start)
            continue
        m = re.match(r"^(<\.\.\. \w+ resumed>|\w+\().*<([\d.]+)>$", what)
        if m:
            if what.startswith("<"):
                what, start = begun.pop(pid, (what, start))
            yield what, start, float(m.group(2))


def covered(spans):
    """How long at least one of the (start, seconds) lasted."""
    total = end = 0.0
    for start, seconds in sorted(spans):
        total += max(0.0, start + seconds - max(start, end))
        end = max(end, start + seconds)
    return total


def huge_kib(pid):
    words = "AnonHugePages|Private_Hugetlb|Shared_Hugetlb"
    return sum(int(n) for n in re.findall(rf"^(?:{words}): +(\d+)", read(f"/proc/{pid}/smaps"),
                                          re.M))


def resets():
    return sum(int(n) for n in re.findall(r"hitcount:\s*(\d+)", read(PROBE + "hist")))


def measure(cmd):
    if os.path.exists(TRACE):
        os.unlink(TRACE)
    before = resets()
    proc = subprocess.Popen(["strace", "-f", "-qq", "-ttt", "-T", "-o", TRACE] + cmd,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)
    end = time.monotonic() + 90
    while not (os.path.exists(TRACE) and "KVM_RUN" in read(TRACE)):
        if proc.poll() is not None:
            raise RuntimeError(proc.stderr.read().decode()[-400:])
        if time.monotonic() > end:
            proc.kill()
            raise RuntimeError("no KVM_RUN")
        time.sleep(0.1)
    got = {"map": 0.0, "DMA maps": 0, "DMA unmaps": 0,
           "system calls": 0, "resets": resets() - before}
    children = subprocess.run(["pgrep", "-P", str(proc.pid)], capture_output=True, text=True)
    children = [int(pid) for pid in children.stdout.split()]
    got["MiB in huge pages"] = sum(huge_kib(pid) for pid in children) // 1024
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    proc.wait()
    populate = []
    for what, start, seconds in calls(read(TRACE)):
        got["system calls"] += 1
        if "VFIO_IOMMU_MAP_DMA" in what:
            got["map"] += seconds
            got["DMA maps"] += 1
        elif "VFIO_IOMMU_UNMAP_DMA" in what:
            got["DMA unmaps"] += 1
        elif "MADV_POPULATE_WRITE" in what:
            populate.append((start, seconds))
    got["map and populate"] = got["map"] + covered(populate)
    return got


def probes_on():
    """Counts resets, and notes VFIO's ioctls in the kernel's trace, which ends at the first KVM_RUN."""
    ways = [f"p:{f} {f} cmd=%{reg}:u32\nr64:{f}_end {f}" for f, reg in PROBES.items()]
    write(TRACING + "kprobe_events",
          "\n".join(["p:flr pcie_flr", "p:vcpu kvm_vcpu_ioctl cmd=%si:u32"] + ways))
    write(PROBE + "trigger", "hist:keys=common_pid")
    write(VCPU + "trigger", f"traceoff if cmd=={KVM_RUN}")
    for name in PROBES:
        write(TRACING + f"events/kprobes/{name}/enable", "1")
        write(TRACING + f"events/kprobes/{name}_end/enable", "1")


def trace_begin():
    write(TRACING + "trace", "")
    write(TRACING + "tracing_on", "1")


def ioctls():
    """(number, start, seconds) of what the probes saw since trace_begin()."""
    begun = {}
    for m in re.finditer(r"-(\d+) +\[\d+\] \S+ +([\d.]+): (\w+): .*?(?:cmd=(\d+))?$",
                         read(TRACING + "trace"), re.M):
        thread, at, name, number = m.group(1), float(m.group(2)), m.group(3), m.group(4)
        if number:
            begun[thread, name] = (int(number), at)
        elif (thread, name.removesuffix("_end")) in begun:
            number, start = begun.pop((thread, name.removesuffix("_end")))
            yield number, start, at - start


def opening(count):
    """What the trace says of opening @count functions: the time in which at least one of them was
    being opened, and from the first ioctl of VFIO's to the end of the last without populating."""
    spans = list(ioctls())
    vfio = [span[1:] for span in spans if span[0] > 0xFF]
    opens = [span[1:] for span in spans if span[0] == VFIO_GROUP_GET_DEVICE_FD]
    populate = [span[1:] for span in spans if span[0] == MADV_POPULATE_WRITE]
    if len(opens) != count:
        raise RuntimeError(f"{len(opens)} of {count} functions opened")
    begin, end = min(vfio)[0], max(sum(span) for span in vfio)
    return {"open": covered(opens), "attach": end - begin - covered(
        span for span in populate if begin < span[0] < end)}


def timed(cmd, count):
    """The times of @cmd, a VMM with @count functions, to its first KVM_RUN; nobody stops it."""
    trace_begin()
    with subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as proc:
        end = time.monotonic() + 60
        while read(TRACING + "tracing_on").strip() == "1":
            if proc.poll() is not None or time.monotonic() > end:
                proc.kill()
                raise RuntimeError("no KVM_RUN")
            time.sleep(0.1)
        proc.kill()
    return opening(count)


def bare_open(vfs, at_once):
    """The kernel's own floor: the functions opened in turn, or each by a thread. Seconds."""
    trace_begin()
    container = os.open("/dev/vfio/vfio", os.O_RDWR)
    groups = [os.open("/dev/vfio/" + os.path.basename(os.readlink(
        f"/sys/bus/pci/devices/{vf}/iommu_group")), os.O_RDWR) for vf in vfs]
    for n, group in enumerate(groups):
        fcntl.ioctl(group, VFIO_GROUP_SET_CONTAINER, struct.pack("i", container))
        if n == 0:
            fcntl.ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1V2_IOMMU)
    fds = []

    def take(group, vf):
        # A buffer that may change: with any other ioctl() gives the buffer back, not the result.
        fds.append(fcntl.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bytearray(vf.encode() + b"\0")))

    threads = [threading.Thread(target=take, args=pair) for pair in zip(groups, vfs)]
    for thread in threads:
        thread.start()
        if not at_once:
            thread.join()
    for thread in threads:
        if at_once:
            thread.join()
    for fd in fds + groups + [container]:
        os.close(fd)
    return {"open": opening(len(vfs))["open"]}


def cell(values, digits):
    mid = f"{statistics.median(values):.{digits}f}"
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return mid if low == high else f"{mid} [{low}..{high}]"


def table(title, rows, columns):
    """@columns: (heading, width, digits, key)."""
    print(f"\n{title:<40}" + "".join(f"{c[0]:>{c[1]}}" for c in columns))
    for row in rows:
        line = f"{row['what']:<40}"
        for _, width, digits, key in columns:
            values = row["values"].get(key)
            line += f"{cell(values, digits) if values else '-':>{width}}"
        print(line)


def ratio(row, base, key, base_key, name):
    """Each value of @row as a ratio to the median of @base."""
    if base_key in base["values"]:
        mid = statistics.median(base["values"][base_key])
        row["values"][name] = [value / mid for value in row["values"][key]]


def take(rows, rounds):
    failures = 0
    for n in range(rounds):
        for row in rows:
            print(f"# round {n + 1} of {rounds}: {row['what']}", file=sys.stderr, flush=True)
            try:
                for key, value in row["run"]().items():
                    row["values"].setdefault(key, []).append(value)
            except (RuntimeError, OSError) as e:
                print(f"# {row['what']} FAILED: {e}", file=sys.stderr, flush=True)
                failures += 1
    return failures


def row_of(what, run):
    return {"what": what, "run": run, "values": {}}


def pages(a):
    def row(name, make, page):
        memory = f"{MIB}M" + ("" if page == "transparent" else f",page-size={page}")
        return row_of(f"{name}, {page}", lambda: measure(make(a, memory, a.vfs[:1])))

    rows = [row("viaduct", viaduct, page) for page in PAGES]
    rows.append(row_of("viaduct, transparent, populate=off", lambda: measure(
        viaduct(a, f"{MIB}M,populate=off", a.vfs[:1]))))
    peers = [row("qemu", qemu, page) for page in PAGES]
    failures = take(rows + peers, a.rounds)
    for group in (rows, peers):
        for r in group:
            if r["values"]:
                ratio(r, group[0], "map", "map and populate", "map to 4K")
                ratio(r, group[0], "map and populate", "map and populate", "all to 4K")
    for mine, theirs in zip(rows, peers):
        if mine["values"]:
            ratio(mine, theirs, "map and populate", "map and populate", "all to qemu")
    table("1 GiB, a VF: median [least..most]", rows + peers,
          [("map, to 4K", 26, 4, "map to 4K"), ("with populating", 22, 3, "all to 4K"),
           ("to QEMU's", 22, 3, "all to qemu"), ("DMA maps", 10, 0, "DMA maps"),
           ("unmaps", 8, 0, "DMA unmaps"), ("system calls", 20, 0, "system calls"),
           ("MiB huge", 18, 0, "MiB in huge pages")])
    return rows + peers, failures


def functions(a):
    rows = []
    for name, make in (("viaduct", viaduct), ("qemu", qemu)):
        for n in (1, len(a.vfs)):
            cmd = make(a, "256M", a.vfs[:n])
            rows.append(row_of(f"{name}, {n} VF{'s' if n > 1 else ''}",
                               lambda cmd=cmd, n=n: measure(cmd) | timed(cmd, n)))
    for what, n, at_once in (("bare, 1 VF", 1, False), ("bare, 7 VFs in turn", 7, False),
                             ("bare, 7 VFs at once", 7, True)):
        rows.append(row_of(what, lambda n=n, at_once=at_once: bare_open(a.vfs[:n], at_once)))
    failures = take(rows, a.rounds)
    for base, group in ((rows[0], rows[:2]), (rows[2], rows[2:4]), (rows[4], rows[4:])):
        for r in group:
            for key in ("open", "attach"):
                if key in r["values"]:
                    ratio(r, base, key, key, f"{key} to 1")
    table("256 MiB: median [least..most]", rows,
          [("opening, to 1 VF", 24, 2, "open to 1"), ("attaching", 20, 2, "attach to 1"), ("resets", 10, 0, "resets"),
           ("DMA maps", 10, 0, "DMA maps"), ("unmaps", 8, 0, "DMA unmaps"),
           ("system calls", 20, 0, "system calls")])
    return rows, failures


def main():
    p = argparse.ArgumentParser()
    for name in ("viaduct", "kernel", "initrd", "json"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--vfs", nargs="+", required=True)
    p.add_argument("--rounds", type=int, required=True)
    p.add_argument("--only", choices=("pages", "functions"))
    a = p.parse_args()
    probes_on()
    by_page, failures = pages(a) if a.only != "functions" else ([], 0)
    by_count, more = functions(a) if a.only != "pages" else ([], 0)
    rows = [{"what": row["what"], "values": row["values"]} for row in by_page + by_count]
    write(a.json, json.dumps({"rounds": a.rounds, "guest_mib": MIB, "failures": failures + more,
                              "rows": rows},
                             indent=1))
    return 1 if failures + more else 0


if __name__ == "__main__":
    sys.exit(main())
