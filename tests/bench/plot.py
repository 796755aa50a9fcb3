#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Draws what devices.py wrote: plot.py JSON PNG, by gnuplot. Bars are medians, lines the spread; rates
and round trips are in proportion alone, because the lab's times mean nothing."""
import json
import statistics
import subprocess
import sys

COLOURS = {"viaduct": "#1b6ca8", "qemu": "#e08a1e"}
NICS = ("e1000", "virtio-net", "virtio-net, vhost", "virtio-net, vhost-user", "igb VF")
HEAD = """set terminal pngcairo size 1300,1000 font "DejaVu Sans,10" enhanced
set output {png}
set multiplot layout 2,2 title {title} font ",12" margins 0.09,0.985,0.125,0.91 spacing 0.115,0.205
set style fill solid 0.85 noborder
set boxwidth 0.36
set bars 0.6
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
set xtics rotate by 32 right font ",9"
set key top right
"""


def quoted(text):
    return '"' + text.replace("\\", "").replace('"', "'").replace("_", "\\\\_") + '"'


def spread(values, unit=1.0):
    """Median, least and most, in @unit; None when there is nothing."""
    values = [v / unit for v in values if v is not None]
    return (statistics.median(values), min(values), max(values)) if values and unit else None


def panel(title, label, names, bars, least=0.0, points=False):
    """@bars: (VMM, a spread for each of @names). @least: a logarithmic axis, from there."""
    text, blocks = "", []
    for i, (vmm, spreads) in enumerate(bars):
        shift = (i - (len(bars) - 1) / 2) * 0.38
        block = "".join(f"{x + shift} {s[0]} {s[1]} {s[2]} 0.36\n" for x, s in enumerate(spreads) if s)
        if block:
            text += f"$d{i} << END\n{block}END\n"
            blocks.append((i, vmm))
    if not blocks:
        return f"set title {quoted(title + ': nothing measured')}\nplot [0:1] [0:1] NaN notitle\n"
    tics = ", ".join(f"{quoted(n)} {x}" for x, n in enumerate(names))
    text += f"set title {quoted(title)}\nset ylabel {quoted(label)}\nset xtics ({tics})\n"
    text += f"set xrange [-0.6:{len(names) - 0.4}]\n"
    top = (max(s[2] for _, spreads in bars for s in spreads if s) or 1) * (4 if least else 1.2)
    text += "set logscale y\n" if least else "unset logscale y\n"
    text += f"set yrange [{least}:{top}]\n"  # with room for the key
    style = "1:2:3:4 with yerrorbars pt 7 ps 1.4" if points else "1:2:3:4:5 with boxerrorbars"
    plots = [f"$d{i} using {style} lc rgb '{COLOURS[vmm]}' title "
             f"{quoted('QEMU 10' if vmm == 'qemu' else vmm)}" for i, vmm in blocks]
    if points:
        plots.append("1 lc rgb '#444444' dt 2 notitle")
    return text + "plot " + ", ".join(plots) + "\n"


class Plot:
    def __init__(self, got):
        self.rows = {row["what"]: row for row in got["rows"]}

    def values(self, what, vmm):
        return self.rows.get(what, {}).get(vmm, [])

    def ratio(self, what):
        """Of the values of one round each."""
        pairs = zip(self.values(what, "viaduct"), self.values(what, "qemu"))
        return spread([a / b for a, b in pairs if a is not None and b])

    def both(self, whats, unit):
        return [(vmm, [spread(self.values(w, vmm), unit) for w in whats]) for vmm in COLOURS]

    def unit(self, what):
        got = spread(self.values(what, "viaduct"))
        return got[0] if got and got[0] else 1.0

    def rates(self):
        names, spreads = [], []
        for what in self.rows:
            if what.endswith("IOPS") or what.endswith("Mb/s"):
                if self.ratio(what):
                    names.append(what.replace(": IOPS", "").replace(", Mb/s", "")
                                 .replace("4 KiB ", "").replace(", depth ", " x"))
                    spreads.append(self.ratio(what))
        return panel("IOPS and throughput, viaduct to QEMU in the same round", "ratio (more is better; logarithmic)",
                     names, [("viaduct", spreads)], least=min([0.1] + [s[1] / 2 for s in spreads]),
                     points=True)

    def nics(self, title, key, better):
        names = [n for n in NICS if any(self.values(f"{n}: {k}", v) for v in COLOURS for k in [key])]
        return panel(title, f"to viaduct's virtio-net ({better} is better)", names,
                     self.both([f"{n}: {key}" for n in names], self.unit(f"virtio-net: {key}")))

    def calls(self):
        whats = [w for w in self.rows if w.startswith("virtio-blk") and w.endswith("system calls")]
        whats += [w for w in self.rows if "system calls for a small packet" in w]
        names = [w.replace(": system calls", "").replace(" for a small packet", ",")
                 .replace("4 KiB ", "").replace(", depth ", " x") for w in whats]
        return panel("System calls of the VMM for a request or a small packet",
                     "calls (logarithmic; no bar: less than 0.01)", names, self.both(whats, 1.0),
                     least=0.01)


def main():
    with open(sys.argv[1]) as f:
        got = json.load(f)
    plot = Plot(got)
    title = f"Devices beside QEMU 10 in one host: {got['date']}, {got['commit']}, {got['rounds']} rounds"
    script = HEAD.format(png=quoted(sys.argv[2]).replace("\\\\_", "_"), title=quoted(title))
    script += plot.rates()
    script += plot.nics("Round trip of a ping", "round trip, ms", "less")
    script += plot.calls()
    script += plot.nics("Throughput to the host", "to the host, Mb/s", "more")
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


if __name__ == "__main__":
    main()
