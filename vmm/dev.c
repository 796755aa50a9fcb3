// SPDX-License-Identifier: GPL-2.0-or-later
#include "dev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "dev_priv.h"
#include "vm.h"

static void dev_free(void *opaque)
{
	struct dev *dev = opaque;

	dev_unplug_free(dev->unplug);
	if (dev->begun && dev->class->destroy)
		dev->class->destroy(dev);
	opt_free(dev->class->options, dev);
	pthread_mutex_destroy(&dev->lock);
	free(dev->id);
	free(dev);
}

int dev_new(struct vm *vm, const struct dev_class *class, const char *id, struct dev **ret_dev,
	    struct err *err)
{
	pthread_mutexattr_t attr;
	struct dev *dev = calloc(1, class->size);

	if (dev)
		dev->id = strdup(id);
	if (!dev || !dev->id) {
		free(dev);
		err_sys(err, -ENOMEM, "%s", id);
		return -ENOMEM;
	}
	dev->class = class;
	dev->vm = vm;
	atomic_init(&dev->refs, 1);
	pthread_mutexattr_init(&attr);
	pthread_mutex_init(&dev->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	*ret_dev = dev;
	return 0;
}

static void dev_link(struct dev *dev)
{
	struct dev **p;

	for (p = &dev->vm->devs; *p; p = &(*p)->next)
		;
	*p = dev;
}

int dev_add(struct dev *dev, struct err *err)
{
	int ret;

	dev->begun = true;
	ret = dev->class->realize ? dev->class->realize(dev, err) : 0;
	if (ret) {
		dev_free(dev);
		return ret;
	}
	dev->realized = true;
	dev_link(dev);
	return 0;
}

void dev_get(struct dev *dev)
{
	atomic_fetch_add(&dev->refs, 1);
}

void dev_put(struct dev *dev)
{
	if (atomic_fetch_sub(&dev->refs, 1) != 1)
		return;
	/* Out of memory: better a device that is never freed than one freed under a callback. */
	loop_post(dev->vm->loop, dev_free, dev);
}

void dev_remove(struct dev *dev)
{
	struct dev **p;
	bool stuck;

	pthread_mutex_lock(&dev->lock);
	if (dev->realized && dev->class->quiesce)
		dev->class->quiesce(dev);
	dev->removed = true;
	stuck = dev->stuck;
	pthread_mutex_unlock(&dev->lock);
	if (dev->class->pci)
		pci_dev_leave(to_pci(dev));
	for (p = &dev->vm->devs; *p; p = &(*p)->next) {
		if (*p == dev) {
			*p = dev->next;
			break;
		}
	}
	if (!stuck)
		dev_put(dev);
}

void dev_reset_all(struct vm *vm)
{
	struct dev *dev;

	for (dev = vm->devs; dev; dev = dev->next) {
		if (!dev->class->reset)
			continue;
		pthread_mutex_lock(&dev->lock);
		dev->class->reset(dev);
		pthread_mutex_unlock(&dev->lock);
	}
}

void dev_remove_all(struct vm *vm)
{
	while (vm->devs) {
		struct dev *last = vm->devs;

		while (last->next)
			last = last->next;
		dev_remove(last);
	}
	while (vm->skips) {
		struct dev_skip *skip = vm->skips;

		vm->skips = skip->next;
		free(skip->id);
		free(skip->reason);
		free(skip);
	}
}

static const struct dev_class *dev_class_find(const struct dev_table *table, const char *name)
{
	const struct dev_class *const *c;

	for (c = table->classes; *c; c++)
		if (!strcmp((*c)->name, name))
			return *c;
	return NULL;
}

static const struct dev_role *dev_role_find(const struct dev_table *table, const char *name)
{
	const struct dev_role *r;

	for (r = table->roles; r->name; r++)
		if (!strcmp(r->name, name))
			return r;
	return NULL;
}

/* True for the id of a device, or of a spec that several devices were made of. */
static bool dev_id_used(const struct vm *vm, const char *id)
{
	const struct dev *dev;
	size_t len = strlen(id);

	for (dev = vm->devs; dev; dev = dev->next)
		if (!strncmp(dev->id, id, len) && (!dev->id[len] || dev->id[len] == '.'))
			return true;
	return false;
}

static int dev_skip_add(struct vm *vm, const char *id, const struct dev_class *class,
			const char *reason)
{
	struct dev_skip *skip = calloc(1, sizeof(*skip)), **p;

	if (!skip)
		return -ENOMEM;
	skip->id = strdup(id);
	skip->reason = strdup(reason);
	skip->class_name = class->name;
	for (p = &vm->skips; *p; p = &(*p)->next)
		;
	*p = skip;
	return skip->id && skip->reason ? 0 : -ENOMEM;
}

static int dev_decode(struct dev *dev, const struct opt_list *opts, struct err *err)
{
	const struct dev_class *class = dev->class;
	const struct opt_field *f;
	size_t i;

	for (i = 0; i < opts->count; i++) {
		int ret;

		f = opt_find(class->options, opts->pairs[i].key);
		ret = f ? opt_decode(f, dev, opts->pairs[i].value, err) : 0;
		if (ret)
			return ret;
	}
	for (f = class->options; f && f->name; f++)
		if (f->required && !opt_list_get(opts, f->name))
			return err_set(err, -ENODEV, "no %s= given", f->name);
	return 0;
}

/* Probe or realize; on failure the device is freed. */
static int dev_begin(struct dev *dev, bool plan, struct err *err)
{
	const struct dev_class *class = dev->class;
	int ret;

	if (!plan)
		return dev_add(dev, err);
	dev->begun = true;
	ret = class->probe ? class->probe(dev, err) : 0;
	if (!ret && class->pci)
		ret = pci_dev_plug(to_pci(dev), err);
	if (ret)
		dev_free(dev);
	else
		dev_link(dev);
	return ret;
}

/* The @index-th device of the spec. *@count is how many there are, known when the first is made. */
static int dev_try_part(struct vm *vm, const struct dev_class *class, const char *id,
			const struct opt_list *opts, bool plan, struct dev **parts,
			unsigned int index, unsigned int *count, struct err *err)
{
	struct dev *dev = NULL;
	char part_id[80];
	int ret = dev_new(vm, class, id, &dev, err);

	if (ret)
		return ret;
	ret = dev_decode(dev, opts, err);
	if (!ret && class->part)
		ret = class->part(dev, index, index ? parts[0] : NULL, err);
	if (ret < 0) {
		dev_free(dev);
		return ret;
	}
	*count = MAX(ret, 1);
	if (*count > 1) {
		snprintf(part_id, sizeof(part_id), "%s.%u", id, index);
		free(dev->id);
		dev->id = strdup(part_id);
	}
	if (!dev->id || *count > DEV_PARTS_MAX) {
		dev_free(dev);
		return err_sys(err, -ENOMEM, "%s", id);
	}
	parts[index] = dev;
	ret = dev_begin(dev, plan, err);
	if (ret && *count > 1)
		err_prefix(err, "%u of %u", index + 1, *count);
	return ret;
}

/* One choice: all of it or nothing. -ENODEV: on to the next. */
static int dev_try(struct vm *vm, const struct dev_class *class, const char *id,
		   const struct opt_list *opts, bool plan, struct dev **ret_dev, struct err *err)
{
	struct dev *parts[DEV_PARTS_MAX] = { NULL };
	unsigned int i, count = 1;
	int ret = 0;

	for (i = 0; i < count && !ret; i++)
		ret = dev_try_part(vm, class, id, opts, plan, parts, i, &count, err);
	if (!ret) {
		*ret_dev = parts[0];
		return 0;
	}
	/* The one that failed is gone already. */
	for (i--; i > 0; i--)
		dev_remove(parts[i - 1]);
	return ret;
}

static void dev_append_options(struct err *err, const struct dev_class *class)
{
	const struct opt_field *f;

	for (f = class->options; f && f->name; f++)
		err_append(err, " %s=", f->name);
}

/* Every option but id= must be known to one of the choices. */
static int dev_check_options(const struct dev_class *const *choices, unsigned int count,
			     const struct opt_list *opts, struct err *err)
{
	size_t i;

	for (i = 0; i < opts->count; i++) {
		const char *key = opts->pairs[i].key;
		bool known = !strcmp(key, "id");
		unsigned int c;

		for (c = 0; c < count && !known; c++)
			known = opt_find(choices[c]->options, key) != NULL;
		if (known)
			continue;
		err_set(err, -EINVAL, "device %s has no option %s=; it takes id=", opts->head, key);
		for (c = 0; c < count; c++)
			dev_append_options(err, choices[c]);
		return -EINVAL;
	}
	return 0;
}

#define DEV_CHOICES_MAX 8

static int dev_choices(const struct dev_table *table, const char *name,
		       const struct dev_class **choices, struct err *err)
{
	const struct dev_role *role = dev_role_find(table, name);
	const struct dev_class *class = dev_class_find(table, name);
	const struct dev_role *r;
	unsigned int n = 0;

	if (role) {
		for (; n < DEV_CHOICES_MAX && role->choices[n]; n++)
			choices[n] = dev_class_find(table, role->choices[n]);
		return (int)n;
	}
	if (class) {
		choices[0] = class;
		return 1;
	}
	err_set(err, -EINVAL, "device %s is not known; there are", name);
	for (r = table->roles; r->name; r++)
		err_append(err, " %s", r->name);
	for (n = 0; table->classes[n]; n++)
		err_append(err, " %s", table->classes[n]->name);
	return -EINVAL;
}

static int dev_pick_id(struct vm *vm, const struct opt_list *opts, char *buf, size_t size,
		       struct err *err)
{
	const char *given = opt_list_get(opts, "id");
	unsigned int n = 0;

	if (given && (!*given || strlen(given) >= size))
		return err_set(err, -EINVAL, "device id \"%s\": it takes 1 to %zu characters", given,
			       size - 1);
	if (given && dev_id_used(vm, given))
		return err_set(err, -EINVAL, "device id %s is used twice", given);
	do {
		snprintf(buf, size, given ? "%s" : "%.40s%u", given ? given : opts->head, n++);
	} while (!given && dev_id_used(vm, buf));
	return 0;
}

static int dev_create_from(struct vm *vm, const struct dev_table *table,
			   const struct opt_list *opts, bool plan, struct dev **ret_dev,
			   struct err *err)
{
	const struct dev_class *choices[DEV_CHOICES_MAX];
	int i, count = dev_choices(table, opts->head, choices, err);
	bool row = dev_role_find(table, opts->head) != NULL;
	char id[64];
	int ret;

	if (count < 0)
		return count;
	ret = dev_check_options(choices, (unsigned int)count, opts, err);
	if (!ret)
		ret = dev_pick_id(vm, opts, id, sizeof(id), err);
	if (ret)
		return ret;
	for (i = 0; i < count; i++) {
		ret = dev_try(vm, choices[i], id, opts, plan, ret_dev, err);
		if (ret != -ENODEV || !row)
			break;
		if (dev_skip_add(vm, id, choices[i], err ? err->msg : ""))
			return err_sys(err, -ENOMEM, "%s", id);
	}
	if (ret == -ENODEV && row)
		return err_prefix(err, "%s: none of its choices can be had; the last, %s", id,
				  choices[count - 1]->name), ret;
	if (ret)
		err_prefix(err, "%s: %s", id, choices[i]->name);
	return ret;
}

int dev_create(struct vm *vm, const struct dev_table *table, const char *spec, bool plan,
	       struct dev **ret_dev, struct err *err)
{
	struct opt_list opts;
	struct err local = { 0 };
	int ret;

	/* The reason of a passed-over choice is kept, so there must be a place for it. */
	if (!err)
		err = &local;
	ret = opt_list_parse(&opts, spec, err);
	if (ret)
		return err_prefix(err, "--device %s", spec), ret;
	ret = dev_create_from(vm, table, &opts, plan, ret_dev, err);
	if (!ret)
		err_clear(err);
	opt_list_done(&opts);
	return ret;
}

void dev_table_help(const struct dev_table *table, FILE *out)
{
	const struct dev_class *const *c;
	const struct dev_role *r;
	const struct opt_field *f;
	unsigned int i;

	fprintf(out, "Roles, which take the first of their devices that can be had:\n");
	for (r = table->roles; r->name; r++) {
		fprintf(out, "  %-12s %s (", r->name, r->help);
		for (i = 0; r->choices[i]; i++)
			fprintf(out, "%s%s", i ? ", then " : "", r->choices[i]);
		fprintf(out, ")\n");
	}
	fprintf(out, "Devices and their options (every device also takes id=NAME):\n");
	for (c = table->classes; *c; c++) {
		fprintf(out, "  %-12s %s\n", (*c)->name, (*c)->help);
		for (f = (*c)->options; f && f->name; f++)
			fprintf(out, "    %-10s %s%s\n", f->name, f->help,
				f->required ? " (required)" : "");
	}
}
