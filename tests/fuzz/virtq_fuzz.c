// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A driver that does anything to a ring of either format: one byte picks the operation, the next
 * are its operands. What must hold after each: every entry of a buffer lies in guest memory (its
 * ends are read and written), no more buffers are out than the ring has entries, the split ring's
 * used index moves by what was published, and a queue that broke is marked and gives nothing.
 */
#include "fuzz.h"

#include <linux/virtio_ring.h>

#include "virtq_rig.h"

#define RAM (1 * MIB)
#define OFFERED 16u
#define TABLE 0x50000u
#define OUT_MAX 64u

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

enum op {
	OP_DESC,
	OP_TABLE,
	OP_HEAD,
	OP_INDEX,
	OP_POST,
	OP_POP,
	OP_PUSH,
	OP_SIGNAL,
	OP_REWIND,
	OP_KICK,
	OP_POKE,
	OP_RESTART,
	OPS,
};

struct fuzz {
	struct virtq_rig *r;
	struct fuzz_input in;
	uint16_t out[OUT_MAX]; /* ids of buffers that are out, oldest first */
	unsigned int out_count;
	unsigned int unpublished; /* pushes */
	uint16_t published;
};

/* An address that is likely to be interesting. */
static gpa_t pick_addr(struct fuzz_input *in)
{
	static const gpa_t bases[] = {
		RIG_DATA, RIG_DATA,   TABLE,	  RIG_DESC,   RIG_AVAIL, RIG_USED,
		0,	  RAM - 16,   RAM,	  0xc0000000, 0xfee00000, 0x100000000,
		1ull << 63, UINT64_MAX - 15, UINT64_MAX, TABLE + 8,
	};
	gpa_t base = bases[fuzz_u8(in) % ARRAY_SIZE(bases)];

	return base + fuzz_u8(in);
}

static uint32_t pick_len(struct fuzz_input *in)
{
	static const uint32_t lens[] = {
		0, 1, 12, 15, 16, 17, 32, 48, 256, 272, 4096, 0xfff0, RAM, 0x7fffffff, 0xfffffff0,
		0xffffffff,
	};

	return lens[fuzz_u8(in) % ARRAY_SIZE(lens)];
}

static void fuzz_desc(struct fuzz *f, gpa_t table)
{
	unsigned int i = fuzz_u8(&f->in) % OFFERED;
	gpa_t addr = pick_addr(&f->in);
	uint32_t len = pick_len(&f->in);
	uint8_t bits = fuzz_u8(&f->in);
	/* And the packed ring's marks, which mean nothing to the split ring. */
	uint16_t flags = (uint16_t)((bits & 7) | (bits >> 3 & 1) << VRING_PACKED_DESC_F_AVAIL |
				    (bits >> 4 & 1) << VRING_PACKED_DESC_F_USED);
	uint8_t next = fuzz_u8(&f->in);

	rig_desc_at(f->r, table, i, addr, len, flags, next & 0x80 ? 0xff00 | next : next);
}

static void fuzz_restart(struct fuzz *f)
{
	uint8_t how = fuzz_u8(&f->in);
	uint64_t features = (how & 1 ? BIT64(VIRTIO_RING_F_EVENT_IDX) : 0) |
			    (how & 2 ? BIT64(VIRTIO_RING_F_INDIRECT_DESC) : 0) |
			    (how & 0x80 ? BIT64(VIRTIO_F_RING_PACKED) : 0);

	put_le16(f->r->ram + RIG_AVAIL + 2, 0);
	put_le16(f->r->ram + RIG_USED + 2, 0);
	rig_start(f->r, (uint16_t)(1u << ((how & 0x7f) >> 2) % 5), features);
	MUST(virtq_running(f->r->vq));
	f->out_count = 0;
	f->unpublished = 0;
	f->published = 0;
}

/* Both ends of each entry: a sanitizer or the kernel objects if they are not guest memory. */
static void touch(const struct virtq_rig *r)
{
	const struct virtq_elem *e = &r->elem;
	uint64_t total = 0;
	unsigned int i;

	MUST(e->out_count + e->in_count <= e->iov_max);
	for (i = 0; i < e->out_count + e->in_count; i++) {
		volatile uint8_t *p = e->iov[i].iov_base;
		size_t len = e->iov[i].iov_len;

		MUST(len && span_within((uint64_t)(e->iov[i].iov_base - (void *)r->ram), len, RAM));
		/* Reached for reading and writing, and left as they are. */
		p[0] |= 0;
		p[len - 1] |= 0;
		total += len;
	}
	MUST(total == e->out_len + e->in_len && total <= 1ull << 32);
}

static void fuzz_pop(struct fuzz *f)
{
	bool broken = f->r->vq->broken;
	int ret = virtq_pop(f->r->vq, &f->r->elem);

	MUST(ret == 0 || ret == 1 || ret == -EIO);
	MUST(!broken || ret == -EIO);
	MUST(ret != -EIO || (f->r->vq->broken && rig_broken(f->r)));
	if (ret <= 0)
		return;
	touch(f->r);
	MUST(f->out_count < f->r->vq->size);
	f->out[f->out_count++] = f->r->elem.id;
}

static void fuzz_push(struct fuzz *f)
{
	unsigned int which;

	/* No device gives back more than a ring's length unpublished. */
	if (!f->out_count || f->unpublished == f->r->vq->size)
		return;
	which = fuzz_u8(&f->in) % f->out_count;
	f->r->elem.id = f->out[which];
	memmove(&f->out[which], &f->out[which + 1],
		(f->out_count - which - 1) * sizeof(f->out[0]));
	f->out_count--;
	virtq_push(f->r->vq, &f->r->elem, fuzz_u8(&f->in));
	f->unpublished++;
}

static void fuzz_signal(struct fuzz *f)
{
	f->published = (uint16_t)(f->published + f->unpublished);
	f->unpublished = 0;
	virtq_signal(f->r->vq);
	MUST(f->r->vq->format != &virtq_split || rig_used_idx(f->r) == f->published);
	MUST(f->r->vq->format != &virtq_packed || !f->r->vq->packed.pending);
}

/* As virtio-net does it: everything since the last publish, when nothing older is out. */
static void fuzz_rewind(struct fuzz *f)
{
	unsigned int pops = fuzz_u8(&f->in);

	if (f->r->vq->broken || f->unpublished)
		return;
	pops = f->out_count ? pops % (f->out_count + 1) : 0;
	virtq_rewind(f->r->vq, pops, 0);
	f->out_count -= pops;
}

static void step(struct fuzz *f)
{
	uint8_t *ram = f->r->ram;
	unsigned int at;

	switch (fuzz_u8(&f->in) % OPS) {
	case OP_DESC:
		fuzz_desc(f, RIG_DESC);
		break;
	case OP_TABLE:
		fuzz_desc(f, TABLE + (fuzz_u8(&f->in) & 0xf8));
		break;
	case OP_HEAD:
		at = fuzz_u8(&f->in) % (OFFERED + 1);
		put_le16(ram + RIG_AVAIL + 4 + (size_t)at * 2, fuzz_u16(&f->in));
		break;
	case OP_INDEX:
		f->r->avail_idx = (uint16_t)(f->r->avail_idx + fuzz_u16(&f->in));
		rig_avail_idx(f->r, f->r->avail_idx);
		break;
	case OP_POST:
		rig_post(f->r, fuzz_u8(&f->in) % OFFERED);
		break;
	case OP_POP:
		fuzz_pop(f);
		break;
	case OP_PUSH:
		fuzz_push(f);
		break;
	case OP_SIGNAL:
		fuzz_signal(f);
		break;
	case OP_REWIND:
		fuzz_rewind(f);
		break;
	case OP_KICK:
		if (fuzz_u8(&f->in) & 1)
			virtq_kick_on(f->r->vq);
		else
			virtq_kick_off(f->r->vq);
		break;
	case OP_POKE:
		at = fuzz_u16(&f->in) % 512;
		ram[(fuzz_u8(&f->in) & 1 ? RIG_DESC : RIG_AVAIL) + at] = fuzz_u8(&f->in);
		break;
	case OP_RESTART:
		fuzz_restart(f);
		break;
	default:
		break;
	}
}

/* Kept from input to input: making memory and loop takes longer than an input. */
static struct virtq_rig *fuzz_rig(void)
{
	static struct virtq_rig *rig;
	static const gpa_t parts[] = { RIG_DESC, RIG_AVAIL, RIG_USED, TABLE };
	unsigned int i;

	if (!rig)
		rig = rig_open(RAM, OFFERED);
	MUST(rig);
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		memset(rig->ram + parts[i], 0, 4096);
	return rig;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .r = fuzz_rig(), .in = { data, size } };
	unsigned int steps;

	fuzz_restart(&f);
	for (steps = 0; f.in.left && steps < 4096; steps++) {
		step(&f);
		MUST(f.r->vq->inflight == f.out_count);
	}
	return 0;
}
