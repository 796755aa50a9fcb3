#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by tests/run and tests/lab/setup: the packages of tests/packages, and only what is missing.

APT_LIST=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/packages

# The packages of the groups named, one a line, alternatives joined by '|'.
apt_group() {
	local group
	for group in "$@"; do
		awk -v g="$group" '$1 == g { print $2 }' "$APT_LIST"
	done
}

# Prints those of the packages named of which no alternative is installed.
apt_missing() {
	(($#)) || return 0
	# One query for all: dpkg-query costs more than the whole rest of this function.
	dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
		awk -v want="$*" '
			$1 == "installed" { have[$2] = 1 }
			END {
				n = split(want, w, " ")
				for (i = 1; i <= n; i++) {
					m = split(w[i], alt, "|"); found = 0
					for (j = 1; j <= m; j++) if (alt[j] in have) found = 1
					if (!found) print w[i]
				}
			}'
}

apt_get() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 \
		-o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root "$@" </dev/null
}

# Refreshes the package lists, once in this process.
apt_update() {
	[ -z "${APT_UPDATED:-}" ] || return 0
	[ "$(id -u)" = 0 ] || return 0 # only root can; the lists that are there have to do
	echo "apt: refreshing the package lists" >&2
	apt_get update >&2 || {
		echo "apt: cannot refresh the package lists; check the network and the apt sources" >&2
		return 1
	}
	APT_UPDATED=1
}

apt_root() {
	[ "$(id -u)" = 0 ] || {
		echo "${0##*/}: not root, and these packages are missing: $*; run this command once as root" >&2
		return 1
	}
}

# Installs what is missing of the packages named. Without anything missing it touches nothing.
apt_install() {
	local missing pick alt one
	missing=$(apt_missing "$@")
	[ -n "$missing" ] || return 0
	# shellcheck disable=SC2086 # one word for each package
	apt_root $missing || return 1
	apt_update || return 1
	pick=()
	for one in $missing; do
		alt=$(tr '|' '\n' <<<"$one" | while read -r alt; do
			apt-cache show --no-all-versions "$alt" >/dev/null 2>&1 && echo "$alt" && break
		done)
		[ -n "$alt" ] || {
			echo "apt: no package $one in the suites of this machine; Debian 12 or later is needed" >&2
			return 1
		}
		pick+=("$alt")
	done
	echo "apt: installing ${pick[*]}" >&2
	apt_get install --no-install-recommends "${pick[@]}" >&2 || {
		echo "apt: could not install ${pick[*]}; see the lines above" >&2
		return 1
	}
}
