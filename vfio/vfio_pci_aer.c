// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a function recorded of PCI Express errors: its Advanced Error Reporting capability
 * (PCIe 4.0, 7.8.4) read through VFIO and said in words. Nothing is cleared: the host's own
 * recovery does that, often while we read, so registers that show nothing are an answer too.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/util.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

#define AER_SIZE 0x2cu /* up to and with the header log */
#define AER_TEXT 512u

/* The names are the specification's (7.8.4.2, 7.8.4.5). */
static const char *const uncorrectable_names[32] = {
	[4] = "Data Link Protocol Error",
	[5] = "Surprise Down Error",
	[12] = "Poisoned TLP Received",
	[13] = "Flow Control Protocol Error",
	[14] = "Completion Timeout",
	[15] = "Completer Abort",
	[16] = "Unexpected Completion",
	[17] = "Receiver Overflow",
	[18] = "Malformed TLP",
	[19] = "ECRC Error",
	[20] = "Unsupported Request Error",
	[21] = "ACS Violation",
	[22] = "Uncorrectable Internal Error",
	[23] = "MC Blocked TLP",
	[24] = "AtomicOp Egress Blocked",
	[25] = "TLP Prefix Blocked Error",
	[26] = "Poisoned TLP Egress Blocked",
};

static const char *const correctable_names[32] = {
	[0] = "Receiver Error",
	[6] = "Bad TLP",
	[7] = "Bad DLLP",
	[8] = "REPLAY_NUM Rollover",
	[12] = "Replay Timer Timeout",
	[13] = "Advisory Non-Fatal Error",
	[14] = "Corrected Internal Error",
	[15] = "Header Log Overflow",
};

struct aer {
	uint32_t uncorrectable, uncorrectable_mask, severity;
	uint32_t correctable, correctable_mask;
	unsigned int first; /* of the uncorrectable ones: the number of its bit */
	uint32_t header[4]; /* of the TLP that belongs to it */
};

struct text {
	char buf[AER_TEXT];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, sizeof(t->buf) - t->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len = MIN(t->len + (size_t)n, sizeof(t->buf) - 1);
}

static void say_name(struct text *t, const char *const names[32], unsigned int bit)
{
	if (names[bit])
		say(t, " %s", names[bit]);
	else
		say(t, " bit %u", bit);
}

static void say_uncorrectable(struct text *t, const struct aer *aer)
{
	unsigned int bit;

	say(t, "uncorrectable 0x%08x:", aer->uncorrectable);
	for (bit = 0; bit < 32; bit++) {
		if (!(aer->uncorrectable & BIT(bit)))
			continue;
		say_name(t, uncorrectable_names, bit);
		say(t, " (%s%s%s);", aer->severity & BIT(bit) ? "fatal" : "non-fatal",
		    aer->uncorrectable_mask & BIT(bit) ? ", masked" : "",
		    bit == aer->first ? ", the first" : "");
	}
	say(t, " TLP header %08x %08x %08x %08x", aer->header[0], aer->header[1], aer->header[2],
	    aer->header[3]);
}

static void say_correctable(struct text *t, const struct aer *aer)
{
	unsigned int bit;

	say(t, "%scorrectable 0x%08x:", t->len ? "; " : "", aer->correctable);
	for (bit = 0; bit < 32; bit++) {
		if (!(aer->correctable & BIT(bit)))
			continue;
		say_name(t, correctable_names, bit);
		say(t, "%s;", aer->correctable_mask & BIT(bit) ? " (masked)" : "");
	}
	t->len -= t->buf[t->len - 1] == ';';
	t->buf[t->len] = '\0';
}

/* Register by register, as VFIO gives it: the answer to one read may be another's neighbour. */
static bool aer_read(struct vfio_pci *vp, unsigned int at, struct aer *aer)
{
	uint32_t regs[AER_SIZE / 4];
	unsigned int i;

	for (i = 1; i < ARRAY_SIZE(regs); i++) {
		uint64_t value;

		if (vfio_region_read(&vp->vdev, &vp->config_region, at + 4 * i, 4, &value))
			return false;
		regs[i] = (uint32_t)value;
	}
	aer->uncorrectable = regs[PCI_ERR_UNCOR_STATUS / 4];
	aer->uncorrectable_mask = regs[PCI_ERR_UNCOR_MASK / 4];
	aer->severity = regs[PCI_ERR_UNCOR_SEVER / 4];
	aer->correctable = regs[PCI_ERR_COR_STATUS / 4];
	aer->correctable_mask = regs[PCI_ERR_COR_MASK / 4];
	aer->first = PCI_ERR_CAP_FEP(regs[PCI_ERR_CAP / 4]);
	memcpy(aer->header, &regs[PCI_ERR_HEADER_LOG / 4], sizeof(aer->header));
	return aer->uncorrectable != UINT32_MAX || aer->severity != UINT32_MAX;
}

void vfio_pci_aer_log(struct vfio_pci *vp)
{
	unsigned int at = vfio_pci_ecap_find(vp, PCI_EXT_CAP_ID_ERR);
	struct text t = { .len = 0 };
	struct aer aer;

	if (!at || at + AER_SIZE > PCIE_CONFIG_SIZE) {
		say(&t, "it has no AER capability to say which");
	} else if (!aer_read(vp, at, &aer)) {
		say(&t, "its AER registers cannot be read: it does not answer");
	} else {
		if (aer.uncorrectable)
			say_uncorrectable(&t, &aer);
		if (aer.correctable)
			say_correctable(&t, &aer);
		if (!t.len)
			say(&t, "nothing recorded by the function itself: the error arose above it "
				"(a port, or the PF of a VF), or the host has cleared it; the "
				"kernel's log tells");
	}
	log_line(vp->pdev.dev.vm->log, LOG_ERROR, "%s: %s: AER: %s", vp->pdev.dev.id, vp->idev.name,
		 t.buf);
}
