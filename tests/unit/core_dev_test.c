// SPDX-License-Identifier: GPL-2.0-or-later
/* Device life cycle and the fallback row, with classes that fail as they are told. */
#include <errno.h>
#include <stdlib.h>

#include "core_rig.h"

struct toy {
	struct dev dev;
	char *host;
	uint32_t level;
	struct mac_addr mac;
	unsigned int part;
	struct dev *first;
};

/* What became of the toys: on the VM, through a shared log, for there is no other place. */
struct toy_count {
	int realized, destroyed, quiesced, probed;
	int code;
	int parts;     /* that a spec stands for; 0: class without */
	int fail_part; /* this one of them is not to be had; counted from 1 */
};

static struct toy_count *toys(struct dev *dev)
{
	return dev->vm->log->opaque;
}

static int toy_realize(struct dev *dev, struct err *err)
{
	toys(dev)->realized++;
	return toys(dev)->code ? err_set(err, toys(dev)->code, "no such toy") : 0;
}

static int toy_probe(struct dev *dev, struct err *err)
{
	toys(dev)->probed++;
	return toys(dev)->code ? err_set(err, toys(dev)->code, "no such toy") : 0;
}

static int spare_realize(struct dev *dev, struct err *err)
{
	(void)err;
	toys(dev)->realized++;
	return 0;
}

static void toy_quiesce(struct dev *dev)
{
	toys(dev)->quiesced++;
}

static void toy_destroy(struct dev *dev)
{
	toys(dev)->destroyed++;
}

static int pack_part(struct dev *dev, unsigned int index, struct dev *first, struct err *err)
{
	struct toy *toy = (struct toy *)(void *)dev;

	toy->part = index;
	toy->first = first;
	(void)err;
	return toys(dev)->parts;
}

static int pack_realize(struct dev *dev, struct err *err)
{
	const struct toy *toy = (const struct toy *)(const void *)dev;

	toys(dev)->realized++;
	return (int)toy->part + 1 == toys(dev)->fail_part ? err_set(err, -ENODEV, "lost") : 0;
}

static const struct opt_field toy_options[] = {
	{ .name = "host", .type = OPT_STR, .offset = offsetof(struct toy, host), .required = true,
	  .help = "which" },
	{ .name = "level", .type = OPT_U32, .offset = offsetof(struct toy, level), .min = 1,
	  .max = 9, .help = "how much" },
	OPT_END,
};

static const struct opt_field spare_options[] = {
	{ .name = "mac", .type = OPT_MAC, .offset = offsetof(struct toy, mac), .help = "address" },
	OPT_END,
};

static const struct dev_class toy_class = {
	.name = "toy", .help = "a toy", .size = sizeof(struct toy), .options = toy_options,
	.probe = toy_probe, .realize = toy_realize, .quiesce = toy_quiesce, .destroy = toy_destroy,
};
static const struct dev_class spare_class = {
	.name = "spare", .help = "a spare", .size = sizeof(struct toy), .options = spare_options,
	.realize = spare_realize, .quiesce = toy_quiesce, .destroy = toy_destroy,
};
static const struct dev_class pack_class = {
	.name = "pack", .help = "several", .size = sizeof(struct toy), .part = pack_part,
	.realize = pack_realize, .quiesce = toy_quiesce, .destroy = toy_destroy,
};
static const struct dev_class *const classes[] = { &toy_class, &spare_class, &pack_class, NULL };
static const char *const row[] = { "toy", "spare", NULL };
static const char *const pack_row[] = { "pack", "spare", NULL };
static const struct dev_role roles[] = { { "play", row, "something" },
					 { "many", pack_row, "some things" },
					 { NULL, NULL, NULL } };
static const struct dev_table table = { .classes = classes, .roles = roles };

struct rig {
	struct toy_count count;
	struct log log;
	struct vm *vm;
	struct dev *dev;
	struct err err;
};

static void rig_open(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->vm = rig_new(MIB);
	r->log.opaque = &r->count;
	r->vm->log = &r->log;
}

static int create(struct rig *r, const char *spec)
{
	err_clear(&r->err);
	return dev_create(r->vm, &table, spec, false, &r->dev, &r->err);
}

static void rig_close(struct rig *r)
{
	rig_free(r->vm);
	assert_int_equal(r->count.destroyed, r->count.realized + r->count.probed);
}

static void test_a_role_takes_the_first_that_can_be_had(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	assert_int_equal(create(&r, "play,host=a"), 0);
	assert_string_equal(r.dev->class->name, "toy");
	assert_string_equal(r.dev->id, "play0");
	assert_null(r.vm->skips);
	assert_int_equal(create(&r, "play,host=a,id=ball"), 0);
	assert_string_equal(r.dev->id, "ball");
	assert_int_equal(create(&r, "play,host=b"), 0);
	assert_string_equal(r.dev->id, "play1");
	rig_close(&r);
}

static void test_enodev_alone_moves_along_the_row(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.count.code = -ENODEV;
	assert_int_equal(create(&r, "play,host=a,mac=52:54:00:00:00:01"), 0);
	assert_string_equal(r.dev->class->name, "spare");
	assert_true(((struct toy *)(void *)r.dev)->mac.set);
	assert_string_equal(r.vm->skips->id, "play0");
	assert_string_equal(r.vm->skips->class_name, "toy");
	assert_string_equal(r.vm->skips->reason, "no such toy");
	r.count.code = -ENOMEM;
	assert_int_equal(create(&r, "play,host=a"), -ENOMEM);
	assert_string_equal(r.err.msg, "play1: toy: no such toy");
	rig_close(&r);
}

static void test_a_device_named_outright_never_falls_back(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.count.code = -ENODEV;
	assert_int_equal(create(&r, "toy,host=a"), -ENODEV);
	assert_string_equal(r.err.msg, "toy0: toy: no such toy");
	assert_null(r.vm->skips);
	rig_close(&r);
}

static void test_a_missing_required_option_is_passed_over_in_a_role(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	assert_int_equal(create(&r, "play"), 0);
	assert_string_equal(r.dev->class->name, "spare");
	assert_string_equal(r.vm->skips->reason, "no host= given");
	assert_int_equal(create(&r, "toy"), -ENODEV);
	rig_close(&r);
}

static void test_bad_options_are_refused_with_their_name(void **state)
{
	static const struct {
		const char *spec, *word;
	} bad[] = {
		{ "ball", "not known" },
		{ "", "not known" },
		{ "toy,host=a,colour=red", "no option colour=" },
		{ "play,host=a,colour=red", "no option colour=" },
		{ "toy,host=a,level=0", "level=0" },
		{ "toy,host=a,level=10", "1 to 9" },
		{ "toy,host=a,level=x", "level=x" },
		{ "toy,host=a,level=-1", "level=-1" },
		{ "toy,host=a,host=b", "twice" },
		{ "toy,=a", "no name" },
		{ "spare,mac=01:00:00:00:00:01", "unicast" },
		{ "spare,mac=00:00:00:00:00:00", "unicast" },
		{ "spare,mac=52:54:00:00:00", "unicast" },
		{ "spare,mac=52:54:00:00:00:+1", "unicast" },
		{ "spare,id=", "device id" },
	};
	struct rig r;
	size_t i;

	(void)state;
	rig_open(&r);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_true(create(&r, bad[i].spec) < 0);
		if (!strstr(r.err.msg, bad[i].word))
			fail_msg("%s: %s", bad[i].spec, r.err.msg);
	}
	assert_int_equal(create(&r, "spare,id=x"), 0);
	assert_true(create(&r, "spare,id=x") < 0);
	assert_non_null(strstr(r.err.msg, "twice"));
	assert_int_equal(r.count.realized, 1);
	rig_close(&r);
}

static void test_a_plan_probes_and_realizes_nothing(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.count.code = -ENODEV;
	assert_int_equal(dev_create(r.vm, &table, "play,host=a", true, &r.dev, &r.err), 0);
	assert_int_equal(r.count.realized, 0);
	assert_int_equal(r.count.probed, 1);
	assert_string_equal(r.vm->skips->reason, "no such toy");
	/* spare has no probe, so it owes a destroy that nothing began */
	r.count.probed++;
	rig_close(&r);
	assert_int_equal(r.count.quiesced, 0);
}

/* What the front end heard. */
struct heard {
	unsigned int calls;
	char id[16], why[32];
};

static void hear(void *opaque, const struct dev *dev, const char *why)
{
	struct heard *h = opaque;

	h->calls++;
	snprintf(h->id, sizeof(h->id), "%s", dev->id);
	snprintf(h->why, sizeof(h->why), "%s", why);
}

static void test_a_removal_from_the_running_guest(void **state)
{
	struct heard heard = { 0 };
	struct dev *ball, *doll;
	struct rig r;

	(void)state;
	rig_open(&r);
	r.vm->removed = hear;
	r.vm->removed_opaque = &heard;
	assert_int_equal(create(&r, "toy,host=a,id=ball"), 0);
	ball = r.dev;
	assert_int_equal(create(&r, "toy,host=a,id=doll"), 0);
	doll = r.dev;
	/* With its lock held, as from a callback of its own; nothing happens yet. */
	pthread_mutex_lock(&ball->lock);
	assert_int_equal(dev_unplug(ball, 30000, "card pulled"), 0);
	pthread_mutex_unlock(&ball->lock);
	assert_int_equal(r.count.quiesced, 0);
	assert_int_equal(dev_unplug(ball, 0, "again"), 0);
	dev_get(ball);
	loop_do_posted(r.vm->loop);
	assert_true(ball->removed);
	assert_int_equal(r.count.quiesced, 1);
	assert_int_equal(heard.calls, 1);
	assert_string_equal(heard.id, "ball");
	assert_string_equal(heard.why, "card pulled");
	assert_int_equal(dev_unplug(ball, 0, "late"), -ENODEV);
	dev_put(ball);
	loop_do_posted(r.vm->loop);
	assert_int_equal(r.count.destroyed, 1);
	/* The restart of the guest does not wait for the loop's turn. */
	assert_int_equal(dev_unplug(doll, 1000, "restart"), 0);
	dev_unplug_all(r.vm);
	assert_true(doll->removed);
	assert_int_equal(heard.calls, 2);
	rig_close(&r);
}

static void test_two_commas_are_one_in_a_value(void **state)
{
	struct opt_list list;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(opt_list_parse(&list, "a,b=c,,d,e", &err), 0);
	assert_string_equal(list.head, "a");
	assert_string_equal(opt_list_get(&list, "b"), "c,d");
	assert_string_equal(opt_list_get(&list, "e"), "on");
	opt_list_done(&list);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		int ret;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0, 0 },	       { "512", 0, 512 },	  { "4k", 0, 4096 },
		{ "3G", 0, 3 * GIB },  { "0x10", 0, 16 },	  { "", -EINVAL, 0 },
		{ "G", -EINVAL, 0 },   { "-1", -EINVAL, 0 },	  { "1e3", -EINVAL, 0 },
		{ "1GB", -EINVAL, 0 }, { "16777216T", -ERANGE, 0 }, { " 1", -EINVAL, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes = 0;
		int ret = opt_parse_size(cases[i].text, &bytes);

		if (ret != cases[i].ret || (!ret && bytes != cases[i].bytes))
			fail_msg("%s: %d %llu", cases[i].text, ret, (unsigned long long)bytes);
	}
}

/* One spec, several devices: all of them or none, with ids of their own. */
static void test_parts(void **state)
{
	struct rig r;
	struct toy *second;
	int mine;

	(void)state;
	rig_open(&r);
	r.count.parts = 1;
	assert_int_equal(create(&r, "pack"), 0);
	assert_string_equal(r.dev->id, "pack0");
	r.count.parts = 3;
	assert_int_equal(create(&r, "pack"), 0);
	assert_string_equal(r.dev->id, "pack1.0");
	second = (struct toy *)(void *)r.dev->next;
	assert_string_equal(second->dev.id, "pack1.1");
	assert_ptr_equal(second->first, r.dev);
	assert_int_equal(second->part, 1);
	assert_string_equal(second->dev.next->id, "pack1.2");
	assert_null(second->dev.next->next);
	/* The number is taken, though no device has that id alone. */
	assert_int_equal(create(&r, "pack,id=pack1"), -EINVAL);
	assert_int_equal(create(&r, "pack,id=pack1.2"), -EINVAL);
	assert_int_equal(create(&r, "pack"), 0);
	assert_string_equal(r.dev->id, "pack2.0");
	mine = r.count.realized;
	/* One that is not to be had takes the others along, and the row goes on. */
	r.count.fail_part = 3;
	assert_int_equal(create(&r, "pack"), -ENODEV);
	assert_string_equal(r.err.msg, "pack3: pack: 3 of 3: lost");
	loop_do_posted(r.vm->loop);
	assert_int_equal(r.count.realized, mine + 3);
	assert_int_equal(r.count.destroyed, 3);
	assert_int_equal(r.count.quiesced, 2);
	assert_int_equal(create(&r, "many"), 0);
	assert_ptr_equal(r.dev->class, &spare_class);
	assert_string_equal(r.dev->id, "many0");
	assert_null(r.dev->next);
	/* More than there is room for. */
	r.count.parts = DEV_PARTS_MAX + 1;
	assert_true(create(&r, "pack") < 0);
	r.count.parts = -EINVAL;
	assert_int_equal(create(&r, "pack"), -EINVAL);
	r.count.probed = 0;
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_a_role_takes_the_first_that_can_be_had),
		cmocka_unit_test(test_enodev_alone_moves_along_the_row),
		cmocka_unit_test(test_a_device_named_outright_never_falls_back),
		cmocka_unit_test(test_a_missing_required_option_is_passed_over_in_a_role),
		cmocka_unit_test(test_bad_options_are_refused_with_their_name),
		cmocka_unit_test(test_a_plan_probes_and_realizes_nothing),
		cmocka_unit_test(test_a_removal_from_the_running_guest),
		cmocka_unit_test(test_two_commas_are_one_in_a_value),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
