// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio-scsi: commands from the rings to the unit in scsi_target.c, and back.
 *
 * As in virtio_blk.c, a kick takes all that is there, the host sees it in one call, and what is
 * complete goes back with one store of the index and at most one interrupt a queue. When the queues
 * may no longer be served, everything under way is waited for first.
 *
 * A request's buffers begin with its header, and the answer's with theirs, however the driver cut
 * them into descriptors. The data behind is described by entries of the request's own, so that what
 * the disk changes on the way is not what the answer is written through.
 *
 * A request without a whole header or without room for the answer breaks the queue. One for a unit
 * that is not there is answered.
 */
#include "virtio_scsi.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_scsi.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/iov.h"
#include "vmm/vm.h"

#define CLASS_SCSI 0x010000u
#define QUEUE_SIZE 256u
#define IOVS (2 * (size_t)QUEUE_SIZE) /* of one request: the ring's, and the data's */
#define SEG_MAX (QUEUE_SIZE - 2)
#define MAX_SECTORS 0xffffu
#define REQ_HEAD offsetof(struct virtio_scsi_cmd_req, cdb)
#define RESP_HEAD offsetof(struct virtio_scsi_cmd_resp, sense)
/* What the driver may say of CDB and sense: no more than SPC-4 knows. */
#define CDB_SIZE_MAX 260u
#define SENSE_SIZE_MAX 252u
#define ABORT_MS 2000u /* a loop waits so long for what is to be aborted */

struct virtio_scsi_req {
	struct scsi_cmd cmd;
	struct virtio_scsi *scsi;
	struct virtq_elem elem;
	struct virtq *vq;
	struct virtio_scsi_req *next_free;
};

static struct virtio_scsi *dev_to_scsi(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct virtio_scsi, vpci);
}

static struct virtio_scsi *vdev_to_scsi(struct virtio_dev *vdev)
{
	return dev_to_scsi(vdev->dev);
}

/* Requests in hand. */

static struct virtio_scsi_req *req_get(struct virtio_scsi *s)
{
	struct virtio_scsi_req *req = s->free;

	if (req) {
		s->free = req->next_free;
		return req;
	}
	/* As many as all rings hold, which is the most that can be in flight (2.7.13). */
	req = &s->reqs[s->reqs_used++];
	req->scsi = s;
	req->elem.iov_max = QUEUE_SIZE;
	req->elem.iov = s->iovs + (size_t)(req - s->reqs) * IOVS;
	return req;
}

static void req_put(struct virtio_scsi *s, struct virtio_scsi_req *req)
{
	req->next_free = s->free;
	s->free = req;
}

static void burst_end(void *opaque)
{
	struct virtio_scsi *s = opaque;
	uint64_t answered = s->answered;

	s->answered = 0;
	for (; answered; answered &= answered - 1) {
		struct virtq *vq = &s->vpci.vdev.queues[__builtin_ctzll(answered)];

		if (virtq_running(vq))
			virtq_signal(vq);
		else if (!vq->broken)
			virtq_publish(vq); /* bus mastering went off: the interrupt comes with it */
	}
}

/* Writes @len bytes to the start of the buffer's device-writable part, as far as it goes. */
static uint32_t elem_write(struct virtq_elem *e, const void *buf, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct iov_cursor from, to;

	iov_cursor_init(&from, &iov, 1);
	iov_cursor_init(&to, virtq_elem_in(e), e->in_count);
	return (uint32_t)iov_cursor_copy(&to, &from, len);
}

/* The answer (5.6.6.1). */
static void answer(struct virtio_scsi_req *req, uint8_t response)
{
	struct virtio_scsi *s = req->scsi;
	const struct scsi_cmd *cmd = &req->cmd;
	uint8_t buf[RESP_HEAD + SENSE_SIZE_MAX] = { 0 };
	struct virtq *vq = req->vq;
	uint64_t room = cmd->in_len ? cmd->in_len : cmd->out_len;
	uint32_t sense = 0, written;

	if (vq->broken) {
		req_put(s, req);
		return;
	}
	if (response == VIRTIO_SCSI_S_OK) {
		if (cmd->status == SCSI_CHECK_CONDITION) {
			sense = MIN(s->sense_size, SCSI_SENSE_SIZE);
			memcpy(buf + RESP_HEAD, cmd->sense, sense);
		}
		put_le32(buf, sense);
		put_le32(buf + offsetof(struct virtio_scsi_cmd_resp, resid),
			 (uint32_t)(room - cmd->moved));
		buf[offsetof(struct virtio_scsi_cmd_resp, status)] = cmd->status;
	}
	buf[offsetof(struct virtio_scsi_cmd_resp, response)] = response;
	written = elem_write(&req->elem, buf, RESP_HEAD + s->sense_size);
	if (cmd->in_len && response == VIRTIO_SCSI_S_OK)
		written += (uint32_t)cmd->moved;
	virtq_push(vq, &req->elem, written);
	s->answered |= BIT64(vq->index);
	req_put(s, req);
}

static void cmd_done(struct scsi_cmd *cmd)
{
	struct virtio_scsi_req *req = container_of(cmd, struct virtio_scsi_req, cmd);
	struct virtio_scsi *s = req->scsi;

	if (s->resetting && !(s->resetting >> req->vq->index & 1) && cmd->status != SCSI_GOOD) {
		req->next_free = s->again;
		s->again = req;
		return;
	}
	if (s->aborting && cmd->status != SCSI_GOOD)
		answer(req, VIRTIO_SCSI_S_RESET);
	else
		answer(req, cmd->overrun ? VIRTIO_SCSI_S_OVERRUN : VIRTIO_SCSI_S_OK);
}

/* One command. */

/* LUN structure (5.6.6.1): 1, the target, then the LUN by flat addressing or, below 256, peripheral
 * addressing. */
static bool lun_target_good(const uint8_t *lun)
{
	return lun[0] == 1 && !lun[1];
}

static bool lun_unit_good(const uint8_t *lun)
{
	return lun_target_good(lun) && !((lun[2] << 8 | lun[3]) & ~0x4000) && !get_le32(lun + 4);
}

/* Entries for what follows the first @skip bytes of @from. Returns how many. */
static unsigned int data_of(const struct iovec *from, unsigned int count, size_t skip,
			    struct iovec *ret_iov)
{
	struct iovec *start = ret_iov;
	unsigned int left;

	memcpy(ret_iov, from, count * sizeof(*from));
	left = iov_skip(&start, count, skip);
	memmove(ret_iov, start, left * sizeof(*start));
	return left;
}

static void start(struct virtio_scsi *s, struct virtio_scsi_req *req)
{
	struct virtq_elem *e = &req->elem;
	struct scsi_cmd *cmd = &req->cmd;
	uint8_t head[REQ_HEAD + SCSI_CDB_MAX] = { 0 };
	size_t out_head = REQ_HEAD + s->cdb_size, in_head = RESP_HEAD + s->sense_size;

	iov_gather(virtq_elem_out(e), e->out_count, head,
		   REQ_HEAD + MIN(s->cdb_size, SCSI_CDB_MAX));
	cmd->unit = &s->unit;
	cmd->done = cmd_done;
	memcpy(cmd->cdb, head + REQ_HEAD, SCSI_CDB_MAX);
	cmd->out = e->iov + QUEUE_SIZE;
	cmd->out_count = data_of(virtq_elem_out(e), e->out_count, out_head, cmd->out);
	cmd->in = cmd->out + cmd->out_count;
	cmd->in_count = data_of(virtq_elem_in(e), e->in_count, in_head, cmd->in);
	cmd->out_len = e->out_len - out_head;
	cmd->in_len = e->in_len - in_head;
	cmd->moved = 0;
	cmd->no_unit = !lun_unit_good(head);
	if (!lun_target_good(head))
		answer(req, VIRTIO_SCSI_S_BAD_TARGET);
	else if (cmd->out_len && cmd->in_len) /* both ways: INOUT is not offered */
		answer(req, VIRTIO_SCSI_S_FAILURE);
	else
		scsi_start(cmd);
}

/* Takes one request off the ring. False: there is none, or the queue is broken. */
static bool take(struct virtio_scsi *s, struct virtq *vq)
{
	struct virtio_scsi_req *req = req_get(s);

	if (virtq_pop(vq, &req->elem) <= 0) {
		req_put(s, req);
		return false;
	}
	if (req->elem.out_len < REQ_HEAD + s->cdb_size ||
	    req->elem.in_len < RESP_HEAD + s->sense_size) {
		virtq_fail(vq, "request of %llu bytes out and %llu in, less than header and answer",
			   (unsigned long long)req->elem.out_len,
			   (unsigned long long)req->elem.in_len);
		req_put(s, req);
		return false;
	}
	req->vq = vq;
	start(s, req);
	return true;
}

static void requests(struct virtio_scsi *s, struct virtq *vq)
{
	unsigned int budget = vq->size;

	virtq_kick_off(vq);
	do {
		while (budget && take(s, vq))
			budget--;
		disk_submit(s->disk);
		burst_end(s);
	} while (virtq_kick_on(vq) && budget);
	if (!budget)
		virtq_kick_again(vq); /* others have a turn */
}

/* The control queue (5.6.6.2). */

/* What aborts everything is done by waiting for everything. One task cannot be taken back from the
 * kernel: that is refused, and a driver goes on to a reset of the unit. */
static uint8_t task_management(struct virtio_scsi *s, uint32_t subtype, const uint8_t *lun)
{
	bool drained_now;

	if (!lun_target_good(lun))
		return VIRTIO_SCSI_S_BAD_TARGET;
	if (subtype != VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET && !lun_unit_good(lun))
		return VIRTIO_SCSI_S_INCORRECT_LUN;
	switch (subtype) {
	case VIRTIO_SCSI_T_TMF_ABORT_TASK_SET:
	case VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET:
	case VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET:
	case VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET:
		s->aborting = true;
		drained_now = disk_drain(s->disk, ABORT_MS);
		s->aborting = false;
		burst_end(s);
		if (!drained_now)
			return VIRTIO_SCSI_S_FUNCTION_REJECTED;
		break;
	default:
		return VIRTIO_SCSI_S_FUNCTION_REJECTED;
	}
	if (subtype == VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET ||
	    subtype == VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET)
		scsi_unit_reset(&s->unit);
	return VIRTIO_SCSI_S_OK; /* FUNCTION COMPLETE */
}

/* Answers the buffer in hand. Returns bytes written, or 0: it is no request. */
static uint32_t control_answer(struct virtio_scsi *s)
{
	struct virtq_elem *e = &s->control;
	uint8_t buf[sizeof(struct virtio_scsi_ctrl_tmf_req)] = { 0 };
	struct virtio_scsi_ctrl_an_resp events = { 0 };
	size_t len = iov_gather(virtq_elem_out(e), e->out_count, buf, sizeof(buf));
	uint8_t response;

	if (len < sizeof(uint32_t))
		return 0;
	switch (get_le32(buf)) {
	case VIRTIO_SCSI_T_TMF:
		if (len < sizeof(struct virtio_scsi_ctrl_tmf_req) || !e->in_len)
			return 0;
		response = task_management(
			s, get_le32(buf + offsetof(struct virtio_scsi_ctrl_tmf_req, subtype)),
			buf + offsetof(struct virtio_scsi_ctrl_tmf_req, lun));
		return elem_write(e, &response, 1);
	case VIRTIO_SCSI_T_AN_QUERY:
	case VIRTIO_SCSI_T_AN_SUBSCRIBE:
		if (len < sizeof(struct virtio_scsi_ctrl_an_req) || e->in_len < sizeof(events))
			return 0;
		/* No such event exists here: none is the answer. */
		return elem_write(e, &events, sizeof(events));
	default:
		response = VIRTIO_SCSI_S_FUNCTION_REJECTED;
		return elem_write(e, &response, 1);
	}
}

static void control(struct virtio_scsi *s, struct virtq *vq)
{
	unsigned int budget = vq->size;
	uint32_t written;

	while (budget-- && virtq_pop(vq, &s->control) > 0) {
		written = control_answer(s);
		if (!written) {
			virtq_fail(vq, "control request of %llu bytes out and %llu in is too short",
				   (unsigned long long)s->control.out_len,
				   (unsigned long long)s->control.in_len);
			return;
		}
		virtq_push(vq, &s->control, written);
	}
	virtq_signal(vq);
	if (virtq_kick_on(vq))
		virtq_kick_again(vq);
}

/* The virtio device. */

/* As in virtio_blk.c; but a command of another queue that a drain ended begins anew. */
static void requests_again(struct virtio_scsi *s)
{
	struct virtio_scsi_req *req;

	while ((req = s->again)) {
		s->again = req->next_free;
		start(s, req);
	}
}

static void scsi_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	struct virtio_scsi *s = vdev_to_scsi(vdev);

	if (s->resetting)
		return;
	requests_again(s);
	if (vq->index >= VIRTIO_SCSI_REQUEST)
		requests(s, vq);
	else if (vq->index == VIRTIO_SCSI_CONTROL)
		control(s, vq);
	/* Events are for hot plug and changes of size, which are not offered. */
}

static void queues_drained(struct virtio_scsi *s)
{
	uint64_t resetting = s->resetting;

	s->resetting = 0;
	for (; resetting; resetting &= resetting - 1)
		virtio_queue_drained(&s->vpci.vdev.queues[__builtin_ctzll(resetting)]);
}

static void queue_resets_end(struct virtio_scsi *s)
{
	queues_drained(s);
	requests_again(s);
	disk_submit(s->disk);
	burst_end(s);
	virtio_dev_kick_all(&s->vpci.vdev);
}

static bool scsi_queue_reset(struct virtio_dev *vdev, struct virtq *vq, unsigned int ms)
{
	struct virtio_scsi *s = vdev_to_scsi(vdev);

	if (vq->index < VIRTIO_SCSI_REQUEST)
		return true;
	s->resetting |= BIT64(vq->index);
	if (!disk_drain(s->disk, ms))
		return false;
	queue_resets_end(s);
	return true;
}

static bool scsi_drain(struct virtio_dev *vdev, unsigned int ms)
{
	struct virtio_scsi *s = vdev_to_scsi(vdev);

	if (s->disk && !disk_drain(s->disk, ms))
		return false;
	queues_drained(s);
	return true;
}

static void drained(void *opaque)
{
	struct virtio_scsi *s = opaque;

	if (s->vpci.vdev.resetting)
		virtio_dev_drained(&s->vpci.vdev);
	else
		queue_resets_end(s);
}

static void scsi_reset(struct virtio_dev *vdev)
{
	struct virtio_scsi *s = vdev_to_scsi(vdev);
	struct virtio_scsi_req *req;

	s->answered = 0;
	s->resetting = 0;
	while ((req = s->again)) {
		s->again = req->next_free;
		req_put(s, req);
	}
	s->sense_size = VIRTIO_SCSI_SENSE_SIZE;
	s->cdb_size = VIRTIO_SCSI_CDB_SIZE;
	scsi_unit_reset(&s->unit);
}

static void scsi_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
			     unsigned int len)
{
	const struct virtio_scsi *s = vdev_to_scsi(vdev);
	struct virtio_scsi_config config = {
		.num_queues = htole32(vdev->queue_count - VIRTIO_SCSI_REQUEST),
		.seg_max = htole32(SEG_MAX),
		.max_sectors = htole32(MAX_SECTORS),
		.cmd_per_lun = htole32(QUEUE_SIZE / 2),
		.event_info_size = htole32(sizeof(struct virtio_scsi_event)),
		.sense_size = htole32(s->sense_size),
		.cdb_size = htole32(s->cdb_size),
	};

	memcpy(buf, (const char *)&config + offset, len);
}

/* Sizes of sense and CDB, before the queues are in use (5.6.4); others are ignored. */
static void scsi_config_write(struct virtio_dev *vdev, unsigned int offset, const void *buf,
			      unsigned int len)
{
	struct virtio_scsi *s = vdev_to_scsi(vdev);
	uint32_t v;

	if (len != sizeof(v) || virtio_dev_running(vdev))
		return;
	v = get_le32(buf);
	if (offset == offsetof(struct virtio_scsi_config, sense_size) && v <= SENSE_SIZE_MAX)
		s->sense_size = v;
	if (offset == offsetof(struct virtio_scsi_config, cdb_size) && v && v <= CDB_SIZE_MAX)
		s->cdb_size = v;
}

static const struct virtio_ops scsi_ops = {
	.type = VIRTIO_ID_SCSI,
	.config_size = sizeof(struct virtio_scsi_config),
	.config_read = scsi_config_read,
	.config_write = scsi_config_write,
	.notify = scsi_notify,
	.reset = scsi_reset,
	.queue_reset = scsi_queue_reset,
	.drain = scsi_drain,
};

/* The device classes. */

static int scsi_probe(struct dev *dev, struct err *err)
{
	struct virtio_scsi *s = dev_to_scsi(dev);

	if (dev->class == &scsi_cd_class)
		s->config.readonly = true;
	virtio_pci_describe(&s->vpci, &scsi_ops, CLASS_SCSI);
	return disk_check(&s->config, err);
}

static unsigned int request_queues(const struct virtio_scsi *s)
{
	unsigned int cpus = s->vpci.pdev.dev.vm->config.cpus;

	if (s->queues)
		return s->queues;
	return MAX(MIN(cpus, VIRTIO_SCSI_QUEUES_MAX), 1u);
}

static int reqs_init(struct virtio_scsi *s, unsigned int queues, struct err *err)
{
	size_t count = (size_t)queues * QUEUE_SIZE + 1; /* one in hand while the ring is full */
	void *iovs;

	if (virtq_elem_init(&s->control, &s->vpci.vdev.queues[VIRTIO_SCSI_CONTROL]))
		return err_set(err, -ENOMEM, "no memory for buffers");
	s->reqs = calloc(count, sizeof(*s->reqs));
	s->iovs_size = count * IOVS * sizeof(*s->iovs);
	/* Mapped, so that only what a guest ever has in flight takes memory. */
	iovs = mmap(NULL, s->iovs_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!s->reqs || iovs == MAP_FAILED)
		return err_set(err, -ENOMEM, "no memory for %zu requests", count);
	s->iovs = iovs;
	return 0;
}

static int unit_init(struct virtio_scsi *s, struct err *err)
{
	struct dev *dev = &s->vpci.pdev.dev;
	int ret;

	s->user = (struct disk_user){
		.id = dev->id,
		.loop = dev->vm->loop,
		.lock = &dev->lock,
		.log = dev->vm->log,
		.burst_end = burst_end,
		.drained = drained,
		.opaque = s,
	};
	ret = disk_open(&s->config, &s->user, &s->disk, err);
	if (ret)
		return ret;
	s->vpci.vdev.loop = disk_loop(s->disk);
	s->unit.disk = s->disk;
	s->unit.serial = s->serial ? s->serial : dev->id;
	s->unit.cd = dev->class == &scsi_cd_class;
	scsi_unit_init(&s->unit);
	if (!s->unit.blocks)
		return err_set(err, -EINVAL, "%s has %llu bytes, less than one block of a CD",
			       s->config.path, (unsigned long long)disk_size(s->disk));
	if (SCSI_CD_BLOCK % disk_block_logical(s->disk) && s->unit.cd)
		return err_set(err, -EINVAL, "%s has blocks of %u bytes, a CD of %u",
			       s->config.path, disk_block_logical(s->disk), SCSI_CD_BLOCK);
	return 0;
}

static int scsi_realize(struct dev *dev, struct err *err)
{
	struct virtio_scsi *s = dev_to_scsi(dev);
	uint16_t sizes[VIRTIO_SCSI_REQUEST + VIRTIO_SCSI_QUEUES_MAX];
	unsigned int i, queues = request_queues(s);
	int ret;

	if (dev->class == &scsi_cd_class)
		s->config.readonly = true;
	if (s->serial && strlen(s->serial) > SCSI_SERIAL_MAX)
		return err_set(err, -EINVAL, "serial=%s: at most %u characters", s->serial,
			       SCSI_SERIAL_MAX);
	for (i = 0; i < VIRTIO_SCSI_REQUEST + queues; i++)
		sizes[i] = QUEUE_SIZE;
	s->sense_size = VIRTIO_SCSI_SENSE_SIZE;
	s->cdb_size = VIRTIO_SCSI_CDB_SIZE;
	ret = virtio_pci_init(&s->vpci, &scsi_ops, CLASS_SCSI, sizes, VIRTIO_SCSI_REQUEST + queues,
			      err);
	if (!ret)
		ret = reqs_init(s, queues, err);
	if (!ret)
		ret = unit_init(s, err);
	return ret ? ret : pci_dev_plug(&s->vpci.pdev, err);
}

static void scsi_quiesce(struct dev *dev)
{
	virtio_dev_reset(&dev_to_scsi(dev)->vpci.vdev);
}

static void scsi_destroy(struct dev *dev)
{
	struct virtio_scsi *s = dev_to_scsi(dev);

	virtio_pci_done(&s->vpci);
	disk_close(s->disk);
	s->disk = NULL;
	virtq_elem_done(&s->control);
	if (s->iovs)
		munmap(s->iovs, s->iovs_size);
	free(s->reqs);
}

static void scsi_describe(struct dev *dev, char *buf, size_t size)
{
	const struct virtio_scsi *s = dev_to_scsi(dev);

	snprintf(buf, size, "%s%s", s->config.path, s->config.readonly ? ", read-only" : "");
}

static const struct opt_field scsi_options[] = {
	DISK_OPTIONS(struct virtio_scsi, config),
	{ "serial", OPT_STR, offsetof(struct virtio_scsi, serial), 0, 0, false,
	  "what the guest sees as its serial number, at most 20 characters (the device's id)" },
	{ "queues", OPT_U32, offsetof(struct virtio_scsi, queues), 1, VIRTIO_SCSI_QUEUES_MAX, false,
	  "request queues (one for each vCPU)" },
	VIRTIO_PCI_OPTIONS(struct virtio_scsi, vpci),
	OPT_END,
};

#define SCSI_CLASS(class_name, class_help)                                                         \
	{                                                                                          \
		.name = (class_name), .help = (class_help), .size = sizeof(struct virtio_scsi),    \
		.options = scsi_options, .pci = &virtio_pci_ops, .probe = scsi_probe,              \
		.realize = scsi_realize, .quiesce = scsi_quiesce, .destroy = scsi_destroy,         \
		.reset = virtio_pci_reset, .read = virtio_pci_read, .write = virtio_pci_write,     \
		.describe = scsi_describe,                                                         \
	}

const struct dev_class scsi_disk_class =
	SCSI_CLASS("scsi-disk", "SCSI disk of virtio 1.2: a raw image or a block device");
const struct dev_class scsi_cd_class =
	SCSI_CLASS("scsi-cd", "CD or DVD drive on SCSI of virtio 1.2, with an image in it");
