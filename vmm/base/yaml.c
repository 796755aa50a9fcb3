// SPDX-License-Identifier: GPL-2.0-or-later
#include "yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "err.h"
#include "util.h"

/* libyaml's parser, the tree so far, and the way down to where the next node goes. */
struct build {
	yaml_parser_t parser;
	struct yaml *doc;
	struct err *err;
	struct yaml_node *open[YAML_DEPTH_MAX]; /* lists and maps that have not ended */
	struct yaml_node *last[YAML_DEPTH_MAX]; /* the last member of each */
	unsigned int count[YAML_DEPTH_MAX];	/* of members */
	unsigned int depth;
	char *key;				/* of the next member of a map */
	unsigned int key_line;
	unsigned int nodes;
};

static int fail(const struct build *b, unsigned int line, int code, const char *what)
{
	return err_set(b->err, code, "%s:%u: %s", b->doc->name, line, what);
}

static unsigned int line_of(const yaml_event_t *event)
{
	return (unsigned int)event->start_mark.line + 1;
}

int yaml_err(const struct yaml *doc, const struct yaml_node *node, struct err *err, int code,
	     const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(err, code, "%s:%u: %s", doc->name, node->line, text);
}

int yaml_want(const struct yaml *doc, const struct yaml_node *node, enum yaml_kind kind,
	      struct err *err)
{
	static const char *const names[] = {
		[YAML_TEXT] = "one value",
		[YAML_LIST] = "a list (\"- ...\" or [..., ...])",
		[YAML_MAP] = "keys with values (\"key: value\" or {key: value})",
	};

	if (node->kind == kind)
		return 0;
	return yaml_err(doc, node, err, -EINVAL, "%s takes %s", node->key ? node->key : "this",
			names[kind]);
}

/* How many letters have to be changed, added or taken away to make @b of @a, within reason. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[32], above, left;
	size_t i, j, m = strlen(a), n = strlen(b);

	if (m > 24 || n >= ARRAY_SIZE(row))
		return ARRAY_SIZE(row);
	for (j = 0; j <= n; j++)
		row[j] = (unsigned int)j;
	for (i = 1; i <= m; i++) {
		left = row[0];
		row[0] = (unsigned int)i;
		for (j = 1; j <= n; j++) {
			above = row[j];
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, left + (a[i - 1] != b[j - 1]));
			left = above;
		}
	}
	return row[n];
}

int yaml_key(const struct yaml *doc, const struct yaml_node *node, const char *const *names,
	     size_t count, struct err *err)
{
	unsigned int d, best = 3; /* two slips at most */
	const char *near = NULL;
	char all[512] = "";
	size_t i, at = 0;

	for (i = 0; i < count; i++) {
		if (!strcmp(node->key, names[i]))
			return (int)i;
		d = distance(node->key, names[i]);
		near = d < best ? names[i] : near;
		best = MIN(d, best);
		if (at < sizeof(all))
			at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", i ? ", " : "",
					       names[i]);
	}
	if (near)
		return yaml_err(doc, node, err, -EINVAL, "there is no \"%.40s\" here; did you mean "
				"%s?", node->key, near);
	return yaml_err(doc, node, err, -EINVAL, "there is no \"%.40s\" here, but: %s", node->key,
			all);
}

static void node_free(struct yaml_node *node)
{
	struct yaml_node *next;

	/* The depth is bounded; the number of members is not, in a way that a stack would mind. */
	for (; node; node = next) {
		next = node->next;
		node_free(node->child);
		free(node->key);
		free(node->text);
		free(node);
	}
}

void yaml_done(struct yaml *doc)
{
	node_free(doc->root);
	free(doc->name);
	memset(doc, 0, sizeof(*doc));
}

static bool key_is_there(const struct yaml_node *map, const char *key)
{
	const struct yaml_node *n;

	for (n = map->child; n; n = n->next) {
		if (!strcmp(n->key, key))
			return true;
	}
	return false;
}

/* Hangs @node, which it takes over, where the document is now. */
static void attach(struct build *b, struct yaml_node *node)
{
	struct yaml_node *parent;

	if (!b->depth) {
		b->doc->root = node;
		return;
	}
	parent = b->open[b->depth - 1];
	if (b->last[b->depth - 1])
		b->last[b->depth - 1]->next = node;
	else
		parent->child = node;
	b->last[b->depth - 1] = node;
	if (parent->kind == YAML_MAP) {
		node->key = b->key;
		b->key = NULL;
	}
}

/* A scalar's text, one line of printable ASCII. */
static char *text_of(const struct build *b, const yaml_event_t *event, int *ret)
{
	const unsigned char *value = event->data.scalar.value;
	size_t i, len = event->data.scalar.length;
	char *text;

	for (i = 0; i < len; i++) {
		if (value[i] < ' ' || value[i] > '~') {
			*ret = fail(b, line_of(event), -EINVAL,
				    "only printable ASCII on one line is taken");
			return NULL;
		}
	}
	text = strndup((const char *)value, len);
	*ret = text ? 0 : err_sys(b->err, -ENOMEM, "%s", b->doc->name);
	return text;
}

static bool in_map(const struct build *b)
{
	return b->depth && b->open[b->depth - 1]->kind == YAML_MAP;
}

static int take_key(struct build *b, const yaml_event_t *event)
{
	int ret;

	if (event->type != YAML_SCALAR_EVENT)
		return fail(b, line_of(event), -EINVAL, "a key is one word");
	b->key = text_of(b, event, &ret);
	b->key_line = line_of(event);
	if (ret)
		return ret;
	if (++b->count[b->depth - 1] > YAML_KEYS_MAX)
		return fail(b, line_of(event), -E2BIG, "there are too many keys here");
	if (key_is_there(b->open[b->depth - 1], b->key))
		return err_set(b->err, -EINVAL, "%s:%u: \"%.40s\" is there twice", b->doc->name,
			       b->key_line, b->key);
	return 0;
}

static int take_node(struct build *b, const yaml_event_t *event, enum yaml_kind kind)
{
	struct yaml_node *node;
	int ret = 0;

	if (++b->nodes > YAML_NODES_MAX)
		return fail(b, line_of(event), -E2BIG, "there is too much in it");
	if (in_map(b) && !b->key)
		return take_key(b, event);
	if (kind != YAML_TEXT && b->depth == YAML_DEPTH_MAX)
		return fail(b, line_of(event), -E2BIG, "it is nested too deeply");
	node = calloc(1, sizeof(*node));
	if (!node)
		return err_sys(b->err, -ENOMEM, "%s", b->doc->name);
	node->kind = kind;
	node->line = b->key ? b->key_line : line_of(event);
	attach(b, node);
	if (kind == YAML_TEXT) {
		node->text = text_of(b, event, &ret);
		return ret;
	}
	b->open[b->depth] = node;
	b->count[b->depth] = 0;
	b->last[b->depth++] = NULL;
	return 0;
}

/* 0, 1 at the end of the file, or -errno. */
static int take(struct build *b, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		if (event->data.scalar.anchor || event->data.scalar.tag)
			return fail(b, line_of(event), -EINVAL, "anchors and tags are not taken");
		return take_node(b, event, YAML_TEXT);
	case YAML_SEQUENCE_START_EVENT:
		if (event->data.sequence_start.anchor || event->data.sequence_start.tag)
			return fail(b, line_of(event), -EINVAL, "anchors and tags are not taken");
		return take_node(b, event, YAML_LIST);
	case YAML_MAPPING_START_EVENT:
		if (event->data.mapping_start.anchor || event->data.mapping_start.tag)
			return fail(b, line_of(event), -EINVAL, "anchors and tags are not taken");
		return take_node(b, event, YAML_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	case YAML_ALIAS_EVENT:
		return fail(b, line_of(event), -EINVAL,
			    "aliases (\"*name\") are not taken; write it out");
	case YAML_DOCUMENT_START_EVENT:
		return b->doc->root ? fail(b, line_of(event), -EINVAL,
					   "a second document begins; there can be one") : 0;
	case YAML_STREAM_END_EVENT:
		return 1;
	default:
		return 0;
	}
}

static int syntax(const struct build *b)
{
	const yaml_parser_t *p = &b->parser;

	if (p->error == YAML_MEMORY_ERROR)
		return err_sys(b->err, -ENOMEM, "%s", b->doc->name);
	if (p->error == YAML_READER_ERROR)
		return err_set(b->err, -EINVAL, "%s: byte %zu: this is no text (%s)", b->doc->name,
			       p->problem_offset, p->problem ? p->problem : "?");
	return err_set(b->err, -EINVAL, "%s:%zu: this is no YAML: %s%s%s", b->doc->name,
		       p->problem_mark.line + 1, p->problem ? p->problem : "?",
		       p->context ? " " : "", p->context ? p->context : "");
}

static int run(struct build *b)
{
	yaml_event_t event;
	int ret = 0;

	while (!ret) {
		if (!yaml_parser_parse(&b->parser, &event))
			return syntax(b);
		ret = take(b, &event);
		yaml_event_delete(&event);
	}
	if (ret > 0 && !b->doc->root)
		return err_set(b->err, -EINVAL, "%s: nothing is in it", b->doc->name);
	return ret > 0 ? 0 : ret;
}

int yaml_parse(struct yaml *ret_doc, const char *name, const char *text, size_t len,
	       struct err *err)
{
	struct build b = { .doc = ret_doc, .err = err };
	int ret;

	memset(ret_doc, 0, sizeof(*ret_doc));
	ret_doc->name = strdup(name);
	if (!ret_doc->name)
		return err_sys(err, -ENOMEM, "%s", name);
	if (len > YAML_BYTES_MAX)
		ret = err_set(err, -E2BIG, "%s: it has %zu bytes, at most %zu are taken", name, len,
			      YAML_BYTES_MAX);
	else if (!yaml_parser_initialize(&b.parser))
		ret = err_sys(err, -ENOMEM, "%s", name);
	else {
		yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, len);
		ret = run(&b);
		yaml_parser_delete(&b.parser);
	}
	free(b.key);
	if (ret)
		yaml_done(ret_doc);
	return ret;
}

static int read_all(int fd, const char *path, char **ret_text, size_t *ret_len, struct err *err)
{
	struct stat st;
	char *text;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "cannot read %s", path);
	if (S_ISDIR(st.st_mode))
		return err_sys(err, -EISDIR, "cannot read %s", path);
	/* Whatever its size is said to be: it may be a pipe. */
	text = malloc(YAML_BYTES_MAX + 1);
	if (!text)
		return err_sys(err, -ENOMEM, "%s", path);
	*ret_text = text;
	*ret_len = 0;
	do {
		n = read(fd, text + *ret_len, YAML_BYTES_MAX + 1 - *ret_len);
		if (n < 0 && errno != EINTR)
			return err_sys(err, -errno, "cannot read %s", path);
		*ret_len += (size_t)MAX(n, 0);
	} while (n && *ret_len <= YAML_BYTES_MAX);
	return 0;
}

int yaml_parse_file(struct yaml *ret_doc, const char *path, struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	int ret;

	memset(ret_doc, 0, sizeof(*ret_doc));
	if (fd < 0)
		return err_sys(err, -errno, "cannot read %s", path);
	ret = read_all(fd, path, &text, &len, err);
	return ret ? ret : yaml_parse(ret_doc, path, text, len, err);
}
