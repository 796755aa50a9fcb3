#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 900
# Twenty processes take VFs from one pool of seven for a minute (LAB_SECONDS), give them back, or die
# with them: never one VF twice, and none is lost.
set -uo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

igb_up 7
mkdir -p /run/viaduct/pools /mnt/held
for ((i = 0; i < 7; i++)); do lab_vf "$pf" $i; done >/run/viaduct/pools/seven
end=$((SECONDS + ${LAB_SECONDS:-60}))

# One turn, in a process of its own: it has the VF for as long as it lives.
turn() { # NUMBER RELEASE
	local vf me=$BASHPID # that of $(...) is another's
	vf=$("$VFCTL" acquire seven --owner="w$1" --pid="$me" 2>"/mnt/err.$1") || {
		if grep -q 'no free function in pool seven (7: ' "/mnt/err.$1"; then echo none; else echo "odd: $(cat "/mnt/err.$1")"; fi
		return
	}
	mkdir "/mnt/held/$vf" 2>/dev/null || echo "twice $vf"
	sleep "0.$((RANDOM % 3))"
	rmdir "/mnt/held/$vf"
	[ "$2" = 1 ] || { echo died && return; }
	if "$VFCTL" release "$vf" --owner="w$1" >/dev/null 2>"/mnt/err.$1"; then echo released; else echo "odd: $(cat "/mnt/err.$1")"; fi
}
worker() { # NUMBER
	local n=0
	while ((SECONDS < end)); do
		n=$((n + 1))
		(turn "$1" $((n % 5 ? 1 : 0)) | sed 's/^/T /')
	done >"/mnt/worker.$1"
}
for ((i = 1; i <= 20; i++)); do worker "$i" & done
wait
cat /mnt/worker.* | cut -d' ' -f2 | sort | uniq -c | sed 's/^/# /'
cat /mnt/worker.* | grep odd | sort | uniq -c | head | sed 's/^/# /'
taken=$(cat /mnt/worker.* | grep -cE 'released|died')
workers=$(grep -lE 'released|died' /mnt/worker.* | wc -l)
check "$taken were taken, by $workers of the twenty" [ "$taken" -ge 14 ]
check "never one twice" [ "$(cat /mnt/worker.* | grep -c twice)" = 0 ]
check "nothing odd was said" [ "$(cat /mnt/worker.* | grep -c odd)" = 0 ]
check "none is in quarantine" bash -c '! ls /run/viaduct/quarantine 2>/dev/null | grep .'
for ((i = 0; i < 7; i++)); do
	check "VF $i of seven is not lost" "$VFCTL" acquire seven --owner=end
done
check "they are seven" [ "$("$VFCTL" leases | grep -c ' end ')" = 7 ]
