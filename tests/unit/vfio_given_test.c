// SPDX-License-Identifier: GPL-2.0-or-later
/* Descriptors handed over, the choice of a back end, VF tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/kvm.h>

#include "base/util.h"
#include "fake_guest.h"
#include "fake_kvm.h"
#include "vfio/iommu.h"
#include "vfio/vfio_sys.h"

#define VF1 "0000:01:10.2" /* group VF0_GROUP + 1 */
#define TOKEN "5d5f4a36-1e3c-4bb2-9e0a-0c1a62b8a9f1"

static int setup(void **state)
{
	*state = fake_guest_new(64 * MIB, false);
	return 0;
}

static int teardown(void **state)
{
	fake_guest_free(*state);
	return 0;
}

/* As whoever starts the program does it. */
static int given(struct fake_guest *g, const char *node)
{
	char path[HOST_PATH_MAX];
	int fd;

	assert_int_equal(host_path(path, g->host->host.dev_root, "%s", node), 0);
	fd = vfio_sys_open(path);
	assert_true(fd >= 0);
	return fake_vfio_inherit(fd);
}

struct handed {
	int ctl, group, dev;
	char options[160];
};

/* The descriptors for VF0, by the row that is set; by type1 with the function itself, for @device.
 */
static struct handed hand_over(struct fake_guest *g, bool device)
{
	struct handed h = { 0 };
	int len;

	if (fake_vfio_by_iommufd()) {
		h.ctl = given(g, "iommu");
		h.dev = given(g, "vfio/devices/vfio0");
		snprintf(h.options, sizeof(h.options), "fd=%d,iommufd-fd=%d", h.dev, h.ctl);
		return h;
	}
	h.ctl = given(g, "vfio/vfio");
	h.group = given(g, "vfio/20");
	len = snprintf(h.options, sizeof(h.options), "host=" VF0 ",group-fd=%d,container-fd=%d",
		       h.group, h.ctl);
	if (!device)
		return h;
	assert_int_equal(vfio_sys_ioctl(h.group, VFIO_GROUP_SET_CONTAINER, &h.ctl), 0);
	assert_int_equal(vfio_sys_ioctl_val(h.ctl, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), 0);
	h.dev = fake_vfio_inherit(
		vfio_sys_ioctl(h.group, VFIO_GROUP_GET_DEVICE_FD, (char[]){ VF0 }));
	snprintf(h.options + len, sizeof(h.options) - (size_t)len, ",fd=%d", h.dev);
	return h;
}

static void refused(struct fake_guest *g, const char *options, int code, const char *text)
{
	struct err err = { 0 };

	assert_int_equal(fake_guest_try(g, options, &err), code);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
	assert_null(strchr(err.msg, '\n'));
}

/* Nothing is opened, and all is given back at the end. */
static void works(struct fake_guest *g, bool device)
{
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct handed h = hand_over(g, device);
	struct iommu_dev other = { .group = VF0_GROUP };
	struct pci_dev *pdev;
	struct fake_dma dma;

	fake_vfio_forget();
	pdev = fake_guest_add(g, h.options);
	assert_true(vf->open);
	assert_int_equal(fake_vfio_count(FAKE_OPEN), 0);
	assert_false(fake_vfio_inherited(h.ctl));
	assert_false(fake_vfio_inherited(h.dev ? h.dev : h.group));
	assert_int_equal(fake_vfio_dma(&dma, 1), 1);
	assert_int_equal(dma.size, 64 * MIB);
	assert_int_equal(fake_kvm_vfio_files(), 1);
	/* For another function of the group nothing has to be opened. */
	assert_int_equal(iommu_probe(g->vm, NULL, NULL, &other, NULL), 0);
	assert_string_equal(other.by->name, fake_vfio_row_name());
	dev_remove(&pdev->dev);
	loop_do_posted(g->vm->loop);
	assert_int_equal(fake_vfio_fds(), 0);
	assert_int_equal(fake_vfio_dma(NULL, 0), 0);
	assert_false(vf->open);
}

static void test_works(void **state)
{
	works(*state, false);
}

/* type1: the function was taken out of the group before. */
static void test_device(void **state)
{
	works(*state, true);
}

/* Whoever gave the descriptors may keep them: the mappings go all the same. */
static void test_mappings_go(void **state)
{
	struct fake_guest *g = *state;
	struct handed h;
	struct pci_dev *pdev;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	h = hand_over(g, false);
	pdev = fake_guest_add(g, h.options);
	fake_vfio_forget();
	dev_remove(&pdev->dev);
	loop_do_posted(g->vm->loop);
	if (fake_vfio_by_iommufd()) {
		assert_int_equal(fake_vfio_count(VFIO_DEVICE_DETACH_IOMMUFD_PT), 1);
		assert_int_equal(fake_vfio_count(IOMMU_DESTROY), 1);
	} else {
		assert_int_equal(fake_vfio_count(VFIO_IOMMU_UNMAP_DMA), 1);
	}
	/* What is the guest's own goes by closing: no call is wasted on it. */
	pdev = fake_guest_add(g, VF0);
	fake_vfio_forget();
	dev_remove(&pdev->dev);
	loop_do_posted(g->vm->loop);
	assert_int_equal(fake_vfio_count(FAKE_DMA_UNMAP), 0);
}

/* Several functions share one container or iommufd; it may be named again, or not. */
static void test_shared(void **state)
{
	struct fake_guest *g = *state;
	char options[128];
	struct handed h;
	int i, fd;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	h = hand_over(g, false);
	fake_guest_add(g, h.options);
	for (i = 1; i <= 2; i++) {
		snprintf(options, sizeof(options), "0000:01:10.%d", 2 * i);
		fake_vfio_igbvf(options, VF0_GROUP + i);
		snprintf(options, sizeof(options),
			 fake_vfio_by_iommufd() ? "vfio/devices/vfio%d" : "vfio/%d",
			 fake_vfio_by_iommufd() ? i : VF0_GROUP + i);
		fd = given(g, options);
		if (fake_vfio_by_iommufd())
			snprintf(options, sizeof(options), "fd=%d", fd);
		else
			snprintf(options, sizeof(options), "host=0000:01:10.%d,group-fd=%d", 2 * i,
				 fd);
		if (i == 2)
			snprintf(options + strlen(options), sizeof(options) - strlen(options),
				 ",%s=%d", fake_vfio_by_iommufd() ? "iommufd-fd" : "container-fd",
				 h.ctl);
		fake_guest_add(g, options);
	}
	assert_int_equal(fake_vfio_fds(), fake_vfio_by_iommufd() ? 4 : 7);
	assert_int_equal(fake_vfio_count(FAKE_DMA_MAP), 1);
	/* Another one is refused, and closed. */
	fake_vfio_igbvf("0000:01:10.6", VF0_GROUP + 3);
	fd = given(g, fake_vfio_by_iommufd() ? "iommu" : "vfio/vfio");
	snprintf(options, sizeof(options), "host=0000:01:10.6,%s=%d",
		 fake_vfio_by_iommufd() ? "iommufd-fd" : "container-fd", fd);
	refused(g, options, -EINVAL, "this guest has a /dev/");
	assert_int_equal(fake_vfio_fds(), fake_vfio_by_iommufd() ? 4 : 7);
}

static void test_bad(void **state)
{
	bool iommufd = fake_vfio_by_iommufd();
	const char *ctl = iommufd ? "iommufd-fd" : "container-fd";
	const char *node = iommufd ? "fd" : "group-fd";
	struct fake_guest *g = *state;
	char options[160];
	struct handed h;
	int own;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_vfio_igbvf(VF1, VF0_GROUP + 1);
	snprintf(options, sizeof(options), "host=" VF0 ",%s=77", ctl);
	refused(g, options, -EINVAL, "-fd=77: no such descriptor is open; pass it to viaduct");
	snprintf(options, sizeof(options), "host=" VF0 ",%s=2", ctl);
	refused(g, options, -ERANGE, "-fd");
	snprintf(options, sizeof(options), "host=" VF0 ",%s=x", ctl);
	refused(g, options, -EINVAL, "-fd");
	refused(g, "id=a", -ENODEV, "give host= or pool=, or fd=");
	/* One of viaduct's own is nothing that was handed over, and stays open. */
	own = given(g, iommufd ? "iommu" : "vfio/vfio");
	vfio_sys_fd_own(own);
	snprintf(options, sizeof(options), "host=" VF0 ",%s=%d", ctl, own);
	refused(g, options, -EINVAL, "it is viaduct's own, or was given before");
	assert_int_equal(fake_vfio_fds(), 1);
	vfio_sys_close(own);
	/* The wrong kind. */
	h = hand_over(g, false);
	snprintf(options, sizeof(options), "host=" VF0 ",%s=%d", ctl, iommufd ? h.dev : h.group);
	refused(g, options, -EINVAL, iommufd ? "it is not /dev/iommu" : "it is not /dev/vfio/vfio");
	snprintf(options, sizeof(options), "host=" VF0 ",%s=%d", node, h.ctl);
	refused(g, options, -EINVAL, "it is not a ");
	assert_int_equal(fake_vfio_fds(), 2);
	/* The wrong function: it was good, so it was taken and is closed. */
	snprintf(options, sizeof(options), "host=" VF1 ",%s=%d", node, iommufd ? h.dev : h.group);
	refused(g, options, -EINVAL,
		iommufd ? "is 0000:01:10.0, and host=0000:01:10.2 is 0000:01:10.2"
			: "it is group 20, and 0000:01:10.2 is in group 21");
	assert_int_equal(fake_vfio_fds(), 1);
	if (iommufd) {
		fake_remove(g->host, "sys/dev/char/243:1");
		fake_link(g->host, "../../devices/platform/dma/vfio-dev/vfio1",
			  "sys/dev/char/243:1");
		h.dev = given(g, "vfio/devices/vfio1");
		snprintf(options, sizeof(options), "fd=%d", h.dev);
		refused(g, options, -EINVAL, "it is no PCI function's");
		vfio_sys_close(h.dev);
	}
	vfio_sys_close(h.ctl);
}

/* A function out of a group cannot be told what it is: the group must come along. */
static void test_device_alone(void **state)
{
	struct fake_guest *g = *state;
	char options[192];
	struct handed h;

	if (fake_vfio_by_iommufd())
		return;
	fake_vfio_igbvf(VF0, VF0_GROUP);
	h = hand_over(g, true);
	snprintf(options, sizeof(options), "host=" VF0 ",fd=%d", h.dev);
	refused(g, options, -EINVAL, "needs group-fd=, container-fd= and host= as well");
	snprintf(options, sizeof(options), "%s,iommu=iommufd", h.options);
	refused(g, options, -EINVAL, "is for iommu=type1");
	vfio_sys_close(h.dev);
	vfio_sys_close(h.group);
	vfio_sys_close(h.ctl);
}

/* A plan looks and takes nothing; what it refuses a run would. */
static void test_plan(void **state)
{
	struct fake_guest *g = *state;
	char options[64];
	struct handed h;

	fake_guest_vm_free(g);
	fake_guest_vm_new(g, 64 * MIB, true);
	fake_text(g->host, "sys/bus/pci/devices/" VF0 "/resource", "");
	fake_text(g->host, "sys/bus/pci/devices/" VF1 "/resource", "");
	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_vfio_igbvf(VF1, VF0_GROUP + 1);
	h = hand_over(g, false);
	/* What is given is not tried. */
	fake_remove(g->host, fake_vfio_by_iommufd() ? "dev/iommu" : "dev/vfio/vfio");
	fake_vfio_forget();
	fake_guest_add(g, h.options);
	assert_int_equal(fake_vfio_total(), 0);
	assert_true(fake_vfio_inherited(h.ctl));
	refused(g, VF1, -ENODEV,
		fake_vfio_by_iommufd() ? "there is no /dev/iommu" : "/dev/vfio/vfio");
	if (fake_vfio_by_iommufd()) {
		fake_vfio_row("type1");
		snprintf(options, sizeof(options), VF1 ",iommu=type1");
		refused(g, options, -EINVAL, "this guest's functions go by iommufd");
		fake_vfio_row("iommufd");
		vfio_sys_close(h.dev);
	} else {
		vfio_sys_close(h.group);
	}
	vfio_sys_close(h.ctl);
}

/* Each call fails in turn: what was given is closed, and nothing else stands. */
static void test_each_fails(void **state)
{
	struct fake_guest *g = *state;
	unsigned int at, calls = 1, i;
	struct err err = { 0 };
	struct handed h;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	for (at = 0; at <= calls; at++) {
		for (i = 0; i < 2; i++) {
			h = hand_over(g, i);
			fake_vfio_forget();
			fake_vfio_fail(0, at, EINVAL);
			fake_guest_try(g, h.options, &err);
			fake_vfio_fail(0, 0, 0);
			calls = at ? calls : fake_vfio_total();
			fake_guest_vm_free(g);
			fake_guest_vm_new(g, 64 * MIB, false);
		}
	}
	assert_true(calls > 5);
}

/* --- the choice --- */

static int add_any(struct fake_guest *g, const char *options, struct err *err)
{
	int ret;

	fake_vfio_row("type1"); /* adds no iommu= */
	ret = fake_guest_try(g, options, err);
	fake_vfio_row("iommufd");
	return ret;
}

/* A host with the nodes of both. */
static void test_choice(void **state)
{
	struct fake_guest *g = *state;
	struct err err = { 0 };

	if (!fake_vfio_by_iommufd())
		return;
	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_vfio_igbvf(VF1, VF0_GROUP + 1);
	assert_int_equal(add_any(g, VF0, &err), 0);
	assert_int_equal(fake_vfio_count(VFIO_SET_IOMMU), 1);
	/* The others follow the first, and cannot go another way. */
	refused(g, VF1, -EINVAL,
		"0000:01:10.2: this guest's functions go by type1, and a guest has one back end; "
		"give all of them iommu=iommufd, or all iommu=type1");
	assert_int_equal(add_any(g, VF1, &err), 0);
	/* Without groups the other row has its turn. */
	fake_guest_vm_free(g);
	fake_guest_vm_new(g, 64 * MIB, false);
	fake_remove(g->host, "dev/vfio/20");
	fake_vfio_forget();
	g->len = 0;
	assert_int_equal(add_any(g, VF0, &err), 0);
	assert_int_equal(fake_vfio_count(VFIO_DEVICE_BIND_IOMMUFD), 1);
	assert_true(fake_guest_logged(g, "0000:01:10.0: by iommufd, for type1 is not to be had: "
					 "0000:01:10.0: there is no /dev/vfio/20"));
	assert_int_equal(add_any(g, VF1, &err), 0);
	assert_int_equal(fake_vfio_count(VFIO_DEVICE_BIND_IOMMUFD), 2);
	/* When neither can be had, both say why. */
	fake_guest_vm_free(g);
	fake_guest_vm_new(g, 64 * MIB, false);
	fake_vfio_fail(VFIO_DEVICE_BIND_IOMMUFD, 1, EBUSY);
	assert_int_equal(add_any(g, VF0, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "there is no /dev/vfio/20"));
	assert_non_null(strstr(err.msg, "; and by iommufd: 0000:01:10.0: group 20 is in use"));
	/* An error that is none of those ends the walk. */
	fake_vfio_fail(IOMMU_IOAS_MAP, 1, EINVAL);
	assert_int_equal(add_any(g, VF0, &err), -EINVAL);
	assert_int_equal(add_any(g, VF0 ",iommu=vfio", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "iommu=vfio: there is type1 and iommufd"));
	assert_int_equal(fake_vfio_fds(), 0);
}

/* --- tokens --- */

static void test_token_text(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"5d5f4a36-1e3c-4bb2-9e0a-0c1a62b8a9f",
		"5d5f4a36-1e3c-4bb2-9e0a-0c1a62b8a9f10",
		"5d5f4a36+1e3c-4bb2-9e0a-0c1a62b8a9f1",
		"5d5f4a36-1e3c-4bb2-9e0a-0c1a62b8a9fg",
	};
	static const uint8_t bytes[16] = { 0x5d, 0x5f, 0x4a, 0x36, 0x1e, 0x3c, 0x4b, 0xb2,
					   0x9e, 0x0a, 0x0c, 0x1a, 0x62, 0xb8, 0xa9, 0xf1 };
	struct iommu_token token;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(iommu_token_parse(bad[i], &token, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "no UUID"));
	}
	assert_int_equal(iommu_token_parse(TOKEN, &token, &err), 0);
	assert_string_equal(token.text, TOKEN);
	assert_memory_equal(token.b, bytes, sizeof(bytes));
}

static void test_token_vf(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);

	if (fake_vfio_by_iommufd()) {
		refused(g, VF0 ",vf-token=" TOKEN, -EINVAL,
			"0000:01:10.0: the kernel takes no vf-token= for it by iommufd: Linux 6.17 "
			"does");
		fake_vfio_bind_tokens();
	} else {
		/* Nobody asks for one. */
		refused(g, VF0 ",vf-token=" TOKEN, -EINVAL,
			"0000:01:10.0: vf-token= is not for it: its PF 0000:01:00.0 is not with "
			"vfio-pci");
	}
	strcpy(vf->token, TOKEN);
	refused(g, VF0, -EACCES,
		"0000:01:10.0: its PF 0000:01:00.0 is with vfio-pci as well, so whoever has that "
		"must agree: give both the same vf-token=UUID");
	refused(g, VF0 ",vf-token=6d5f4a36-1e3c-4bb2-9e0a-0c1a62b8a9f1", -EACCES,
		"vf-token= is not the token that was set on its PF 0000:01:00.0");
	assert_int_equal(fake_vfio_fds(), 0);
	fake_guest_add(g, VF0 ",vf-token=" TOKEN);
	assert_true(vf->open);
}

static void test_token_pf(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *pf = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	refused(g, NVME ",vf-token=" TOKEN, -EINVAL,
		"0000:02:00.0: vf-token= is for VFs, and for PFs with SR-IOV");
	pf->pf = true;
	fake_vfio_fail(VFIO_DEVICE_FEATURE, 1, EIO);
	refused(g, NVME ",vf-token=" TOKEN, -EIO, "0000:02:00.0: setting its vf-token");
	assert_int_equal(fake_vfio_fds(), 0);
	pdev = fake_guest_add(g, NVME ",vf-token=" TOKEN);
	assert_int_equal(pf->vf_token[0], 0x5d);
	assert_int_equal(pf->vf_token[15], 0xf1);
	dev_remove(&pdev->dev);
	loop_do_posted(g->vm->loop);
	/* VFs of it are in use. */
	strcpy(pf->token, TOKEN);
	if (fake_vfio_by_iommufd())
		fake_vfio_bind_tokens();
	refused(g, NVME, -EACCES, "0000:02:00.0: VFs of it are in use");
	fake_guest_add(g, NVME ",vf-token=" TOKEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_works, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mappings_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_choice, setup, teardown),
		cmocka_unit_test(test_token_text),
		cmocka_unit_test_setup_teardown(test_token_vf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_token_pf, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
