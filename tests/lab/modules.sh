# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by tests/lab/setup: kernel modules that Debian's kernels are built without. iommufd, with
# the VFIO modules that know it (/dev/vfio/devices), and netdevsim come from Debian's own
# linux-source of the same version, built against the unpacked headers: no kernel is built, and
# nothing of it is installed. Takes half a minute, once for each kernel. Drivers of our own, for cards
# that Linux has none for, come from modules/*.c.
# shellcheck disable=SC2034 # trash is the caller's

MODULES_NAMES="iommufd vfio vfio_iommu_type1 vfio-pci-core vfio-pci netdevsim edu_test nvme_irq intx_storm"

# modules_id KVER: the folder's name in the cache; another recipe is another folder
modules_id() { echo "modules-$1-$(cat "$here"/modules.sh "$here"/modules/*.c | sha256sum | cut -c1-8)"; }

# modules_fetch DIR KVER: linux-source and the headers of exactly this kernel, unpacked below DIR
modules_fetch() {
	local dir=$1 kver=$2 base=${2%-amd64} version source deb
	version=$(apt-cache show --no-all-versions "linux-headers-$kver" | sed -n 's/^Version: //p')
	source=linux-source-$(cut -d. -f1,2 <<<"$kver")
	[ -n "$version" ] || return 1
	(cd "$dir" && apt_get download "$source=$version" "linux-headers-$kver=$version" \
		"linux-headers-$base-common=$version" "linux-kbuild-$base=$version" >&2) || return 1
	for deb in "$dir"/linux-headers-*.deb "$dir"/linux-kbuild-*.deb; do dpkg -x "$deb" "$dir" || return 1; done
	# Only these parts of the tree reach the disk.
	dpkg-deb --fsys-tarfile "$dir/$source"_*.deb | tar -x -O --wildcards '*.tar.xz' | xz -dc |
		tar -x -C "$dir" --strip-components=1 --wildcards \
			'*/drivers/iommu/iommufd' '*/drivers/iommu/iommu-priv.h' '*/drivers/vfio' \
			'*/drivers/net/netdevsim' "$source/lib/interval_tree.c"
}

# modules_patch DIR: what the config of a kernel without iommufd leaves out
modules_patch() {
	local iommufd=$1/drivers/iommu/iommufd vfio=$1/drivers/vfio
	# The walk over spans of an interval tree, which iommufd alone uses.
	{
		printf '#include <linux/%s.h>\n' interval_tree compiler
		sed -n '/^#ifdef CONFIG_INTERVAL_TREE_SPAN_ITER/,$p' "$1/lib/interval_tree.c" | grep -v '^EXPORT_SYMBOL'
	} >"$iommufd/span_iter.c"
	echo 'iommufd-y += span_iter.o' >>"$iommufd/Makefile"
	# Of the folders below vfio only pci is wanted, and none of the vendors' below that.
	sed -i '/^obj-.*pci\/$/!{/^obj-.*\/$/d}' "$vfio/Makefile"
	sed -i '/^obj-.*\/$/d' "$vfio/pci/Makefile"
}

# modules_make DIR KVER FOLDER VARIABLE...: the modules of one folder
modules_make() {
	local dir=$1 headers=$1/usr/src/linux-headers-$2 folder=$3
	shift 3
	# BTF would want pahole, and no test of ours reads it.
	make -s -j "$(nproc)" -C "$headers" M="$dir/drivers/$folder" CC=gcc CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules
}

modules_compile() { # DIR KVER
	local flags="-DCONFIG_IOMMUFD_MODULE=1 -DCONFIG_VFIO_DEVICE_CDEV=1 -DCONFIG_INTERVAL_TREE_SPAN_ITER=1"
	sed -i "s,/usr/src/,$1/usr/src/," "$1/usr/src/linux-headers-$2/Makefile"
	modules_make "$1" "$2" iommu/iommufd CONFIG_IOMMUFD=m KCFLAGS="$flags" &&
		modules_make "$1" "$2" vfio CONFIG_IOMMUFD=m CONFIG_VFIO_DEVICE_CDEV=y KCFLAGS="$flags" \
			KBUILD_EXTRA_SYMBOLS="$1/drivers/iommu/iommufd/Module.symvers" &&
		modules_make "$1" "$2" net/netdevsim CONFIG_NETDEVSIM=m KCFLAGS=-DCONFIG_NETDEVSIM_MODULE=1 &&
		modules_own "$1/drivers/own" && modules_make "$1" "$2" own
}

modules_own() { # FOLDER: the drivers of ours, ready to be built there
	local file
	mkdir "$1" && cp "$here"/modules/*.c "$1" || return 1
	for file in "$1"/*.c; do echo "obj-m += $(basename "$file" .c).o"; done >"$1/Kbuild"
}

# build_modules OUT KVER: the modules into the folder OUT, in place at once. Where the archive has
# this kernel's source no more, or it does not compile, OUT says so: the lab is usable all the same,
# and what needs these modules is skipped with that reason.
build_modules() {
	local out=$1 kver=$2 dir name why=''
	say "building iommufd and netdevsim for $kver (160 MB to fetch)"
	dir=$(mktemp -d "$cache/modules.tmp.XXXXXX")
	trash=$dir
	mkdir "$dir/out"
	apt_update || true
	if ! modules_fetch "$dir" "$kver"; then
		why="linux-source of $kver cannot be had; tests/lab/setup --refresh takes a newer kernel"
	elif ! { modules_patch "$dir" && modules_compile "$dir" "$kver"; } >"$dir/out/log" 2>&1; then
		tail -n 20 "$dir/out/log" >&2
		why="the modules do not compile for $kver; see $out/log"
	else
		rm "$dir/out/log"
		for name in $MODULES_NAMES; do
			strip -g -o "$dir/out/$name.ko" "$(find "$dir/drivers" -name "$name.ko")"
		done
	fi
	[ -z "$why" ] || { say "$why" && echo "$why" >"$dir/out/missing"; }
	chmod -R a+rX "$dir/out"
	rm -rf "$out"
	mv -T "$dir/out" "$out"
	rm -rf "$dir"
	trash=''
}
