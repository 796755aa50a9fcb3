// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A server of a vhost-user disk that can be killed: it keeps the record of requests in flight, as
 * qemu-storage-daemon does not. Requests are done by several threads, so they end in another order
 * than they came.
 *
 *	vhost_blk SOCKET FILE QUEUES [MICROSECONDS]		each request takes so much longer
 *
 * One front end, split rings, no checks of what it says: for tests alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/uio.h>
#include <unistd.h>

#define QUEUES_MAX 4u
#define WORKERS 4u
#define SIZE_MAX_RING 1024u
#define PIECES 130u
#define HEADER 12u

struct flight {
	uint64_t order; /* 0: not in flight */
};

/* What outlives a server, one for each queue. */
struct record {
	uint64_t taken;		  /* how many were, ever */
	uint16_t used, last_head; /* used index as of the last buffer given back */
	struct flight heads[SIZE_MAX_RING];
};

struct queue {
	uint32_t num;
	uint16_t base;
	uint64_t desc, used, avail; /* front end's addresses */
	int kick, call;
	bool enabled;
	struct record *record;
	uint16_t again[SIZE_MAX_RING]; /* heads that a server before had not given back */
	unsigned int again_count;
	unsigned int busy; /* requests under way */
};

struct region {
	uint64_t gpa, size, hva, offset;
};

static struct {
	int conn, file;
	uint64_t sectors;
	unsigned int queue_count, region_count;
	struct region regions[8];
	uint8_t *maps[8];
	struct queue queues[QUEUES_MAX];
	pthread_mutex_t lock; /* all but conn, which one thread uses, and requests under way */
	pthread_cond_t work, idle;
	uint64_t kicks;
	useconds_t slow;
} server;

static void fatal(const char *what)
{
	perror(what);
	exit(1);
}

static void *at(uint64_t addr, bool guest)
{
	unsigned int i;

	for (i = 0; i < server.region_count; i++) {
		const struct region *r = &server.regions[i];
		uint64_t base = guest ? r->gpa : r->hva;

		if (addr - base < r->size)
			return server.maps[i] + (addr - base);
	}
	fprintf(stderr, "vhost_blk: no memory at 0x%llx\n", (unsigned long long)addr);
	exit(1);
}

/* One request: a header, data, a status byte. */
static uint32_t perform(const struct queue *q, uint16_t head)
{
	struct vring_desc *table = at(q->desc, false);
	struct iovec iov[PIECES];
	struct virtio_blk_outhdr *hdr;
	unsigned int n = 0, i = head;
	uint32_t written = 0;
	ssize_t done = 0, want = 0;
	unsigned int k;
	off_t pos;

	if (table[i].flags & VRING_DESC_F_INDIRECT) {
		table = at(table[i].addr, true);
		i = 0;
	}
	for (;; i = table[i].next) {
		iov[n++] = (struct iovec){ at(table[i].addr, true), table[i].len };
		if (table[i].flags & VRING_DESC_F_WRITE)
			written += table[i].len;
		if (!(table[i].flags & VRING_DESC_F_NEXT) || n == PIECES)
			break;
	}
	usleep(server.slow);
	hdr = iov[0].iov_base;
	pos = (off_t)hdr->sector * 512;
	for (k = 1; k + 1 < n; k++)
		want += (ssize_t)iov[k].iov_len;
	if (hdr->type == VIRTIO_BLK_T_IN)
		done = preadv(server.file, iov + 1, (int)n - 2, pos);
	else if (hdr->type == VIRTIO_BLK_T_OUT)
		done = pwritev(server.file, iov + 1, (int)n - 2, pos);
	else if (hdr->type == VIRTIO_BLK_T_FLUSH)
		done = fdatasync(server.file) ? -1 : want;
	else
		done = -1;
	*(uint8_t *)iov[n - 1].iov_base = done == want ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
	return written;
}

/* The next head, which is then in flight; -1 when there is none. */
static int take(struct queue *q)
{
	struct vring_avail *avail = at(q->avail, false);
	uint16_t head;

	if (q->again_count)
		return q->again[--q->again_count];
	if (q->base == __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE))
		return -1;
	head = avail->ring[q->base++ % q->num];
	q->record->heads[head].order = ++q->record->taken;
	return head;
}

static void give_back(struct queue *q, uint16_t head, uint32_t len)
{
	struct vring_used *used = at(q->used, false);
	uint64_t one = 1;

	used->ring[used->idx % q->num] = (struct vring_used_elem){ head, len };
	q->record->last_head = head;
	__atomic_store_n(&used->idx, (uint16_t)(used->idx + 1), __ATOMIC_SEQ_CST);
	q->record->heads[head].order = 0;
	__atomic_store_n(&q->record->used, used->idx, __ATOMIC_SEQ_CST);
	if (write(q->call, &one, sizeof(one)) < 0 && errno != EAGAIN)
		fatal("call");
}

/* One pass over the queues; false when nothing was there. */
static bool pass(void)
{
	bool any = false;
	unsigned int i;
	uint32_t len;
	int head;

	for (i = 0; i < server.queue_count; i++) {
		struct queue *q = &server.queues[i];

		head = q->enabled ? take(q) : -1;
		if (head < 0)
			continue;
		any = true;
		q->busy++;
		pthread_mutex_unlock(&server.lock);
		len = perform(q, (uint16_t)head);
		pthread_mutex_lock(&server.lock);
		give_back(q, (uint16_t)head, len);
		if (!--q->busy)
			pthread_cond_signal(&server.idle);
	}
	return any;
}

static void *worker(void *opaque)
{
	uint64_t seen = 0;

	(void)opaque;
	pthread_mutex_lock(&server.lock);
	for (;;) {
		while (seen == server.kicks)
			pthread_cond_wait(&server.work, &server.lock);
		seen = server.kicks;
		while (pass())
			;
	}
	return NULL;
}

static void kicked(void)
{
	pthread_mutex_lock(&server.lock);
	server.kicks++;
	pthread_cond_broadcast(&server.work);
	pthread_mutex_unlock(&server.lock);
}

/* What the server before had taken and not given back, the first taken last in again[]. */
static void resume(struct queue *q)
{
	const struct vring_used *used = at(q->used, false);
	struct record *r = q->record;
	unsigned int i, j;

	if (r->used != used->idx) { /* killed between the two stores */
		r->heads[r->last_head].order = 0;
		r->used = used->idx;
	}
	q->again_count = 0;
	for (i = 0; i < q->num; i++) {
		if (!r->heads[i].order)
			continue;
		for (j = q->again_count++; j && r->heads[q->again[j - 1]].order < r->heads[i].order;
		     j--)
			q->again[j] = q->again[j - 1];
		q->again[j] = (uint16_t)i;
	}
	q->base = (uint16_t)(used->idx + q->again_count);
	if (q->again_count)
		printf("vhost_blk: %u requests are done again\n", q->again_count);
	fflush(stdout);
}

struct message {
	uint32_t request, flags, size;
	union {
		uint8_t bytes[512];
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t count, padding;
			struct region regions[8];
		} mem;
		struct {
			uint32_t offset, size, flags;
			uint8_t bytes[256];
		} config;
		struct {
			uint64_t size, offset;
			uint16_t queues, ring;
		} __attribute__((packed)) flight;
	} u;
	int fds[8];
};

static void reply(struct message *m, uint32_t size, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov[2] = { { m, HEADER }, { &m->u, size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	struct cmsghdr *c;

	m->flags = 5;
	m->size = size;
	if (fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	if (sendmsg(server.conn, &msg, MSG_NOSIGNAL) < 0)
		fatal("reply");
}

static void map_memory(struct message *m)
{
	unsigned int i;

	for (i = 0; i < server.region_count; i++)
		munmap(server.maps[i], server.regions[i].size);
	server.region_count = m->u.mem.count;
	memcpy(server.regions, m->u.mem.regions, sizeof(server.regions));
	for (i = 0; i < server.region_count; i++) {
		server.maps[i] = mmap(NULL, server.regions[i].size, PROT_READ | PROT_WRITE,
				      MAP_SHARED, m->fds[i], (off_t)server.regions[i].offset);
		if (server.maps[i] == MAP_FAILED)
			fatal("mmap");
	}
}

static void map_record(int fd)
{
	struct record *r =
		mmap(NULL, QUEUES_MAX * sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	unsigned int i;

	if (r == MAP_FAILED)
		fatal("record");
	for (i = 0; i < QUEUES_MAX; i++)
		server.queues[i].record = &r[i];
}

static void set_fd(int *fd, int new_fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = new_fd;
}

static void serve(struct message *m)
{
	struct queue *q = &server.queues[m->u.u64 % QUEUES_MAX];
	int fd;

	pthread_mutex_lock(&server.lock);
	switch (m->request) {
	case 1: /* GET_FEATURES */
		m->u.u64 = 1ull << VIRTIO_F_VERSION_1 | 1ull << 30 | 1ull << VIRTIO_BLK_F_SEG_MAX |
			   1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_MQ |
			   1ull << VIRTIO_RING_F_INDIRECT_DESC;
		reply(m, 8, -1);
		break;
	case 15: /* GET_PROTOCOL_FEATURES: MQ, REPLY_ACK, CONFIG, INFLIGHT_SHMFD */
		m->u.u64 = 1 | 1 << 3 | 1 << 9 | 1 << 12;
		reply(m, 8, -1);
		break;
	case 17: /* GET_QUEUE_NUM */
		m->u.u64 = server.queue_count;
		reply(m, 8, -1);
		break;
	case 24: { /* GET_CONFIG */
		struct virtio_blk_config config = { .capacity = server.sectors,
						    .seg_max = PIECES - 2 };

		memcpy(m->u.config.bytes, &config, m->u.config.size);
		reply(m, m->size, -1);
		break;
	}
	case 5: /* SET_MEM_TABLE */
		map_memory(m);
		m->u.u64 = 0;
		if (m->flags & 8)
			reply(m, 8, -1);
		break;
	case 31: /* GET_INFLIGHT_FD */
		fd = memfd_create("inflight", 0);
		if (fd < 0 || ftruncate(fd, QUEUES_MAX * sizeof(struct record)))
			fatal("record");
		m->u.flight.size = QUEUES_MAX * sizeof(struct record);
		m->u.flight.offset = 0;
		reply(m, sizeof(m->u.flight), fd);
		close(fd);
		break;
	case 32: /* SET_INFLIGHT_FD */
		map_record(m->fds[0]);
		break;
	case 8: /* SET_VRING_NUM */
		server.queues[m->u.state.index].num = m->u.state.num;
		break;
	case 9: /* SET_VRING_ADDR */
		q = &server.queues[m->u.addr.index];
		q->desc = m->u.addr.desc;
		q->used = m->u.addr.used;
		q->avail = m->u.addr.avail;
		break;
	case 12: /* SET_VRING_KICK */
		set_fd(&q->kick, m->fds[0]);
		break;
	case 13: /* SET_VRING_CALL */
		set_fd(&q->call, m->fds[0]);
		break;
	case 18: /* SET_VRING_ENABLE */
		q = &server.queues[m->u.state.index];
		if (m->u.state.num)
			resume(q);
		q->enabled = m->u.state.num;
		break;
	case 11: /* GET_VRING_BASE: what is under way ends before */
		q = &server.queues[m->u.state.index];
		q->enabled = false;
		while (q->busy)
			pthread_cond_wait(&server.idle, &server.lock);
		m->u.state.num = q->base;
		reply(m, 8, -1);
		break;
	default: /* SET_FEATURES, SET_OWNER, SET_VRING_BASE, ... */
		break;
	}
	pthread_mutex_unlock(&server.lock);
}

static bool receive(struct message *m)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(m->fds))];
	struct iovec iov = { m, HEADER };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	if (recvmsg(server.conn, &msg, MSG_WAITALL) != HEADER)
		return false;
	c = CMSG_FIRSTHDR(&msg);
	if (c)
		memcpy(m->fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	return m->size <= sizeof(m->u) &&
	       (!m->size || recv(server.conn, &m->u, m->size, MSG_WAITALL) == (ssize_t)m->size);
}

static void serve_front_end(void)
{
	struct pollfd p[1 + QUEUES_MAX];
	struct message m;
	uint64_t count;
	unsigned int i;

	for (;;) {
		p[0] = (struct pollfd){ server.conn, POLLIN, 0 };
		for (i = 0; i < QUEUES_MAX; i++)
			p[1 + i] = (struct pollfd){ server.queues[i].kick, POLLIN, 0 };
		poll(p, 1 + QUEUES_MAX, -1);
		for (i = 0; i < QUEUES_MAX; i++)
			if (p[1 + i].revents && read(p[1 + i].fd, &count, sizeof(count)) > 0)
				kicked();
		if (!p[0].revents)
			continue;
		if (!receive(&m))
			exit(0); /* its front end is gone */
		serve(&m);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	pthread_t thread;
	struct stat st;
	unsigned int i;
	int fd;

	if (argc < 4 || argc > 5 || strlen(argv[1]) >= sizeof(addr.sun_path)) {
		fprintf(stderr, "usage: vhost_blk SOCKET FILE QUEUES [MICROSECONDS]\n");
		return 2;
	}
	memcpy(addr.sun_path, argv[1], strlen(argv[1]) + 1);
	server.queue_count = (unsigned int)atoi(argv[3]) % (QUEUES_MAX + 1);
	server.slow = argc > 4 ? (useconds_t)atoi(argv[4]) : 0;
	server.file = open(argv[2], O_RDWR);
	if (server.file < 0 || fstat(server.file, &st))
		fatal(argv[2]);
	server.sectors = (uint64_t)st.st_size / 512;
	for (i = 0; i < QUEUES_MAX; i++)
		server.queues[i].kick = server.queues[i].call = -1;
	pthread_mutex_init(&server.lock, NULL);
	pthread_cond_init(&server.work, NULL);
	pthread_cond_init(&server.idle, NULL);
	unlink(argv[1]);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1))
		fatal(argv[1]);
	for (i = 0; i < WORKERS; i++)
		if (pthread_create(&thread, NULL, worker, NULL))
			return 1;
	server.conn = accept(fd, NULL, NULL);
	if (server.conn < 0)
		fatal("accept");
	serve_front_end();
}
