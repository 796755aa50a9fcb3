// SPDX-License-Identifier: GPL-2.0-or-later
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "iommu.h"
#include "vfio_sys.h"

static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

int iommu_token_parse(const char *text, struct iommu_token *ret_token, struct err *err)
{
	char shown[64], byte[3] = "";
	size_t i, n = 0;

	for (i = 0; pattern[i]; i++) {
		if (pattern[i] == 'x' ? !isxdigit((unsigned char)text[i]) : text[i] != pattern[i])
			break;
		ret_token->text[i] = text[i];
	}
	if (pattern[i] || text[i])
		return err_set(err, -EINVAL,
			       "vf-token=%s: no UUID (01234567-89ab-cdef-0123-456789abcdef)",
			       host_printable(text, shown, sizeof(shown)));
	ret_token->text[i] = '\0';
	/* The kernel compares the bytes as they are written (RFC 4122, 4.1.2). */
	for (i = 0; pattern[i]; i += pattern[i] == 'x' ? 2 : 1) {
		if (pattern[i] != 'x')
			continue;
		memcpy(byte, text + i, 2);
		ret_token->b[n++] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return 0;
}

static bool pf_of(const struct iommu_dev *dev, char pf[HOST_NAME_MAX])
{
	return !host_link(dev->host, pf, HOST_NAME_MAX, "bus/pci/devices/%s/physfn", dev->name);
}

bool iommu_token_is_vf(const struct iommu_dev *dev)
{
	char pf[HOST_NAME_MAX];

	return pf_of(dev, pf);
}

int iommu_token_set(const struct iommu_dev *dev, struct err *err)
{
	union {
		struct vfio_device_feature head;
		uint8_t b[sizeof(struct vfio_device_feature) + sizeof(dev->token->b)];
	} set = { .head = { .argsz = sizeof(set),
			    .flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN } };
	int ret;

	if (!dev->token || iommu_token_is_vf(dev))
		return 0;
	memcpy(set.b + offsetof(struct vfio_device_feature, data), dev->token->b,
	       sizeof(dev->token->b));
	ret = vfio_sys_ioctl(dev->fd, VFIO_DEVICE_FEATURE, &set);
	if (ret == -ENOTTY || ret == -EINVAL)
		return iommu_token_error(dev, -EINVAL, err);
	return ret < 0 ? err_sys(err, ret, "%s: setting its vf-token", dev->name) : 0;
}

int iommu_token_error(const struct iommu_dev *dev, int code, struct err *err)
{
	char pf[HOST_NAME_MAX] = "";

	if (!pf_of(dev, pf)) {
		if (code == -EINVAL)
			return err_set(err, code,
				       "%s: vf-token= is for VFs, and for PFs with SR-IOV",
				       dev->name);
		return err_set(err, code,
			       "%s: VFs of it are in use, so it opens only with the %s of those; "
			       "give that as vf-token=UUID, or end their users",
			       dev->name, dev->token ? "token (not this one)" : "token");
	}
	if (code == -EINVAL)
		return err_set(err, code,
			       "%s: vf-token= is not for it: its PF %s is not with vfio-pci",
			       dev->name, pf);
	if (dev->token)
		return err_set(err, code,
			       "%s: vf-token= is not the token that was set on its PF %s",
			       dev->name, pf);
	return err_set(
		err, code,
		"%s: its PF %s is with vfio-pci as well, so whoever has that must agree: give "
		"both the same vf-token=UUID",
		dev->name, pf);
}
